"""Three nodes on a machine that has more to do than it can: who is slow is not taken for lost. GREGOR_LONG=1: five minutes."""
import os
import subprocess
import time

import metadata_checks
import pytest
from admin_load import AdminLoad, created
from quorum import DIES_WITH_TEST, Loopback, Quorum

LONG = os.environ.get("GREGOR_LONG") == "1"
SECONDS = 300 if LONG else 30
ELECTED_SECONDS = 10
HOGS = 2 * os.cpu_count()


class Hogs:
    """Processes that take all the processor time that they get, at the priority of the nodes."""

    def __enter__(self):
        self.processes = [subprocess.Popen([*DIES_WITH_TEST, "sh", "-c", "while :; do :; done"]) for _ in range(HOGS)]
        return self

    def __exit__(self, kind, error, trace):
        for process in self.processes:
            process.kill()
            process.wait()

    def seconds(self):
        """Processor time that they have had, together."""
        ticks = 0
        for process in self.processes:
            assert process.poll() is None
            with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
                ticks += sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def quorum(tmp_path):
    quorum = Quorum(tmp_path, [Loopback() for _ in range(3)])
    quorum.start()
    yield quorum
    for node in quorum.nodes:
        if node.process is not None:
            node.resume()  # a paused one
    quorum.end()


def who_leads(node):
    """(term, leader) as the node knows."""
    return int(node.metric("gregor_quorum_term")), int(node.metric("gregor_quorum_leader"))


def said_fenced(node):
    return [line for line in node.log.read_text().splitlines() if "is fenced" in line or "has fenced" in line]


def test_without_processor_time_to_spare_no_timeout_misfires(quorum, capsys):
    leader = quorum.leader()
    quorum.await_level()
    before = who_leads(leader)
    assert before[1] == leader.number and {who_leads(node) for node in quorum.nodes} == {before}
    elections = sum(node.metric("gregor_quorum_elections_total") for node in quorum.nodes)
    fenced = [said_fenced(node) for node in quorum.nodes]
    with Hogs() as hogs, AdminLoad(quorum.nodes, count=2) as load:
        end, looks = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            assert {who_leads(node) for node in quorum.nodes} == {before}
            looks += 1
            time.sleep(0.2)
        load.stop()
        taken = hogs.seconds()
        # The hogs did take the machine from everybody else.
        assert taken > SECONDS * os.cpu_count() / 3
        acknowledged = len(load.acknowledged)
        assert acknowledged > SECONDS and load.problems == []
        assert sum(node.metric("gregor_quorum_elections_total") for node in quorum.nodes) == elections
        assert all(node.metric("gregor_brokers_fenced") == 0 for node in quorum.nodes)
        assert [said_fenced(node) for node in quorum.nodes] == fenced
        # One that does not run at all is missed all the same.
        leader.pause()
        successor = quorum.leader(quorum.others(leader), seconds=ELECTED_SECONDS)
        assert successor is not leader and who_leads(successor)[0] > before[0]
        leader.resume()
        # It knows by then: what it may have written as it went on is gone.
        assert quorum.leader(seconds=ELECTED_SECONDS) is not leader
        history = load.history + [created(leader, "afterwards")]
    with capsys.disabled():
        print(f"\n{SECONDS} s beside {HOGS} processes that took {taken:.0f} s of {os.cpu_count()} processors: "
              f"term {before[0]} throughout, {looks} looks, {acknowledged} operations acknowledged")
    metadata_checks.conclude(quorum, history)
