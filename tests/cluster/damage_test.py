"""A controller of three whose metadata files are damaged: it is healed by the others, or refuses; the metadata never change.

GREGOR_DAMAGES=60 GREGOR_DAMAGE_SEED=7 make it longer, and another run.
"""
import json
import os
import random
import shutil
import socket
import subprocess
import time

import pytest
from node import BINARY, Exited, Node, command, eventually

CONTROLLERS = 3
DAMAGES = int(os.environ.get("GREGOR_DAMAGES", "8"))
SEED = int(os.environ.get("GREGOR_DAMAGE_SEED", "1"))


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Controller(Node):
    """A controller and broker, with a settings file of its own."""

    def __init__(self, directory, number, ports):
        super().__init__(directory)
        directory.mkdir()
        self.config = directory / "node.yaml"
        self.metadata = self.data / "metadata"
        self.number = number
        self.config.write_text(json.dumps({
            "node_id": number, "data_dir": str(self.data),
            "controllers": [f"{i + 1}@127.0.0.1:{port}" for i, port in enumerate(ports)],
            "listen": {"internal": f"127.0.0.1:{ports[number - 1]}", "grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}}))

    def launch(self):
        """Does not wait: a majority has to be there first."""
        self.offset_of_stderr = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([BINARY, "server", "--config", str(self.config)], stdout=subprocess.PIPE, stderr=log)

    def stderr(self):
        return self.log.read_bytes()[self.offset_of_stderr:].decode()

    def await_ready(self, seconds=90):
        """Raises Exited."""
        line = self._read_line(time.monotonic() + seconds)
        if not line:
            code = self.wait()
            raise Exited(code, self.stderr())
        assert line.startswith("gregor ready "), line
        self.grpc = line.split("grpc=")[1].split()[0]

    def records(self):
        """The metadata log's records by their offset."""
        done = command("--output", "json", "metadata", "dump", str(self.data))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        return {line["offset"]: line for line in lines if "offset" in line}


@pytest.fixture
def controllers(tmp_path):
    ports = free_ports(CONTROLLERS)
    cluster_id = command("cluster", "new-id").stdout.strip()
    nodes = [Controller(tmp_path / f"node{i + 1}", i + 1, ports) for i in range(CONTROLLERS)]
    for node in nodes:
        done = command("cluster", "format", "--config", str(node.config), "--cluster-id", cluster_id)
        assert done.returncode == 0, done.stderr
    for node in nodes:
        node.launch()
    for node in nodes:
        node.await_ready()
    yield nodes
    for node in nodes:
        node.end()


def is_empty(path):
    return not path.read_bytes().strip(b"\0")


def flip(path, chance):
    content = bytearray(path.read_bytes())
    end = len(content.rstrip(b"\0")) or len(content)
    content[chance.randrange(end)] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path, chance):
    content = path.read_bytes()
    path.write_bytes(content[:chance.randrange(len(content.rstrip(b"\0")) or len(content))])


def remove(path, _):
    path.unlink()


def zero_page(path, chance):
    content = bytearray(path.read_bytes())
    end = len(content.rstrip(b"\0")) or len(content)
    at = chance.randrange(end) // 4096 * 4096
    content[at:at + 4096] = bytes(min(4096, len(content) - at))
    path.write_bytes(content)


def damageable(node):
    """The files that count, by their kind: each kind as likely as the others."""
    kinds = {}
    for path in sorted(node.metadata.rglob("*")):
        if not path.is_file() or path.name in (".lock", "LOCK", "reserve") or is_empty(path):
            continue
        if any(part.startswith("damaged-") or part.endswith(".damaged") for part in path.parts):
            continue
        kind = path.suffix if path.suffix == ".log" and "image" not in path.parts else path.relative_to(node.metadata).parts[0]
        kinds.setdefault(kind if kind != "log" else path.name, []).append(path)
    kinds["identity"] = [node.data / "meta.properties"]
    return kinds


def test_random_damages_end_in_repair_or_a_refusal(controllers):
    chance = random.Random(SEED)
    for i in range(10):
        controllers[0].create_topic(f"topic{i}", partitions=20)
    outcomes = {}
    for turn in range(DAMAGES):
        node = controllers[turn % CONTROLLERS]
        others = [other for other in controllers if other is not node]
        if chance.random() < 0.5:
            node.kill()
        else:
            node.stop()
        others[0].create_topic(f"meanwhile{turn}", partitions=5)
        backup = node.directory / "backup"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(node.data, backup)
        kinds = damageable(node)
        kind = chance.choice(sorted(kinds))
        path = chance.choice(kinds[kind])
        how = chance.choice([flip, flip, cut, remove, zero_page])
        what = f"seed {SEED}, damage {turn}: {how.__name__} {path.relative_to(node.data)} of node {node.number}"
        how(path, chance)
        node.launch()
        try:
            node.await_ready()
            outcome = "repaired" if "the metadata log is whole again" in node.stderr() else "unharmed"
        except Exited as refused:
            assert refused.code == 1, (what, refused)
            last = refused.stderr.strip().splitlines()[-1]
            assert last.startswith("gregor: ") and len(last) > 60, (what, last)
            outcome = "refused"
            shutil.rmtree(node.data)
            shutil.copytree(backup, node.data)
            node.launch()
            node.await_ready()
        outcomes.setdefault((kind, outcome), []).append(what)
        node.create_topic(f"after{turn}", partitions=1)
        expected = others[1].records()

        def is_same(expected=expected, node=node):
            found = node.records()
            common = expected.keys() & found.keys()
            assert common and all(found[offset] == expected[offset] for offset in common), what
            return max(found) >= max(expected)

        eventually(is_same, seconds=20)
    for (kind, outcome), cases in sorted(outcomes.items()):
        print(f"{kind}: {outcome} {len(cases)} times")
    assert all(node.is_up() for node in controllers)


def test_the_last_controller_becomes_the_only_voter(controllers):
    controllers[0].create_topic("kept", partitions=3)
    eventually(lambda: all(node.records() == controllers[0].records() for node in controllers))
    last = controllers[2]
    refused = command("quorum", "recover", "--config", str(last.config), "--yes")
    assert refused.returncode == 1 and "process" in refused.stderr, refused
    for node in controllers:
        node.stop()
    shutil.rmtree(controllers[0].data)
    shutil.rmtree(controllers[1].data)
    before = last.records()
    looked = command("quorum", "recover", "--config", str(last.config), "--dry-run")
    assert looked.returncode == 0 and "ONLY voter" in looked.stderr and "nodes 1, 2" in looked.stderr, looked
    unsure = command("quorum", "recover", "--config", str(last.config), input="yes\n")
    assert unsure.returncode == 1 and "nothing was changed" in unsure.stderr, unsure
    assert last.records() == before
    recovered = command("quorum", "recover", "--config", str(last.config), input="recover 3\n")
    assert recovered.returncode == 0, recovered
    assert before.items() <= last.records().items()
    last.launch()
    last.await_ready()
    last.create_topic("new", partitions=1)
    assert last.stop()[0] == 0
    again = command("quorum", "recover", "--config", str(last.config), "--yes")
    assert again.returncode == 1 and "only voter already" in again.stderr, again
    assert before.items() <= last.records().items()


def test_a_damaged_directory_is_not_recovered_from(controllers):
    for node in controllers:
        node.stop()
    node = controllers[1]
    segment = sorted(node.metadata.rglob("*.log"), key=lambda path: "image" in path.parts)[0]
    content = bytearray(segment.read_bytes())
    content[70] ^= 1
    segment.write_bytes(content)
    refused = command("quorum", "recover", "--config", str(node.config), "--yes")
    assert refused.returncode == 1 and "the log is damaged" in refused.stderr, refused
    assert segment.read_bytes() == content


def test_a_damaged_vote_file_keeps_a_controller_away_and_says_why(controllers):
    node = controllers[0]
    node.stop()
    vote = node.metadata / "vote"
    vote.write_bytes(vote.read_bytes()[:-10])
    node.launch()
    with pytest.raises(Exited) as refused:
        node.await_ready()
    assert refused.value.code == 1 and "could vote twice" in refused.value.stderr
    controllers[1].create_topic("without", partitions=1)
