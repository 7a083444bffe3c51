"""Health, reflection and channelz, as standard tools use them. Messages are written out: Debian has no Python modules of them."""
import threading

import grpc
import pytest
from node import EARLIEST, command, eventually
from threads import thread_names, undocumented
from gregor.v1 import fetch_pb2, topic_pb2

SERVING, NOT_SERVING, UNKNOWN_SERVICE = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def text(number, value):
    """A string field."""
    return bytes([number << 3 | 2, len(value)]) + value.encode()


def check(node, service):
    return node.channel().unary_unary("/grpc.health.v1.Health/Check")(text(1, service) if service else b"", timeout=10)


@pytest.mark.parametrize("service", ["", "gregor.v1.ProduceService", "gregor.v1.FetchService", "gregor.v1.TopicService",
                                     "gregor.v1.ConfigService", "gregor.v1.ClusterService"])
def test_a_running_node_is_healthy(node, service):
    assert check(node, service) == SERVING


def test_services_that_are_not_there_have_no_health(node):
    with pytest.raises(grpc.RpcError) as error:
        check(node, "gregor.v1.GroupAdminService")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watcher_of_health_hears_of_the_stop(node):
    watch = node.channel().unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
    assert next(watch) == SERVING
    heard = []

    def listen():
        try:
            heard.extend(watch)
        except grpc.RpcError:
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    assert node.stop()[0] == 0
    listener.join(timeout=20)
    assert heard and heard[-1] == NOT_SERVING


def test_reflection_names_the_services_and_describes_them(node):
    ask = node.channel().stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    (answer,) = ask(iter([text(7, "*")]), timeout=10)
    for service in ("gregor.v1.ProduceService", "gregor.v1.FetchService", "gregor.v1.TopicService", "gregor.v1.ConfigService",
                    "gregor.v1.ClusterService", "gregor.v1.SecurityService", "grpc.health.v1.Health"):
        assert service.encode() in answer
    for later in ("ConsumerService", "TransactionService", "GroupAdminService", "AuthService"):
        assert later.encode() not in answer
    (answer,) = ask(iter([text(4, "gregor.v1.TopicService")]), timeout=10)
    assert b"gregor/v1/topic.proto" in answer and b"CreateTopicRequest" in answer


def test_channelz_counts_calls(node):
    # GetServersResponse.server[0].data.calls_started: enough to see that it is served and counts.
    servers = node.channel().unary_unary("/grpc.channelz.v1.Channelz/GetServers")
    before = servers(b"", timeout=10)
    assert len(before) > 10
    stub = node.topics
    for _ in range(5):
        stub.ListTopics(topic_pb2.ListTopicsRequest(), timeout=10)
    eventually(lambda: servers(b"", timeout=10) != before)


def test_streams_that_end_well_are_counted_apart_from_those_that_are_cancelled(node):
    def calls(method, code):
        line = f'gregor_grpc_calls_total{{code="{code}",method="gregor.v1.{method}"}} '
        return sum(int(found.removeprefix(line)) for found in node.page("/metrics")[1].splitlines() if found.startswith(line))

    node.create_topic("orders")
    assert command("produce", "orders", "--server", node.grpc, input="a\nb\n").returncode == 0
    eventually(lambda: calls("ProduceService/ProduceStream", "OK") == 1)
    assert command("consume", "orders", "--from", "earliest", "--exit-at-end", "--server", node.grpc).stdout == "a\nb\n"
    eventually(lambda: calls("FetchService/FetchStream", "OK") == 1)
    opening = fetch_pb2.FetchStreamRequest(open=fetch_pb2.FetchOpen())
    assert len(list(node.fetcher.FetchStream(iter([opening]), timeout=20))) == 1
    eventually(lambda: calls("FetchService/FetchStream", "OK") == 2)
    assert node.read("orders") == [(0, b"a"), (1, b"b")]
    eventually(lambda: calls("FetchService/Read", "OK") == 1)
    reading = node.fetcher.Read(fetch_pb2.ReadRequest(topic="orders", start=EARLIEST), timeout=20)
    next(reading)
    reading.cancel()
    eventually(lambda: calls("FetchService/Read", "CANCELLED") == 1)
    assert calls("ProduceService/ProduceStream", "CANCELLED") == calls("FetchService/FetchStream", "CANCELLED") == 0


def test_all_calls_come_by_one_thread_and_all_threads_are_documented(node):
    # Everything that might start a thread of gRPC's: each kind of service, and a method that nobody serves.
    watch = node.channel().unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=30)
    assert next(watch) == SERVING
    changes = node.channel().unary_stream("/gregor.v1.ClusterService/WatchMetadata")(b"", timeout=30)
    assert next(changes)
    node.create_topic("topic")
    node.produce("topic", [b"value"])
    node.channel().unary_unary("/grpc.channelz.v1.Channelz/GetServers")(b"", timeout=10)
    with pytest.raises(grpc.RpcError):
        node.channel().unary_unary("/gregor.v1.Nobody/Knows")(b"", timeout=10)
    names = thread_names(node.process.pid)
    assert undocumented(names) == []
    assert names.count("grpc-hot") == 1
    assert names.count("grpcpp_sync_ser") <= 2
