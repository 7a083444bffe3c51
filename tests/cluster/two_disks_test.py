"""Two log directories: what happens to one costs what lies in it, and no more."""
import errno
import os
import pathlib
import re
import shlex
import shutil

import grpc
import pytest
from node import BINARY, EARLIEST, Exited, Node, command, errors, eventually, fails
from quorum import Loopback, Quorum, format_all
from gregor.v1 import cluster_pb2, fetch_pb2, topic_pb2

FAILING_DISK = pathlib.Path(BINARY).parent / "tests" / "libfailing_disk.so"


class TwoDisks:
    """A node with log directories a and b, and a topic of four partitions, two in each."""

    def __init__(self, directory):
        self.node = Node(directory)
        self.directories = {name: directory / name for name in "ab"}
        self.switch = directory / "failing"
        self.written = {partition: [] for partition in range(4)}

    def start(self, *flags):
        self.node.start("--log-dirs", ",".join(str(path) for path in self.directories.values()), *flags)

    def begin(self):
        self.start()
        self.node.create_topic("orders", partitions=4)
        for partition in range(4):
            for number in range(3):
                self.write(partition, b"%d-%d" % (partition, number))
        self.partitions = {name: [replica.partition.partition for replica in self.described(name).replicas] for name in "ab"}
        assert sorted(map(len, self.partitions.values())) == [2, 2]

    def write(self, partition, value):
        self.node.produce("orders", [value], partition=partition)
        self.written[partition].append(value)

    def read(self, partition):
        return [value for _, value in self.node.read("orders", partition)]

    def described(self, name):
        answer = self.node.cluster.DescribeLogDirs(cluster_pb2.DescribeLogDirsRequest(), timeout=20)
        found = [each for each in answer.log_dirs if each.path == str(self.directories[name])]
        assert len(found) == 1 and len(answer.log_dirs) == 2, answer
        return found[0]

    def log_folder(self, partition):
        found = [path for each in self.directories.values() for path in each.glob(f"*-{partition}")]
        assert len(found) == 1
        return found[0]

    def online(self):
        return {name: f'gregor_log_directory_online{{directory="{path}"}} 1\n' in self.node.page("/metrics")[1]
                for name, path in self.directories.items()}

    def fail_b(self, number, calls):
        self.switch.write_text(f"{self.directories['b']} {number} {calls}\n")

    def expect_only_a_serves(self, readable=False):
        """b is offline, and all else goes on."""
        assert self.node.is_up()
        assert self.online() == {"a": True, "b": False}
        assert self.node.metric("gregor_partitions_offline") == 2
        described = self.described("b")
        assert errors_of(described) and sorted(each.partition.partition for each in described.replicas) == self.partitions["b"]
        assert not errors_of(self.described("a"))
        answer = self.node.topics.GetTopic(topic_pb2.GetTopicRequest(topic="orders"), timeout=20)
        assert [each.partition for each in answer.topic.partitions if each.offline] == self.partitions["b"]
        for partition in self.partitions["b"]:
            with fails("STORAGE_ERROR"):
                self.node.produce("orders", [b"refused"], partition=partition)
            if readable:
                assert self.read(partition)[:len(self.written[partition])] == self.written[partition]
            else:
                with fails("STORAGE_ERROR"):
                    self.read(partition)
        for partition in self.partitions["a"]:
            self.write(partition, b"meanwhile")
            assert self.read(partition) == self.written[partition]
        # New partitions are placed where they can be written.
        self.node.create_topic("new", partitions=6)
        for partition in range(6):
            self.node.produce("new", [b"x"], partition=partition)
        self.node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic="new"), timeout=20)

    def expect_all_serve(self):
        assert self.online() == {"a": True, "b": True}
        assert self.node.metric("gregor_partitions_offline") == 0
        for partition in range(4):
            assert self.read(partition) == self.written[partition]
            self.write(partition, b"after")


def errors_of(described):
    return described.error.message


@pytest.fixture
def disks(tmp_path):
    disks = TwoDisks(tmp_path)
    yield disks
    disks.node.end()


@pytest.fixture
def failing(disks):
    """... and a disk that fails when it is told to."""
    if not FAILING_DISK.exists():
        pytest.skip("no library that lets a disk fail, in this build")
    disks.node.environment = {"LD_PRELOAD": str(FAILING_DISK), "FAILING_DISK": str(disks.switch)}
    return disks


@pytest.mark.parametrize("calls", ["sync", "write"])
def test_a_failed_sync_or_write_takes_its_directory_offline_for_good(failing, calls):
    failing.begin()
    failing.fail_b(errno.EIO, calls)
    victim = failing.partitions["b"][0]
    with fails("STORAGE_ERROR") as failure:
        failing.node.produce("orders", [b"unknown"], partition=victim)
    assert errors.outcome(failure.error) == "UNKNOWN"
    # The next sync would succeed, as it does on Linux; that proves nothing of what came before.
    failing.switch.unlink()
    failing.expect_only_a_serves(readable=True)
    failing.node.stop()
    failing.start()
    # What was never acknowledged may be there.
    if failing.read(victim)[len(failing.written[victim]):] == [b"unknown"]:
        failing.written[victim].append(b"unknown")
    failing.expect_all_serve()


