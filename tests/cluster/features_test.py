"""The feature level of a cluster: shown, raised once every node supports it, lowered again."""
import json

import pytest
from node import command
from processes import Cluster, await_same_metadata

from gregor.v1 import topic_pb2

NODES = {1: ["controller"], 2: ["controller"], 3: ["controller"], 11: ["broker"]}


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, NODES)
    for member in cluster.members.values():
        member.configure(cluster.controllers)
        member.format(cluster.id, "--feature-level", "1")
    cluster.start()
    yield cluster
    cluster.end()


def features(member, *arguments, code=0):
    done = command("--server", member.grpc, "--output", "json", "cluster", "features", *arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout) if code == 0 else done.stderr


def create(member, name):
    member.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name), timeout=20)


def test_the_level_is_raised_once_every_node_supports_it_and_lowered_again(cluster):
    # Scenario C14, with a controller that is down; of brokers in tests/controller/feature_operations_test.cc.
    members = list(cluster.members.values())
    broker, third = cluster[11], cluster[3]
    shown = {"name": "metadata", "finalized": 1, "min_supported": 1, "max_supported": 2, "controllers_not_known": []}
    for member in members:
        assert features(member) == [shown]
    table = command("--server", broker.grpc, "cluster", "features").stdout.splitlines()
    assert table[0].split() == ["NAME", "FINALIZED", "SUPPORTED", "BY", "EVERY", "NODE"]
    assert table[1].split() == ["metadata", "1", "1", "to", "2"]
    create(broker, "before")

    third.kill()
    refused = features(broker, "upgrade", code=1)
    assert "FEATURE_UPDATE_FAILED" in refused and "controller 3 is not connected" in refused, refused
    assert features(broker)[0]["controllers_not_known"] == [3]
    third.restart()
    assert "upgrade" in features(broker, "downgrade", "--level", "2", code=2)
    assert features(broker, "upgrade", "--validate-only")["finalized"] == 2
    assert features(broker)[0]["finalized"] == 1
    assert features(broker, "upgrade") == {"name": "metadata", "before": 1, "finalized": 2, "validate_only": False}
    await_same_metadata(members)
    for member in members:
        assert features(member)[0]["finalized"] == 2
    assert features(broker, "upgrade") == {"name": "metadata", "before": 2, "finalized": 2, "validate_only": False}
    assert "there is no feature level 9" in features(broker, "upgrade", "--level", "9", code=2)

    # Over restarts of all, and back.
    for member in reversed(members):
        member.kill()
    cluster.start()
    assert features(broker)[0]["finalized"] == 2
    create(broker, "after")
    assert "--level is required" in features(broker, "downgrade", code=2)
    assert features(broker, "downgrade", "--level", "1")["finalized"] == 1
    await_same_metadata(members)
    assert {features(member)[0]["finalized"] for member in members} == {1}
    create(broker, "back")
    assert len(cluster[1].topics.ListTopics(topic_pb2.ListTopicsRequest()).topics) == 3
