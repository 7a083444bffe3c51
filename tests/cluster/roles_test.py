"""Controllers that are no brokers, and brokers that are no controllers."""
import json
import time

import pytest
from node import command, eventually, fails
from processes import Cluster, await_same_metadata

from gregor.v1 import cluster_pb2, config_pb2, topic_pb2

SNAPSHOT_TAKEN = "took the place of the log"
ROLES = {1: ["controller"], 2: ["controller"], 3: ["controller"], 11: ["broker"], 12: ["broker"]}


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, ROLES)
    yield cluster
    cluster.end()


def create(member, name, **fields):
    return member.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, **fields), timeout=20).topic


def brokers(member):
    described = member.cluster.DescribeCluster(cluster_pb2.DescribeClusterRequest(include_fenced=True), timeout=10)
    return [broker.broker_id for broker in described.brokers]


def test_only_brokers_get_partitions_and_any_node_takes_admin_calls(cluster):
    cluster.prepare()
    cluster.start()
    members = list(cluster.members.values())
    for member in members:
        name = f"made-by-{member.id}"
        topic = create(member, name, partitions=4)
        assert {partition.leader_id for partition in topic.partitions} <= {11, 12}
        assert [each.topic for each in member.topics.ListTopics(topic_pb2.ListTopicsRequest(prefix=name)).topics] == [name]
    await_same_metadata(members)
    for member in members:
        assert brokers(member) == [11, 12]
        assert len(member.topics.ListTopics(topic_pb2.ListTopicsRequest()).topics) == len(members)
    assert not (cluster[1].data / "topics").exists()
    assert not cluster[1].cluster.DescribeLogDirs(cluster_pb2.DescribeLogDirsRequest(), timeout=10).log_dirs
    # The command asks the brokers themselves.
    shown = command("--server", cluster[1].grpc, "--output", "json", "cluster", "log-dirs")
    assert [row["broker"] for row in json.loads(shown.stdout)] == [11, 12] and shown.returncode == 0, shown
    # More replicas than brokers: controllers do not count.
    with fails("INVALID_REPLICATION_FACTOR"):
        create(cluster[1], "too-many", replication_factor=3)
    # Data: the brokers have it, a controller names who.
    topic = create(cluster[11], "data", partitions=2)
    await_same_metadata(members)
    for partition in topic.partitions:
        leader = cluster[partition.leader_id]
        leader.produce("data", [b"one"], partition=partition.partition)
        assert leader.read("data", partition.partition) == [(0, b"one")]
        with fails("NOT_LEADER") as refused:
            cluster[2].produce("data", [b"two"], partition=partition.partition)
        assert str(leader.grpc.rsplit(":", 1)[1]) in str(refused.error.trailing_metadata())
    # Brokers first: without a majority of the controllers nobody lets them go.
    for member in reversed(members):
        code, _ = member.stop()
        assert code == 0


def test_the_command_finds_the_only_broker_by_a_controller(cluster):
    controllers, broker = [cluster[1], cluster[2], cluster[3]], cluster[11]
    cluster.prepare(*controllers, broker)
    cluster.start(*controllers, broker)
    create(broker, "orders")
    await_same_metadata(cluster.running())
    for number, member in enumerate(controllers):
        assert command("--server", member.grpc, "produce", "orders", input=f"{number}\n").returncode == 0
        read = command("--server", member.grpc, "consume", "orders", "--from", "earliest", "--exit-at-end")
        assert read.stdout.split() == ["0", "1", "2"][:number + 1], read
    eventually(lambda: broker.calls("FetchService/FetchStream") == 3)
    # Nobody asked them for what they do not have, to be sent on.
    assert [member.calls(f"{method}Service/{method}Stream") for member in controllers for method in ("Produce", "Fetch")] == [0] * 6


def test_the_only_broker_may_be_the_active_controller_too(tmp_path):
    cluster = Cluster(tmp_path, {1: ["controller", "broker"], 2: ["controller"], 3: ["controller"]})
    try:
        cluster.prepare()
        cluster.start()
        eventually(lambda: command("--server", cluster[1].grpc, "quorum", "transfer", "1").returncode == 0)
        create(cluster[1], "orders")
        await_same_metadata(cluster.running())
        eventually(lambda: cluster[2].leader() == 1)
        assert command("--server", cluster[2].grpc, "produce", "orders", input="a\nb\n").returncode == 0
        read = command("--server", cluster[3].grpc, "consume", "orders", "--from", "earliest", "--exit-at-end")
        assert read.stdout.split() == ["a", "b"], read
    finally:
        cluster.end()