def test_a_disk_that_became_read_only_can_be_read(failing):
    failing.begin()
    failing.node.stop()
    # So few open files that each read opens its own.
    failing.start("--open-files-max", "16")
    failing.node.create_topic("others", partitions=64)
    for partition in range(64):
        failing.node.produce("others", [b"x"], partition=partition)
    failing.fail_b(errno.EROFS, "write,open")
    with fails("STORAGE_ERROR"):
        failing.node.produce("orders", [b"refused"], partition=failing.partitions["b"][0])
    for partition in range(64):
        assert failing.node.read("others", partition) == [(0, b"x")]
    for partition in range(4):
        assert failing.read(partition)[:3] == failing.written[partition]
    assert failing.online() == {"a": True, "b": False}


def test_a_disk_that_is_read_only_at_start_costs_its_partitions(failing):
    failing.begin()
    failing.node.stop()
    failing.fail_b(errno.EROFS, "write,open")
    failing.start()
    failing.expect_only_a_serves()
    failing.node.stop()
    failing.switch.unlink()
    failing.start()
    failing.expect_all_serve()


@pytest.mark.parametrize("what", ["file", "unreadable journal", "damaged identity"])
def test_a_directory_that_cannot_be_opened_costs_its_partitions(disks, what):
    disks.begin()
    disks.node.stop()
    b = disks.directories["b"]
    aside = b.with_name("aside")
    if what == "file":
        b.rename(aside)
        b.write_text("")
    else:
        shutil.copytree(b, aside)
        if what == "unreadable journal":
            (b / "synced-marks").unlink()
            (b / "synced-marks").mkdir()
        else:
            (b / "meta.properties").write_bytes(os.urandom(100))
    disks.start()
    disks.expect_only_a_serves()
    assert str(b) in disks.node.log.read_text().split("is offline until the next start")[0].splitlines()[-1]
    disks.node.stop()
    b.unlink() if what == "file" else shutil.rmtree(b)
    aside.rename(b)
    disks.start()
    disks.expect_all_serve()


def test_a_disk_that_is_not_mounted_costs_its_partitions(disks, tmp_path):
    disks.begin()
    disks.node.stop()
    b = disks.directories["b"]
    b.rename(tmp_path / "aside")
    settings = tmp_path / "gregor.yaml"
    settings.write_text("node_id: 1\n")
    disks.start("--config", str(settings))
    disks.expect_only_a_serves()
    assert "is its disk mounted?" in errors_of(disks.described("b"))
    disks.node.stop()
    shutil.rmtree(b)
    (tmp_path / "aside").rename(b)
    disks.start("--config", str(settings))
    disks.expect_all_serve()


def test_a_disk_is_added_to_a_node_that_is_formatted(disks, tmp_path):
    disks.begin()
    disks.node.stop()
    shutil.rmtree(disks.directories["b"])
    settings = tmp_path / "gregor.yaml"
    settings.write_text("node_id: 1\n")
    disks.start("--config", str(settings))
    line = re.search("A new disk is prepared with `gregor (cluster format .+ --add-log-dir .+?)`", disks.node.log.read_text())[1]
    in_use = command(*shlex.split(line))
    assert in_use.returncode == 1 and str(disks.node.process.pid) in in_use.stderr, in_use.stderr
    disks.node.stop()
    assert command(*shlex.split(line)).stdout == f"formatted {disks.directories['b']} as a log directory\n"
    assert "nothing to do" in command(*shlex.split(line)).stdout
    disks.start("--config", str(settings))
    # What lay on the lost one stays away; new partitions are placed on both.
    assert disks.online() == {"a": True, "b": True}
    assert disks.node.metric("gregor_partitions_offline") == 2
    for partition in disks.partitions["b"]:
        with fails("STORAGE_ERROR"):
            disks.read(partition)
    disks.node.create_topic("more", partitions=4)
    for partition in range(4):
        disks.node.produce("more", [b"x"], partition=partition)
    answer = disks.node.cluster.DescribeLogDirs(cluster_pb2.DescribeLogDirsRequest(), timeout=20)
    added, = (each for each in answer.log_dirs if each.path == str(disks.directories["b"]))
    assert added.replicas and not errors_of(added)


def test_disks_are_added_only_to_what_is_formatted(tmp_path):
    added = tmp_path / "c"
    line = ["cluster", "format", "--data-dir", str(tmp_path / "data"), "--log-dirs", f"{tmp_path / 'b'},{added}", "--add-log-dir"]
    refused = command(*line, str(added))
    assert refused.returncode == 1 and "is not formatted" in refused.stderr and not (tmp_path / "data").exists()
    refused = command(*line, str(tmp_path / "other"))
    assert refused.returncode == 2 and "is none of the node's log_dirs" in refused.stderr
    assert not added.exists() and not (tmp_path / "b").exists()


