"""Brokers of three real nodes that come, are lost, stop, and are fenced and unregistered by hand."""
import json
import shutil
import subprocess
import time

import pytest
from gregor.v1 import cluster_pb2, topic_pb2
from node import Exited, command, eventually, fails
from quorum import Loopback, Quorum, QuorumNode, format_all

# Far longer than any test takes: who is fenced is fenced for its lost connection.
SESSION_TIMEOUT = "60s"
# On a machine that does other things at the same time; alone it takes less than one second.
FENCED_SECONDS_MAX = 10


@pytest.fixture
def quorum(tmp_path):
    nodes = Quorum(tmp_path, [Loopback() for _ in range(3)], broker={"session_timeout": SESSION_TIMEOUT})
    for node in nodes.nodes:
        node.launch()
    for node in nodes.nodes:
        node.await_ready()
    yield nodes
    nodes.end()


def served_by(node):
    """Ids of the brokers that clients are told of."""
    return [broker.broker_id for broker in node.cluster.GetMetadata(cluster_pb2.GetMetadataRequest(), timeout=10).brokers]


def states(node):
    """{id: how the broker is}, with fenced ones."""
    answer = node.cluster.DescribeCluster(cluster_pb2.DescribeClusterRequest(include_fenced=True), timeout=10)
    return {broker.broker_id: state for broker, state in zip(answer.brokers, answer.states, strict=True)}


def fence(node, broker, fenced):
    node.cluster.SetBrokerFence(cluster_pb2.SetBrokerFenceRequest(broker_id=broker, fenced=fenced), timeout=20)


def unregister(node, broker):
    node.cluster.UnregisterBroker(cluster_pb2.UnregisterBrokerRequest(broker_id=broker), timeout=20)


def gregor(node, *arguments, code=0):
    ran = command("--server", node.grpc, *arguments, stdin=subprocess.DEVNULL)
    assert ran.returncode == code, (arguments, ran.returncode, ran.stdout, ran.stderr)
    return ran


def refused_start(node, seconds):
    """The one line with which it refuses to start."""
    began = time.monotonic()
    with pytest.raises(Exited) as refused:
        node.start()
    assert time.monotonic() - began < seconds
    assert refused.value.code > 0
    lines = [line for line in refused.value.stderr.splitlines() if line.startswith("gregor: ")]
    assert len(lines) == 1, refused.value.stderr
    return lines[0]


def await_brokers(node, ids, seconds=30):
    eventually(lambda: served_by(node) == ids, seconds=seconds)


def test_a_broker_that_was_killed_is_soon_fenced_and_hidden_and_comes_back(quorum, capsys):
    first, _, third = quorum.nodes
    await_brokers(first, [1, 2, 3])
    epoch = states(first)[3].broker_epoch
    began = time.monotonic()
    third.kill()
    await_brokers(first, [1, 2], seconds=FENCED_SECONDS_MAX)
    with capsys.disabled():
        print(f"\nfenced {time.monotonic() - began:.2f} s after kill -9")
    assert not states(first)[3].fenced_by_hand
    assert first.metric("gregor_brokers_fenced") == 1
    assert first.metric("gregor_brokers_registered") == 3
    third.start()
    await_brokers(first, [1, 2, 3])
    assert states(first)[3].broker_epoch > epoch
    assert first.metric("gregor_brokers_fenced") == 0
    # The logs tell of it.
    told = quorum.nodes[1].log.read_text()
    assert told.count("Broker 3 is fenced: it is not heard of") == 1
    assert told.count("Broker 3 registered with epoch") == 2
    for node in quorum.nodes:
        assert "active controller, in term" in node.log.read_text()


def test_what_only_a_lost_broker_has_is_served_by_nobody_until_it_is_back(quorum):
    first, _, third = quorum.nodes
    await_brokers(first, [1, 2, 3])
    first.create("numbers", partitions=6)
    held = {number: broker.leads for number, broker in states(first).items()}
    assert sum(held.values()) == 6 and held[3] > 0, held
    assert first.metric("gregor_partitions_without_leader") == 0
    third.kill()
    eventually(lambda: first.metric("gregor_partitions_without_leader") == held[3], seconds=30)
    third.start()
    eventually(lambda: first.metric("gregor_partitions_without_leader") == 0, seconds=30)
    assert states(first)[3].leads == held[3]


