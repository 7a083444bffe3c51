"""The simulator's command: which seeds it runs, and what it refuses."""
import os
import re
import subprocess

import pytest

RUNNER = os.path.join(os.path.dirname(os.environ["GREGOR_BINARY"]), "tests", "gregor_sim_runner")


def run(*arguments):
    return subprocess.run([RUNNER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, check=False)


def hash_of(*arguments):
    done = run("--scenario", "raft", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.search(r"^hash=([0-9a-f]{16})$", done.stdout, re.MULTILINE)[1]


def test_seeds_begin_where_they_are_told_to():
    some = hash_of("--seed", "7", "--seeds", "3")
    assert some == hash_of("--first-seed", "7", "--seeds", "3") != hash_of("--seeds", "3")
    assert hash_of("--seed", "7") == hash_of("--seed", "7", "--seeds", "1") != some


def test_minutes_do_not_take_more_than_the_seeds():
    assert hash_of("--seeds", "3", "--minutes", "100") == hash_of("--seeds", "3")
    assert re.search(r"raft\D+[1-9]", run("--scenario", "raft", "--minutes", "0.02").stdout)


@pytest.mark.parametrize("arguments, problem", [
    (("--seed", "1", "--first-seed", "2"), "both say where to begin"),
    (("--seeds", "0"), "runs nothing"),
    (("--mutants", "--minutes", "1"), "takes no --minutes"),
    (("--mutants", "--soak"), "no mutants are hunted by the soak"),
    (("--scenario", "nope"), "no scenario 'nope'"),
    (("--seeds", "many"), "is not a number"),
    (("--mutant", "nope"), "no mutant 'nope'|no known bugs are compiled in here"),
])
def test_what_contradicts_itself_is_refused(arguments, problem):
    done = run(*arguments)
    assert done.returncode == 2 and re.search(problem, done.stderr.splitlines()[0])
