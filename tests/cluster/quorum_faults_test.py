"""The quorum while nodes lose their disks, are there twice, are paused or get another time. GREGOR_LONG=1: more rounds."""
import os
import pathlib
import shutil
import struct
import time

import grpc
import metadata_checks
import pytest
from admin_load import AdminLoad, created
from metadata_checks import Operation
from netns import network, required  # noqa: F401: before what starts threads
from node import BINARY, Exited, eventually
from quorum import Quorum, QuorumNode, format_all, outcome
from gregor.v1 import cluster_pb2, topic_pb2

pytestmark = required

LONG = os.environ.get("GREGOR_LONG") == "1"
ELECTED_SECONDS = 10
# Twice the longest election timeout: who could elect somebody has done so.
ELECTION_SECONDS = 4
# Not built where sanitizers want to be the first library.
SHIFTED_CLOCK = pathlib.Path(BINARY).parent / "tests" / "libshifted_clock.so"


@pytest.fixture
def made(network, tmp_path):  # noqa: F811
    """Three nodes, formatted."""
    quorum = Quorum(tmp_path, [network.place() for _ in range(3)])
    yield quorum
    for node in quorum.nodes:
        if node.process is not None:
            node.resume()  # a paused one
    quorum.end()


@pytest.fixture
def quorum(made):
    made.start()
    return made


def refused(node, name, seconds=ELECTION_SECONDS):
    """The operation, which must not be acknowledged; [] where it is certain that it was not done."""
    with pytest.raises(grpc.RpcError) as error:
        node.create(name, 3, timeout=seconds)
    return [Operation("create", name, 3, 0.0)] if outcome(error.value) == "UNKNOWN" else []


def assert_not_ready(node, seconds):
    line = node._read_line(time.monotonic() + seconds)
    assert line == "", line
    assert node.process.poll() is None, node.log.read_text()


def format_again(quorum, *nodes):
    for node in nodes:
        node.wipe()
    format_all(nodes, quorum.cluster_id)


def test_a_voter_that_lost_its_disk_has_no_vote(quorum):
    # Scenario B8.
    history = [created(quorum.nodes[0], "before")]
    leader = quorum.leader()
    wiped, other = quorum.others(leader)
    wiped.kill()
    format_again(quorum, wiped)
    wiped.start()
    assert wiped.list_topics()["before"] == [0, 1, 2]
    history += [created(wiped, "with-two-votes")]
    other.kill()  # two nodes run, and one of them has a vote
    history += refused(leader, "with-one-vote")
    history += refused(wiped, "with-one-vote-either")
    other.start()
    quorum.leader(seconds=ELECTED_SECONDS)
    history += [created(wiped, "afterwards")]
    metadata_checks.conclude(quorum, history)


def test_where_a_majority_lost_its_disks_nobody_leads(made):
    # Scenario B9.
    quorum = made
    quorum.start()
    history = [created(node, f"before-{node.number}") for node in quorum.nodes]
    quorum.await_level()
    quorum.kill()
    kept, *wiped = quorum.nodes
    before = metadata_checks.records(kept.dump())
    for node in wiped:
        shutil.copytree(node.data, node.directory / "lost")
    format_again(quorum, *wiped)
    for node in quorum.nodes:
        node.launch()
    for node in quorum.nodes:
        assert_not_ready(node, ELECTION_SECONDS / 2)
    assert all(node.stop()[0] == 0 for node in quorum.nodes)
    assert metadata_checks.records(kept.dump()) == before
    assert all(metadata_checks.records(node.dump()) == {} for node in wiped)
    # The same nodes with their disks do elect: the silence was not for another reason.
    for node in wiped:
        node.wipe()
        shutil.move(node.directory / "lost", node.data)
    quorum.start()
    metadata_checks.conclude(quorum, history)


