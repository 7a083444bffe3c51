"""Brokers that are lost, stop or are killed in the worst moment. GREGOR_LONG=1: more rounds."""
import os
import signal
import time

import metadata_checks
import pytest
from admin_load import AdminLoad
from netns import network, required  # noqa: F401: before what starts threads
from node import eventually
from produce_load import ProduceLoad
from quorum import Quorum, QuorumNode, format_all
from gregor.v1 import topic_pb2

pytestmark = required

LONG = os.environ.get("GREGOR_LONG") == "1"
ELECTED_SECONDS = 10
# A heartbeat to an active controller that is cut off is given up after half of it.
SESSION_SECONDS = 3
SHORT_SESSION = {"session_timeout": f"{SESSION_SECONDS}s"}
# Who is missed for longer than any test takes is fenced for its lost connection.
LONG_SESSION = {"session_timeout": "60s"}
# How much later than promised something may be on a machine that does other things, too.
LATE_SECONDS = 3


@pytest.fixture
def start(network, tmp_path):  # noqa: F811
    """start(B, SETTINGS): three controllers that are brokers, and B brokers more, each in a network of its own."""
    started = []

    def make(brokers, **settings):
        quorum = Quorum(tmp_path, [network.place() for _ in range(3)], **settings)
        started.append(quorum)
        for _ in range(brokers):
            quorum.add_broker(network.place(), **settings)
        quorum.start()
        every = [node.number for node in quorum.nodes]
        eventually(lambda: quorum.nodes[0].brokers() == every, seconds=30)
        return quorum

    yield make
    for quorum in started:
        for node in quorum.nodes:
            if node.process is not None:
                node.resume()  # a paused one
        quorum.end()


def create(node, name, assignment):
    """A topic with a partition on each of the lists of brokers."""
    request = topic_pb2.CreateTopicRequest(topic=name, request_id=name)
    for partition, brokers in enumerate(assignment):
        request.assignment.add(partition=partition, broker_ids=brokers)
    node.topics.CreateTopic(request, timeout=20)


def leaders(node, topic):
    """{partition: broker; -1: none}."""
    partitions = node.topics.GetTopic(topic_pb2.GetTopicRequest(topic=topic), timeout=10).topic.partitions
    return {each.partition: each.leader_id for each in partitions}


def fences(dumps):
    """[(term, broker, seconds since that term had a leader)], as the longest log has them."""
    log = max((metadata_checks.records(dump) for dump in dumps.values()), key=len)
    began, found = {}, []
    for line in log.values():
        record = line["record"]
        if "leader_change" in record:
            began[line["term"]] = line["time_ms"]
        elif record.get("broker_change", {}).get("fenced"):
            found.append((line["term"], record["broker_change"]["node_id"], (line["time_ms"] - began[line["term"]]) / 1000))
    return found


@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_a_broker_that_is_lost_together_with_the_active_controller_is_fenced_in_time(start, network, how):  # noqa: F811
    # Scenario C9.
    quorum = start(2, broker=SHORT_SESSION)
    lost, living = quorum.nodes[3:]
    leader = quorum.leader()
    create(living, "orders", [[lost.number, living.number], [leader.number, living.number], [living.number, lost.number]])
    create(living, "lonely", [[lost.number]])
    assert leaders(living, "orders") == {0: lost.number, 1: leader.number, 2: living.number}
    term = leader.metric("gregor_quorum_term")
    if how == "killed":
        for node in (leader, lost):
            node.process.kill()
        for node in (leader, lost):
            node.await_end()
    else:
        for node in (leader, lost):
            network.isolate(node.place)
        assert not network.hears(living.place, lost.place)
    successor = quorum.leader(quorum.others(leader, lost), seconds=ELECTED_SECONDS)
    others = [node.number for node in quorum.others(leader, lost)]
    eventually(lambda: successor.brokers() == others)
    assert successor.metric("gregor_brokers_fenced") == 2
    # Who is in sync with them leads.
    assert leaders(successor, "orders") == {partition: living.number for partition in range(3)}
    # An operator sees whom to bring back.
    [lonely] = successor.topics.GetTopic(topic_pb2.GetTopicRequest(topic="lonely"), timeout=10).topic.partitions
    assert (lonely.HasField("leader_id"), lonely.in_sync, lonely.offline, lonely.eligible, lonely.recovering) == (
        False, [], [lost.number], [lost.number], False)
    if how == "killed":
        for node in (leader, lost):
            node.start()
    else:
        assert network.dropped(successor.place) > 0
        network.heal()
    eventually(lambda: successor.brokers() == [node.number for node in quorum.nodes], seconds=30)
    dumps = metadata_checks.conclude(quorum, [metadata_checks.Operation("create", "orders", 3, 0.0, acknowledged=True),
                                              metadata_checks.Operation("create", "lonely", 1, 0.0, acknowledged=True)])
    found = fences(dumps)
    # None before, so that it was the new active controller's to notice; nobody who was alive, though that one knew of none at first.
    assert sorted(broker for _, broker, _ in found) == sorted([leader.number, lost.number]), found
    for at, _, seconds in found:
        assert at > term
        assert seconds < SESSION_SECONDS + LATE_SECONDS, found