def test_without_any_log_directory_the_node_says_so_and_ends(disks):
    disks.begin()
    disks.node.stop()
    for path in disks.directories.values():
        path.rename(path.with_name(path.name + ".aside"))
        path.write_text("")
    with pytest.raises(Exited) as refusal:
        disks.start()
    assert refusal.value.code == 1
    message = refusal.value.stderr.strip().splitlines()[-1]
    assert message.startswith("gregor: none of the log directories can be used") and str(disks.directories["a"]) in message


def test_a_log_directory_that_another_node_uses_is_refused(disks, tmp_path):
    (tmp_path / "other").mkdir()
    other = TwoDisks(tmp_path / "other")
    other.directories["b"] = disks.directories["b"]
    try:
        other.start()
        with pytest.raises(Exited) as refusal:
            disks.start()
        assert refusal.value.code == 1
        assert f"locked by process {other.node.process.pid}" in refusal.value.stderr.strip().splitlines()[-1]
    finally:
        other.node.end()


def test_of_a_failed_directory_others_lead_what_they_can_and_the_rest_can_be_read(tmp_path):
    if not FAILING_DISK.exists():
        pytest.skip("no library that lets a disk fail, in this build")
    quorum = Quorum(tmp_path, [Loopback() for _ in range(3)])
    first, second, _ = quorum.nodes
    switch = tmp_path / "failing"
    first.environment = {"LD_PRELOAD": str(FAILING_DISK), "FAILING_DISK": str(switch)}
    directories = {name: tmp_path / name for name in "ab"}
    first.configure(quorum.controllers, log_dirs=[str(path) for path in directories.values()])
    for path in directories.values():
        shutil.rmtree(path, ignore_errors=True)
    first.wipe()
    format_all([first], quorum.cluster_id)

    def leaders(name):
        answer = second.cluster.GetMetadata(cluster_pb2.GetMetadataRequest(topics=[name]), timeout=10)
        return [partition.leader_id if partition.HasField("leader_id") else None for partition in answer.topics[0].partitions]

    def create(name, replicas):
        assignment = [topic_pb2.CreateTopicRequest.ReplicaAssignment(partition=number, broker_ids=replicas) for number in range(4)]
        first.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, assignment=assignment), timeout=20)

    try:
        quorum.start()
        create("alone", [1])
        create("shared", [1, 2])
        assert leaders("alone") == leaders("shared") == [1] * 4
        for partition in range(4):
            first.produce("alone", [b"%d" % partition], partition=partition)
        switch.write_text(f"{directories['b']} {errno.EIO} sync\n")
        lost = [partition for partition in range(4) if not can_write(first, "alone", partition)]
        assert len(lost) == 2
        # Half of the other topic's partitions are in the same directory.
        eventually(lambda: sorted(leaders("shared")) == [1, 1, 2, 2], seconds=30)
        assert leaders("alone") == [1] * 4
        for partition in range(4):
            assert first.read("alone", partition)[0] == (0, b"%d" % partition)
        assert first.metric("gregor_partitions_without_leader") == 0
    finally:
        quorum.end()


def can_write(node, topic, partition):
    try:
        node.produce(topic, [b"more"], partition=partition)
    except grpc.RpcError as error:
        assert errors.reason(error) == "STORAGE_ERROR"
        return False
    return True


@pytest.mark.parametrize("kind", ["stale", "misdirected"])
def test_a_sound_batch_at_the_wrong_place_is_never_served(disks, kind):
    """A sector that was not written, or written elsewhere: its checksum is right, its offset is not."""
    disks.begin()
    victim = disks.partitions["b"][0]
    disks.node.stop()
    [segment] = disks.log_folder(victim).glob("*.log")
    content = segment.read_bytes()
    size = 12 + int.from_bytes(content[8:12], "big")
    first, second, third = (content[at * size:(at + 1) * size] for at in range(3))
    assert third and int.from_bytes(third[:8], "big") == 2
    damaged = first + first + third if kind == "stale" else first + third + second
    segment.write_bytes(damaged + content[3 * size:])
    disks.start()
    assert disks.node.is_up()
    got = []
    with fails("CORRUPT_BATCH"):
        request = fetch_pb2.ReadRequest(topic="orders", partitions=[victim], start=EARLIEST, stop_at_end=True)
        for response in disks.node.fetcher.Read(request, timeout=20):
            got += [(record.offset, record.value) for record in response.records]
    assert got == list(enumerate(disks.written[victim]))[:len(got)] and len(got) <= 1
    for partition in range(4):
        if partition != victim:
            assert disks.read(partition) == disks.written[partition]
            disks.write(partition, b"after")
