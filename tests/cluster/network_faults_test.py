"""The quorum while its network is cut: who was acknowledged is right, and the nodes agree again once it is healed."""
import pathlib
import subprocess
import sys
import time

import metadata_checks
import pytest
from admin_load import AdminLoad, created
from metadata_checks import Operation
from netns import network, required  # noqa: F401: before what starts threads
from node import eventually
from quorum import Quorum, outcome
from gregor.v1 import cluster_pb2, topic_pb2

pytestmark = required

# Silence of up to two election timeouts (2 s each), an election, and a loaded machine.
ELECTED_SECONDS = 10


@pytest.fixture
def start(network, tmp_path):  # noqa: F811
    """start(N): so many nodes, each in a network of its own."""
    started = []

    def make(count):
        started.append(Quorum(tmp_path, [network.place() for _ in range(count)]))
        started[-1].start()
        return started[-1]

    yield make
    for quorum in started:
        quorum.end()


def begin(node, name, timeout):
    """A call that nobody waits for yet."""
    return node.topics.CreateTopic.future(topic_pb2.CreateTopicRequest(topic=name, partitions=3), timeout=timeout)


def failed(calls):
    """The calls as a history: none was acknowledged; those that were certainly not done are left out, so that a topic of theirs
    would be one that nobody made."""
    history = []
    for name, call in calls.items():
        error = call.exception()  # waits
        assert error is not None, f"{name} was acknowledged by a leader without a majority"
        if outcome(error) == "UNKNOWN":
            history.append(Operation("create", name, 3, 0.0))
    return history


def assert_few_elections(dumps, elections_max):
    """Nobody raises terms who cannot win."""
    won = {line["term"] for dump in dumps.values() for line in metadata_checks.records(dump).values() if "leader_change" in line["record"]}
    highest = max(metadata_checks.term(dump) for dump in dumps.values())
    assert len(won) <= elections_max, f"leaders in the terms {sorted(won)}"
    assert highest <= len(won) + 2, f"term {highest} after {len(won)} leaders"


# A test that makes a place and runs something there.
DOOMED = """
import subprocess, sys, time
import netns
place = netns.Network().place()
process = subprocess.Popen([*place.prefix, "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
process.stdout.readline()
print(place.keeper.pid, process.pid, flush=True)
time.sleep(1000)
"""


def test_what_a_test_started_ends_with_it_even_where_it_is_killed():
    test = subprocess.Popen([sys.executable, "-c", DOOMED], stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parent)
    started = [int(pid) for pid in test.stdout.readline().split()]
    assert len(started) == 2 and all(is_alive(pid) for pid in started)
    test.kill()
    test.wait()
    eventually(lambda: not any(is_alive(pid) for pid in started))


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_an_isolated_leader_acknowledges_nothing_and_is_replaced(start, network):  # noqa: F811
    # Scenario B1.
    quorum = start(3)
    leader = quorum.leader()
    others = quorum.others(leader)
    history = [created(node, f"before-{node.number}") for node in quorum.nodes]
    assert network.hears(leader.place, others[0].place)
    network.isolate(leader.place)
    assert not network.hears(leader.place, others[0].place)
    pending = {f"pending-{number}": begin(leader, f"pending-{number}", timeout=4) for number in range(5)}
    # It does not know yet that it is cut off, and asks before it says that it leads.
    described = leader.cluster.DescribeQuorum(cluster_pb2.DescribeQuorumRequest(), timeout=20)
    assert described.leader_id == -1
    quorum.leader(others, seconds=ELECTED_SECONDS)
    history += [created(node, f"meanwhile-{node.number}") for node in others]
    history += failed(pending)
    assert leader.view() is None, "it still takes itself for the active controller"
    assert network.dropped(others[0].place) > 0
    network.heal()
    quorum.leader(seconds=ELECTED_SECONDS)
    history += [created(leader, "afterwards")]
    assert_few_elections(metadata_checks.conclude(quorum, history), 4)


def cut_one_way(quorum, network, number, hears):  # noqa: F811
    """The leader hears the others but is not heard, or the other way. Returns the history."""
    leader = quorum.leader()
    others = quorum.others(leader)
    history = [created(leader, f"before-{number}")]
    for other in others:
        if hears:
            network.drop(leader.place, other.place)
        else:
            network.drop(other.place, leader.place)
    pending = {f"pending-{number}-{index}": begin(leader, f"pending-{number}-{index}", timeout=4) for index in range(5)}
    quorum.leader(others, seconds=ELECTED_SECONDS)
    history += [created(node, f"meanwhile-{number}-{node.number}") for node in others]
    history += failed(pending)
    assert network.dropped(others[0].place if hears else leader.place) > 0
    network.heal()
    quorum.leader(seconds=ELECTED_SECONDS)
    return history + [created(leader, f"afterwards-{number}")]


def test_a_leader_that_is_cut_off_in_one_direction_is_replaced(start, network):  # noqa: F811
    # Scenario B2.
    quorum = start(3)
    history = []
    for number, hears in enumerate((True, False)):
        history += cut_one_way(quorum, network, number, hears)
    assert_few_elections(metadata_checks.conclude(quorum, history), 6)


def bridge(network, nodes):  # noqa: F811
    """The first two and the last two hear each other only through the one in the middle, which hears all. Returns who still
    hears the first."""
    for near in nodes[:2]:
        for far in nodes[3:]:
            network.cut(near.place, far.place)
    return nodes[:3]


def ring(network, nodes):  # noqa: F811
    """Each hears its two neighbours."""
    for index, node in enumerate(nodes):
        for further in (2, 3):
            network.drop(node.place, nodes[(index + further) % len(nodes)].place)
    return [nodes[0], nodes[1], nodes[-1]]


def test_where_each_node_hears_another_majority_one_leader_stays(start, network):  # noqa: F811
    # Scenario B3.
    quorum = start(5)
    history = []
    for number, shape in enumerate((bridge, ring)):
        leader = quorum.leader(seconds=ELECTED_SECONDS)
        majority = shape(network, [leader] + quorum.others(leader))
        cut_off = quorum.others(*majority)
        with AdminLoad(majority, count=2, name=f"load-{number}") as load:
            end = time.monotonic() + 4  # twice the longest election timeout: who wants to lead has tried
            while time.monotonic() < end:
                assert [node.view()[0] for node in majority] == [leader.number] * 3
                time.sleep(0.1)
            load.await_acknowledged(20)
        assert load.problems == []
        history += load.history
        assert not network.hears(cut_off[0].place, leader.place)
        assert all(network.dropped(node.place) > 0 for node in cut_off)
        network.heal()
    quorum.leader(seconds=ELECTED_SECONDS)
    assert_few_elections(metadata_checks.conclude(quorum, history), 4)
