"""Rules, users and quotas on three real nodes: made on one, listed on all, and there after whatever happens."""
import json
import re
import shutil

import grpc
import pytest
from node import command, eventually, fails
from processes import Cluster, await_same_metadata

from gregor.v1 import config_pb2, config_pb2_grpc, security_pb2, security_pb2_grpc, topic_pb2

COMBINED = {1: ["controller", "broker"], 2: ["controller", "broker"], 3: ["controller", "broker"]}


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, COMBINED)
    cluster.prepare(quorum="{snapshot_bytes: 64KiB, segment_bytes: 64KiB}")
    cluster.start()
    yield cluster
    cluster.end()


def gregor(member, *arguments, code=0, **options):
    done = command("--server", member.grpc, "--output", "json", *arguments, **options)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done


def listed(member, *arguments):
    return json.loads(gregor(member, *arguments).stdout)


def everything(member):
    return {kind: listed(member, kind, "list") for kind in ("acl", "user", "quota")}


def make_some(member):
    gregor(member, "acl", "create", "--allow", "User:alice", "--operation", "read,describe", "--topic", "orders")
    gregor(member, "user", "set", "alice", input="pencil\n")
    gregor(member, "quota", "set", "--user", "alice", "producer_byte_rate=1024", "request_percentage=12.5")


def test_what_one_node_was_told_all_list(cluster):
    make_some(cluster[2])
    await_same_metadata(cluster.running())
    expected = everything(cluster[1])
    assert [(each["principal"], each["operation"], each["name"], each["host"]) for each in expected["acl"]] == [
        ("User:alice", "read", "orders", "*"), ("User:alice", "describe", "orders", "*")]
    assert expected["user"] == [{"user": "alice", "mechanism": "scram-sha-512", "iterations": 8192}]
    assert [(each["user"], each["quota"], each["value"]) for each in expected["quota"]] == [
        ("alice", "producer_byte_rate", 1024.0), ("alice", "request_percentage", 12.5)]
    assert everything(cluster[2]) == everything(cluster[3]) == expected
    # Told again, nothing is written; the state's hash is, about a second after a controller is elected.
    version = cluster[1].metric("gregor_metadata_version")
    gregor(cluster[3], "acl", "create", "--allow", "User:alice", "--operation", "read", "--topic", "orders")
    gregor(cluster[3], "quota", "set", "--user", "alice", "producer_byte_rate=1024")
    await_same_metadata(cluster.running())
    cluster[1].kill()
    lines = command("metadata", "dump", "--json", str(cluster[1].data)).stdout.splitlines()
    records = [line for line in map(json.loads, lines) if "record" in line]
    assert len(records) >= version
    later = [record["record"] for record in records if record["offset"] >= version]
    assert [record for record in later if "state_hash" not in record] == []


def test_it_survives_leaders_restarts_and_snapshots(cluster):
    make_some(cluster[1])
    expected = everything(cluster[1])
    leader = cluster[cluster[1].leader()]
    leader.kill()
    others = cluster.running()
    eventually(lambda: others[0].leader() not in (-1, leader.id))
    assert everything(others[0]) == everything(others[1]) == expected
    gregor(others[0], "acl", "create", "--deny", "User:*", "--operation", "all", "--cluster")
    expected = everything(others[0])
    leader.restart()
    await_same_metadata(cluster.running())
    assert everything(leader) == expected
    # All of them at once, from their image stores.
    for member in cluster.members.values():
        member.kill()
    cluster.start()
    await_same_metadata(cluster.running())
    for member in cluster.running():
        assert everything(member) == expected
    # Until the log no longer has the records, and only snapshots do.
    for number in range(150):
        if all("the log begins at offset" in member.log.read_text() for member in cluster.running()):
            break
        name = f"large-{number}"
        cluster[1].topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, partitions=1000), timeout=20)
        cluster[1].topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic=name), timeout=20)
    else:
        pytest.fail("the metadata log is never trimmed")
    await_same_metadata(cluster.running())
    last = cluster[3]
    last.kill()
    shutil.rmtree(last.data / "metadata" / "image", ignore_errors=True)  # written a second after a start
    last.restart()
    await_same_metadata(cluster.running())
    assert everything(last) == expected


