"""`./dev cluster`: a cluster of processes on loopback, as its tool runs it."""
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from node import BINARY, command, eventually

# Below those of ports.py: the tool's nodes are a hundred apart.
FIRST_PORT = 10000 + os.getpid() % 9000
TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "cluster.py"


class Tool:
    def __init__(self, directory):
        self.directory = directory

    def __call__(self, *arguments, code=0):
        """What it prints."""
        done = subprocess.run([sys.executable, str(TOOL), "--gregor", BINARY, "--directory", str(self.directory), *arguments],
                              capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def states(self):
        """{node: (state, address of its gRPC API)}."""
        rows = re.findall(r"^(\d+) +(\w+) +(?:\d+|-) +\S+ +(\S+)", self("status"), re.MULTILINE)
        return {int(number): (state, address) for number, state, address in rows}

    def only_states(self):
        return {number: state for number, (state, _) in self.states().items()}


@pytest.fixture
def tool(tmp_path):
    made = Tool(tmp_path / "cluster")
    yield made
    made("clean")
    assert not made.directory.exists()


def topics(address):
    listed = command("--server", address, "--output", "json", "topic", "list")
    assert listed.returncode == 0, listed.stderr
    return [topic["topic"] for topic in json.loads(listed.stdout)]


def test_a_cluster_to_play_with_starts_takes_faults_and_goes_away(tool):
    printed = tool("start", "--port", str(FIRST_PORT))
    assert "3 nodes, ready after" in printed
    # The first command that it says one may try.
    create = re.search(r"gregor (--server (\S+) topic create hello .*)", printed)
    assert command(*create.group(1).split()).returncode == 0
    assert tool.only_states() == {1: "running", 2: "running", 3: "running"}
    tool("kill", "1")
    eventually(lambda: tool.only_states()[1] == "stopped")
    second = tool.states()[2][1]
    assert command("--server", second, "topic", "create", "after-the-kill").returncode == 0
    assert "does not run" in tool("kill", "1", code=1)
    tool("restart", "1")
    tool("pause", "3")
    assert tool.only_states() == {1: "running", 2: "running", 3: "paused"}
    tool("resume", "3")
    assert tool.only_states()[3] == "running"
    assert "there is no node 4" in tool("restart", "4", code=1)
    assert "there is a cluster of 3" in tool("start", "5", code=1)
    assert "Stopped 3 nodes" in tool("stop")
    assert set(tool.only_states().values()) == {"stopped"}
    tool("start")
    for _, address in tool.states().values():
        assert sorted(topics(address)) == ["after-the-kill", "hello"]


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("x")
    assert "left alone" in Tool(tmp_path)("start", code=1)
    Tool(tmp_path)("clean")
    assert (tmp_path / "precious").exists()
