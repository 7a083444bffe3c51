#!/usr/bin/env python3
"""Runs the tests of a build folder through ctest and counts their cases.

usage: run_tests.py BUILD_FOLDER [--filter REGEX] [--labels REGEX] [--jobs N] [--timeout SECONDS]
       run_tests.py BUILD_FOLDER [--filter REGEX] [--labels REGEX] --targets

REGEX is looked for in the names of the tests (`ctest -N` lists them) and of their cases; a test
whose own name matches runs whole. Of a GoogleTest binary every case counts (`Suite.Case`), of a
pytest run too (`file_test.test_name`), of any other test the test itself. A program that dies
counts as one failure more than its report tells. What was skipped is named, with why. The last line
is `N passed, N failed`; exit code: 0 if something ran and nothing failed, else 1. --targets prints what to build for these tests:
which cases a test has is read from its sources then, and nothing is printed where no source has
what the filter looks for, so that everything is built.
"""
import argparse
import fnmatch
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

# The longest filter that is handed over in the environment; the kernel's limit is 128 KiB a string.
FILTER_BYTES_MAX = 100_000
GTEST_REPORT = "--gtest_output=json:"
PYTEST_REPORT = "--junitxml="
GTEST_CASE = re.compile(r"^(?:TYPED_)?TEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\s*\)", re.MULTILINE)
GTEST_PARAMETERS = re.compile(r"^INSTANTIATE_(?:TYPED_)?TEST_SUITE_P|^TYPED_TEST_SUITE", re.MULTILINE)
PYTEST_CASE = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)


class Test:
    """One entry of ctest: its command, and where its cases are reported."""

    def __init__(self, entry, source_folder=None):
        self.source_folder = source_folder  # where it is added
        self.name = entry["name"]
        self.command = entry.get("command", [])
        self.report = self.option(GTEST_REPORT) or self.option(PYTEST_REPORT)
        self.is_pytest = self.option(PYTEST_REPORT) is not None
        properties = {p["name"]: p["value"] for p in entry.get("properties", [])}
        self.labels = properties.get("LABELS", [])
        self.folder = properties.get("WORKING_DIRECTORY")
        self.environment = dict(v.split("=", 1) for v in properties.get("ENVIRONMENT", []))

    def option(self, prefix):
        values = [a[len(prefix):] for a in self.command if a.startswith(prefix)]
        return values[0] if values else None

    def targets(self):
        """What has to be built for it."""
        needs = self.environment.get("GREGOR_NEEDS", "").split()
        # A test that is a program of ours is named as its target.
        program = self.command[0] if self.command else ""
        return needs + ([self.name] if not program.startswith("/usr/") else [])

    def may_have(self, matches):
        """Whether the test or a case of it matches, as far as its sources tell; it need not be built."""
        if matches(self.name):
            return True
        program = self.command[0] if self.command else ""
        if self.is_pytest:
            return any(matches(f"{os.path.basename(path)[:-3]}.{case}")
                       for path in self.command if path.endswith(".py")
                       for case in PYTEST_CASE.findall(read(path)))
        if self.source_folder is None or program.startswith("/usr/"):
            return False
        for path in glob.glob(os.path.join(self.source_folder, "*.cc")):
            text = read(path)
            if any(matches(".".join(case)) for case in GTEST_CASE.findall(text)):
                return True
            # The names of parameters are made by the program: whatever is said there may be one.
            if GTEST_PARAMETERS.search(text) and any(map(matches, text.splitlines())):
                return True
        return False


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def folder_of(graph, node):
    """Of the CMakeLists.txt that adds a test."""
    while node is not None:
        path = graph["files"][graph["nodes"][node]["file"]]
        if os.path.basename(path) == "CMakeLists.txt":
            return os.path.dirname(path)
        node = graph["nodes"][node].get("parent")
    return None


def list_tests(build, labels):
    command = ["ctest", "--test-dir", build, "--show-only=json-v1"]
    if labels:
        command += ["-L", labels]
    listing = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    listing = json.loads(listing)
    return [Test(entry, folder_of(listing["backtraceGraph"], entry.get("backtrace")))
            for entry in listing["tests"]]


