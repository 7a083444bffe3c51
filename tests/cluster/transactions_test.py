"""Operations of many records, most of them metadata transactions, while the active controller is killed: all of each, or nothing.
GREGOR_LONG=1: more rounds."""
import json
import os
import random
import threading
import time

import grpc
import metadata_checks
import pytest
from node import command, eventually
from quorum import Loopback, Quorum, connect, outcome
from gregor.v1 import cluster_pb2, cluster_pb2_grpc, security_pb2, security_pb2_grpc, topic_pb2, topic_pb2_grpc, types_pb2

LONG = os.environ.get("GREGOR_LONG") == "1"
ROUNDS = 25 if LONG else 6
PARTITIONS = 10_000
ITEMS = 1000  # that one call may name


@pytest.fixture
def quorum(tmp_path):
    quorum = Quorum(tmp_path, [Loopback() for _ in range(3)])
    quorum.start()
    yield quorum
    quorum.end()


class Call:
    """A call, `send(channel)`, that is on its way: asked of one node, once."""

    def __init__(self, node, send):
        self.channel = connect(node.grpc)
        self.answer = self.error = self.seconds = None
        self.thread = threading.Thread(target=self._run, args=(send,))
        self.thread.start()

    def _run(self, send):
        began = time.monotonic()
        try:
            self.answer = send(self.channel)
        except grpc.RpcError as error:
            self.error = error
        self.seconds = time.monotonic() - began

    def is_on_its_way(self):
        return self.seconds is None

    def end(self, before, after):
        """What may be there by now, of what was there before it and what it is to make of it."""
        self.thread.join()
        self.channel.close()
        if self.error is None:
            return {after}
        return {before} if outcome(self.error) == "NOT_APPLIED" else {before, after}


def creation(node, name):
    """A topic of 10 000 partitions that is being made."""
    request = topic_pb2.CreateTopicRequest(topic=name, partitions=PARTITIONS, replication_factor=3)
    return Call(node, lambda channel: topic_pb2_grpc.TopicServiceStub(channel).CreateTopic(request, timeout=20))


def counts(node):
    request = topic_pb2.ListTopicsRequest()
    request.page.page_size = 1000
    answer = node.topics.ListTopics(request, timeout=20)
    assert not answer.next_page_token
    return {topic.topic: topic.partition_count for topic in answer.topics}


def bounds(dump, kind):
    return [line["offset"] for line in dump if kind in line.get("record", {})]


def partitions(dump):
    """{topic id: partitions} of the image that a dump ends with."""
    found = {}
    for line in dump:
        run = line.get("image_record", {}).get("partitions")
        if run is not None:
            found[run["topic_id"]] = found.get(run["topic_id"], 0) + len(run["partitions"])
    return found


def test_killing_the_active_controller_leaves_large_topics_whole_or_not_there(quorum, capsys):
    chance = random.Random(1)
    allowed = {}
    for number in range(ROUNDS):
        leader = quorum.leader()
        asked = chance.choice(quorum.nodes)
        making = creation(asked, f"wide-{number}")
        # From before it comes there until after it is done.
        time.sleep(chance.uniform(0, 0.15))
        leader.process.kill()
        leader.await_end()
        leader.start()
        allowed[f"wide-{number}"] = making.end(0, PARTITIONS)
        quorum.leader()
        # Others go on making topics.
        quorum.nodes[number % 3].create(f"small-{number}", 3, request_id=f"small-{number}")
        allowed[f"small-{number}"] = {3}
    quorum.await_level()
    for node in quorum.nodes:
        seen = counts(node)
        assert set(seen) <= set(allowed), node.number
        for name, may_be in allowed.items():
            assert seen.get(name, 0) in may_be, (node.number, name)
    quorum.kill()
    dumps = quorum.dump()
    assert metadata_checks.check_dumps(dumps) == []
    dump = dumps["node 1"]
    begun, ended, aborted = (bounds(dump, f"{kind}_transaction") for kind in ("begin", "end", "abort"))
    assert begun and len(begun) == len(ended) + len(aborted)
    assert set(partitions(dump).values()) <= {3, PARTITIONS}
    with capsys.disabled():
        print(f"\n{ROUNDS} kills: {len(ended)} transactions ended, {len(aborted)} aborted, "
              f"{sum(may_be == {0, PARTITIONS} for may_be in allowed.values())} outcomes unknown")


def test_a_large_topic_is_there_within_a_second_and_its_past_can_be_seen(quorum, capsys):
    leader = quorum.leader()
    making = creation(leader, "wide")
    assert making.end(0, PARTITIONS) == {PARTITIONS}, making.error
    with capsys.disabled():
        print(f"\na topic of {PARTITIONS} partitions: {making.seconds:.3f} s")
    quorum.await_level()
    leader.stop()
    # The leader's stop may be one, too: others lead what it led.
    begin = bounds(leader.dump(), "begin_transaction")[0]
    inside = command("metadata", "at", str(leader.data), str(begin + 3))
    assert inside.returncode == 0, inside.stderr
    assert f"records begin at offset {begin} is not complete there" in inside.stdout
    assert ": 0 topics, 0 partitions, 3 brokers" in inside.stdout
    ran = command("--output", "json", "metadata", "diff", str(leader.data), str(begin))
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[0]["from"]["offset"] <= begin
    (topic,) = [line for line in lines if line.get("type") == "topic"]
    assert (topic["change"], topic["name"]) == ("added", "wide")
    assert topic["fields"]["partition_count"] == {"after": PARTITIONS}


