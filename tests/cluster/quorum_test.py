"""Voters of the metadata quorum: described, added, removed, replaced, handed over."""
import json
import shutil

import pytest
from node import command, eventually
from ports import free_port
from processes import Cluster, await_same_metadata
from threads import thread_names, undocumented

from gregor.v1 import topic_pb2

CONTROLLERS = {1: ["controller"], 2: ["controller"], 3: ["controller"]}


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, CONTROLLERS | {11: ["broker"], 12: ["broker"]})
    cluster.prepare()
    cluster.start()
    yield cluster
    cluster.end()


def quorum(member, *arguments, code=0):
    done = command("--server", member.grpc, "--output", "json", "quorum", *arguments)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def described(member):
    """{node: role}, and the leader's id."""
    quorum_of_now = quorum(member, "describe")
    return {each["node"]: each["role"] for each in quorum_of_now["members"]}, quorum_of_now["leader"]


def voters(member):
    return sorted(node for node, role in described(member)[0].items() if role != "observer")


def await_observer(member, node):
    def caught_up():
        return any(each["node"] == node and each["role"] == "observer" and each.get("lag") == 0
                   for each in quorum(member, "describe")["members"])
    eventually(caught_up)


def create(member, name):
    member.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name), timeout=20)


def test_a_fourth_voter_is_added_and_others_are_removed(cluster):
    broker = cluster[11]
    roles, leader = described(broker)
    assert roles == {node: "leader" if node == leader else "voter" for node in (1, 2, 3)} | {11: "observer", 12: "observer"}
    assert "no controller" in quorum(broker, "add", "12", code=1)
    assert "does not follow" in quorum(broker, "add", "4", code=1)
    fourth = cluster.add(4, ["controller"])
    cluster.prepare(fourth)
    fourth.restart()
    await_observer(broker, 4)
    assert quorum(broker, "add", "4") == {"added": 4}
    assert voters(broker) == [1, 2, 3, 4]
    assert "voter already" in quorum(broker, "add", "4", code=1)
    # The leader itself goes; what it was asked meanwhile is done by the next one.
    assert quorum(broker, "remove", str(leader)) == {"removed": leader}
    create(broker, "after-the-leader")
    eventually(lambda: described(broker)[1] not in (leader, -1))
    assert leader not in voters(broker)
    # The fourth counts: of three voters it and another one are a majority.
    gone = next(node for node in (1, 2, 3) if node != leader)
    cluster[gone].kill()
    create(broker, "without-one")
    # It is found by its address in the metadata, after a restart of all, too.
    cluster[gone].restart()
    for member in cluster.running():
        member.kill()
    for member in cluster.members.values():
        member.launch()
    for member in cluster.members.values():
        member.await_ready()
    create(broker, "after-a-restart-of-all")
    await_same_metadata(cluster.running())


def test_an_empty_node_finds_a_leader_that_its_settings_do_not_name(cluster):
    fourth = cluster.add(4, ["controller"])
    cluster.prepare(fourth)
    fourth.restart()
    await_observer(cluster[11], 4)
    quorum(cluster[11], "add", "4")
    assert quorum(cluster[11], "transfer", "4") == {"leader": 4}
    late = cluster.add(13, ["broker"])
    cluster.prepare(late)
    assert 4 not in [each.id for each in cluster.controllers]
    late.restart()
    await_same_metadata(cluster.running())


def test_a_voter_that_lost_its_directory_has_no_vote_until_it_is_replaced(cluster):
    # Scenario B8.
    leader = described(cluster[11])[1]
    wiped, other = (node for node in (1, 2, 3) if node != leader)
    cluster[wiped].kill()
    shutil.rmtree(cluster[wiped].data)
    cluster[wiped].format(cluster.id)
    cluster[wiped].restart()
    await_observer(cluster[11], wiped)
    assert "remove that one first" in quorum(cluster[11], "add", str(wiped), code=1)
    # It is no majority together with the leader.
    cluster[other].kill()
    eventually(lambda: cluster[leader].leader() == -1)
    cluster[other].restart()
    eventually(lambda: cluster[11].leader() >= 0)
    quorum(cluster[11], "remove", str(wiped))
    await_observer(cluster[11], wiped)
    quorum(cluster[11], "add", str(wiped))
    cluster[other].kill()
    create(cluster[11], "with-the-new-one")


def test_controllers_that_all_come_back_at_other_addresses_find_each_other(cluster):
    # KAFKA-20427: the voters' addresses in the metadata are of before, and without a quorum nobody can write others. What
    # the settings say of a controller goes before that.
    before = {node: cluster[node].internal for node in (1, 2, 3)}
    create(cluster[11], "before")
    for member in cluster.running():
        member.kill()
    for member in cluster.members.values():
        member.internal_port = free_port()
    for member in cluster.members.values():
        member.configure(cluster.controllers)
        member.launch()
    for member in cluster.members.values():
        member.await_ready()
    assert not {cluster[node].internal for node in (1, 2, 3)} & set(before.values())
    create(cluster[11], "after")
    assert voters(cluster[11]) == [1, 2, 3]
    await_same_metadata(cluster.running())


def test_leadership_is_handed_over_by_command_and_before_a_stop(cluster):
    _, leader = described(cluster[11])
    to = next(node for node in (1, 2, 3) if node != leader)
    assert quorum(cluster[11], "transfer", str(to)) == {"leader": to}
    eventually(lambda: {member.leader() for member in cluster.running()} == {to})
    term = cluster[to].metric("gregor_quorum_term")
    assert cluster[to].metric("gregor_quorum_is_leader") == 1
    assert cluster[to].metric("gregor_quorum_voters") == 3
    eventually(lambda: cluster[to].metric("gregor_quorum_observers") == 2)
    eventually(lambda: cluster[to].metric("gregor_quorum_voter_lag") == 0)
    code, _ = cluster[to].stop()
    assert code == 0
    create(cluster[11], "after-the-stop")
    others = [cluster[node] for node in (1, 2, 3) if node != to]
    assert {member.metric("gregor_quorum_term") for member in others} == {term + 1}
    assert sum(member.metric("gregor_quorum_is_leader") for member in others) == 1


def test_calls_between_nodes_come_by_one_thread_and_all_threads_are_documented(cluster):
    create(cluster.members[11], "orders")  # passed on to the active controller
    for member in cluster.running():
        names = thread_names(member.process.pid)
        assert undocumented(names) == []
        assert names.count("grpc-internal") == 1
