#!/usr/bin/env python3
"""Runs the tests of a build folder through ctest and counts their cases; the last line is `N passed, N failed`.

usage: run_tests.py BUILD_FOLDER [--filter REGEX] [--labels REGEX] [--jobs N] [--timeout SECONDS]

REGEX is looked for in the names of the tests (`ctest -N` lists them) and of their cases (`Suite.Case`); a test whose own name
matches runs whole. Of a GoogleTest binary every case counts, of any other test the test itself. A binary that dies counts
as one failure more than its report tells. Exit code: 0 if something ran and nothing failed, else 1.
"""
import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

# The longest filter that is handed over in the environment; the kernel's limit is 128 KiB a string.
FILTER_BYTES_MAX = 100_000
OUTPUT_OPTION = "--gtest_output=json:"


class Test:
    """One entry of ctest: its command, and where a GoogleTest binary leaves its report."""

    def __init__(self, entry):
        self.name = entry["name"]
        self.command = entry.get("command", [])
        outputs = [a[len(OUTPUT_OPTION):] for a in self.command if a.startswith(OUTPUT_OPTION)]
        self.report = outputs[0] if outputs else None


def list_tests(build, labels):
    command = ["ctest", "--test-dir", build, "--show-only=json-v1"]
    if labels:
        command += ["-L", labels]
    listing = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [Test(entry) for entry in json.loads(listing)["tests"]]


def parse_case_list(text):
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


def list_cases(test):
    program = test.command[0]
    listing = subprocess.run([program, "--gtest_list_tests"], stdout=subprocess.PIPE, text=True, check=False)
    return parse_case_list(listing.stdout)


def matcher(pattern):
    try:
        expression = re.compile(pattern)
        return lambda name: expression.search(name) is not None
    except re.error:  # a shell pattern such as *Torn*
        return lambda name: fnmatch.fnmatchcase(name, pattern)


def pick_cases(suites, matches):
    """The GoogleTest filter terms for the cases that match; a suite of which all match is one term."""
    terms = []
    for suite, cases in suites.items():
        hits = [case for case in cases if matches(f"{suite}.{case}")]
        if hits and len(hits) == len(cases):
            terms.append(f"{suite}.*")
        else:
            terms += [f"{suite}.{case}" for case in hits]
    return terms


def plan(tests, pattern):
    """(tests to run whole, tests to run in part, the GoogleTest filter for the latter)."""
    if not pattern:
        return tests, [], ""
    matches = matcher(pattern)
    whole = [test for test in tests if matches(test.name)]
    part, terms = [], []
    for test in tests:
        if test in whole or not test.report:
            continue
        picked = pick_cases(list_cases(test), matches)
        if picked:
            part.append(test)
            terms += picked
    filter_text = ":".join(terms)
    if len(filter_text) > FILTER_BYTES_MAX:  # so much matches that running all of those binaries costs little more
        return whole + part, [], ""
    return whole, part, filter_text


def run_ctest(build, tests, gtest_filter, options):
    """Runs `tests`; returns {name: passed} as ctest saw it."""
    for test in tests:
        if test.report and os.path.exists(test.report):
            os.remove(test.report)
    with tempfile.TemporaryDirectory() as folder:
        junit = os.path.join(folder, "junit.xml")
        names = "^(" + "|".join(re.escape(test.name) for test in tests) + ")$"
        environment = dict(os.environ)
        environment.pop("GTEST_FILTER", None)
        if gtest_filter:
            environment["GTEST_FILTER"] = gtest_filter
        subprocess.run(["ctest", "--test-dir", build, "-R", names, "-j", str(options.jobs), "--output-on-failure",
                        "--timeout", str(options.timeout), "--output-junit", junit], env=environment, check=False)
        sys.stdout.flush()
        if not os.path.exists(junit):
            return {}
        root = ElementTree.parse(junit).getroot()
        return {case.get("name"): case.get("status") == "run" for case in root.iter("testcase")}


def count_report(path):
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


def count(test, passed_for_ctest):
    """(passed, names of failures) of one test that ran."""
    if not test.report:
        return (1, []) if passed_for_ctest else (0, [test.name])
    try:
        passed, failed = count_report(test.report)
    except (OSError, ValueError):
        return 0, [f"{test.name} (ended without a report)"]
    if not passed_for_ctest and not failed:
        failed = [f"{test.name} (failed outside its cases: see its output)"]
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description="Runs a build folder's tests and counts their cases.")
    parser.add_argument("build")
    parser.add_argument("--filter", default="")
    parser.add_argument("--labels", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--timeout", type=int, default=900)
    options = parser.parse_args()

    tests = list_tests(options.build, options.labels)
    whole, part, gtest_filter = plan(tests, options.filter)
    results = {}
    if whole:
        results.update(run_ctest(options.build, whole, "", options))
    if part:
        results.update(run_ctest(options.build, part, gtest_filter, options))

    passed, failed = 0, []
    for test in whole + part:
        test_passed, test_failed = count(test, results.get(test.name, False))
        passed += test_passed
        failed += test_failed
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