class AddedPartitions:
    """A topic that grows from 10 partitions to 10 000."""

    counts = (10, PARTITIONS)

    def __init__(self, node, name):
        self.name = name
        node.create(name, self.counts[0], request_id=name)

    def send(self, channel):
        request = topic_pb2.AddPartitionsRequest(topic=self.name, total_partitions=PARTITIONS)
        return topic_pb2_grpc.TopicServiceStub(channel).AddPartitions(request, timeout=20)

    def count(self, node):
        request = topic_pb2.GetTopicRequest(topic=self.name)
        request.page.page_size = 1
        return node.topics.GetTopic(request, timeout=20).topic.partition_count


class Reassignment:
    """A thousand partitions that are told to move from node 1 to node 2."""

    counts = (0, ITEMS)

    def __init__(self, node, name):
        self.name = name
        # Known in time to a node that is asked right afterwards, also where it was just started.
        assignment = [topic_pb2.CreateTopicRequest.ReplicaAssignment(partition=number, broker_ids=[1]) for number in range(ITEMS)]
        eventually(lambda: node.brokers() == [1, 2, 3], seconds=20)
        node.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, assignment=assignment, request_id=name), timeout=20)

    def send(self, channel):
        request = cluster_pb2.ReassignPartitionsRequest(reassignments=[
            cluster_pb2.ReassignPartitionsRequest.Reassignment(
                partition=types_pb2.TopicPartition(topic=self.name, partition=number), replicas=[2]) for number in range(ITEMS)])
        answer = cluster_pb2_grpc.ClusterServiceStub(channel).ReassignPartitions(request, timeout=20)
        # Who was just killed gets nothing: of a refusal there is one kind.
        assert len({result.code for result in answer.results}) == 1, answer
        return answer

    def count(self, node):
        request = cluster_pb2.ListReassignmentsRequest()
        request.page.page_size = 5000
        running = []
        while True:
            answer = node.cluster.ListReassignments(request, timeout=20)
            running += [each for each in answer.reassignments if each.partition.topic == self.name]
            if not answer.next_page_token:
                break
            request.page.page_token = answer.next_page_token
        assert all((list(each.adding), list(each.removing)) == ([2], [1]) for each in running)
        return len(running)


class Rules:
    """A thousand rules of who may do what, about a megabyte of them."""

    counts = (0, ITEMS)

    def __init__(self, _, name):
        self.principal = f"User:{name}-" + "x" * 400

    def send(self, channel):
        rules = [security_pb2.Acl(resource=security_pb2.ACL_RESOURCE_TOPIC, name=f"{number}-" + "y" * 400, principal=self.principal,
                                  operation=security_pb2.ACL_OPERATION_READ) for number in range(ITEMS)]
        return security_pb2_grpc.SecurityServiceStub(channel).CreateAcls(security_pb2.CreateAclsRequest(acls=rules), timeout=20)

    def count(self, node):
        found, token = 0, ""
        security = security_pb2_grpc.SecurityServiceStub(node.channel())
        while True:
            request = security_pb2.ListAclsRequest(filter=security_pb2.AclFilter(principal=self.principal))
            request.page.page_token = token
            answer = security.ListAcls(request, timeout=20)
            found, token = found + len(answer.acls), answer.next_page_token
            if not token:
                return found


@pytest.mark.parametrize("kind", [AddedPartitions, Reassignment, Rules])
def test_killing_the_active_controller_leaves_other_large_operations_whole_or_undone(quorum, kind, capsys):
    chance = random.Random(2)
    allowed, midway = [], 0
    for number in range(ROUNDS):
        leader = quorum.leader()
        operation = kind(leader, f"{kind.__name__}-{number}")
        # That node 2 is killed would be a reason to refuse moves to it.
        if kind is Reassignment and leader.number == 2:
            leader.cluster.TransferQuorumLeadership(cluster_pb2.TransferQuorumLeadershipRequest(node_id=3), timeout=20)
            leader = quorum.leader()
        call = Call(chance.choice(quorum.nodes), operation.send)
        # Sooner and sooner, until a kill comes before the answer.
        time.sleep(chance.uniform(0, 0.3 / (1 + number)))
        midway += call.is_on_its_way()
        leader.process.kill()
        leader.await_end()
        leader.start()
        may_be = call.end(*operation.counts)
        refused = call.answer is not None and kind is Reassignment and call.answer.results[0].code != 0
        allowed.append((operation, {operation.counts[0]} if refused else may_be))
        quorum.leader()
    quorum.await_level()
    seen = [[operation.count(node) for operation, _ in allowed] for node in quorum.nodes]
    assert seen[0] == seen[1] == seen[2]
    for (operation, may_be), count in zip(allowed, seen[0]):
        assert count in may_be, (operation, count, may_be)
    assert midway > 0, "no kill came in time"
    quorum.kill()
    assert metadata_checks.check_dumps(quorum.dump()) == []
    with capsys.disabled():
        print(f"\n{kind.__name__}: {ROUNDS} kills, {midway} before the answer; {sum(len(may_be) == 2 for _, may_be in allowed)} outcomes "
              f"unknown, {sum(count == operation.counts[1] for (operation, _), count in zip(allowed, seen[0]))} done")
