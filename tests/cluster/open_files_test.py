"""A process that may have few files open: what needs one waits or is refused, nothing goes offline, and the node can be reached."""
import concurrent.futures
import os
import resource
import socket
import uuid

import grpc
import pytest
from node import BINARY, Node, errors, eventually
from gregor.v1 import produce_pb2, types_pb2

PARTITIONS = 200


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path)
    yield node
    node.end()


def open_files(node):
    return len(os.listdir(f"/proc/{node.process.pid}/fd"))


def has_open(node, path):
    folder = f"/proc/{node.process.pid}/fd"
    return any(os.path.realpath(os.path.join(folder, name)) == str(path) for name in os.listdir(folder))


def allow(node, count):
    """So many open files."""
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (count, resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE)[1]))


def write(producer, partition):
    """Writes a record, and again for as long as it is told that no files can be opened."""
    request = produce_pb2.ProduceRequest(topic="many", partition=partition, request_id=str(uuid.uuid4()),
                                         records=[types_pb2.Record(value=b"%d" % partition)])

    def is_written():
        try:
            producer.Produce(request, timeout=20)
            return True
        except grpc.RpcError as error:
            if errors.reason(error) == "QUOTA_EXCEEDED":
                assert "open files" in error.details()
                return False
            # One that waits for files may take longer than the call.
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED or errors.reason(error) == "COMMIT_TIMED_OUT", error
            return False

    eventually(is_written, seconds=60)


@pytest.mark.parametrize("durability", ["synced", "replicated"])
def test_partitions_are_written_and_read_with_few_open_files(node, durability):
    node.start()
    node.create_topic("many", partitions=PARTITIONS, durability=durability)
    producer = node.producer
    write(producer, 0)
    # It opens some files a little later.
    eventually(lambda: has_open(node, node.data.resolve() / "metadata/image/LOCK"))
    allow(node, open_files(node) + 10)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda partition: write(producer, partition), range(1, PARTITIONS)))
    allow(node, 1000)
    for partition in range(PARTITIONS):
        assert [value for _, value in node.read("many", partition)] == [b"%d" % partition], partition
    assert node.metric("gregor_partitions_offline") == 0
    assert "until the next start: " not in node.log.read_text()
    node.kill()
    node.start()
    for partition in range(PARTITIONS):
        assert [value for _, value in node.read("many", partition)] == [b"%d" % partition], partition


def test_clients_that_open_connections_without_end_shut_nobody_out(node):
    node.spawn(["prlimit", "--nofile=400:400", *server_command(node)])
    node.await_ready()
    host, port = node.grpc.rsplit(":", 1)
    node.create_topic("orders")
    sockets = []
    for _ in range(40):
        # As many as there is room for until the next look.
        sockets += [socket.create_connection((host, int(port)), timeout=10) for _ in range(15)]
        eventually(lambda: open_files(node) + node.metric("gregor_grpc_connections_cut_total") >= len(sockets))
        eventually(lambda: open_files(node) <= 350)
    node.produce("orders", [b"x"])
    assert node.read("orders") == [(0, b"x")]
    assert node.metric("gregor_grpc_connections_cut_total") > 0
    for each in sockets:
        each.close()
    node.produce("orders", [b"y"])
    assert node.metric("gregor_partitions_offline") == 0


def server_command(node):
    return [BINARY, "server", "--data-dir", str(node.data), "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
