"""A disk that is full: writing is refused with a reason, reading goes on, and writing resumes once there is room."""
import os
import pathlib
import shutil
import subprocess

import grpc
import pytest
from node import Node, errors, eventually, fails
from gregor.v1 import config_pb2, topic_pb2, types_pb2

DISK_MIB = 96


@pytest.fixture
def small_disk(tmp_path):
    """A node whose data directory is on a file system of its own, of DISK_MIB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "gregor-test", str(disk)], capture_output=True,
                             check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    node = Node(tmp_path)
    node.data = disk / "data"
    yield node
    node.end()
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def free_mib(node):
    return shutil.disk_usage(node.data.parent).free / (1 << 20)


def fill(node, topic, timeout=20):
    """Writes until that is refused; the records that were acknowledged."""
    written = []
    for number in range(1000):
        value = b"%06d" % number + os.urandom(250_000)
        try:
            node.produce(topic, [value], timeout=timeout)
        except grpc.RpcError as error:
            return written, error
        written.append(value)
    raise AssertionError("the disk does not get full")


def test_writing_stops_at_the_reserve_and_resumes(small_disk):
    node = small_disk
    # A file doubles as it grows: a write that came just before the reserve takes up to half a segment of it.
    node.start("--disk-reserve", "4MiB")
    node.create_topic("orders", segment_bytes=str(4 << 20))
    written, error = fill(node, "orders")
    assert errors.reason(error) == "DISK_FULL"
    assert error.code() == grpc.StatusCode.UNAVAILABLE
    assert errors.outcome(error) == "NOT_APPLIED"
    assert errors.retry_delay_seconds(error) >= 0.5
    assert len(written) > 20
    # Something is left, so that deleting is possible.
    assert free_mib(node) > 1
    # What is about to be written counts twice for a moment: it may find a little more room at the next look, and no more.
    more, error = fill(node, "orders")
    assert errors.reason(error) == "DISK_FULL" and free_mib(node) > 1
    written += more
    assert [value for _, value in node.read("orders")] == written
    assert node.is_up()
    # Making room is all it takes.
    item = topic_pb2.DeleteRecordsRequest.Item(partition=types_pb2.TopicPartition(topic="orders"),
                                               before_offset=len(written) - 5)
    assert node.topics.DeleteRecords(topic_pb2.DeleteRecordsRequest(items=[item]), timeout=20).results[0].error.code == 0

    eventually(lambda: writes(node, b"again"), seconds=20)
    assert node.stop()[0] == 0
    node.start()
    assert [value for _, value in node.read("orders")] == written[-5:] + [b"again"]


def test_a_kill_on_a_full_disk_loses_nothing(small_disk):
    node = small_disk
    node.start()
    node.create_topic("orders")
    written, _ = fill(node, "orders")
    node.kill()
    node.start()
    assert [value for _, value in node.read("orders")] == written
    node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic="orders"), timeout=20)
    node.create_topic("orders")
    eventually(lambda: free_mib(node) > DISK_MIB / 2)
    eventually(lambda: writes(node, b"x"), seconds=20)
    assert node.read("orders") == [(0, b"x")]


def test_a_disk_that_others_fill_up_to_the_last_byte_does_no_harm(small_disk):
    node = small_disk
    node.start()
    node.create_topic("orders")
    node.produce("orders", [b"before"])
    ballast = pathlib.Path(node.data.parent) / "ballast"
    with pytest.raises(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"\0" * (1 << 20))
    # What has been set aside for the log already may still be used; and a batch that was taken before anybody looked at the
    # free space waits for it.
    written, error = fill(node, "orders", timeout=4)
    waiting = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert waiting or (errors.reason(error) == "DISK_FULL" and errors.outcome(error) == "NOT_APPLIED")
    with fails("DISK_FULL") as failure:
        node.produce("orders", [b"refused"])
    assert errors.outcome(failure.error) == "NOT_APPLIED"
    assert [value for _, value in node.read("orders")] == [b"before"] + written
    assert node.is_up()
    ballast.unlink()
    eventually(lambda: writes(node, b"after"), seconds=20)
    values = [value for _, value in node.read("orders")]
    assert values[:len(written) + 1] == [b"before"] + written
    assert values[-1] == b"after"
    # Of the call whose outcome is unknown the record is there once, or not at all.
    between = values[len(written) + 1:-1]
    assert len(between) <= waiting and all(value.startswith(b"%06d" % len(written)) for value in between)


def take_all_space(node):
    """Another process fills the disk, up to the last byte; the file."""
    ballast = pathlib.Path(node.data.parent) / "ballast"
    for size in (1 << 20, 4096, 1):
        with pytest.raises(OSError), open(ballast, "ab", buffering=0) as file:
            while True:
                file.write(b"\0" * size)
    assert shutil.disk_usage(node.data.parent).free == 0
    return ballast


def test_topics_are_changed_and_deleted_with_no_byte_free(small_disk):
    node = small_disk
    node.start()
    for number in range(40):
        node.create_topic(f"topic{number}")
    node.create_topic("orders")
    node.produce("orders", [os.urandom(100_000)])
    take_all_space(node)
    # More than the metadata log had room for.
    request = config_pb2.AlterConfigsRequest
    for value in range(60):
        answer = node.configs.AlterConfigs(request(alterations=[request.Alteration(
            resource=config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_TOPIC, name=f"topic{number}"),
            ops=[request.Op(name="retention.ms", kind=request.KIND_SET, value=str(1000000 + value))])
            for number in range(40)]), timeout=20)
        assert [result.code for result in answer.results] == [0] * 40
    assert (node.data / "metadata" / "reserve").stat().st_size < 8 << 20
    for number in range(40):
        node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic=f"topic{number}"), timeout=20)
    assert len(node.read("orders")) == 1
    # One that waits for space is deleted, too, and its space is there again.
    fill(node, "orders", timeout=4)
    node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic="orders"), timeout=20)
    eventually(lambda: shutil.disk_usage(node.data.parent).free > 50_000)
    assert node.is_up()


def test_a_node_starts_and_stops_with_no_byte_free(small_disk):
    node = small_disk
    node.start()
    node.create_topic("orders", partitions=3)
    node.create_topic("other")
    for partition in range(3):
        node.produce("orders", [b"before"] * 10, partition=partition)
    ballast = take_all_space(node)
    for turn in range(4):
        # Others take what a stop or a crash leaves free.
        node.kill() if turn % 2 == 0 else node.stop()
        take_all_space(node)
        node.start()
        for partition in range(3):
            assert [value for _, value in node.read("orders", partition)] == [b"before"] * 10
        with fails("DISK_FULL"):
            node.produce("orders", [b"x"], timeout=5)
    node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic="other"), timeout=20)
    assert node.stop()[0] == 0
    ballast.unlink()
    node.start()
    eventually(lambda: writes(node, b"after"), seconds=20)
    assert [value for _, value in node.read("orders")] == [b"before"] * 10 + [b"after"]


def test_a_stop_while_writes_wait_for_space_is_a_clean_one(small_disk):
    node = small_disk
    node.start("--disk-reserve", "0")
    node.create_topic("orders")
    node.produce("orders", [b"before"])
    take_all_space(node)
    written, error = fill(node, "orders", timeout=4)
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or errors.reason(error) == "DISK_FULL"
    code, seconds = node.stop()
    assert code == 0 and seconds < 6
    node.start("--disk-reserve", "0")
    assert [value for _, value in node.read("orders")][:1 + len(written)] == [b"before"] + written


def writes(node, value):
    """Whether the node takes it. It looks at the free space once a second, and says until then that the disk is full."""
    try:
        node.produce("orders", [value])
        return True
    except grpc.RpcError as error:
        assert errors.reason(error) == "DISK_FULL"
        return False
