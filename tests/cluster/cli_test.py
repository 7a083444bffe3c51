"""The `gregor` command on a real node: every command once, and what scripts rely on."""
import json
import os
import pathlib
import pty
import random
import re
import select
import shutil
import signal
import subprocess
import time

import pytest
from node import BINARY, command, eventually

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture
def gregor(node):
    """Runs a command on the node; fails where its exit code is not `code`."""
    def run(*arguments, code=0, **options):
        ran = command("--server", node.grpc, *arguments, **options)
        assert ran.returncode == code, (arguments, ran.returncode, ran.stdout, ran.stderr)
        return ran
    return run


def rows(ran):
    """The lines of a table as {heading: cell}."""
    heading, *lines = ran.stdout.splitlines()
    names = re.split(r"\s{2,}", heading)
    return [dict(zip(names, re.split(r"\s{2,}", line))) for line in lines]


def documents(ran):
    return [json.loads(line) for line in ran.stdout.splitlines()]


# --- records ---

def test_whoever_reads_records_may_stop_before_more_come(node, gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="a\nb\n")
    consumer = subprocess.Popen([BINARY, "--server", node.grpc, "consume", "orders", "--from", "beginning"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert consumer.stdout.readline() == b"a\n"
        consumer.stdout.close()
        assert consumer.wait(timeout=20) == -signal.SIGPIPE
        assert consumer.stderr.read() == b""
    finally:
        consumer.kill()
        consumer.wait()
        consumer.stderr.close()
    ran = subprocess.run(["bash", "-c", f"{BINARY} --server {node.grpc} consume orders --from beginning | head -1; echo ${{PIPESTATUS[0]}}"],
                         capture_output=True, text=True, timeout=20, check=True)
    assert (ran.stdout, ran.stderr) == ("a\n141\n", "")


def test_no_record_before_the_end_is_the_end(node, gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="a\nb\n")
    assert gregor("consume", "orders", "--exit-at-end", "--from", "-0").stdout == ""
    assert gregor("consume", "orders", "--exit-at-end", "--from", "-1").stdout == "b\n"


def test_an_input_that_breaks_off_is_a_failure_behind_what_is_written(node, gregor):
    gregor("topic", "create", "orders")
    terminal, other_end = pty.openpty()
    os.write(other_end, b"a\nb\n")
    os.close(other_end)
    ran = gregor("produce", "orders", stdin=terminal, code=1)
    os.close(terminal)
    assert "2 records written" in ran.stderr and "the input cannot be read behind line 2: " in ran.stderr
    assert "there is no topic" not in gregor("produce", "none", "--file", "/", code=2).stderr


def sample_text():
    """Some megabytes of what files have in them: long and empty lines, carriage returns, bytes that are no text, NUL."""
    chance = random.Random(4)
    lines = []
    for number in range(40000):
        kind = chance.randrange(20)
        if kind == 0:
            lines.append(b"")
        elif kind == 1:
            lines.append(b"dos line\r")
        elif kind == 2:
            lines.append(bytes(chance.choices(range(256), k=chance.randrange(200))).replace(b"\n", b"?"))
        elif kind == 3 and number % 50 == 0:
            lines.append(b"x" * chance.randrange(500_000))
        else:
            lines.append(f"2026-01-31 INFO request {number} took {chance.random():.3f} ms".encode())
    return b"\n".join(lines) + b"\n"


def test_a_file_comes_back_as_it_was_with_every_codec(gregor, tmp_path):
    text = sample_text()
    (tmp_path / "file").write_bytes(text)
    for codec in CODECS:
        gregor("topic", "create", codec, "--partitions", "1")
        written = gregor("produce", codec, "--file", str(tmp_path / "file"), "--compression", codec)
        assert written.stdout == ""
        assert written.stderr.startswith(f"{text.count(10)} records written to {codec}")
        read = gregor("consume", codec, "--exit-at-end", text=False)
        assert read.stdout == text
        assert read.stderr == b""


def test_lines_come_from_stdin_too(gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="a\n\nlast without end")
    assert gregor("consume", "orders", "--exit-at-end").stdout == "a\n\nlast without end\n"
    gregor("produce", "orders", input="")
    assert gregor("offsets", "orders", "--output", "json").stdout.count('"end": 3') == 1


def test_keys_keep_their_partition_and_their_order(gregor):
    gregor("topic", "create", "users", "--partitions", "5")
    lines = "".join(f"user{n % 17}|{n}\n" for n in range(1000))
    gregor("produce", "users", "--key-separator", "|", input=lines)
    seen, partitions = {}, {}
    for record in documents(gregor("consume", "users", "--exit-at-end", "--format", "json")):
        assert partitions.setdefault(record["key"], record["partition"]) == record["partition"]
        seen.setdefault(record["key"], []).append(int(record["value"]))
    assert len(set(partitions.values())) > 1
    assert {key: values for key, values in seen.items()} == {f"user{k}": list(range(k, 1000, 17)) for k in range(17)}


def test_every_field_is_written_and_shown(gregor):
    gregor("topic", "create", "orders")
    before = int(time.time() * 1000)
    gregor("produce", "orders", "--key-separator", ":", "--null-value", "NULL", "--header", "source=test", "--header",
           "empty=", "--partition", "0", "--acks", "leader", input="k:v\nk:NULL\n")
    value, tombstone = documents(gregor("consume", "orders", "--exit-at-end", "--format", "json"))
    assert before <= value.pop("timestamp") <= int(time.time() * 1000)
    assert value == {"topic": "orders", "partition": 0, "offset": 0, "key": "k", "value": "v",
                     "headers": [{"key": "source", "value": "test"}, {"key": "empty", "value": ""}]}
    assert tombstone["value"] is None
    shown = gregor("consume", "orders", "--exit-at-end", "--format", "{partition}:{offset}\\t{key}={value} {headers}\\n")
    assert shown.stdout == "0:0\tk=v source=test,empty=\n0:1\tk= source=test,empty=\n"


def test_separators_may_be_tabs_and_a_dash_is_stdin(gregor):
    gregor("topic", "create", "users")
    gregor("produce", "users", "--file", "-", "--key-separator", "\\t", input="k\tv\n")
    shown = gregor("consume", "users", "--exit-at-end", "--format", "{key}={value}").stdout
    assert shown == "k=v"
    (record,) = documents(gregor("consume", "users", "--from", "earliest", "--exit-at-end", "--format", "JSON"))
    assert (record["key"], record["value"]) == ("k", "v")
    assert gregor("consume", "users", "--from", "latest", "--exit-at-end").stdout == ""


def test_several_partitions_may_be_read(gregor):
    gregor("topic", "create", "orders", "--partitions", "4")
    for partition in range(4):
        gregor("produce", "orders", "--partition", str(partition), input=f"{partition}\n")
    for partitions in (["0,2"], ["0", "2"], ["2,0", "2"]):
        options = [text for each in partitions for text in ("--partition", each)]
        read = gregor("consume", *options, "orders", "--exit-at-end").stdout
        assert sorted(read.split()) == ["0", "2"], partitions
    assert "has no partition 4" in gregor("consume", "orders", "--partition", "0,4", "--exit-at-end", code=1).stderr
    assert "no whole number" in gregor("consume", "orders", "--partition", "0,x", code=2).stderr


def test_a_topic_that_is_deleted_meanwhile_is_told_as_that(node, gregor):
    gregor("topic", "create", "orders")
    reader = follow(node, "orders", "--from", "beginning")
    writer = subprocess.Popen([BINARY, "--server", node.grpc, "produce", "orders"], stdin=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
    writer.stdin.write("one\n")
    writer.stdin.flush()
    assert reader.stdout.readline() == "one\n"
    gregor("topic", "delete", "orders")
    told = reader.communicate(timeout=20)[1]
    assert 'topic "orders" was deleted' in told
    told = writer.communicate("two\n", timeout=20)[1]
    assert writer.returncode == 1
    assert "line 2: the topic was deleted while records were written to it [TOPIC_NOT_FOUND]" in told


def test_consume_shows_json_where_output_is_json(gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="a\n")
    (record,) = documents(gregor("--output", "json", "consume", "orders", "--exit-at-end"))
    assert record["value"] == "a"
    assert gregor("--output", "json", "consume", "orders", "--exit-at-end", "--format", "raw").stdout == "a"


def test_consume_begins_where_it_is_told(gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="0\n1\n2\n")
    time.sleep(0.05)  # so that the times differ
    between = int(time.time() * 1000)
    gregor("produce", "orders", input="3\n4\n")
    for start, expected in [("beginning", "01234"), ("3", "34"), ("-2", "34"), ("-100", "01234"), ("end", ""),
                            ("5", ""), (f"@{between}", "34"), ("@0", "01234"), ("@2999-01-01T00:00:00Z", "")]:
        assert gregor("consume", "orders", "--exit-at-end", "--from", start, "--format", "{value}").stdout == expected, start
    assert gregor("consume", "orders", "--from", "1", "--max-records", "2").stdout == "1\n2\n"
    gregor("topic", "delete-records", "orders", "--before", "2")
    assert gregor("consume", "orders", "--exit-at-end", "--format", "{offset}").stdout == "234"
    assert "OFFSET_OUT_OF_RANGE" in gregor("consume", "orders", "--from", "1", "--exit-at-end", code=1).stderr
    assert "OFFSET_OUT_OF_RANGE" in gregor("consume", "orders", "--from", "100", "--exit-at-end", code=1).stderr


def follow(node, *arguments):
    return subprocess.Popen([BINARY, "--server", node.grpc, "consume", *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_consume_follows_a_topic_and_shows_records_at_once(node, gregor):
    gregor("topic", "create", "orders", "--partitions", "2")
    gregor("produce", "orders", "--partition", "1", input="before\n")
    process = follow(node, "orders", "--from", "beginning")
    assert process.stdout.readline() == "before\n"
    for number in range(5):
        gregor("produce", "orders", "--partition", str(number % 2), input=f"{number}\n")
        assert process.stdout.readline() == f"{number}\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)


def test_consume_goes_on_after_a_restart_of_the_node(node, gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="before\n")
    process = follow(node, "orders", "--from", "beginning")
    assert process.stdout.readline() == "before\n"
    address = node.grpc
    node.kill()
    time.sleep(2.5)  # long enough to be told
    node.start(grpc_listen=address)
    gregor("produce", "orders", input="after\n")
    assert process.stdout.readline() == "after\n"
    process.terminate()
    told = process.communicate(timeout=10)[1]
    assert f"no server answers at {address}" in told
    assert "trying again" in told


def test_produce_goes_on_after_a_restart_of_the_node(node, gregor):
    gregor("topic", "create", "orders")
    address = node.grpc
    process = subprocess.Popen([BINARY, "--server", address, "produce", "orders"], stdin=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdin.write("one\n")
    process.stdin.flush()
    eventually(lambda: node.read("orders") == [(0, b"one")])
    node.kill()
    process.stdin.write("two\n")
    process.stdin.flush()
    node.start(grpc_listen=address)
    process.stdin.write("three\n")
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    assert "3 records written" in process.stderr.read()
    process.stderr.close()
    assert node.read("orders") == [(0, b"one"), (1, b"two"), (2, b"three")]


def test_consume_into_a_closed_pipe_ends(node, gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="line\n" * 100000)
    shell = f"{BINARY} --server {node.grpc} consume orders --from beginning | head -1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=30, check=False)
    assert ran.stdout == "line\n"


def test_records_that_the_server_refuses_are_named_by_their_line(gregor):
    gregor("topic", "create", "users", "--config", "cleanup.policy=compact")
    assert "line 1: record 0 has no key" in gregor("produce", "users", code=1, input="x\n").stderr
    assert "line 2 has no \":\"" in gregor("produce", "users", "--key-separator", ":", code=1, input="a:1\nb\n").stderr


def test_acks_may_be_given_as_kafka_spells_them(gregor):
    gregor("topic", "create", "orders")
    for acks in ("all", "leader", "none", "-1", "1", "0"):
        gregor("produce", "orders", "--acks", acks, input=f"{acks}\n")
    assert gregor("consume", "orders", "--exit-at-end").stdout == "all\nleader\nnone\n-1\n1\n0\n"
    # A count that the partition's replicas cannot reach.
    assert "line 1: " in gregor("produce", "orders", "--acks", "2", "--delivery-timeout", "1", code=1, input="x\n").stderr


def test_records_that_are_too_large_are_named(gregor):
    gregor("topic", "create", "small", "--config", "max.message.bytes=1000")
    refused = gregor("produce", "small", code=1, input="ok\n" + "x" * 2000 + "\n")
    assert "line 2: " in refused.stderr
    assert "max.message.bytes" in refused.stderr
    assert gregor("consume", "small", "--exit-at-end").stdout == "ok\n"
    gregor("produce", "small", input="line of a batch that must be cut\n" * 1000)
    assert gregor("consume", "small", "--exit-at-end").stdout.count("\n") == 1001


# --- administration ---

def test_topics_are_managed(gregor):
    made = gregor("topic", "create", "orders", "--partitions", "3", "--replication-factor", "1", "--config",
                  "retention.ms=1000", "--config", "cleanup.policy=compact,delete")
    assert "partitions:         3" in made.stdout
    gregor("topic", "create", "other")
    listed = rows(gregor("topic", "list"))
    assert [(row["TOPIC"], row["PARTITIONS"]) for row in listed] == [("orders", "3"), ("other", "1")]
    assert [t["topic"] for t in json.loads(gregor("topic", "list", "--prefix", "or", "--output", "json").stdout)] == ["orders"]
    described = gregor("topic", "describe", "orders").stdout
    assert "cleanup.policy=compact,delete retention.ms=1000" in described
    assert re.search(r"^2 +1 +\d+ +1 +1$", described, re.MULTILINE)
    document = json.loads(gregor("--output", "json", "topic", "describe", "orders").stdout)
    assert document["configs"] == {"cleanup.policy": "compact,delete", "retention.ms": "1000"}
    assert [p["partition"] for p in document["partitions"]] == [0, 1, 2]
    gregor("topic", "alter", "orders", "--config", "retention.ms=2000", "--unset", "cleanup.policy")
    assert json.loads(gregor("topic", "describe", "orders", "--output", "json").stdout)["configs"] == {"retention.ms": "2000"}
    gregor("topic", "add-partitions", "orders", "--total", "4")
    gregor("topic", "add-partitions", "orders", "--partitions", "5")
    assert rows(gregor("topic", "list"))[0]["PARTITIONS"] == "5"
    gregor("topic", "delete", "orders", "other")
    assert gregor("topic", "list").stdout.splitlines()[1:] == []
    missing = gregor("topic", "delete", "orders", "--allow-missing")
    assert missing.stdout == "there was no orders\n"
    assert json.loads(gregor("topic", "delete", "orders", "--allow-missing", "--output", "json").stdout) == {
        "deleted": [], "missing": ["orders"]}
    assert "TOPIC_NOT_FOUND" in gregor("topic", "delete", "orders", code=1).stderr


def test_deleting_topics_goes_on_behind_one_that_is_missing(gregor):
    gregor("topic", "create", "a")
    gregor("topic", "create", "c")
    ran = gregor("topic", "delete", "a", "b", "c", "d", code=1)
    assert ran.stdout == "deleted a\ndeleted c\n"
    assert [line for line in ran.stderr.splitlines() if "TOPIC_NOT_FOUND" in line and ('"b"' in line or '"d"' in line)] == (
        ran.stderr.splitlines()[:2])
    ran = gregor("topic", "delete", "nope", "--output", "json", code=1)
    assert json.loads(ran.stdout) == {"deleted": [], "missing": ["nope"]}
    assert "TOPIC_NOT_FOUND" in ran.stderr


def test_options_that_may_come_again_leave_what_follows_them_alone(gregor):
    gregor("topic", "create", "--config", "retention.ms=1000", "orders", "--config", "cleanup.policy=compact,delete", "--partitions", "2")
    assert json.loads(gregor("topic", "describe", "orders", "--output", "json").stdout)["configs"] == {
        "cleanup.policy": "compact,delete", "retention.ms": "1000"}
    gregor("config", "set", "--topic", "orders", "--unset", "retention.ms", "max.message.bytes=5000", "--unset", "cleanup.policy")
    assert json.loads(gregor("topic", "describe", "orders", "--output", "json").stdout)["configs"] == {"max.message.bytes": "5000"}
    gregor("produce", "--header", "a=1", "orders", "--header", "b=2", "--partition", "0", input="x\n")
    assert gregor("consume", "orders", "--exit-at-end", "--format", "{headers}").stdout == "a=1,b=2"


def test_what_is_only_checked_changes_nothing(gregor):
    gregor("topic", "create", "orders")
    for change in (["topic", "create", "new"], ["topic", "alter", "orders", "--config", "retention.ms=5"],
                   ["topic", "add-partitions", "orders", "--total", "9"],
                   ["config", "set", "--topic", "orders", "retention.ms=5"]):
        assert gregor(*change, "--validate-only").stdout.startswith("valid")
    assert [(row["TOPIC"], row["PARTITIONS"]) for row in rows(gregor("topic", "list"))] == [("orders", "1")]
    assert gregor("config", "get", "--topic", "orders", "retention.ms").stdout == "604800000\n"


def test_records_are_deleted_and_offsets_tell(gregor):
    gregor("topic", "create", "orders", "--partitions", "3")
    for partition in ("0", "1", "2"):
        gregor("produce", "orders", "--partition", partition, input="x\n" * 10)
    gregor("topic", "delete-records", "orders", "--partition", "1", "--before", "4")
    assert rows(gregor("offsets", "orders")) == [
        {"PARTITION": "0", "START": "0", "END": "10", "RECORDS": "10"},
        {"PARTITION": "1", "START": "4", "END": "10", "RECORDS": "6"},
        {"PARTITION": "2", "START": "0", "END": "10", "RECORDS": "10"}]
    # Several partitions, and none of them where one does not exist.
    deleted = gregor("topic", "delete-records", "orders", "--partition", "0,1", "--partition", "2", "--before", "5", "--output", "json")
    assert [row["log_start_offset"] for row in json.loads(deleted.stdout)] == [5, 5, 5]
    assert "it has 0 to 2" in gregor("topic", "delete-records", "orders", "--partition", "0,3", "--before", "6", code=1).stderr
    assert [(row["PARTITION"], row["START"]) for row in rows(gregor("offsets", "--partition", "2", "--partition", "0", "orders"))] == [
        ("0", "5"), ("2", "5")]
    assert "no whole number" in gregor("offsets", "orders", "--partition", "x", code=2).stderr
    gregor("topic", "delete-records", "orders", "--before", "-1")
    assert json.loads(gregor("--output", "json", "offsets", "orders", "--partition", "0").stdout) == [
        {"partition": 0, "start": 10, "end": 10, "records": 0}]


def test_what_fails_in_some_partitions_is_told_once(gregor):
    gregor("topic", "create", "orders", "--partitions", "2")
    gregor("produce", "orders", "--partition", "1", input="x\n" * 10)
    failed = gregor("topic", "delete-records", "orders", "--before", "6", code=1)
    assert "no records were deleted in 1 of 2 partitions of topic \"orders\" [OFFSET_OUT_OF_RANGE]" in failed.stderr
    assert [row["LOG START OFFSET"] for row in rows(failed)] == ["-", "6"]
    assert len(failed.stderr.splitlines()) == 1
    # An offset that not every partition has.
    outside = gregor("consume", "orders", "--from", "7", "--exit-at-end", code=1).stderr
    assert "choose partitions with --partition, or --from beginning" in outside
    assert gregor("consume", "orders", "--from", "7", "--exit-at-end", "--partition", "1").stdout == "x\n" * 3


def test_names_are_shown_as_they_are_but_for_what_a_terminal_acts_on(gregor):
    refused = gregor("topic", "create", "caf\u00e9 \x1b[2J\u202e", code=1).stderr
    assert "\"caf\u00e9 \\x1b[2J\\xe2\\x80\\xae\"" in refused
    assert all(letter.isprintable() for letter in refused.replace("\n", ""))


def test_configs_are_shown_and_changed(gregor):
    gregor("topic", "create", "orders")
    assert gregor("config", "get", "--topic", "orders", "max.message.bytes").stdout == "1048588\n"
    gregor("config", "set", "--topic", "orders", "max.message.bytes=5000", "retention.ms=-1")
    changed = {row["CONFIG"]: row for row in rows(gregor("config", "describe", "--topic", "orders")) if row.get("SOURCE") == "topic"}
    assert {name: row["VALUE"] for name, row in changed.items()} == {"max.message.bytes": "5000", "retention.ms": "-1"}
    gregor("config", "set", "--topic", "orders", "--unset", "retention.ms")
    assert json.loads(gregor("--output", "json", "config", "get", "--topic", "orders", "retention.ms").stdout) == {
        "retention.ms": "604800000"}
    entries = json.loads(gregor("config", "describe", "--topic", "orders", "--documentation", "--output", "json").stdout)
    assert all(entry["documentation"] and entry["type"] for entry in entries)
    assert "retention.ms" in {entry["config"] for entry in entries}
    assert rows(gregor("config", "describe", "--broker", "1"))
    everything = json.loads(gregor("config", "describe", "--output", "json").stdout)
    assert {("topics", "retention.ms"), ("brokers", "log.retention.ms")} <= {(row["of"], row["config"]) for row in everything}
    assert {row["OF"] for row in rows(gregor("config", "describe"))} == {"topics", "brokers"}
    (threads,) = [row for row in everything if row["config"] == "num.io.threads"]
    assert threads["read_only"] and threads["source"] == "no effect yet"
    assert "it has no effect in this version" in gregor("config", "set", "--broker", "1", "num.io.threads=9", code=1).stderr
    assert "INVALID_CONFIG" in gregor("config", "set", "--topic", "orders", "retention.ms=soon", code=1).stderr
    assert "INVALID_CONFIG" in gregor("config", "get", "--topic", "orders", "no.such", code=1).stderr
    assert "TOPIC_NOT_FOUND" in gregor("config", "describe", "--topic", "missing", code=1).stderr
    # Hints are commands that work.
    for refusal in (gregor("topic", "create", "new", "--config", "no.such=1", code=1),
                    gregor("config", "set", "--topic", "orders", "no.such=1", code=1),
                    gregor("config", "set", "--all-brokers", "no.such=1", code=1)):
        hint = re.search(r"`gregor (.+)`", refusal.stderr).group(1)
        assert rows(gregor(*hint.split()))
    assert "log.retention.ms" in command("settings", "--configs").stdout
    assert "log.retention.ms" in {config["name"] for config in json.loads(command("settings", "--configs", "--output", "json").stdout)}


def test_what_was_set_is_printed(gregor):
    gregor("topic", "create", "orders")
    assert gregor("topic", "alter", "orders", "--config", "retention.ms=86400000").stdout == "orders: retention.ms=86400000\n"
    changed = ["config", "set", "--topic", "orders", "segment.ms=1000000", "--unset", "retention.ms"]
    assert gregor(*changed).stdout == "orders: segment.ms=1000000, retention.ms is the default again\n"
    assert json.loads(gregor("--output", "json", *changed).stdout) == {
        "topic": "orders", "result": "changed", "set": {"segment.ms": "1000000"}, "unset": ["retention.ms"]}
    assert gregor("config", "set", "--broker", "1", "log.segment.bytes=2000000").stdout.startswith("broker 1: log.segment.bytes=")


def test_the_cluster_is_described(node, gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="x\n")
    document = json.loads(gregor("--output", "json", "cluster", "describe").stdout)
    assert len(document["cluster_id"]) == 22
    assert [broker["address"] for broker in document["brokers"]] == [node.grpc]
    assert (document["controller"], document["feature_level"]) == (1, 2)
    assert (document["topics"], document["partitions"], document["without_leader"]) == (1, 1, 0)
    assert node.grpc in gregor("cluster", "describe").stdout
    (directory,) = json.loads(gregor("cluster", "log-dirs", "--output", "json").stdout)
    assert directory["replicas"] == 1
    assert directory["log_bytes"] > 0
    assert directory["state"] == "online"
    assert "TOPIC_NOT_FOUND" in gregor("cluster", "log-dirs", "--topic", "nope", code=1).stderr


def test_brokers_are_listed_described_and_fenced(node, gregor):
    gregor("topic", "create", "orders", "--partitions", "3")
    (row,) = rows(gregor("broker", "list"))
    assert (row["BROKER"], row["STATE"], row["LEADS"], row["REPLICAS"], row["ADDRESS"]) == ("1", "active", "3", "3", node.grpc)
    document = json.loads(gregor("--output", "json", "broker", "describe", "1").stdout)
    assert (document["only_in_sync"], document["log_dirs"], document["listeners"]["grpc"]) == (3, 1, node.grpc)
    assert "grpc listener:" in gregor("broker", "describe", "1").stdout
    refused = gregor("broker", "fence", "1", code=2, stdin=subprocess.DEVNULL)
    assert "3 partitions" in refused.stderr and "--yes" in refused.stderr
    assert gregor("broker", "fence", "1", "--yes").stdout == "fenced broker 1\n"
    assert rows(gregor("broker", "list"))[0]["STATE"] == "fenced by hand"
    assert json.loads(gregor("cluster", "describe", "--output", "json").stdout)["without_leader"] == 3
    assert json.loads(gregor("broker", "unfence", "1", "--output", "json").stdout) == {"broker": 1, "result": "unfenced"}
    eventually(lambda: rows(gregor("broker", "list"))[0]["STATE"] == "active")
    assert "is running" in gregor("broker", "unregister", "1", code=1).stderr
    for arguments in (("describe", "7"), ("fence", "7"), ("unfence", "7"), ("unregister", "7")):
        assert "BROKER_ID_NOT_REGISTERED" in gregor("broker", *arguments, code=1).stderr
    assert gregor("completion", "words", "brokers").stdout == "1\n"


def test_leaders_are_elected_and_partitions_moved(gregor):
    gregor("topic", "create", "orders", "--partitions", "2")
    (broker,) = json.loads(gregor("--output", "json", "cluster", "describe").stdout)["brokers"]
    here = str(broker["broker"])
    # The preferred leaders lead: of all partitions there is none in which anything was to be done.
    assert json.loads(gregor("--output", "json", "partition", "elect").stdout) == []
    (row,) = json.loads(gregor("--output", "json", "partition", "elect", "orders", "--partition", "1").stdout)
    assert row["partition"] == 1 and "leads already" in row["result"]
    assert "BROKER_ID_NOT_REGISTERED" in gregor("partition", "elect", "orders", "--to", "99", code=1).stderr
    assert "give either" in gregor("partition", "elect", "orders", "--to", "99", "--unclean", code=2).stderr
    moved = gregor("--output", "json", "partition", "reassign", "orders", "--replicas", here, "--validate-only")
    assert [row["result"] for row in json.loads(moved.stdout)] == ["valid", "valid"]
    assert "not running" in gregor("partition", "reassign", "orders", "--replicas", "99", code=1).stderr
    assert "could be cancelled" in gregor("partition", "reassign", "orders", "--cancel", code=1).stderr
    assert json.loads(gregor("--output", "json", "partition", "reassignments").stdout) == []
    assert "REMOVING" in gregor("partition", "reassignments").stdout


def test_servers_are_found_by_ipv6_too(stopped_node):
    stopped_node.start(grpc_listen="[::1]:0")
    port = stopped_node.grpc.rpartition(":")[2]
    described = command("--server", f"[::1]:{port}", "cluster", "describe", "--output", "json")
    assert [broker["address"] for broker in json.loads(described.stdout)["brokers"]] == [f"[::1]:{port}"]


def test_a_broker_that_listens_everywhere_is_shown_at_the_address_that_was_asked(stopped_node):
    stopped_node.start(grpc_listen="0.0.0.0:0")
    port = stopped_node.grpc.rpartition(":")[2]
    described = command("--server", f"127.0.0.1:{port}", "cluster", "describe", "--output", "json")
    assert [broker["address"] for broker in json.loads(described.stdout)["brokers"]] == [f"127.0.0.1:{port}"]


def test_ids_and_formatting_are_told_in_json_too(tmp_path):
    made = json.loads(command("cluster", "new-id", "--output", "json").stdout)["cluster_id"]
    formatted = command("cluster", "format", "--output", "json", "--cluster-id", made, "--data-dir", str(tmp_path / "data"))
    assert json.loads(formatted.stdout) == {"data_dir": str(tmp_path / "data"), "node_id": 1, "cluster_id": made,
                                            "was_formatted": False}


# --- benchmarks ---

def test_benchmarks_print_one_document(gregor):
    gregor("topic", "create", "bench", "--partitions", "2")
    produced = gregor("bench", "produce", "--records", "20000", "--record-size", "100", "--clients", "2", "--json")
    assert produced.stderr == ""
    document = json.loads(produced.stdout)
    assert document["records"] == 20000
    assert document["bytes"] == 2000000
    assert document["latency_ms"]["p50"] <= document["latency_ms"]["p99"] <= document["latency_ms"]["max"]
    consumed = json.loads(gregor("bench", "consume", "--clients", "2", "--json").stdout)
    assert (consumed["records"], consumed["bytes"]) == (20000, 2000000)
    latency = json.loads(gregor("bench", "latency", "--records", "50", "--record-size", "10", "--json").stdout)
    assert latency["records"] == 50
    admin = json.loads(gregor("bench", "admin", "--records", "5", "--concurrency", "2", "--json").stdout)
    assert admin["calls"] == 10
    paced = json.loads(gregor("bench", "admin", "--records", "4", "--clients", "2", "--concurrency", "2", "--record-size",
                              "100", "--rate", "40", "--json").stdout)
    assert paced["calls"] == 12  # a record is written to each topic, too
    assert paced["calls_per_second"] < 60
    assert [row["TOPIC"] for row in rows(gregor("topic", "list"))] == ["bench"]


def test_benchmarks_show_people_a_histogram(gregor):
    gregor("topic", "create", "bench")
    shown = gregor("bench", "produce", "--records", "3000", "--rate", "2000").stdout
    assert re.match(r"3000 records in 1\.\d\d s: \d+ /s, \d+\.\d MB/s", shown)
    assert re.search(r"p50 \d.* p99 \d.* max \d", shown)
    assert re.search(r"^ *\d+\.\d+ ms \.\. +\d+\.\d+ ms +\d+\.\d+ % #+$", shown, re.MULTILINE)


# --- the command line ---

def test_without_a_server_it_says_where_and_what_to_do():
    for arguments in (["topic", "list"], ["produce", "orders"], ["consume", "orders"], ["bench", "latency"]):
        ran = command("--server", "127.0.0.1:1", *arguments, input="x\n")
        assert ran.returncode == 1
        assert "no server answers at 127.0.0.1:1" in ran.stderr
        assert "gregor server" in ran.stderr
        assert "GREGOR_SERVER" in ran.stderr
        assert ran.stdout == ""


def test_the_server_may_be_given_by_the_environment(node):
    environment = dict(os.environ, GREGOR_SERVER=node.grpc)
    assert command("topic", "list", env=environment).returncode == 0
    assert command("--server", "127.0.0.1:1", "topic", "list", env=environment).returncode == 1


def test_a_bad_address_in_the_environment_is_nothing_to_commands_that_ask_no_server(tmp_path):
    environment = dict(os.environ, GREGOR_SERVER="http://a:1")
    assert command("settings", env=environment).returncode == 0
    assert command("completion", "bash", env=environment).returncode == 0
    assert "no segment files" in command("log", "verify", str(tmp_path), env=environment).stderr
    assert "log_dirs" in command("server", "--log-dirs", "a,a", env=environment).stderr
    ran = command("topic", "list", env=environment)
    assert ran.returncode == 2 and ran.stderr.startswith("gregor: GREGOR_SERVER in the environment: "), ran.stderr


def test_configs_that_are_without_effect_are_marked():
    listed = {config["name"]: config["has_effect"] for config in json.loads(command("--output", "json", "settings", "--configs").stdout)}
    assert listed["log.retention.ms"] and not listed["num.io.threads"]
    text = command("settings", "--configs").stdout
    assert re.search(r"^num.io.threads\n.*\n    default: 8; without effect in this version", text, re.MULTILINE)
    assert re.search(r"^log.retention.ms\n.*\n    default: 604800000; valid: ", text, re.MULTILINE)


def test_options_of_the_program_may_stand_before_and_behind(node, gregor):
    gregor("topic", "create", "orders")
    before = gregor("--output", "json", "offsets", "orders").stdout
    assert json.loads(before) == json.loads(gregor("offsets", "--output", "json", "orders").stdout)
    assert command("offsets", "orders", "--server", node.grpc).returncode == 0


def test_bad_command_lines_exit_with_2_and_say_why():
    for arguments, message in [([], ""), (["nonsense"], "there is no command `gregor nonsense`"),
                               (["topic", "nonsense"], "there is no command `gregor topic nonsense`"),
                               (["topic"], "create alter list"), (["topic", "create"], "NAME is required"),
                               (["topic", "create", "a", "--partitions", "none"], "no whole number"),
                               (["produce", "a", "--acks", "most"], "most not in"),
                               (["consume", "a", "--from", "yesterday"], "none of beginning, end"),
                               (["consume", "a", "--format", "{valeu}"], "there are {topic}"),
                               (["consume", "a", "--format", "csv"], "shows nothing of a record"),
                               (["consume", "a", "--format", ""], "--format: it is empty"),
                               (["consume", "a", "--from", ""], "--from: it is empty"),
                               (["produce", "a", "--key-separator", ""], "--key-separator: it is empty"),
                               (["produce", "a", "--key-separator", "\\x"], "is no escape"),
                               (["produce", "a", "--file", ""], "--file: it is empty"),
                               (["produce", "a", "--linger-ms", "-1"], '"-1" is no number from 0 to 1000000'),
                               (["topic", "delete-records", "a", "--before", "abc"], '--before: "abc" is no whole number'),
                               (["topic", "create", "a", "--partition", "2"], "does not take: --partition 2\nDid you mean --partitions?"),
                               (["consume", "a", "--form", "end"], "Did you mean --from?"),
                               (["topic", "list", "--zzz", "1"], "does not take: --zzz 1\n`gregor topic list --help`"),
                               (["--foo"], "`gregor` does not take: --foo"),
                               (["consume", "a", "--from", "@-5"], '"@-5" is a time before 1970'),
                               (["produce", "a", "--header", "foo"], "foo"), (["produce", "a", "--file", "/"], "/: Is a directory"),
                               (["help", "topic", "nonsense"], "there is no command `gregor topic nonsense`"),
                               (["topic", "list", "--server", "localhost:abc"], "HOST:PORT"),
                               (["topic", "list", "--server", "localhost:99999"], "HOST:PORT"),
                               (["--server", "http://localhost:9094", "topic", "list"], "HOST:PORT")]:
        ran = command(*arguments, stdin=subprocess.DEVNULL)
        assert ran.returncode == 2, (arguments, ran.stderr)
        assert message in ran.stderr, (arguments, ran.stderr)


def test_help_and_version_are_commands_too():
    assert command("help").stdout == command("--help").stdout
    assert command("help", "topic").stdout == command("topic", "--help").stdout
    assert command("help", "topic", "create").stdout == command("topic", "create", "--help").stdout
    assert command("version").stdout == command("--version").stdout
    version = json.loads(command("version", "--output", "json").stdout)
    assert set(version) == {"version", "commit", "build_type", "compiler"}
    assert f"gregor {version['version']} (commit {version['commit']}, " in command("--version").stdout


def commands_of(*path):
    """All commands below a command, with the help of each."""
    ran = command(*path, "--help")
    assert ran.returncode == 0, (path, ran.stderr)
    assert max(map(len, ran.stdout.splitlines())) <= 120, path
    yield path, ran.stdout
    if "\nSubcommands:\n" in ran.stdout:
        for line in ran.stdout.split("\nSubcommands:\n")[1].splitlines():
            if not line.startswith("  "):
                break
            yield from commands_of(*path, line.split()[0])


def test_every_command_has_help():
    helps = dict(commands_of())
    assert len(helps) > 30
    for path in (("topic", "create"), ("produce",), ("consume",), ("bench", "admin"), ("server",), ("log", "verify")):
        assert path in helps
    assert all("Usage: gregor" in text for text in helps.values())


def test_a_node_without_records_has_no_logs_to_verify(node):
    node.stop()
    verified = command("log", "verify", str(node.data))
    assert (verified.returncode, verified.stdout) == (0, "0 logs, 0 records, no problems\n")
    assert command("log", "verify", str(node.data / "metadata")).returncode == 1


def test_the_logs_of_a_data_directory_are_verified_and_dumped(node, gregor):
    gregor("topic", "create", "orders", "--partitions", "2")
    gregor("produce", "orders", "--partition", "1", input="x\n")
    node.stop()
    logs = json.loads(command("--output", "json", "log", "verify", str(node.data)).stdout.splitlines()[0])
    assert (logs["records"], logs["problems"], logs["topic"], logs["partition"]) == (1, 0, "orders", 1)
    assert command("log", "verify", str(node.data)).stdout.splitlines()[-1] == "1 log, 1 record, no problems"
    assert "topic=orders  partition=1" in command("log", "dump", str(node.data / "topics")).stdout
    (log,) = (node.data / "topics").rglob("*.log")
    for name in (str(log.parent), f"{log.parent}/", f"{log.parent}//", f"{log.parent}/."):
        for look in ("dump", "verify"):
            assert "topic=orders  partition=1" in command("log", look, name).stdout, (look, name)
    content = bytearray(log.read_bytes())
    content[65] ^= 1
    log.write_bytes(content)
    damaged = command("log", "verify", str(log.parent))
    assert damaged.returncode == 1
    assert "first_offset=-  next_offset=0  good_up_to=0  problems=1" in damaged.stdout
    assert damaged.stdout.splitlines()[-1] == "1 log, 0 records, 1 problem"
    log.write_bytes(bytes(content[:65]) + bytes([content[65] ^ 1]) + bytes(content[66:]))
    assert json.loads(command("--output", "json", "log", "dump", str(node.data)).stdout)["records"] == 1


def segment(node, partition):
    """The file of a partition's first segment, of the only topic."""
    (path,) = (node.data / "topics").glob(f"*-{partition}/00000000000000000000.log")
    return path


def test_damage_to_a_batch_costs_that_batch_alone(node, gregor):
    gregor("topic", "create", "orders")
    for number in range(4):
        gregor("produce", "orders", input=f"{number}\n")
    node.stop()
    path = segment(node, 0)
    content = bytearray(path.read_bytes())
    content[len(content.rstrip(b"\0")) // 4 * 2 + 7] ^= 1  # of the third one's offset, which no checksum covers
    path.write_bytes(content)
    node.start()
    ran = gregor("consume", "orders", "--exit-at-end", code=1, timeout=30)
    assert ran.stdout == "0\n1\n" and "--from 3" in ran.stderr and "CORRUPT_BATCH" in ran.stderr, ran
    ran = gregor("consume", "orders", "--exit-at-end", "--skip-corrupt", timeout=30)
    assert ran.stdout == "0\n1\n3\n" and "left out" in ran.stderr, ran
    gregor("produce", "orders", input="4\n")
    assert gregor("consume", "orders", "--exit-at-end", "--from", "-2", timeout=30).stdout == "3\n4\n"
    # A search that comes by it: by the time of the third record.
    when = json.loads(gregor("consume", "orders", "--from", "1", "--max-records", "1", "--format", "json").stdout)["timestamp"] + 1
    ran = gregor("consume", "orders", "--exit-at-end", "--from", f"@{when}", code=1, timeout=30)
    assert "partition orders-0: " in ran.stderr and "--from 3" in ran.stderr and "CORRUPT_BATCH" in ran.stderr, ran
    assert ran.stderr.count("orders-0") == 1, ran
    ran = gregor("consume", "orders", "--exit-at-end", "--from", f"@{when}", "--skip-corrupt", timeout=30)
    assert ran.stdout == "3\n4\n" and "left out" in ran.stderr, ran


def test_a_partition_that_is_refused_is_named_and_hides_no_other(node, gregor):
    gregor("topic", "create", "orders", "--partitions", "3")
    for partition in range(3):
        gregor("produce", "orders", "--partition", str(partition), input="a\nb\n")
    node.stop()
    os.truncate(segment(node, 1), 20)
    node.start()
    ran = gregor("offsets", "orders", code=1, timeout=30)
    assert [(row["PARTITION"], row["END"]) for row in rows(ran)] == [("0", "2"), ("2", "2")], ran
    assert "partition orders-1 is offline" in ran.stderr, ran
    for arguments, code in (([], 1), (["--partition", "0,2"], 0)):
        ran = gregor("consume", "orders", "--exit-at-end", *arguments, code=code, timeout=30)
        assert ran.stdout.split() == ["a", "b"] * 2 and ("partition orders-1 is offline" in ran.stderr) == bool(code), ran
    for look in (["consume", "orders", "--partition", "1"], ["offsets", "orders", "--partition", "1"]):
        assert "partition orders-1 is offline" in gregor(*look, code=1, timeout=30).stderr
    described = json.loads(gregor("--output", "json", "topic", "describe", "orders").stdout)["partitions"]
    assert [each["offline"] for each in described] == [[], [1], []]
    (directory,) = json.loads(gregor("--output", "json", "cluster", "log-dirs").stdout)
    assert (directory["replicas"], directory["offline"], directory["state"]) == (3, 1, "online")
    # What may go anywhere goes where it can.
    gregor("produce", "orders", "--batch-bytes", "100", "--delivery-timeout", "10", input="x\n" * 50, timeout=30)
    for _ in range(9):
        node.produce("orders", [b"y"], partition=None)
    assert gregor("consume", "orders", "--exit-at-end", "--partition", "0,2", timeout=30).stdout.split().count("x") == 50
    node.stop()
    for partition in (0, 2):
        os.truncate(segment(node, partition), 20)
    node.start()
    for look in (["consume", "orders"], ["consume", "orders", "--exit-at-end"], ["offsets", "orders"]):
        stderr = gregor(*look, code=1, timeout=30).stderr
        assert all(f"partition orders-{partition} is offline" in stderr for partition in range(3)), stderr
    gregor("topic", "delete", "orders")
    assert json.loads(gregor("--output", "json", "cluster", "log-dirs").stdout)[0]["offline"] == 0


def test_standard_files_that_are_closed_are_not_taken_for_others(node, gregor):
    gregor("topic", "create", "orders")
    for words, redirect in (("produce orders", "<&-"), ("topic list", ">&-")):
        ran = subprocess.run(["sh", "-c", f"exec {BINARY} --server {node.grpc} {words} {redirect}"], capture_output=True, text=True, timeout=20)
        assert ran.returncode == 1 and re.search("(input cannot be read: Bad file|stdout cannot be written)", ran.stderr), (words, ran)


def test_what_cannot_be_printed_is_a_failure(node, gregor):
    gregor("topic", "create", "orders")
    for arguments in (["topic", "list"], ["offsets", "orders"], ["settings"], ["--version"], ["topic", "--help"]):
        with open("/dev/full", "w") as full:
            ran = subprocess.run([BINARY, "--server", node.grpc, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
        assert ran.returncode == 1 and "stdout cannot be written" in ran.stderr, (arguments, ran)


def test_looking_at_the_files_of_a_running_node_warns(node, gregor):
    gregor("topic", "create", "orders")
    gregor("produce", "orders", input="x\n")
    (partition,) = [path for path in (node.data / "topics").iterdir() if path.is_dir() and list(path.glob("*.log"))]
    looks = [("log", "verify", node.data), ("log", "dump", node.data / "topics"), ("log", "dump", partition),
             ("metadata", "dump", node.data)]
    for look in looks:
        assert f"is in use by process {node.process.pid}" in command(*map(str, look)).stderr, look
    node.stop()
    for look in looks:
        ran = command(*map(str, look))
        assert (ran.returncode, ran.stderr) == (0, ""), look


def test_damaged_metadata_are_reported(node, gregor):
    gregor("topic", "create", "orders")
    node.stop()
    (log,) = (node.data / "metadata").rglob("*.log")
    content = bytearray(log.read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 0x55
    log.write_bytes(content)
    ran = command("metadata", "dump", str(node.data))
    assert ran.returncode == 1
    assert str(log) in ran.stderr
    assert "offset=0" in ran.stdout


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_completion_completes_in_fish(node, gregor, tmp_path):
    script = tmp_path / "completion.fish"
    script.write_text(command("completion", "fish").stdout)

    def complete(line):
        ran = subprocess.run(["fish", "--no-config", "-c", f"function gregor; {BINARY} $argv; end; source {script}; complete -C '{line}'"],
                             capture_output=True, text=True, timeout=20, check=True, cwd=tmp_path,
                             env=dict(os.environ, GREGOR_SERVER="127.0.0.1:1", HOME=str(tmp_path)))
        assert ran.stderr == ""
        return [row.split("\t")[0] for row in ran.stdout.splitlines()]

    assert complete("gregor to") == ["topic"]
    assert complete("gregor topic cr") == ["create"]
    assert complete("gregor topic add-partitions --p") == ["--partitions"]
    assert complete("gregor produce orders --acks l") == ["leader"]
    assert complete("gregor produce orders --compression=z") == ["--compression=zstd"]
    assert complete("gregor topic list --output ") == ["json", "table"]
    assert complete("gregor produce orders --file compl") == ["completion.fish"]
    assert "orders" not in complete("gregor consume or")  # no server answers
    gregor("topic", "create", "orders")
    gregor("topic", "create", "other")
    for line in ("consume o", "topic delete o", "bench produce --topic o", "config describe --topic o"):
        assert complete(f"gregor --server {node.grpc} {line}") == ["orders", "other"], line
    assert complete(f"gregor --server={node.grpc} consume oth") == ["other"]
    assert complete(f"gregor --server {node.grpc} config get log.retention.m") == ["log.retention.ms"]


def test_completion_completes_in_bash(node, gregor, tmp_path):
    script = tmp_path / "completion"
    script.write_text(command("completion", "bash").stdout)

    def complete(*words, line=""):
        quoted = " ".join(f"'{word}'" for word in words)
        ran = subprocess.run(
            ["bash", "-c", f"gregor() {{ {BINARY} \"$@\"; }}; source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
             f"COMP_LINE='{line}'; _gregor; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
            capture_output=True, text=True, timeout=20, check=True, env=dict(os.environ, GREGOR_SERVER="127.0.0.1:1"))
        assert ran.stderr == ""
        return ran.stdout.split()

    assert complete("gregor", "to") == ["topic"]
    assert complete("gregor", "topic", "cr") == ["create"]
    assert complete("gregor", "help", "to") == ["topic"]
    assert complete("gregor", "consume", "orders", "--format", "") == ["json", "raw"]
    # Values, of options too that are written with "=", and of options of the whole program.
    assert complete("gregor", "produce", "orders", "--acks", "l") == ["leader"]
    assert complete("gregor", "produce", "orders", "--compression", "=", "z") == ["zstd"]
    assert complete("gregor", "produce", "orders", "--compression", "=") == ["none", "gzip", "snappy", "lz4", "zstd"]
    assert complete("gregor", "topic", "list", "--output", "") == ["table", "json"]
    assert complete("gregor", "produce", "orders", "--file", "") == []  # the shell's own: files
    # What only the server knows: where there is none, nothing is said.
    assert complete("gregor", "consume", "or") == []
    gregor("topic", "create", "orders")
    gregor("topic", "create", "other")
    server = f"gregor --server {node.grpc} "
    for line in ("consume o", "topic delete o", "bench produce --topic o", "config describe --topic o"):
        assert complete("gregor", *line.split(), line=server + line) == ["orders", "other"], line
    assert complete("gregor", "consume", "oth", line=f"gregor consume --server={node.grpc} oth") == ["other"]
    line = "topic create new --config retention.m"
    assert complete("gregor", *line.split(), line=server + line) == ["retention.ms="]
    line = "config get log.retention.m"
    assert complete("gregor", *line.split(), line=server + line) == ["log.retention.ms"]
    assert complete("gregor", "topic", "create", "o", line=server + "topic create o") == []
    assert complete("gregor", "topic", "create", "orders", "--part") == ["--partitions"]
    assert complete("gregor", "--output", "json", "bench", "la") == ["latency"]
    assert "--from" in complete("gregor", "consume", "--")
    assert pathlib.Path(BINARY).exists()


def test_completion_in_bash_finds_the_program_behind_an_alias(node, gregor, tmp_path):
    gregor("topic", "create", "orders")
    script = tmp_path / "completion"
    script.write_text(command("completion", "bash").stdout)
    for alias in (BINARY, f"GREGOR_SERVER={node.grpc} {BINARY}", f"{BINARY} --output json"):
        ran = subprocess.run(
            ["bash", "--norc", "-ic", f"alias gregor='{alias}'; source {script}; COMP_WORDS=(gregor consume or); COMP_CWORD=2; "
             "COMP_LINE='gregor consume or'; _gregor; printf '%s\\n' \"${COMPREPLY[@]}\""],
            capture_output=True, text=True, timeout=20, check=True, env=dict(os.environ, GREGOR_SERVER=node.grpc))
        assert ran.stdout.split() == ["orders"], alias


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_completion_completes_in_zsh(node, gregor, tmp_path):
    """In a shell that has loaded nothing yet, on a terminal: with the program in PATH, and behind an alias."""
    gregor("topic", "create", "orders")
    script = tmp_path / "completion.zsh"
    script.write_text(command("completion", "zsh").stdout)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gregor").symlink_to(BINARY)
    environment = dict(os.environ, GREGOR_SERVER=node.grpc, HOME=str(tmp_path), TERM="dumb")
    for found in (f"path=({tmp_path}/bin $path)", f"alias gregor={BINARY}"):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
        os.write(terminal, f"{found}; source {script}; PS1=READ'Y '\n".encode())
        for keys, expected in (("", "READY "), ("gregor offs\t", "gregor offsets "), ("or\t", "orders"),
                               ("\x15gregor config set --topic orders retention.m\t", "retention.ms=")):
            os.write(terminal, keys.encode())
            shown = ""
            while expected not in shown:
                assert select.select([terminal], [], [], 20)[0], (found, keys, shown)
                shown += os.read(terminal, 65536).decode()
            assert "not found" not in shown
        os.close(terminal)  # the shell ends with its terminal
        os.waitpid(pid, 0)
