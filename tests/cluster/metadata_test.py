"""`gregor metadata dump|at|diff` on the directories of real nodes, as an operator uses them."""
import datetime
import json
import re
import shutil
import time

import pytest
from gregor.v1 import topic_pb2
from node import command

# Each 1000 of its partitions are a record, all of it is a transaction.
LARGE = 10_000


def look(*arguments, code=0):
    """What the command prints, which must end with `code` and complain on stderr only."""
    ran = command("metadata", *map(str, arguments))
    assert ran.returncode == code, (arguments, ran.stdout, ran.stderr)
    assert (ran.stderr == "") == (code == 0), ran.stderr
    return ran.stdout if code == 0 else ran.stderr


def documents(*arguments):
    return [json.loads(line) for line in look(*arguments, "--json").splitlines()]


def image(*arguments):
    """Topics and partitions of the image that is shown."""
    (counts,) = [line["image"] for line in documents("at", *arguments) if "image" in line]
    return counts["topics"], counts["partitions"]


def changes(*arguments):
    return {(line["change"], line["type"], line["name"]): line["fields"] for line in documents("diff", *arguments) if "change" in line}


def version(node):
    return int(node.metric("gregor_metadata_version"))


def test_the_past_of_a_node_is_shown(node):
    empty = version(node)
    node.create_topic("orders", 3)
    orders = version(node)
    time.sleep(1.1)  # so that a second lies between what was written before and afterwards
    between = datetime.datetime.now(datetime.timezone.utc)
    node.create_topic("later", 2, retention_ms="5000")
    later = version(node)
    node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic="orders"), timeout=20)
    assert node.stop()[0] == 0
    before = {path: path.read_bytes() for path in node.data.rglob("*") if path.is_file()}

    assert [image(node.data, *when) for when in ((empty,), (orders,), (later,), (), ("end",))] == [(0, 0), (1, 3), (2, 5), (1, 2), (1, 2)]
    for when in (between.strftime("@%Y-%m-%dT%H:%M:%SZ"), f"@{int(between.timestamp() * 1000)}", between.strftime("%Y-%m-%dT%H:%M:%S.%f")):
        assert image(node.data, when) == (1, 3), when
    text = look("at", node.data, orders)
    assert text.startswith(f"at offset {orders} (term ")
    assert 'name: "orders"' in text and 'name: "later"' not in text and "<secret>" in text

    assert changes(node.data, orders, later) == {
        ("added", "topic", "later"): changes(node.data, orders)[("added", "topic", "later")],
        ("added", "config", "topic later"): {"retention.ms": {"after": "5000"}},
    }
    assert ("removed", "topic", "orders") in changes(node.data, orders)
    assert changes(node.data, later, orders)[("removed", "topic", "later")]["partition_count"] == {"before": 2}
    records = look("diff", node.data, orders, later, "--records")
    assert re.search(rf"\nrecords:\noffset={orders} (.*\n)*offset=.*topic: .*later", records)
    assert "remove_topic" not in records
    assert look("diff", node.data, later, later).endswith("no differences\n")

    # What a dump says is the same, up to that offset.
    dump = look("dump", node.data, "--image-only", "--until", orders)
    assert dump.split("\n", 1)[1] == text.split("\n", 1)[1]
    assert "the log ends at offset" in look("dump", node.data, "--until", 100000, code=1)
    assert {path: path.read_bytes() for path in node.data.rglob("*") if path.is_file()} == before


def test_inside_of_an_operation_is_what_was_before_it(node):
    before = version(node)
    node.create_topic("wide", LARGE)
    after = version(node)
    assert node.stop()[0] == 0
    offsets = [line["offset"] for line in documents("dump", node.data) if "begin_transaction" in line.get("record", {})]
    (begin,) = offsets
    assert before <= begin < after
    for inside in (begin + 1, begin + 2, after - 1):
        text = look("at", node.data, inside)
        assert f"the operation whose records begin at offset {begin} is not complete there: this is the state before it" in text
        assert f"image at offset {begin}: 0 topics, 0 partitions" in text
        (note, *_) = [line["note"] for line in documents("at", node.data, inside) if "note" in line]
        assert f"offset {begin} " in note
        dump = look("dump", node.data, "--image-only", "--until", inside)
        assert f"the transaction that begins at offset {begin} is not complete: the image is the one before it" in dump
    assert image(node.data, after) == (1, LARGE)
    # It is one change, and from its inside on it is all of it.
    assert changes(node.data, before)[("added", "topic", "wide")]["partition_count"] == {"after": LARGE}
    assert changes(node.data, begin + 3, after) == changes(node.data, before, after)
    assert changes(node.data, before, begin + 3) == {}
    records = look("diff", node.data, before, after, "--records")
    assert 'begin_transaction: {name: "create_topic"}' in records and "end_transaction: {}" in records


