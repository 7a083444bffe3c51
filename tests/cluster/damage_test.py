"""A controller of three whose metadata files are damaged: it is healed by the others, or refuses; the metadata never change.

GREGOR_LONG=1: 60 damages. GREGOR_DAMAGES=N GREGOR_DAMAGE_SEED=S: so many, and other ones.
"""
import json
import os
import random
import re
import time

import damages
import pytest
from node import Exited, command, eventually
from quorum import Loopback, Quorum, format_all
from gregor.v1 import cluster_pb2, topic_pb2

DAMAGES = int(os.environ.get("GREGOR_DAMAGES", "60" if os.environ.get("GREGOR_LONG") == "1" else "8"))
SEED = int(os.environ.get("GREGOR_DAMAGE_SEED", "1"))
READY_SECONDS = 90  # a node waits half a minute for others that might help
# A refusal says what to do.
ADVICE = re.compile("[Rr]estore|[Rr]eplace|[Ff]ormat it|the release that")
# So that there are snapshots, and several segments, after little.
SMALL = {"snapshot_bytes": "64KiB", "segment_bytes": "64KiB"}


@pytest.fixture
def quorum(tmp_path):
    quorum = Quorum(tmp_path, [Loopback() for _ in range(3)], quorum=SMALL)
    try:
        quorum.start()
        yield quorum
    finally:
        quorum.end()


def metadata(node):
    return node.data / "metadata"


def records(node):
    """The metadata log's records by their offset, also of a node that runs."""
    done = command("--output", "json", "metadata", "dump", str(node.data))
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["offset"]: line for line in lines if "offset" in line}


def await_level(quorum):
    """Waits until all nodes have the same metadata."""
    def versions():
        return {node.cluster.GetMetadata(cluster_pb2.GetMetadataRequest(), timeout=5).metadata_version for node in quorum.nodes}
    eventually(lambda: len(versions()) == 1, seconds=20)


def recover(node, *flags, **options):
    return command("quorum", "recover", "--config", str(node.settings), *flags, **options)


def await_snapshots(quorum):
    """Until each node has two snapshots, and a log that does not begin at the beginning."""
    def has_two(node):  # of a node that runs: what is listed may be gone when it is read
        return len(list(node.data.glob(damages.KINDS["snapshot"]))) >= 2 and (metadata(node) / "log-base").exists()

    began = time.monotonic()
    while not all(has_two(node) for node in quorum.nodes):
        assert time.monotonic() < began + 30, "no snapshots are written"
        quorum.nodes[0].create("large", partitions=300, timeout=20)
        quorum.nodes[0].topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic="large"), timeout=20)


class Patient:
    """A node whose files are damaged while it is stopped."""

    def __init__(self, node):
        self.node = node
        self.damage = None
        self.became = None

    def stop(self, cleanly):
        if cleanly:
            assert self.node.stop()[0] == 0
        else:
            self.node.kill()

    def harm(self, kind, chance):
        self.damage = damages.inflict(self.node.data, kind, chance)
        self.node.launch()

    def come_back(self):
        """The seconds that it took; `became`: what was made of the damage. One that refuses says what to do, and gets the file back."""
        try:
            seconds = self.node.await_ready(READY_SECONDS)
            self.became = damages.outcome(said(self.node))
            return seconds
        except Exited as refused:
            seconds = time.monotonic() - self.node.began
            last = refused.stderr.strip().splitlines()[-1]
            assert refused.code == 1 and last.startswith("gregor: ") and ADVICE.search(last), (self.damage, refused.code, last)
        # That file alone: what else it has is newer where it refused after it had taken part for a while.
        self.damage.undo()
        self.node.start()
        self.became = "refused"
        return seconds

    def mend(self):
        """What the node took no notice of would add to the next damage. What it has healed is its own by now, under whatever name."""
        if self.damage is None or self.became != damages.NOTHING:
            return
        assert self.node.stop()[0] == 0
        if self.damage.is_there_still() and self.damage.path.parent.exists():
            self.damage.undo()
        self.node.start()


def said(node):
    return node.log.read_bytes()[node.log_end:].decode(errors="replace")


def expect_same(quorum, what):
    """All nodes have the same topics and, wherever both have something, the same log."""
    await_level(quorum)
    logs = [records(node) for node in quorum.nodes]
    for log in logs[1:]:
        common = logs[0].keys() & log.keys()
        assert common and all(logs[0][offset] == log[offset] for offset in common), what
    assert quorum.nodes[0].list_topics() == quorum.nodes[1].list_topics() == quorum.nodes[2].list_topics(), what


def one_turn(quorum, turn, kind, chance):
    """Damages a file of the kind on one node, or each second time on two, at different places. Returns [(damage, what became of
    it, seconds)]."""
    await_snapshots(quorum)
    first, second, third = chance.sample(quorum.nodes, 3)
    patients = [Patient(first)] + ([Patient(second)] if turn % 2 == 1 else [])
    topics = third.list_topics()
    for patient in patients:
        patient.stop(cleanly=kind == "mark of a clean stop" or chance.random() < 0.5)
    if len(patients) == 1:
        third.create(f"meanwhile{turn}", partitions=5, timeout=20)
    for patient in patients:
        patient.harm(kind, chance)
    seconds = [patient.come_back() for patient in patients]
    became = [(patient.damage, patient.became, took) for patient, took in zip(patients, seconds)]
    first.create(f"after{turn}", timeout=20)
    expect_same(quorum, f"seed {SEED}, turn {turn}: {became}")
    assert topics.items() <= first.list_topics().items()
    for patient in patients:
        patient.mend()
    return [each for each in became if each[0] is not None]


