"""The internal listener under HTTP/2 as no node speaks it, and under connections that do not say who they are."""
import socket
import struct
import time

import pytest
from http2_attacks_test import (CONTINUATION, END_HEADERS, HEADERS, PING, RST_STREAM, SETTINGS, Attacker, attack, field, frame,
                                request)
from internal_tls_test import TlsQuorum
from quorum import Loopback, Quorum

EXCHANGE = request(path=b"/gregor.internal.v1.RaftService/Exchange")
HANDSHAKE_SECONDS = 10


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A cluster of one, which anybody on this machine may connect to."""
    quorum = Quorum(tmp_path_factory.mktemp("open"), [Loopback()])
    quorum.start()
    only = quorum.nodes[0]
    only.create_topic("topic")
    yield only
    assert only.stop()[0] == 0


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    """A node of a cluster whose nodes have certificates."""
    quorum = TlsQuorum(tmp_path_factory.mktemp("closed"))
    quorum.start()
    yield quorum.nodes[0]
    quorum.end()


def internal(node):
    return node.address("internal")


def test_a_block_of_headers_without_end_is_cut_off(node):
    part = frame(CONTINUATION, 0, 1, field(b"x-a", b"y" * 16000))
    cut = node.metric("gregor_grpc_connections_cut_total")
    assert attack(node, 20, frame(HEADERS, 0, 1, EXCHANGE), lambda _: part, address=internal(node))
    assert node.metric("gregor_grpc_connections_cut_total") == cut + 1


def test_streams_that_are_reset_at_once_cost_nothing(node):
    def burst(i):
        streams = range(200 * i + 1, 200 * i + 201, 2)
        return b"".join(frame(HEADERS, END_HEADERS, stream, EXCHANGE) +
                        frame(RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in streams)
    attack(node, 5, b"", burst, times=200, address=internal(node))


def test_streams_that_say_nothing_cost_nothing(node):
    attack(node, 2, b"", lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, EXCHANGE), times=5000, address=internal(node))


def test_headers_that_unpack_to_much_are_refused(node):
    bomb = EXCHANGE + field(b"x-a", b"y" * 3900, first=0x40) + bytes([0x80 | 62]) * 12000
    attack(node, 2, b"", lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, bomb[:16000]), address=internal(node))


@pytest.mark.parametrize("kind, payload", [(PING, b"12345678"), (SETTINGS, struct.pack(">HI", 4, 65535))])
def test_floods_of_frames_that_want_an_answer_cost_nothing(node, kind, payload):
    attack(node, 1, b"", lambda _: frame(kind, 0, 0, payload) * 500, address=internal(node))


def test_without_a_certificate_nothing_is_even_read(closed):
    attacker = Attacker(internal(closed))
    deadline = time.monotonic() + HANDSHAKE_SECONDS + 20
    while attacker.send(frame(PING, 0, 0, b"12345678"), deadline):
        assert time.monotonic() < deadline
    attacker.socket.close()
    closed.create_topic("served")


def test_connections_that_do_not_say_who_they_are_end(closed):
    host, port = internal(closed).rsplit(":", 1)
    began = time.monotonic()
    silent = [socket.create_connection((host, int(port))) for _ in range(200)]
    closed.create_topic("meanwhile")
    for each in silent:
        each.settimeout(max(1, began + HANDSHAKE_SECONDS + 20 - time.monotonic()))
        assert each.recv(1) == b""
        each.close()
    closed.create_topic("afterwards")
