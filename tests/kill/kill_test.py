"""A short run of kill_rounds.py: ten kills under producers, nothing lost, doubled or reordered."""
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def test_kills_under_producers_lose_double_and_reorder_nothing():
    binary = pathlib.Path(os.environ["GREGOR_BINARY"])
    run = subprocess.run(
        [sys.executable, str(HERE / "kill_rounds.py"), "--gregor", str(binary),
         "--producer", str(binary.parent / "tests" / "kill_producer"),
         "--stubs-path", os.environ["GREGOR_PYTHON_GENERATED"], "--rounds", "10"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["problems"] == 0
    assert all(count > 0 for count in result["by_producer"].values()), result