def test_what_is_trimmed_or_ahead_or_no_file_of_ours_is_said(stopped_node, tmp_path):
    node = stopped_node
    node.start("--quorum-snapshot-bytes", "64KiB", "--quorum-segment-bytes", "64KiB")
    snapshots = node.data / "metadata" / "snapshots"
    number = 0
    deadline = time.monotonic() + 20
    while len(list(snapshots.glob("*.snapshot"))) < 2 or not (node.data / "metadata" / "log-base").exists():
        assert time.monotonic() < deadline, "the log is not trimmed"
        node.create_topic(f"topic-{number}", 300)
        number += 1
    end = version(node)
    assert node.stop()[0] == 0
    first = min(snapshots.glob("*.snapshot"))

    trimmed = look("at", node.data, 3, code=1)
    known = int(re.search(r"offset 3 lies before what is left: the earliest state is that of offset (\d+), written 20", trimmed)[1])
    assert image(node.data, known)[0] < number
    assert "lies before what is left" in look("at", node.data, "@2020-01-01", code=1)
    assert "lies before what is left" in look("diff", node.data, 3, known, code=1)
    assert re.search(rf"the log ends at offset \d+, before offset {end + 1000}\n", look("at", node.data, end + 1000, code=1))
    # A snapshot is one moment.
    (of_snapshot,) = [line["at"]["offset"] for line in documents("at", first) if "at" in line]
    assert look("at", first) == look("at", first, of_snapshot) == look("at", node.data, of_snapshot)
    assert "knows nothing of offset 3" in look("at", first, 3, code=1)
    assert changes(first, node.data)[("added", "topic", f"topic-{number - 1}")]["partition_count"] == {"after": 300}
    assert "leave out --records" in look("diff", first, node.data, "--records", code=2)
    assert look("dump", first) == look("dump", first, "--image-only", "--until", of_snapshot) == look("at", first)
    assert documents("dump", first) == documents("at", first)
    assert "knows nothing of offset 3" in look("dump", first, "--until", 3, code=1)

    assert "it is neither a node's data directory nor a metadata snapshot" in look("at", tmp_path / "nothing", code=1)
    assert "has files, and no meta.properties" in look("at", tmp_path, code=1)
    (tmp_path / "empty").mkdir()
    assert "it is no node's data directory" in look("at", tmp_path / "empty", code=1)
    assert "is none of an offset of the metadata log" in look("at", node.data, "yesterday", code=2)
    assert "is none of an offset" in look("diff", node.data, tmp_path / "nothing", code=2)
    broken = tmp_path / first.name
    broken.write_bytes(first.read_bytes()[:-100])
    for name in ("at", "dump"):
        assert "a metadata snapshot that is whole" in look(name, broken, code=1)
    assert command("metadata", "at").returncode == 2
    assert command("metadata", "diff", str(node.data)).returncode == 2


def test_two_nodes_are_compared(stopped_node, tmp_path):
    node = stopped_node
    node.start()
    node.create_topic("orders", 2)
    same = version(node)
    assert node.stop()[0] == 0
    copy = tmp_path / "copy"
    shutil.copytree(node.data, copy)
    assert look("diff", node.data, copy).endswith("no differences\n")
    node.start()
    node.create_topic("new")
    node.stop()
    assert set(changes(copy, node.data)) >= {("added", "topic", "new")}
    assert look("diff", copy, node.data, "--at", same).endswith("no differences\n")
    assert "leave out --records" in look("diff", copy, node.data, "--records", code=2)
    other = tmp_path / "other"
    assert command("cluster", "format", "--data-dir", str(other), "--node-id", "1").returncode == 0
    assert "before the cluster's first records" in look("at", other, code=1)


def test_a_running_node_is_warned_of(node):
    node.create_topic("orders")
    for arguments in (("at", node.data), ("diff", node.data, "0")):
        assert f"is in use by process {node.process.pid}" in command("metadata", *map(str, arguments)).stderr


@pytest.mark.parametrize("name", ["at", "diff", "dump"])
def test_help_says_what_a_moment_is_and_shows_examples(name):
    text = command("metadata", name, "--help").stdout
    assert "--json" in text and "a metadata snapshot" in text and "Examples:" in text and "Exit codes:" in text
    assert ("@2026-01-31T12:00:00Z" in text) == (name != "dump")