def test_a_fence_by_hand_stays_over_a_restart(quorum):
    first, second, _ = quorum.nodes
    await_brokers(first, [1, 2, 3])
    assert "fenced broker 2" in gregor(first, "broker", "fence", "2").stdout
    await_brokers(second, [1, 3])
    eventually(lambda: second.metric("gregor_broker_fenced") == 1)
    second.stop()
    second.start()
    assert states(second)[2].fenced_by_hand
    assert served_by(second) == [1, 3]
    rows = {row["broker"]: row for row in json.loads(gregor(second, "--output", "json", "broker", "list").stdout)}
    assert {number: row["state"] for number, row in rows.items()} == {1: "active", 2: "fenced by hand", 3: "active"}
    gregor(second, "broker", "unfence", "2")
    await_brokers(second, [1, 2, 3])
    assert json.loads(gregor(second, "--output", "json", "broker", "describe", "2").stdout)["state"] == "active"


def test_a_fence_that_takes_partitions_away_is_confirmed(quorum):
    first, _, third = quorum.nodes
    await_brokers(first, [1, 2, 3])
    first.create("numbers", partitions=6)
    refused = gregor(first, "broker", "fence", "3", code=2)
    assert "--yes" in refused.stderr and "nothing was done" in refused.stderr
    assert served_by(first) == [1, 2, 3]
    gregor(first, "broker", "fence", "3", "--yes")
    await_brokers(third, [1, 2])
    assert first.metric("gregor_partitions_without_leader") > 0
    gregor(first, "broker", "unfence", "3")
    eventually(lambda: first.metric("gregor_partitions_without_leader") == 0, seconds=30)


def test_a_drained_broker_leads_only_what_nobody_else_can(quorum):
    first, second, third = quorum.nodes
    await_brokers(first, [1, 2, 3])

    def create(name, *replicas):
        assignment = [topic_pb2.CreateTopicRequest.ReplicaAssignment(partition=number, broker_ids=each)
                      for number, each in enumerate(replicas)]
        first.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, assignment=assignment), timeout=20)

    def leaders(name):
        answer = third.cluster.GetMetadata(cluster_pb2.GetMetadataRequest(topics=[name]), timeout=10)
        return [partition.leader_id for partition in answer.topics[0].partitions]

    create("shared", [2, 1, 3], [2, 3, 1], [1, 2, 3])
    create("alone", [2], [3])
    drained = json.loads(gregor(first, "--output", "json", "broker", "drain", "2").stdout)
    assert (drained["moved"], drained["kept"]) == (2, 1)
    rows = {(row["topic"], row["partition"]): row for row in drained["partitions"]}
    assert {key: row["leader"] for key, row in rows.items()} == {("shared", 0): 1, ("shared", 1): 3, ("alone", 0): 2}
    assert rows["shared", 0]["result"] == rows["shared", 1]["result"] == "moved"
    assert "no other replica" in rows["alone", 0]["result"]
    eventually(lambda: leaders("shared") == [1, 3, 1])
    # It serves what it keeps, and everything that it has is in sync.
    assert served_by(third) == [1, 2, 3]
    eventually(lambda: states(third)[2].drained and states(third)[2].leads == 1)
    second.produce("alone", [b"x"], partition=0)
    # Once more: there is nothing left to move.
    again = gregor(third, "broker", "drain", "2").stdout
    assert "drained broker 2: 0 partitions moved, 1 it leads on" in again and "no other replica" in again
    # New partitions are led by others, also after a restart.
    second.stop()
    eventually(lambda: json.loads(gregor(first, "--output", "json", "broker", "describe", "2").stdout)["state"] == "fenced, drained")
    second.start()
    await_brokers(first, [1, 2, 3])
    assert json.loads(gregor(second, "--output", "json", "broker", "describe", "2").stdout)["state"] == "drained"
    first.create("more", partitions=12)
    eventually(lambda: sorted(set(leaders("more"))) == [1, 3])
    refused = gregor(first, "partition", "elect", "shared", "--partition", "2", "--to", "2", code=1)
    assert "is drained" in refused.stdout + refused.stderr
    gregor(first, "broker", "undrain", "2")
    assert not states(first)[2].drained
    gregor(first, "partition", "elect", "alone", "--partition", "1")
    assert "BROKER_ID_NOT_REGISTERED" in gregor(first, "broker", "drain", "9", code=1).stderr