def test_rules_users_and_quotas_go(cluster):
    make_some(cluster[1])
    assert "would go" in command("--server", cluster[2].grpc, "acl", "delete", "--all", "--validate-only").stdout
    gone = listed(cluster[2], "acl", "delete", "--topic", "orders", "--operation", "read")
    assert [each["operation"] for each in gone] == ["read"]
    gregor(cluster[2], "acl", "delete", code=2)
    gregor(cluster[3], "user", "delete", "alice", "--mechanism", "scram-sha-256", code=1)
    gregor(cluster[3], "user", "delete", "alice")
    assert "USER_NOT_FOUND" in gregor(cluster[3], "user", "delete", "alice", code=1).stderr
    gregor(cluster[1], "quota", "delete", "--user", "alice", "request_percentage")
    assert [each["quota"] for each in listed(cluster[1], "quota", "list")] == ["producer_byte_rate"]
    gregor(cluster[1], "quota", "delete", "--user", "alice")
    gregor(cluster[1], "quota", "delete", "--user", "alice", code=1)
    await_same_metadata(cluster.running())
    assert [each["operation"] for each in listed(cluster[3], "acl", "list")] == ["describe"]
    assert listed(cluster[3], "user", "list") == listed(cluster[3], "quota", "list") == []


def test_passwords_stay_secret(cluster, tmp_path):
    (tmp_path / "password").write_text("correct horse\nbattery\n")
    set_ = gregor(cluster[1], "user", "set", "bob", "--password-file", str(tmp_path / "password"),
                  "--mechanism", "scram-sha-256", "--iterations", "4096")
    assert "nobody has to log in" in set_.stderr
    refused = gregor(cluster[1], "user", "set", "eve", input="pass\tword\n", code=1)
    assert "UNACCEPTABLE_CREDENTIAL" in refused.stderr and "pass" not in refused.stderr.replace("the password", "")
    for member in cluster.running():
        member.stop()
    for member in cluster.members.values():
        dumped = command("metadata", "dump", str(member.data))
        assert dumped.returncode == 0, dumped.stderr
        assert re.search(r'user_credential: \{user: "bob".*stored_key: "<secret>"', dumped.stdout)
        for text in (dumped.stdout, member.log.read_text()):
            assert "correct horse" not in text


def test_the_api_refuses_what_makes_no_sense(cluster):
    with grpc.insecure_channel(cluster[1].grpc) as channel:
        security, configs = security_pb2_grpc.SecurityServiceStub(channel), config_pb2_grpc.ConfigServiceStub(channel)
        acl = security_pb2.Acl(resource=security_pb2.ACL_RESOURCE_TOPIC, name="orders", principal="User:alice",
                               operation=security_pb2.ACL_OPERATION_CLUSTER_ACTION)
        with fails("INVALID_ARGUMENT"):
            security.CreateAcls(security_pb2.CreateAclsRequest(acls=[acl]), timeout=10)
        with fails("INVALID_ARGUMENT"):
            security.DeleteAcls(security_pb2.DeleteAclsRequest(), timeout=10)
        with fails("UNACCEPTABLE_CREDENTIAL"):
            security.UpsertUser(security_pb2.UpsertUserRequest(user="a\nb", password="pencil"), timeout=10)
        # On the broker's own machine a password is taken.
        security.UpsertUser(security_pb2.UpsertUserRequest(user="carol", password="pencil"), timeout=10)
        assert [each["user"] for each in listed(cluster[2], "user", "list")] == ["carol"]
        alteration = config_pb2.AlterQuotasRequest.Alteration(entity=config_pb2.QuotaEntity(user="", ip="::1"))
        answer = configs.AlterQuotas(config_pb2.AlterQuotasRequest(alterations=[alteration]), timeout=10)
        assert "for nothing else" in answer.results[0].message