def test_a_broker_that_was_cut_off_for_a_while_follows_as_soon_as_it_is_heard(start, network):  # noqa: F811
    quorum = start(1, broker=SHORT_SESSION)
    leader, broker = quorum.leader(), quorum.nodes[3]
    network.isolate(broker.place)
    eventually(lambda: broker.number not in leader.brokers(), seconds=SESSION_SECONDS + LATE_SECONDS)
    create(leader, "meanwhile", [[leader.number]])
    # What is sent to it and not acknowledged ends each connection there, and this one, which only listens, does not hear of it.
    connections = ("ss", "-Htn", "state", "established", "sport", "=", f":{leader.place.ports['internal']}", "and", "dst", broker.place.host)
    eventually(lambda: leader.place.run(*connections) == "", seconds=30)
    network.heal()
    eventually(lambda: broker.number in leader.brokers(), seconds=5)
    version = leader.metric("gregor_metadata_version")
    eventually(lambda: broker.metric("gregor_metadata_version") >= version, seconds=2)
    metadata_checks.conclude(quorum, [metadata_checks.Operation("create", "meanwhile", 1, 0.0, acknowledged=True)])


def longest_pause(load):
    """Seconds between two acknowledgements of admin calls."""
    ends = sorted(operation.ended for operation in load.acknowledged)
    return max(after - before for before, after in zip(ends, ends[1:]))


def test_a_rolling_restart_under_load_loses_and_doubles_nothing(start):
    # Scenario C11.
    quorum = start(0, broker=LONG_SESSION)
    create(quorum.nodes[0], "numbers", [[1], [2], [3], [1], [2], [3]])
    history = [metadata_checks.Operation("create", "numbers", 6, 0.0, acknowledged=True)]
    where = {partition: quorum.nodes[partition % 3] for partition in range(6)}
    with ProduceLoad("numbers", where) as produced, AdminLoad(quorum.nodes, count=2) as load:
        produced.await_acknowledged(20)
        for _ in range(5 if LONG else 1):
            # The active controller comes second, so that one that took over has to hand on, too.
            first, third = quorum.others(quorum.leader())
            for node in (first, quorum.leader(), third):
                restart(quorum, node, produced)
                load.await_acknowledged(20)
                produced.await_acknowledged(20)
    assert load.problems == []
    assert longest_pause(load) < LATE_SECONDS
    assert produced.check() == []
    metadata_checks.conclude(quorum, history + load.history)


def restart(quorum, node, produced):
    led = quorum.leader() is node
    term = node.metric("gregor_quorum_term")
    failures = sum(producer.failures for producer in produced.of(node))
    began = time.monotonic()
    code, _ = node.stop()
    node.start()
    seconds = time.monotonic() - began
    assert code == 0
    produced.await_acknowledged(1)
    # It was away, and no longer than that took.
    assert sum(producer.failures for producer in produced.of(node)) > failures
    for producer in produced.producers:
        assert producer.longest_gap < LATE_SECONDS + (seconds if producer.node is node else 0)
        producer.longest_gap = 0.0
    # Leadership was handed over, and nobody had to find out that it was gone.
    assert node.metric("gregor_quorum_term") == term + led


@pytest.mark.parametrize("leads", [False, True], ids=["another node", "the active controller"])
def test_a_node_that_is_killed_while_it_hands_over_loses_nothing(start, leads):
    # Scenario C11.
    quorum = start(1, broker=LONG_SESSION, shutdown_timeout="30s")
    witness = quorum.nodes[3]
    leader = quorum.leader(quorum.nodes[:3])
    other = quorum.others(leader, witness)[0]
    node = leader if leads else quorum.others(leader, other, witness)[0]
    create(other, "numbers", [[number] for number in (1, 2, 3)])
    create(other, "moved", [[node.number, other.number], [node.number, witness.number], [other.number, node.number]])
    history = [metadata_checks.Operation("create", name, 3, 0.0, acknowledged=True) for name in ("numbers", "moved")]
    with ProduceLoad("numbers", dict(enumerate(quorum.nodes[:3]))) as produced, AdminLoad(quorum.nodes[:3], count=2) as load:
        produced.await_acknowledged(20)
        # It may go once all brokers know that it has handed over, and this one does not hear of it.
        witness.pause()
        node.process.send_signal(signal.SIGTERM)
        eventually(lambda: other.broker_state(node.number).stopping)
        eventually(lambda: node.number not in leaders(other, "moved").values())
        assert node.process.poll() is None
        node.process.kill()
        assert node.wait() == -signal.SIGKILL
        witness.resume()
        eventually(lambda: node.number not in other.brokers(), seconds=30)
        assert not other.broker_state(node.number).stopping
        load.await_acknowledged(20)
        node.start()
        eventually(lambda: other.brokers() == [1, 2, 3, 4], seconds=30)
        state = other.broker_state(node.number)
        assert state.leads > 0 and not state.stopping
        produced.await_acknowledged(20)
        load.await_acknowledged(20)
    assert load.problems == []
    assert produced.check() == []
    metadata_checks.conclude(quorum, history + load.history)


def test_a_broker_whose_place_another_process_took_ends_when_it_hears_of_it(start, network, tmp_path):  # noqa: F811
    quorum = start(1, broker=SHORT_SESSION)
    first = quorum.nodes[3]
    twin = QuorumNode(first.number, tmp_path / "twin", network.place())
    twin.configure(quorum.controllers, roles=["broker"], broker=SHORT_SESSION)
    format_all([twin], quorum.cluster_id)
    first.pause()
    try:
        # Silent for so long that it is taken for dead.
        twin.start()
        first.resume()
        assert first.wait() == 0
        assert "another process" in first.log.read_text()
        assert twin.is_up()
        assert twin.number in quorum.nodes[0].brokers()
    finally:
        twin.end()