def test_a_node_that_is_told_to_stop_goes_in_peace(quorum):
    first, second, third = quorum.nodes
    await_brokers(first, [1, 2, 3])
    code, seconds = second.stop()
    assert code == 0
    assert seconds < 15
    await_brokers(third, [1, 3])
    first.create("orders")
    second.start()
    await_brokers(first, [1, 2, 3])


def test_only_a_dead_broker_without_replicas_is_forgotten(quorum):
    first, _, third = quorum.nodes
    await_brokers(first, [1, 2, 3])
    with fails("POLICY_VIOLATION") as refused:
        unregister(first, 3)
    assert "is running" in refused.error.details()
    first.create("numbers", partitions=6)
    third.kill()
    await_brokers(first, [1, 2])
    with fails("POLICY_VIOLATION") as refused:
        unregister(first, 3)
    assert "replicas" in refused.error.details()
    gregor(first, "topic", "delete", "numbers")
    assert "unregistered broker 3" in gregor(first, "broker", "unregister", "3").stdout
    assert sorted(states(first)) == [1, 2]
    assert "BROKER_ID_NOT_REGISTERED" in gregor(first, "broker", "describe", "3", code=1).stderr
    with fails("BROKER_ID_NOT_REGISTERED"):
        unregister(first, 3)
    # Its node may come again.
    third.start()
    await_brokers(first, [1, 2, 3])


def test_a_second_process_with_a_node_id_is_refused_and_the_first_goes_on(quorum, tmp_path):
    # Scenario B10.
    first, _, third = quorum.nodes
    await_brokers(first, [1, 2, 3])
    epoch = states(first)[3].broker_epoch
    terms = [node.metric("gregor_quorum_term") for node in quorum.nodes]
    twin = QuorumNode(3, tmp_path / "twin", Loopback())
    twin.configure(quorum.controllers)
    format_all([twin], quorum.cluster_id)
    told = refused_start(twin, seconds=5)
    assert "another process runs as node 3" in told and third.address("internal") in told
    # A copy of the first one's directory is no other node either.
    shutil.copy(third.data / "meta.properties", twin.data)
    told = refused_start(twin, seconds=5)
    assert "another process runs as node 3" in told and third.address("internal") in told
    assert third.is_up()
    assert served_by(third) == [1, 2, 3]
    assert states(third)[3].broker_epoch == epoch
    assert [node.metric("gregor_quorum_term") for node in quorum.nodes] == terms
    third.create("orders")


def test_a_second_process_with_the_node_id_of_a_broker_is_refused_where_no_setting_names_it(quorum, tmp_path):
    # Scenario B10.
    first = quorum.nodes[0]
    await_brokers(first, [1, 2, 3])

    def broker(name):
        node = QuorumNode(9, tmp_path / name, Loopback())
        # The patience of one that starts is one and a half session timeouts, of its own settings.
        node.configure(quorum.controllers, roles=["broker"], broker={"session_timeout": "4s"})
        format_all([node], quorum.cluster_id)
        return node

    ninth, twin = broker("ninth"), broker("twin")
    try:
        ninth.start()
        epoch = states(first)[9].broker_epoch
        told = refused_start(twin, seconds=15)
        assert "another process runs as broker 9" in told and ninth.grpc in told
        assert ninth.is_up()
        assert served_by(ninth) == [1, 2, 3, 9]
        assert states(ninth)[9].broker_epoch == epoch
        ninth.create("orders")
    finally:
        ninth.end()
        twin.end()


def test_one_that_waits_for_its_registration_stops_at_once(quorum, tmp_path):
    brokers = [QuorumNode(9, tmp_path / name, Loopback()) for name in ("ninth", "twin")]
    ninth, twin = brokers
    try:
        for node in brokers:
            node.configure(quorum.controllers, roles=["broker"], broker={"session_timeout": SESSION_TIMEOUT})
            format_all([node], quorum.cluster_id)
        ninth.start()
        twin.launch()
        eventually(lambda: "another process runs as broker 9" in twin.log.read_text(), seconds=30)
        code, seconds = twin.stop()
        assert code == 0 and seconds < 5
        assert "Stopped before it served" in twin.log.read_text()
        assert ninth.is_up()
    finally:
        for node in brokers:
            node.end()
