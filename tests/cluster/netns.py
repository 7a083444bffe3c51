"""Networks that can be cut: every node is in a network namespace of its own, on one bridge.

Importing this moves the test's process into a namespace of its own, where the bridge is: nothing is added to the machine's
network, and addresses and ports never meet those of another test. Namespaces live as long as a process is in them, and all
processes that are started here die with the test's (PR_SET_PDEATHSIG): nothing has to be removed, however the test ends.
Where that cannot be done the tests are skipped, with the reason; GREGOR_REQUIRE_NAMESPACES=1 lets them fail instead.
"""
import ctypes
import os
import shutil
import subprocess
import sys

import pytest
from quorum import DIES_WITH_TEST

CLONE_NEWNET = 0x40000000
BRIDGE = "gregor"
HUB = "10.99.0.254"  # the test's own address there
REQUIRED = os.environ.get("GREGOR_REQUIRE_NAMESPACES") == "1"


def run(*command, input_text=None):
    done = subprocess.run(command, input=input_text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def enter():
    """Makes the hub; returns why that is not possible, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "iptables", "nsenter", "unshare", "setpriv"):
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    # Threads that exist already would stay where they are.
    assert len(os.listdir("/proc/self/task")) == 1 or "--collect-only" in sys.argv, "netns is to be imported before threads start"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        return f"no network namespace can be made here: {os.strerror(ctypes.get_errno())}"
    run("ip", "-batch", "-", input_text=f"""
link set lo up
link add {BRIDGE} type bridge
addr add {HUB}/24 dev {BRIDGE}
link set {BRIDGE} up
""")
    return None


WHY_NOT = enter()
required = pytest.mark.skipif(WHY_NOT is not None and not REQUIRED, reason=f"no cuttable network: {WHY_NOT}")


class Place:
    """A network namespace with one address on the bridge."""

    ports = {"internal": 9093, "grpc": 9094, "http": 9095}

    def __init__(self, index):
        self.host = f"10.99.0.{index}"
        self.link = f"{BRIDGE}{index}"
        self.keeper = subprocess.Popen(DIES_WITH_TEST + ["unshare", "--net", "sleep", "infinity"])
        self.namespace = f"/proc/{self.keeper.pid}/ns/net"
        self.prefix = DIES_WITH_TEST + ["nsenter", f"--net={self.namespace}"]
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(self.namespace) == own:
            assert self.keeper.poll() is None, "unshare failed"
            os.sched_yield()
        run("ip", "-batch", "-", input_text=f"""
link add {self.link} type veth peer name eth0 netns {self.keeper.pid}
link set {self.link} master {BRIDGE} up
""")
        self.run("ip", "-batch", "-", input_text=f"""
link set lo up
addr add {self.host}/24 dev eth0
link set eth0 up
""")

    def run(self, *command, input_text=None):
        return run(*self.prefix, *command, input_text=input_text)

    def end(self):
        run("ip", "link", "del", self.link)  # at once: the namespace goes some time after its last process
        self.keeper.kill()
        self.keeper.wait()


class Network:
    """Places, and who of them hears whom. The test itself reaches all of them always."""

    def __init__(self):
        assert WHY_NOT is None, f"no cuttable network: {WHY_NOT}"
        self.places = []

    def place(self):
        self.places.append(Place(len(self.places) + 1))
        return self.places[-1]

    def drop(self, source, target):
        """Whatever `source` sends to `target` is lost from now on; not the other way."""
        target.run("iptables", "-w", "-A", "INPUT", "-s", source.host, "-j", "DROP")

    def cut(self, a, b):
        """Neither hears the other."""
        self.drop(a, b)
        self.drop(b, a)

    def isolate(self, place):
        for other in self.places:
            if other is not place:
                self.cut(place, other)

    def heal(self):
        for place in self.places:
            place.run("iptables", "-w", "-F", "INPUT")

    def dropped(self, place):
        """How many packets to `place` were lost since the last heal()."""
        lines = place.run("iptables", "-w", "-nvxL", "INPUT").splitlines()
        return sum(int(line.split()[0]) for line in lines if " DROP " in line and line.split()[0].isdigit())

    def hears(self, listener, speaker):
        """Whether a packet of `speaker` gets to `listener` and the answer back."""
        done = subprocess.run(listener.prefix + ["/usr/bin/python3", "-c", PROBE, speaker.host], check=False)
        return done.returncode == 0

    def end(self):
        for place in self.places:
            place.end()


@pytest.fixture
def network():
    made = Network()
    yield made
    made.end()


# Whether a connection to the internal port of a host can be made within half a second.
PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 9093), timeout=0.5)
except OSError:
    sys.exit(1)
"""
