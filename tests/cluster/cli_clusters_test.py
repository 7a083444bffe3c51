"""The `gregor` command on several nodes: what it asks of each of them, and what it says where some are missing."""
import json
import subprocess

import pytest
from node import BINARY, command, eventually
from quorum import Loopback, Quorum


@pytest.fixture
def quorum(tmp_path):
    made = Quorum(tmp_path, [Loopback() for _ in range(3)])
    try:
        made.start()
        made.await_level()
        yield made
    finally:
        made.end()


def gregor(node, *arguments, code=0):
    ran = command("--server", node.grpc, *arguments)
    assert ran.returncode == code, (arguments, ran.returncode, ran.stdout, ran.stderr)
    return ran


def test_every_brokers_log_directories_are_shown_and_who_is_missing_is_named(quorum):
    one, two, three = quorum.nodes
    gregor(one, "topic", "create", "orders", "--partitions", "3", "--replication-factor", "1")
    for partition in ("0", "1", "2"):
        subprocess.run([BINARY, "--server", one.grpc, "produce", "orders", "--partition", partition], input=b"x\n", timeout=60, check=True)
    shown = json.loads(gregor(two, "--output", "json", "cluster", "log-dirs", "--topic", "orders").stdout)
    assert [(row["broker"], row["replicas"]) for row in shown] == [(1, 1), (2, 1), (3, 1)]
    three.kill()
    partly = gregor(one, "--output", "json", "cluster", "log-dirs", code=1)
    assert [row["broker"] for row in json.loads(partly.stdout)] == [1, 2]
    assert f"broker 3: no server answers at {three.grpc}" in partly.stderr
    assert "1 of 3 brokers" in partly.stderr


def test_another_listener_is_told_as_that(quorum):
    node = quorum.nodes[0]
    internal = command("--server", node.address("internal"), "topic", "list")
    assert internal.returncode == 1 and "internal listener? Clients use listen.grpc (9094)" in internal.stderr, internal.stderr
    http = command("--server", node.http, "topic", "list")
    assert http.returncode == 1
    assert http.stderr == f"gregor: {node.http} is an HTTP port: clients use listen.grpc (9094)\n"


def test_a_topic_that_nobody_can_write_to_yet_is_told_as_that(quorum):
    node = quorum.nodes[0]
    created = gregor(node, "topic", "create", "orders", "--replication-factor", "3")
    assert "nothing can be written to \"orders\"" in created.stderr
    assert gregor(node, "topic", "create", "plain", "--replication-factor", "1").stderr == ""
    refused = command("--server", node.grpc, "produce", "orders", "--delivery-timeout", "1", input="x\n")
    assert refused.returncode == 1 and "[NOT_ENOUGH_REPLICAS]" in refused.stderr, refused.stderr


def test_without_a_majority_commands_say_so(quorum):
    one = quorum.nodes[0]
    rows = json.loads(gregor(one, "--output", "json", "broker", "list").stdout)
    assert sum(row["active_controller"] for row in rows) == 1
    assert gregor(one, "broker", "list").stderr == ""
    for node in quorum.others(one):
        node.kill()
    eventually(lambda: "no majority of the voters" in gregor(one, "broker", "list").stderr, seconds=30)
    changes = [subprocess.Popen([BINARY, "--server", one.grpc, *arguments], stderr=subprocess.PIPE, text=True) for arguments in (
        ("quorum", "remove", "3"), ("topic", "create", "orders"), ("topic", "alter", "none", "--unset", "retention.ms"),
        ("topic", "delete", "none"), ("topic", "add-partitions", "none", "--total", "2"), ("partition", "elect"),
        ("config", "set", "--all-brokers", "log.retention.ms=1"), ("broker", "unfence", "2"), ("acl", "delete", "--all"),
        ("user", "delete", "none"), ("quota", "set", "--default-user", "request_percentage=50"))]
    try:
        for change in changes:
            assert change.stderr.readline() == (
                "gregor: no answer yet: without a majority of the voters there is no active controller that could do it; waiting for one\n")
    finally:
        for change in changes:
            change.kill()
            change.wait()
            change.stderr.close()
