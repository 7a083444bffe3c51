"""HTTP/2 as no client speaks it: the node goes on, serves the others meanwhile, and its memory stays bounded."""
import contextlib
import socket
import struct
import time

import pytest
from node import Node

DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_HEADERS = 4
GROWTH_MAX = 400  # MiB that such a client may cost


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    shared = Node(tmp_path_factory.mktemp("node"))
    shared.start()
    shared.create_topic("topic")
    yield shared
    assert shared.stop()[0] == 0


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def length(value, bits=7, first=0):
    """An integer as HPACK writes it (RFC 7541, 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytes([first | limit]), value - limit
    while value >= 128:
        out, value = out + bytes([value % 128 | 128]), value // 128
    return out + bytes([value])


def field(name, value, first=0):
    """A header field that stands for itself; with first=0x40 it is remembered."""
    return bytes([first]) + length(len(name)) + name + length(len(value)) + value


def request(*more, path=b"/gregor.v1.FetchService/FetchStream"):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path),
              (b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]
    return b"".join(field(*each) for each in fields)


class Attacker:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        self.socket.setblocking(False)
        self.open = True

    def send(self, data, deadline):
        """All of it, reading away what the server answers; False once the server has closed."""
        while data and self.open and time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                data = data[self.guarded(self.socket.send, data):]
            with contextlib.suppress(BlockingIOError):
                if self.guarded(self.socket.recv, 1 << 20) in (b"", 0):
                    self.open = False
        return self.open

    def guarded(self, call, argument):
        try:
            return call(argument)
        except ConnectionError:
            self.open = False
            return 0


def attack(node, seconds, first, again, times=1 << 30, address=None):
    """Sends `first`, then again(i) over and over, so many times at most, to the gRPC API or another address of the node. Returns
    whether the server had enough of it."""
    before = node.resident_mib()
    peak = before
    attacker = Attacker(address or node.grpc)
    deadline = time.monotonic() + seconds
    attacker.send(first, deadline)
    i = 0
    while i < times and time.monotonic() < deadline and attacker.send(again(i), deadline):
        i += 1
        if i % 20 == 0:
            peak = max(peak, node.resident_mib())
    assert i > 0
    # Others are served while this one is still connected.
    node.produce("topic", [b"record"])
    peak = max(peak, node.resident_mib())
    attacker.socket.close()
    assert node.is_up()
    assert peak - before < GROWTH_MAX, f"grew by {peak - before:.0f} MiB"
    return not attacker.open


@pytest.mark.parametrize("size", [100, 16000])
def test_a_block_of_headers_without_end_is_cut_off(node, size):
    part = frame(CONTINUATION, 0, 1, field(b"x-a", b"y" * size))
    part *= max(1, 16000 // len(part))
    cut = node.metric("gregor_grpc_connections_cut_total")
    was_cut = attack(node, 20, frame(HEADERS, 0, 1, request()), lambda _: part)
    assert was_cut
    assert node.metric("gregor_grpc_connections_cut_total") == cut + 1


def test_empty_continuations_cost_nothing(node):
    attack(node, 1, frame(HEADERS, 0, 1, request()), lambda _: frame(CONTINUATION, 0, 1) * 1000)


def test_streams_that_are_reset_at_once_cost_nothing(node):
    def burst(i):
        streams = range(200 * i + 1, 200 * i + 201, 2)
        return b"".join(frame(HEADERS, END_HEADERS, stream, request()) +
                        frame(RST_STREAM, 0, stream, struct.pack(">I", 8)) for stream in streams)
    attack(node, 5, b"", burst, times=200)


def test_headers_that_unpack_to_much_are_refused(node):
    # Remembered once, then named by one byte each time.
    bomb = request() + field(b"x-a", b"y" * 3900, first=0x40) + bytes([0x80 | 62]) * 12000
    attack(node, 2, b"", lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, bomb[:16000]))


@pytest.mark.parametrize("kind, payload", [(PING, b"12345678"), (SETTINGS, struct.pack(">HI", 4, 65535))])
def test_floods_of_frames_that_want_an_answer_cost_nothing(node, kind, payload):
    attack(node, 1, b"", lambda _: frame(kind, 0, 0, payload) * 500)


def test_a_header_that_is_too_long_is_refused(node):
    attack(node, 1, b"", lambda i: frame(HEADERS, END_HEADERS, 2 * i + 1, request((b"te", b"z" * 9000))))