def test_a_removed_voter_that_does_not_know_it_disturbs_nobody(quorum, network):  # noqa: F811
    # Scenario B12.
    leader = quorum.leader()
    removed, other = quorum.others(leader)
    term = leader.metric("gregor_quorum_term")
    other.kill()
    history = [created(leader, "by-it-and-the-leader")]  # its vote counts yet
    other.start()
    # It is never told: the leader does not reach it, and the other one does not lead.
    network.cut(leader.place, removed.place)
    other.cluster.RemoveVoter(cluster_pb2.RemoveVoterRequest(node_id=removed.number), timeout=20)
    with AdminLoad([leader, other], count=2) as load:
        end = time.monotonic() + ELECTION_SECONDS
        while time.monotonic() < end:
            assert [node.view()[0] for node in (leader, other)] == [leader.number] * 2
            time.sleep(0.1)
        load.await_acknowledged(20)
        # All that time it took itself for a voter without a leader, and could ask the other one for its vote.
        assert removed.metric("gregor_quorum_is_voter") == 1 and removed.metric("gregor_quorum_leader") == -1
        assert network.hears(other.place, removed.place) and network.hears(removed.place, other.place)
        assert network.dropped(removed.place) > 0
        assert leader.metric("gregor_quorum_voters") == 2
    assert load.problems == []
    network.heal()
    eventually(lambda: removed.metric("gregor_quorum_is_voter") == 0)
    assert removed.view()[0] == leader.number
    assert {node.metric("gregor_quorum_term") for node in quorum.nodes} == {term}
    other.kill()
    history += refused(leader, "by-one-of-two")
    history += refused(removed, "by-the-removed-one")
    other.start()
    quorum.leader(seconds=ELECTED_SECONDS)
    history += [created(removed, "afterwards")]
    metadata_checks.conclude(quorum, history + load.history)


def test_a_second_process_on_a_data_directory_is_refused(quorum):
    # Scenario B10.
    history = [created(quorum.nodes[0], "before")]
    first = quorum.nodes[0]
    second = QuorumNode(1, first.directory / "again", first.place)
    second.data = first.data
    second.configure(quorum.controllers)
    with pytest.raises(Exited) as refusal:
        second.start()
    assert refusal.value.code == 1
    assert "in use" in refusal.value.stderr or "locked" in refusal.value.stderr, refusal.value.stderr
    history += [created(first, "afterwards")]
    metadata_checks.conclude(quorum, history)


@pytest.mark.parametrize("is_clone", [False, True], ids=["formatted anew", "cloned"])
def test_a_second_node_with_the_id_of_another_changes_nothing(quorum, network, tmp_path, is_clone):  # noqa: F811
    # Scenario B10.
    history = [created(quorum.nodes[0], "before")]
    leader = quorum.leader()
    original = quorum.others(leader)[0]
    double = QuorumNode(original.number, tmp_path / "double", network.place())
    double.configure(quorum.controllers)
    if is_clone:
        original.kill()
        shutil.copytree(original.data, double.data)
        original.start()
    else:
        format_all([double], quorum.cluster_id)
    # It would find the other one, and not go on.
    network.cut(double.place, original.place)
    try:
        double.launch()
        eventually(lambda: network.hears(leader.place, double.place), seconds=20)
        with AdminLoad(quorum.nodes, count=2) as load:
            end = time.monotonic() + ELECTION_SECONDS
            while time.monotonic() < end:
                assert quorum.leader().number == leader.number
                time.sleep(0.1)
            load.await_acknowledged(20)
        assert load.problems == []
        assert double.process.poll() is None
        assert network.hears(leader.place, double.place)  # nothing else kept it away
    finally:
        double.end()
    metadata_checks.conclude(quorum, history + load.history)


def shift_clock(node, seconds):
    """In place: the node has the file mapped."""
    with open(node.directory / "clock", "r+b") as clock:
        clock.write(struct.pack("@q", seconds))


@pytest.mark.skipif(not SHIFTED_CLOCK.exists(), reason="clocks cannot be moved under a sanitizer")
def test_clocks_that_jump_cost_no_leader(made):
    # Scenario B15.
    quorum = made
    for node in quorum.nodes:
        (node.directory / "clock").write_bytes(bytes(8))
        node.environment = {"LD_PRELOAD": str(SHIFTED_CLOCK), "SHIFTED_CLOCK": str(node.directory / "clock")}
    quorum.start()
    leader = quorum.leader()
    ahead, behind = leader, quorum.others(leader)[0]
    with AdminLoad(quorum.nodes, count=2) as load:
        load.await_acknowledged(10)
        shift_clock(ahead, 3600)
        shift_clock(behind, -3600)
        end = time.monotonic() + ELECTION_SECONDS
        while time.monotonic() < end:
            assert {node.view()[0] for node in quorum.nodes} == {leader.number}
            time.sleep(0.1)
        load.await_acknowledged(10)
    assert load.problems == []
    dumps = metadata_checks.conclude(quorum, load.history)
    # The clock did jump, as the log shows.
    times = [line["time_ms"] for line in metadata_checks.records(dumps[f"node {leader.number}"]).values()]
    assert max(times) - times[0] > 3_500_000


