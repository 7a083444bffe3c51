"""Tests of tools/source_check.py and of what it knows of C++ (tools/cxx_scan.py)."""
import os
import subprocess
import sys
import textwrap

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "tools"))
import cxx_scan  # noqa: E402
import source_check  # noqa: E402


def functions(text):
    code = cxx_scan.strip(textwrap.dedent(text).lstrip("\n")).splitlines()
    return [(f.name, f.begin, f.end) for f in cxx_scan.functions(code)]


def rules(path, text, documented=None):
    return [f.rule for f in source_check.check_file(path, textwrap.dedent(text), documented)]


@pytest.fixture(name="tree")
def make_tree(tmp_path):
    """A repository with one good file; returns a function that runs the check over it."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "base").mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "base" / "good.cc").write_text("int Good() { return 1; }\n")

    def check(*options):
        return source_check.main(["--root", str(tmp_path), *options])

    check.path = tmp_path
    return check


def test_functions_are_found_with_their_first_and_last_line():
    assert functions("""
        namespace a {
        // Free { brace }
        int Add(int x,
                int y) {
          return x + y;
        }
        class C : public B {
         public:
          explicit C(int v) : v_(v), w_{v} { Run(); }
          ~C() override = default;
          int v() const noexcept { return v_; }
          bool operator==(const C& o) const { return v_ == o.v_; }
         private:
          int v_ = 0;
          int w_{3};
        };
        template <typename T>
        auto C::Get(T t) -> std::vector<T> {
          if (t) { return {}; }
          return {t};
        }
        }
        """) == [("Add", 3, 6), ("C", 9, 9), ("v", 11, 11), ("operator==", 12, 12),
                 ("C::Get", 17, 21)]


def test_a_lambda_counts_for_the_function_around_it():
    assert functions("""
        void Run() {
          Post([this] {
            Done();
          });
        }
        """) == [("Run", 1, 5)]


def test_a_test_is_named_by_its_suite_and_case():
    assert functions("TEST_F(LogTest, Rolls) {\n}\n") == [("LogTest.Rolls", 1, 2)]


def test_tables_and_aggregates_are_no_functions():
    assert functions("""
        constexpr Row kRows[] = {
            {1, "a"},
            {2, "b"},
        };
        struct Options { int a = Max(1, 2); };
        enum class E { kA, kB };
        """) == []


def test_attributes_of_threads_stand_between_parameters_and_body():
    assert functions("void Append() TS_REQUIRES(partition_thread) {\n}\n") == [("Append", 1, 2)]


def test_braces_in_comments_literals_and_macros_do_not_count():
    assert functions("""
        #define OPEN {
        int F() {
          const char* a = "{"; char b = '{'; /* { */
          const char* c = R"x({{{)x"; int d = 1'000'000;
          return 0;
        }
        int G() { return 1; }
        """) == [("F", 2, 6), ("G", 7, 7)]


def test_an_include_in_a_comment_is_none():
    text = '#include "base/a.h"\n// #include "base/b.h"\n#include <vector>\n'
    raw = text.splitlines()
    found = cxx_scan.includes(raw, cxx_scan.strip(text).splitlines())
    assert found == [(1, True, "base/a.h"), (3, False, "vector")]


@pytest.mark.parametrize("path, target, finds", [
    ("storage/log.cc", "base/types.h", False),
    ("storage/log.cc", "storage/segment.h", False),
    ("storage/log.cc", "broker/api.h", True),
    ("base/types.h", "storage/log.h", True),
    ("broker/partition.cc", "controller/image/image.h", False),
    ("broker/partition.cc", "controller/controller.h", True),
    ("broker/partition.cc", "gregor/v1/fetch.pb.h", True),
    ("broker/grpc/door.cc", "broker/api.h", False),
    ("broker/grpc/door.cc", "broker/http/http_server.h", True),
    ("broker/grpc/door.cc", "storage/log.h", True),
    ("client/producer.cc", "broker/api.h", True),
    ("node/main.cc", "storage/log.h", False),
    ("tests/sim/simulator.cc", "broker/partition.h", False),
])
def test_a_folder_includes_what_its_row_lists(path, target, finds):
    found = rules(path, f'#include "{target}"\n')
    assert ("layer" in found) == finds


def test_a_folder_without_a_row_is_a_finding():
    assert rules("elsewhere/a.cc", "int a;\n") == ["layer"]


@pytest.mark.parametrize("include, finds", [
    ('"base/types.h"', False), ("<vector>", False), ('"base/clock.h"', True),
    ('"base/event_loop.h"', True), ("<mutex>", True), ("<glog/logging.h>", True),
    ("<random>", True),
])
def test_raft_core_sees_types_only(include, finds):
    assert ("layer" in rules("raft/core/raft.cc", f"#include {include}\n")) == finds


@pytest.mark.parametrize("path, header, finds", [
    ("controller/image/rocksdb_store.cc", "rocksdb/db.h", False),
    ("controller/image/rocksdb_store.h", "rocksdb/db.h", True),
    ("base/event_loop.cc", "boost/asio/post.hpp", False),
    ("base/event_loop.cc", "boost/asio.hpp", False),
    ("base/event_loop.h", "boost/asio/post.hpp", True),
    ("broker/broker.h", "grpcpp/grpcpp.h", True),
    ("broker/grpc/door.h", "grpcpp/grpcpp.h", False),
    ("storage/log.cc", "fcntl.h", True),
    ("storage/posix_file_system.cc", "fcntl.h", False),
    ("storage/log.cc", "zstd.h", True),
    ("storage/log.cc", "ranges", True),
    ("tests/storage/log_test.cc", "rocksdb/db.h", False),
])
def test_third_party_headers_stay_in_adapters(path, header, finds):
    assert ("library" in rules(path, f"#include <{header}>\n")) == finds


@pytest.mark.parametrize("path, line, finds", [
    ("broker/a.cc", "auto t = std::chrono::steady_clock::now();", True),
    ("base/clock.cc", "auto t = std::chrono::steady_clock::now();", False),
    ("broker/a.cc", "// std::chrono::steady_clock::now()", False),
    ("broker/a.cc", 'Log("sleep_for");', False),
    ("tests/broker/a_test.cc", "std::this_thread::sleep_for(1ms);", True),
    ("broker/a.cc", "std::random_device device;", True),
    ("broker/a.cc", "std::thread thread_;", True),
    ("broker/a.cc", "std::thread::id id;", False),
    ("broker/a.cc", "time(nullptr);", True),
    ("broker/a.cc", "wait_time(nullptr);", False),
    ("broker/a.cc", "absl::Mutex mutex;", True),
])
def test_banned_calls_are_found_in_code_only(path, line, finds):
    assert ("banned" in rules(path, line + "\n")) == finds


def test_sizes_have_limits():
    function = "void F() {\n" + "  Call();\n" * 58 + "}\n"
    assert rules("base/a.cc", function) == []
    assert rules("base/a.cc", function.replace("{\n", "{\n  Call();\n")) == ["function"]
    assert rules("base/a.cc", "int a;\n" * 500) == []
    assert rules("base/a.cc", "int a;\n" * 501) == ["file"]
    assert rules("tests/base/a_test.cc", "int a;\n" * 800) == []
    assert rules("base/a.cc", "// " + "x" * 97 + "\n") == []
    assert rules("base/a.cc", "// " + "x" * 98 + "\n") == ["columns"]
    assert rules("base/a.cc", "// https://example.org/" + "x" * 98 + "\n") == []


def test_a_thread_name_is_documented():
    text = 'auto loop = NewThreadLoop("partition-" + n);\n'
    assert rules("node/a.cc", text, "| `partition-N` | a loop |") == []
    assert rules("node/a.cc", text, "nothing") == ["thread"]
    assert rules("node/a.cc", 'Pool({.thread_name = "sync"});\n', "nothing") == ["thread"]
    assert rules("node/a.cc", 'Pool({.thread_name = name + "-w"});\n', "nothing") == []


def test_the_check_passes_over_a_good_tree_and_fails_over_a_bad_one(tree, capsys):
    assert tree() == 0
    (tree.path / "base" / "bad.cc").write_text('#include "broker/api.h"\n')
    assert tree() == 1
    assert "base/bad.cc:1: base may not include broker (broker/api.h)" in capsys.readouterr().out


def test_a_recorded_exception_may_shrink_but_not_grow(tree):
    ratchet = tree.path / "tools" / "source_check.ratchet"
    bad = tree.path / "base" / "bad.cc"
    ratchet.write_text("file base/bad.cc 510\n")
    bad.write_text("int a;\n" * 511)
    assert tree() == 1
    bad.write_text("int a;\n" * 510)
    assert tree("--strict") == 0
    bad.write_text("int a;\n" * 505)
    assert tree() == 0
    assert tree("--strict") == 1
    assert tree("--update") == 0
    assert "file base/bad.cc 505\n" in ratchet.read_text()
    bad.write_text("int a;\n" * 506)
    assert tree("--update") == 1
    bad.write_text("int a;\n")
    assert tree("--update") == 0
    assert "bad.cc" not in ratchet.read_text()


def test_findings_of_one_file_are_counted_together(tree):
    (tree.path / "tools" / "source_check.ratchet").write_text("columns base/bad.cc 2\n")
    bad = tree.path / "base" / "bad.cc"
    wide = "// " + "x" * 98 + "\n"
    bad.write_text(wide * 2)
    assert tree("--strict") == 0
    bad.write_text(wide * 3)
    assert tree() == 1


def test_a_ratchet_that_is_no_ratchet_is_refused(tree, capsys):
    (tree.path / "tools" / "source_check.ratchet").write_text("file base/bad.cc\n")
    assert tree() == 2
    assert "source_check.ratchet:1" in capsys.readouterr().out


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
