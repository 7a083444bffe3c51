"""Nodes that are known by name, and come back at another address, as containers and pods do: the others and clients look again
where they are, soon, whatever they were told before."""
import queue
import subprocess
import threading
import time

import pytest
from netns import network, required  # noqa: F401: before what starts threads
from node import BINARY, command, eventually
from quorum import Quorum

pytestmark = required

# An attempt at the former address (1 s), a look at the names (every half second), a pause between attempts (1 s), twice for want of
# luck, and a loaded machine.
SOON_SECONDS = 8
# The same of clients, whose attempts have 5 s.
CLIENT_SOON_SECONDS = 12


class Names:
    """What the nodes take for /etc/hosts."""

    def __init__(self, path):
        self.path = path
        self.hosts = {}
        self._write()

    def name(self, node):
        self.hosts[f"node{node.number}"] = node.place.host
        self._write()

    def forget(self, node):
        del self.hosts[f"node{node.number}"]
        self._write()

    def at(self, place):
        """What runs there has these names."""
        place.prefix = place.prefix + ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                       'mount --bind "$0" /etc/hosts && exec "$@"', str(self.path)]
        return place

    def _write(self):
        # In place: what is mounted is this file.
        self.path.write_text("127.0.0.1 localhost\n" + "".join(f"{host} {name}\n" for name, host in self.hosts.items()))


@pytest.fixture
def named(request, network, tmp_path):  # noqa: F811
    """(three nodes, or so many as the test says, that know each other by name, the names, a function that moves one)."""
    names = Names(tmp_path / "hosts")
    quorum = Quorum(tmp_path, [names.at(network.place()) for _ in range(getattr(request, "param", 3))])
    controllers = [f"{node.number}@node{node.number}:9093" for node in quorum.nodes]

    def settle(node):
        node.configure(controllers, advertise={"grpc": f"node{node.number}:9094"})
        node.grpc, node.http = node.address("grpc"), node.address("http")
        names.name(node)

    def move(node):
        """To another address: nobody answers at the one of before, not even with a refusal."""
        node.place = names.at(network.place())
        settle(node)

    for node in quorum.nodes:
        settle(node)
    quorum.start()
    yield quorum, names, move
    quorum.end()


def kill_without_a_trace(network, node):  # noqa: F811
    """The others have lost it, have looked where it is, and hear nothing there."""
    node.kill()
    node.place.run("iptables", "-w", "-A", "INPUT", "-j", "DROP")
    eventually(lambda: network.dropped(node.place) > 0)


def assert_reached(quorum, node):
    """Everybody passes operations on to it, soon."""
    began = time.monotonic()
    others = quorum.others(node)
    assert command("--server", others[0].grpc, "quorum", "transfer", str(node.number)).returncode == 0
    for other in others:
        eventually(lambda other=other: command("--server", other.grpc, "topic", "create", f"by-{other.number}").returncode == 0)
    described = command("--server", others[0].grpc, "cluster", "describe")
    assert described.returncode == 0 and f"controller:       {node.number}\n" in described.stdout, described.stdout
    seconds = time.monotonic() - began
    assert seconds < SOON_SECONDS, f"{seconds:.1f} s"


def test_a_controller_that_comes_back_at_another_address_is_reached_soon(named, network):  # noqa: F811
    quorum, _, move = named
    node = quorum.others(quorum.leader())[0]
    kill_without_a_trace(network, node)
    eventually(lambda: "nothing answers there" in quorum.others(node)[0].log.read_text(errors="replace"), 30)
    move(node)
    node.start()
    assert_reached(quorum, node)


def test_a_controller_whose_name_was_unknown_for_a_while_is_reached_soon(named, network):  # noqa: F811
    quorum, names, move = named
    node = quorum.others(quorum.leader())[0]
    kill_without_a_trace(network, node)
    names.forget(node)
    # Longer than attempts that come less and less often would bear.
    time.sleep(15)
    move(node)
    node.start()
    assert_reached(quorum, node)


def lines_of(process):
    """The lines that it prints, as they come."""
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line.strip()) for line in process.stdout], daemon=True).start()
    return lines


# One node's address is all that a client has of a cluster, and is not told anew.
@pytest.mark.parametrize("named", [1], indirect=True)
def test_a_consumer_finds_its_only_node_at_another_address(named, network):  # noqa: F811
    quorum, names, move = named
    place = names.at(network.place())
    node = quorum.nodes[0]
    server = ["--server", "node1:9094"]
    place.run(BINARY, *server, "topic", "create", "orders")
    consumer = subprocess.Popen([*place.prefix, BINARY, *server, "consume", "orders", "--from", "beginning"],
                                stdout=subprocess.PIPE, text=True)
    lines = lines_of(consumer)
    place.run(BINARY, *server, "produce", "orders", input_text="before\n")
    assert lines.get(timeout=10) == "before"
    kill_without_a_trace(network, node)
    time.sleep(6)  # what the consumer knows of it is older than an attempt to connect
    move(node)
    node.start()
    place.run(BINARY, *server, "produce", "orders", input_text="after\n")
    began = time.monotonic()
    assert lines.get(timeout=40) == "after"
    seconds = time.monotonic() - began
    assert seconds < CLIENT_SOON_SECONDS, f"{seconds:.1f} s"
    consumer.terminate()
    consumer.wait()