def test_random_damages_end_in_repair_or_a_refusal(quorum, capsys):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for number in range(10):
        quorum.nodes[0].create(f"topic{number}", partitions=20)
    table, turn, kinds = [], 0, []
    while len(table) < DAMAGES:
        kinds = kinds or chance.sample(list(damages.KINDS), len(damages.KINDS))
        table += one_turn(quorum, turn, kinds.pop(), chance)
        turn += 1
    quorum.kill()
    images = [[line for line in node.dump() if "image" in line or "image_record" in line] for node in quorum.nodes]
    assert images[0] == images[1] == images[2]
    with capsys.disabled():
        print(f"\n{len(table)} damages, seed {SEED}:")
        for damage, became, seconds in sorted(table, key=lambda each: (each[0].kind, each[0].how)):
            print(f"  {damage.kind:28} {damage.how.split()[0]:9} {became:27} {seconds:5.1f} s")


def test_the_last_controller_becomes_the_only_voter(quorum):
    first, second, last = quorum.nodes
    first.create("kept", partitions=3)
    await_level(quorum)
    refused = recover(last, "--yes")
    assert refused.returncode == 1 and "process" in refused.stderr, refused
    for node in quorum.nodes:
        node.stop()
    first.wipe()
    second.wipe()
    before = records(last)
    looked = recover(last, "--dry-run")
    assert looked.returncode == 0 and "ONLY voter" in looked.stderr and "nodes 1, 2" in looked.stderr, looked
    unsure = recover(last, input="yes\n")
    assert unsure.returncode == 1 and "nothing was changed" in unsure.stderr, unsure
    assert records(last) == before
    recovered = recover(last, input="recover 3\n")
    assert recovered.returncode == 0, recovered
    last.start()
    last.create("new")
    assert {"kept", "new"} <= last.list_topics().keys()
    assert last.stop()[0] == 0
    for flag in ("--yes", "--dry-run"):
        again = recover(last, flag)
        assert again.returncode == 1 and "only voter already" in again.stderr, again
    assert before.items() <= records(last).items()


@pytest.mark.parametrize("made_since", [0, 20])
def test_a_node_that_followed_further_than_the_recovered_log_is_refused(quorum, made_since):
    first, second, last = quorum.nodes
    fourth = quorum.add_broker(Loopback())
    fourth.start()
    first.create("kept")
    quorum.await_level()
    last.stop()
    for number in range(6):
        first.create(f"lost{number}")
    eventually(lambda: "lost5" in fourth.list_topics())
    # With what it knows to be committed.
    eventually(lambda: (metadata(fourth) / "image").exists())
    fourth.stop()
    for node in (first, second):
        node.kill()
        node.wipe()
    assert recover(last, "--yes").returncode == 0
    last.start()
    # Its log ends before the other's, or behind it.
    for number in range(made_since):
        last.create(f"new{number}")
    fourth.launch()
    assert fourth.wait() == 1
    told = (fourth.directory / "server.log").read_text()
    assert re.search("gregor: .*contradicts what is committed here.*by an empty one", told), told
    assert not any(name.startswith("lost") for name in last.list_topics())
    fourth.wipe()
    format_all([fourth], quorum.cluster_id)
    fourth.start()
    quorum.await_level([last, fourth])


def test_a_damaged_directory_is_not_recovered_from(quorum):
    for node in quorum.nodes:
        node.stop()
    node = quorum.nodes[1]
    segment = next(path for path in metadata(node).rglob("*.log") if "image" not in path.parts)
    content = bytearray(segment.read_bytes())
    content[70] ^= 1
    segment.write_bytes(content)
    refused = recover(node, "--yes")
    assert refused.returncode == 1 and "the log is damaged" in refused.stderr, refused
    assert segment.read_bytes() == content


def test_two_of_three_controllers_that_are_damaged_heal_each_other(quorum):
    for number in range(20):
        quorum.nodes[0].create(f"topic{number}", partitions=10)
    await_level(quorum)
    quorum.kill()
    before = records(quorum.nodes[2])
    for node, share in ((quorum.nodes[0], 0.3), (quorum.nodes[1], 0.6)):
        segment = next(path for path in metadata(node).rglob("*.log") if "image" not in path.parts)
        content = bytearray(segment.read_bytes())
        at = int(len(content.rstrip(b"\0")) * share)
        content[at:at + 200] = bytes(200)
        segment.write_bytes(content)
        node.launch()
    for node in quorum.nodes[:2]:
        node.await_ready(READY_SECONDS)
        assert (metadata(node) / "damaged-1").is_dir()
    quorum.nodes[2].start()
    await_level(quorum)
    for node in quorum.nodes:
        assert before.items() <= records(node).items()


def test_a_damaged_vote_file_keeps_a_controller_away_and_says_why(quorum):
    node = quorum.nodes[0]
    node.stop()
    vote = metadata(node) / "vote"
    vote.write_bytes(vote.read_bytes()[:-10])
    node.launch()
    with pytest.raises(Exited) as refused:
        node.await_ready()
    assert refused.value.code == 1 and "could vote twice" in refused.value.stderr
    quorum.others(node)[0].create("without", timeout=20)