def narrow(tests, pattern):
    """The tests that have to be built for a filter; all of them where their sources do not tell."""
    matches = matcher(pattern)
    return [test for test in tests if test.may_have(matches)] or tests


def parse_gtest_list(text):
    """The output of --gtest_list_tests as {suite: [case]}."""
    suites, suite = {}, None
    for line in text.splitlines():
        line = line.split("#")[0].rstrip()
        if line.startswith("  ") and suite is not None:
            suites[suite].append(line.strip())
        elif line.endswith("."):
            suite = line[:-1]
            suites[suite] = []
    return suites


def parse_pytest_list(text):
    """The output of `pytest --collect-only -q` as {file: [test function]}."""
    suites = {}
    for line in text.splitlines():
        match = re.match(r"(\S+)\.py::(?:\S+::)?(\w+)(\[.*\])?$", line)
        if match:
            cases = suites.setdefault(os.path.basename(match.group(1)), [])
            if match.group(2) not in cases:
                cases.append(match.group(2))
    return suites


def list_cases(test):
    if test.is_pytest:
        command = [a for a in test.command if not a.startswith(PYTEST_REPORT)] + ["--collect-only"]
    else:
        command = [test.command[0], "--gtest_list_tests"]
    environment = dict(os.environ, **test.environment)
    listing = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                             cwd=test.folder, env=environment)
    return (parse_pytest_list if test.is_pytest else parse_gtest_list)(listing.stdout)


def matcher(pattern):
    try:
        expression = re.compile(pattern)
        return lambda name: expression.search(name) is not None
    except re.error:  # a shell pattern such as *Torn*
        return lambda name: fnmatch.fnmatchcase(name, pattern)


def pick_gtest(suites, matches):
    """The GoogleTest filter terms for what matches; a suite of which all match is one term."""
    terms = []
    for suite, cases in suites.items():
        hits = [case for case in cases if matches(f"{suite}.{case}")]
        if hits and len(hits) == len(cases):
            terms.append(f"{suite}.*")
        else:
            terms += [f"{suite}.{case}" for case in hits]
    return terms


def pick_pytest(suites, matches):
    """The names for pytest -k of the functions that match."""
    return [case for suite, cases in suites.items() for case in cases if matches(f"{suite}.{case}")]


def plan(tests, pattern):
    """(tests to run whole, tests to run in part, the environment that picks the latter's cases)."""
    if not pattern:
        return tests, [], {}
    matches = matcher(pattern)
    whole = [test for test in tests if matches(test.name)]
    part, gtest_terms, pytest_terms = [], [], []
    for test in tests:
        if test in whole or not test.report:
            continue
        picked = (pick_pytest if test.is_pytest else pick_gtest)(list_cases(test), matches)
        if picked:
            part.append(test)
            (pytest_terms if test.is_pytest else gtest_terms).extend(picked)
    environment = {"GTEST_FILTER": ":".join(gtest_terms)}
    if pytest_terms:
        environment["PYTEST_ADDOPTS"] = "-k '" + " or ".join(pytest_terms) + "'"
    if max(len(value) for value in environment.values()) > FILTER_BYTES_MAX:
        return whole + part, [], {}  # so much matches that running all of it costs little more
    return whole, part, environment


def run_ctest(build, tests, filters, options):
    """Runs `tests`; returns {name: passed} as ctest saw it."""
    for test in tests:
        if test.report and os.path.exists(test.report):
            os.remove(test.report)
    with tempfile.TemporaryDirectory() as folder:
        junit = os.path.join(folder, "junit.xml")
        names = "^(" + "|".join(re.escape(test.name) for test in tests) + ")$"
        environment = dict(os.environ)
        for name in ("GTEST_FILTER", "PYTEST_ADDOPTS"):
            environment.pop(name, None)
        environment.update(filters)
        subprocess.run(["ctest", "--test-dir", build, "-R", names, "-j", str(options.jobs),
                        "--output-on-failure", "--timeout", str(options.timeout),
                        "--output-junit", junit], env=environment, check=False)
        sys.stdout.flush()
        if not os.path.exists(junit):
            return {}
        root = ElementTree.parse(junit).getroot()
        return {case.get("name"): case.get("status") == "run" for case in root.iter("testcase")}