def test_a_broker_joins_late_and_comes_back_on_another_port(cluster):
    cluster.prepare(cluster[1], cluster[2], cluster[3], cluster[11])
    cluster.start(cluster[1], cluster[2], cluster[3], cluster[11])
    for number in range(20):
        create(cluster[1], f"topic-{number}")
    late = cluster[12]
    cluster.prepare(late)
    late.restart()
    assert len(late.topics.ListTopics(topic_pb2.ListTopicsRequest()).topics) == 20
    # Its address is in no setting of the controllers.
    late.kill()
    late.internal_port += 1
    late.configure(cluster.controllers)
    late.restart()
    await_same_metadata(cluster.running())
    # A new leader pushes to it, too.
    leader = cluster[next(member for member in cluster.controllers).leader()]
    leader.kill()
    others = [member for member in cluster.controllers if member.process is not None]
    create(late, "made-with-the-next-leader")
    await_same_metadata([*others, late, cluster[11]])


def test_a_broker_that_is_too_far_behind_gets_a_snapshot(cluster):
    # Scenario B14.
    often = {"quorum": "{snapshot_bytes: 64KiB, segment_bytes: 64KiB}"}
    cluster.prepare(**often)
    cluster.start()
    leader, late = cluster[cluster[1].leader()], cluster[12]
    create(leader, "before")
    await_same_metadata(cluster.running())
    late.kill()
    # Two snapshots before the log is trimmed.
    number, began = 0, time.monotonic()
    while not trimmed(leader):
        assert time.monotonic() < began + 60, "the metadata log is never trimmed"
        create(leader, f"large-{number}", partitions=1000)
        leader.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic=f"large-{number}"), timeout=20)
        number += 1
    create(leader, "kept")
    assert SNAPSHOT_TAKEN not in late.log.read_text()
    late.restart()
    await_same_metadata(cluster.running())
    assert topics(late) == ["before", "kept"]
    assert late.log.read_text().count(SNAPSHOT_TAKEN) == 1
    # From there on it follows the log, also after a restart.
    create(leader, "later")
    await_same_metadata(cluster.running())
    assert topics(late) == ["before", "kept", "later"]
    late.kill()
    late.restart()
    await_same_metadata(cluster.running())
    assert late.log.read_text().count(SNAPSHOT_TAKEN) == 1
    # One that has nothing yet gets there in the same way.
    new = cluster.add(13, ["broker"])
    cluster.prepare(new, **often)
    new.restart()
    await_same_metadata(cluster.running())
    assert topics(new) == ["before", "kept", "later"] and SNAPSHOT_TAKEN in new.log.read_text()


def topics(member):
    return [each.topic for each in member.topics.ListTopics(topic_pb2.ListTopicsRequest()).topics]


def trimmed(member):
    return "the log begins at offset" in member.log.read_text()


def test_one_role_alone_needs_controllers(tmp_path):
    for role in ("controller", "broker"):
        refused = command("server", "--data-dir", str(tmp_path / "data"), "--roles", role)
        assert refused.returncode == 2
        assert "key \"roles\"" in refused.stderr and "controllers" in refused.stderr
    refused = command("server", "--data-dir", str(tmp_path / "data"), "--roles", "broker", "--node-id", "1",
                      "--controllers", "1@127.0.0.1:9")
    assert refused.returncode == 2 and "is named in `controllers`" in refused.stderr


def test_a_controllers_configs_can_be_read_anywhere(cluster):
    cluster.prepare()
    cluster.start()
    resource = config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_BROKER, name="11")
    answer = cluster[3].configs.DescribeConfigs(config_pb2.DescribeConfigsRequest(resources=[resource]), timeout=10)
    assert not answer.results[0].HasField("error")
    eventually(lambda: cluster[1].page("/ready")[0] == 200)
