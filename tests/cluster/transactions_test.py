"""Operations that are written as metadata transactions, while the active controller is killed: all of each, or nothing.
GREGOR_LONG=1: more rounds."""
import json
import os
import random
import threading
import time

import grpc
import metadata_checks
import pytest
from node import command
from quorum import Loopback, Quorum, connect, outcome
from gregor.v1 import topic_pb2, topic_pb2_grpc

LONG = os.environ.get("GREGOR_LONG") == "1"
ROUNDS = 25 if LONG else 6
PARTITIONS = 10_000


@pytest.fixture
def quorum(tmp_path):
    quorum = Quorum(tmp_path, [Loopback() for _ in range(3)])
    quorum.start()
    yield quorum
    quorum.end()


class Creation:
    """A topic of 10 000 partitions that is being made, asked of one node, once."""

    def __init__(self, node, name, seconds=20):
        self.name = name
        self.channel = connect(node.grpc)
        self.error = self.seconds = None
        self.thread = threading.Thread(target=self._run, args=(seconds,))
        self.thread.start()

    def _run(self, seconds):
        request = topic_pb2.CreateTopicRequest(topic=self.name, partitions=PARTITIONS, replication_factor=3)
        began = time.monotonic()
        try:
            topic_pb2_grpc.TopicServiceStub(self.channel).CreateTopic(request, timeout=seconds)
        except grpc.RpcError as error:
            self.error = error
        self.seconds = time.monotonic() - began

    def end(self):
        """The counts of partitions that the topic may have."""
        self.thread.join()
        self.channel.close()
        if self.error is None:
            return {PARTITIONS}
        return {0} if outcome(self.error) == "NOT_APPLIED" else {0, PARTITIONS}


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
        creation = Creation(asked, f"wide-{number}")
        # From before it comes there until after it is done.
        time.sleep(chance.uniform(0, 0.15))
        leader.process.kill()
        leader.await_end()
        leader.start()
        allowed[creation.name] = creation.end()
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
    creation = Creation(leader, "wide")
    assert creation.end() == {PARTITIONS}, creation.error
    with capsys.disabled():
        print(f"\na topic of {PARTITIONS} partitions: {creation.seconds:.3f} s")
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
