"""A controller whose disk fails while it runs: the others lead on, and it ends, so that it is started again and gets what it lacks."""
import errno
import pathlib
import time

import metadata_checks
import pytest
from admin_load import AdminLoad, created
from node import BINARY, eventually, fails
from quorum import Loopback, Quorum

FAILING_DISK = pathlib.Path(BINARY).parent / "tests" / "libfailing_disk.so"
pytestmark = pytest.mark.skipif(not FAILING_DISK.exists(), reason="no library that lets a disk fail, in this build")

ENDED_SECONDS = 10


class Disk:
    """The disk of a node's metadata, which fails when it is told to."""

    def __init__(self, node, directory):
        self.switch = directory / "failing"
        self.folder = node.data / "metadata"
        node.environment = {"LD_PRELOAD": str(FAILING_DISK), "FAILING_DISK": str(self.switch)}

    def fail(self, calls):
        # In one step: the node may be reading it.
        prepared = self.switch.with_suffix(".new")
        prepared.write_text(f"{self.folder} {errno.EIO} {calls}\n")
        prepared.rename(self.switch)

    def heal(self):
        self.switch.unlink()


@pytest.fixture
def quorum(tmp_path):
    quorum = Quorum(tmp_path, [Loopback() for _ in range(3)])
    yield quorum
    quorum.end()


@pytest.mark.parametrize("calls", ["sync", "write"])
@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
def test_a_controller_whose_metadata_log_fails_ends_and_is_healed_by_its_next_start(quorum, leads, calls):
    disks = {node: Disk(node, node.directory) for node in quorum.nodes}
    quorum.start()
    leader = quorum.leader()
    victim = leader if leads else quorum.others(leader)[0]
    others = quorum.others(victim)
    with AdminLoad(others, count=2) as load:
        load.await_acknowledged(10)
        disks[victim].fail(calls)
        began = time.monotonic()
        # By itself: who supervises it (systemd's Restart=on-failure) sees that it failed.
        assert victim.wait() == 1
        assert time.monotonic() - began < ENDED_SECONDS
        last = victim.log.read_text().strip().splitlines()[-1]
        assert last.startswith("gregor: stopped because the metadata log failed"), last
        assert str(disks[victim].folder) in last
        successor = quorum.leader(others)
        assert leads or successor is leader
        load.await_acknowledged(20)
        disks[victim].heal()
        victim.start()
        load.await_acknowledged(20)
    assert load.problems == []
    history = load.history + [created(victim, "afterwards")]
    assert victim.metric("gregor_controller_failed") == 0
    metadata_checks.conclude(quorum, history)


def test_a_controller_whose_disk_stays_bad_does_not_come_back_and_harms_nobody(quorum):
    victim = quorum.nodes[0]
    disk = Disk(victim, victim.directory)
    quorum.start()
    others = quorum.others(victim)
    disk.fail("sync")
    history = [created(others[0], "notices")]
    assert victim.wait() == 1
    for number in range(2):
        victim.launch()
        assert victim.wait() == 1
        history += [created(others[0], f"meanwhile-{number}")]
    disk.heal()
    victim.start()
    metadata_checks.conclude(quorum, history + [created(victim, "afterwards")])


def test_a_node_that_is_alone_serves_on_what_it_has(stopped_node):
    node = stopped_node
    disk = Disk(node, node.directory)
    node.start()
    node.create_topic("orders")
    node.produce("orders", [b"before"])
    disk.fail("sync")
    with fails("STORAGE_ERROR"):
        node.create_topic("more")
    eventually(lambda: node.metric("gregor_controller_failed") == 1)
    node.produce("orders", [b"after"])
    assert [value for _, value in node.read("orders")] == [b"before", b"after"]
    assert node.is_up()