def test_a_leader_that_was_paused_acknowledges_nothing_it_has_no_right_to(quorum):
    # Scenario B15.
    history = [created(quorum.nodes[0], "before")]
    leader = quorum.leader()
    others = quorum.others(leader)
    reached = leader.calls("TopicService/CreateTopic")
    leader.pause()
    paused = time.monotonic()
    # Sent to a process that does not run: it reads them when it goes on, and first believes that it leads.
    calls = {f"to-the-old-{number}": leader.topics.CreateTopic.future(
        topic_pb2.CreateTopicRequest(topic=f"to-the-old-{number}", partitions=3), timeout=60) for number in range(5)}
    # Passed on to it over a connection that stands: not waited for until that is found dead, once another one leads.
    passed_on = others[0].topics.CreateTopic.future(topic_pb2.CreateTopicRequest(topic="passed-on", partitions=3), timeout=60)
    successor = quorum.leader(others, seconds=ELECTED_SECONDS)
    assert successor is not leader
    assert outcome(passed_on.exception(timeout=4)) == "UNKNOWN"
    history.append(Operation("create", "passed-on", 3, 0.0, acknowledged=False))
    history += [created(others[0], "meanwhile")]
    if LONG:
        time.sleep(max(0, paused + 30 - time.monotonic()))
    leader.resume()
    for name, call in calls.items():
        error = call.exception()
        if error is None or outcome(error) == "UNKNOWN":
            history.append(Operation("create", name, 3, 0.0, acknowledged=error is None))
    # They did get there: that nothing went wrong has no other reason.
    eventually(lambda: leader.calls("TopicService/CreateTopic") >= reached + len(calls))
    assert quorum.leader().number != leader.number
    history += [created(leader, "afterwards")]
    metadata_checks.conclude(quorum, history)


def test_all_nodes_killed_at_once_again_and_again_come_back_as_they_were(quorum):
    # Scenario B16.
    history, agreed = [], {}
    for number in range(100 if LONG else 5):
        history += [created(node, f"round-{number}-{node.number}", 2) for node in quorum.nodes]
        quorum.kill()
        logs = [metadata_checks.records(dump) for dump in quorum.dump().values()]
        for offset, record in agreed.items():
            assert sum(log.get(offset) == record for log in logs) >= 2, f"round {number}: {record} is not there any more"
        agreed = {offset: record for log in logs for offset, record in log.items()
                  if sum(other.get(offset) == record for other in logs) >= 2}
        assert quorum.start() < ELECTED_SECONDS
    metadata_checks.conclude(quorum, history)


def count_partitions(node, topic):
    """As the node sees it; 0: there is no such topic."""
    try:
        request = topic_pb2.GetTopicRequest(topic=topic)
        request.page.page_size = 1
        return node.topics.GetTopic(request, timeout=10).topic.partition_count
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        return 0


def test_a_large_topic_is_there_with_all_its_partitions_or_not_at_all(quorum):
    # Scenario C1.
    size, history, midway = 10_000, [], 0
    # Sooner and sooner, until a kill comes before the answer.
    for number, delay in enumerate((0.3, 0.2, 0.1, 0.05, 0.02, 0.005, 0) if LONG else (0.03, 0.01, 0.003, 0)):
        if midway and not LONG:
            break
        leader = quorum.leader()
        other = quorum.others(leader)[0]
        name = f"large-{number}"
        call = other.topics.CreateTopic.future(topic_pb2.CreateTopicRequest(topic=name, partitions=size, request_id=name), timeout=20)
        time.sleep(delay)
        midway += not call.done()
        leader.kill()
        seen = set()
        while not call.done():
            seen.add(count_partitions(other, name))
        seen.add(count_partitions(other, name))
        assert seen <= {0, size}
        if call.exception() is None:
            assert size in seen
        # The same call again makes it, or finds that it is made.
        other.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, partitions=size, request_id=name), timeout=20)
        history.append(Operation("create", name, size, 0.0, acknowledged=True))
        leader.start()
        eventually(lambda: count_partitions(leader, name) == size)
    assert midway > 0, "no kill came in time"
    metadata_checks.conclude(quorum, history)
