"""A short run of tests/kill: random SIGKILLs under producers. `tests/kill/kill_rounds.py` does more of it."""
import json
import os
import pathlib
import subprocess
import sys

from node import BINARY, GENERATED

ROUNDS = 15
KILL_ROUNDS = pathlib.Path(__file__).resolve().parents[1] / "kill" / "kill_rounds.py"


def test_kills_lose_double_and_reorder_nothing():
    native = pathlib.Path(BINARY).parent / "tests" / "kill_producer"
    producers = ["--native", "2", "--stubs", "2"] if native.exists() else ["--native", "0", "--stubs", "3"]
    result = subprocess.run(
        [sys.executable, str(KILL_ROUNDS), "--gregor", BINARY, "--producer", str(native), "--stubs-path", GENERATED, "--rounds",
         str(ROUNDS), *producers], capture_output=True, text=True, timeout=240, check=False,
        env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["problems"] == 0
    assert report["rounds"] == ROUNDS
    assert report["acknowledged"] > 100