def count_gtest(path):
    """(passed, names of failed cases) of one GoogleTest report."""
    with open(path, encoding="utf-8", errors="replace") as report:
        root = json.load(report)
    passed, failed = 0, []
    for suite in root.get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("status") != "RUN" or case.get("result") == "SKIPPED":
                continue
            if case.get("failures"):
                failed.append(f"{suite['name']}.{case['name']}")
            else:
                passed += 1
    return passed, failed


def count_pytest(path):
    """(passed, names of failed cases) of one pytest report."""
    passed, failed = 0, []
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(f"{(case.get('classname') or '').split('.')[-1]}.{case.get('name')}")
        elif case.find("skipped") is None:
            passed += 1
    return passed, failed


def count(test, passed_for_ctest):
    """(passed, names of failures) of one test that ran."""
    if not test.report:
        return (1, []) if passed_for_ctest else (0, [test.name])
    try:
        passed, failed = (count_pytest if test.is_pytest else count_gtest)(test.report)
    except (OSError, ValueError, ElementTree.ParseError):
        return 0, [f"{test.name} (ended without a report)"]
    if not passed_for_ctest and not failed:
        failed = [f"{test.name} (failed outside its cases: see its output)"]
    return passed, failed


def skipped(test):
    """What of a test was not run, each with why, as its report tells."""
    try:
        if test.is_pytest:
            cases = [(f"{(case.get('classname') or '').split('.')[-1]}.{case.get('name')}",
                      case.find("skipped").get("message", ""))
                     for case in ElementTree.parse(test.report).getroot().iter("testcase")
                     if case.find("skipped") is not None]
        elif test.report:
            cases = [(f"{suite['name']}.{case['name']}", "")
                     for suite in json.loads(read(test.report)).get("testsuites", [])
                     for case in suite.get("testsuite", []) if case.get("result") == "SKIPPED"]
        else:
            return []
    except (OSError, ValueError, ElementTree.ParseError):
        return []  # it is counted as failed
    return [f"{name}: {why}" if why else name for name, why in cases]


def run(tests, options):
    """(passed, names of failures, what was skipped) of the tests that match."""
    whole, part, filters = plan(tests, options.filter)
    results = {}
    if whole:
        results.update(run_ctest(options.build, whole, {}, options))
    if part:
        results.update(run_ctest(options.build, part, filters, options))
    passed, failed, left_out = 0, [], []
    for test in whole + part:
        test_passed, test_failed = count(test, results.get(test.name, False))
        passed += test_passed
        failed += test_failed
        left_out += skipped(test)
    return passed, failed, left_out


def no_such_label(labels, every_test):
    known = sorted({label for test in every_test for label in test.labels})
    return f"No test has a label that matches '{labels}'; there are: {', '.join(known)}."


def main():
    parser = argparse.ArgumentParser(description="Runs a build folder's tests, counts their cases.")
    parser.add_argument("build")
    parser.add_argument("--filter", default="")
    parser.add_argument("--labels", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--timeout", type=int, default=900)
    parser.add_argument("--targets", action="store_true")
    options = parser.parse_args()

    tests = list_tests(options.build, options.labels)
    if options.labels and not tests:
        # Where targets are asked for, stdout is theirs.
        print(no_such_label(options.labels, list_tests(options.build, "")),
              file=sys.stderr if options.targets else sys.stdout)
        if not options.targets:
            print("0 passed, 0 failed")
        return 1
    if options.filter:
        every_test, tests = tests, narrow(tests, options.filter)
        if options.targets and tests == every_test and not options.labels:
            return 0  # the whole tree
    if options.targets:
        print("\n".join(sorted({target for test in tests for target in test.targets()})))
        return 0
    passed, failed, left_out = run(tests, options)
    if left_out:
        print(f"\n{len(left_out)} skipped:")
        for name in left_out:
            print(f"  {name}")
    if failed:
        print("\nFailed:")
        for name in failed:
            print(f"  {name}")
    if not passed and not failed:
        print(f"No test matches '{options.filter}'." if options.filter else "No tests ran.")
    print(f"{passed} passed, {len(failed)} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
