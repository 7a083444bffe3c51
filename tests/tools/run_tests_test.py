"""Tests of tools/run_tests.py: what is counted, and what a filter picks."""
import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools"))
import run_tests  # noqa: E402


def gtest(report="/none", name="log_test"):
    return run_tests.Test({"name": name,
                           "command": ["/build/tests/log_test", f"--gtest_output=json:{report}"]})


def pytest_test(report="/none"):
    return run_tests.Test({
        "name": "cluster_test", "command": ["/usr/bin/python3", "-m", f"--junitxml={report}"],
        "properties": [{"name": "ENVIRONMENT", "value": ["GREGOR_NEEDS= gregor other"]}]})


def test_cases_of_a_gtest_report_are_counted_and_skipped_ones_are_not(tmp_path):
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"testsuites": [{"name": "Log", "testsuite": [
        {"name": "A", "status": "RUN", "result": "COMPLETED"},
        {"name": "B", "status": "RUN", "result": "COMPLETED", "failures": [{}]},
        {"name": "C", "status": "RUN", "result": "SKIPPED"},
        {"name": "D", "status": "NOTRUN"}]}]}))
    assert run_tests.count(gtest(report), False) == (1, ["Log.B"])


def test_cases_of_a_pytest_report_are_counted(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite><testcase classname="tests.a_test" name="a"/>'
                      '<testcase classname="tests.a_test" name="b"><failure/></testcase>'
                      '<testcase name="c"><error/></testcase>'
                      '<testcase name="d"><skipped/></testcase></testsuite></testsuites>')
    assert run_tests.count(pytest_test(report), False) == (1, ["a_test.b", ".c"])


def test_what_was_skipped_is_named_with_why(tmp_path):
    report = tmp_path / "report"
    report.write_text('<testsuite><testcase classname="tests.a_test" name="a"/><testcase classname="tests.a_test" name="b">'
                      '<skipped message="needs root"/></testcase></testsuite>')
    assert run_tests.skipped(pytest_test(report)) == ["a_test.b: needs root"]
    report.write_text(json.dumps({"testsuites": [{"name": "Log", "testsuite": [
        {"name": "A", "status": "RUN", "result": "COMPLETED"}, {"name": "C", "status": "RUN", "result": "SKIPPED"}]}]}))
    assert run_tests.skipped(gtest(report)) == ["Log.C"]
    assert run_tests.skipped(gtest()) == []


def test_a_program_that_dies_is_a_failure(tmp_path):
    report = tmp_path / "report.json"
    assert run_tests.count(gtest(report), False)[1] == ["log_test (ended without a report)"]
    report.write_text('{"testsui')
    assert run_tests.count(gtest(report), False)[1] == ["log_test (ended without a report)"]
    report.write_text('{"testsuites": []}')
    assert run_tests.count(gtest(report), False)[0] == 0
    assert len(run_tests.count(gtest(report), False)[1]) == 1


def test_a_test_without_a_report_counts_itself():
    check = run_tests.Test({"name": "source_check", "command": ["/usr/bin/python3"]})
    assert run_tests.count(check, True) == (1, [])
    assert run_tests.count(check, False) == (0, ["source_check"])


def test_a_label_that_no_test_has_is_named_with_those_that_there_are():
    tests = [run_tests.Test({"name": name, "properties": [{"name": "LABELS", "value": [label]}]})
             for name, label in (("log_test", "unit"), ("cluster", "cluster"), ("base_test", "unit"))]
    assert run_tests.no_such_label("nolabel", tests) == "No test has a label that matches 'nolabel'; there are: cluster, unit."


def test_targets_are_the_programs_and_what_a_script_needs():
    assert gtest().targets() == ["log_test"]
    assert pytest_test().targets() == ["gregor", "other"]


def test_a_filter_picks_whole_tests_by_name_and_cases_by_theirs(monkeypatch):
    cases = {"log_test": {"Log": ["Rolls", "Cuts"], "Index": ["Rolls"]},
             "cluster_test": {"restart_test": ["test_rolls_back", "test_other"]}}
    monkeypatch.setattr(run_tests, "list_cases", lambda test: cases[test.name])
    tests = [gtest(), pytest_test()]
    assert run_tests.plan(tests, "") == (tests, [], {})
    assert run_tests.plan(tests, "log_test")[0] == tests[:1]
    assert run_tests.plan(tests, "(?i)rolls") == (
        [], tests, {"GTEST_FILTER": "Log.Rolls:Index.*", "PYTEST_ADDOPTS": "-k 'test_rolls_back'"})
    assert run_tests.plan(tests, "*Cuts")[2]["GTEST_FILTER"] == "Log.Cuts"


def test_a_filter_needs_only_the_tests_whose_sources_have_such_cases(tmp_path):
    folders = {}
    for name, text in {
            "log_test": "TEST_F(Log, Rolls) {\nTEST(Index,\n     Cuts) {\n// not by Rain\n",
            "codec_test": 'TEST_P(Codec, Reads) {\nINSTANTIATE_TEST_SUITE_P(All, Codec, Values("gzip"))'}.items():
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / "a_test.cc").write_text(text)
    script = tmp_path / "restart_test.py"
    script.write_text("def test_rolls_back(node):\n    pass\n")
    log, codec = (run_tests.Test({"name": name}, str(folders[name])) for name in folders)
    cluster = run_tests.Test({"name": "cluster_restart", "command": [
        "/usr/bin/python3", "--junitxml=/none", str(script)]}, str(tmp_path))
    check = run_tests.Test({"name": "source_check", "command": ["/usr/bin/python3", str(script)]},
                           str(tmp_path))
    tests = [log, codec, cluster, check]
    assert run_tests.narrow(tests, "^Log.Rolls$") == [log]
    assert run_tests.narrow(tests, "Index.*Cuts") == [log]
    assert run_tests.narrow(tests, "*Cuts") == [log]
    assert run_tests.narrow(tests, "(?i)rolls") == [log, cluster]
    assert run_tests.narrow(tests, "gzip") == [codec]
    assert run_tests.narrow(tests, "source_check") == [check]
    assert run_tests.narrow(tests, "Rain") == tests  # nothing says where that would be


def test_the_folder_of_a_test_is_where_it_was_added():
    graph = {"files": ["/s/cmake/G.cmake", "/s/tests/base/CMakeLists.txt"],
             "nodes": [{"file": 1}, {"file": 0, "parent": 0}, {"file": 0}]}
    assert run_tests.folder_of(graph, 1) == "/s/tests/base"
    assert run_tests.folder_of(graph, 2) is None
    assert run_tests.folder_of(graph, None) is None


def test_lists_of_cases_are_understood():
    assert run_tests.parse_gtest_list("Log.\n  Rolls\n  Cuts  # GetParam() = 1\n") == {
        "Log": ["Rolls", "Cuts"]}
    assert run_tests.parse_pytest_list(
        "tests/a_test.py::test_x[1-2]\ntests/a_test.py::test_x[3]\na.py::C::test_y\n\n2 tests\n"
    ) == {"a_test": ["test_x"], "a": ["test_y"]}


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
