"""Clients that find the leaders of partitions by themselves, with three real nodes."""
import hashlib
import json
import random
import subprocess
import threading

import pytest
from node import BINARY, command, eventually
from quorum import Loopback, Quorum

PARTITIONS = 12


@pytest.fixture
def quorum(tmp_path):
    made = Quorum(tmp_path, [Loopback() for _ in range(3)])
    try:
        for node in made.nodes:
            node.launch()
        for node in made.nodes:
            node.await_ready()
        yield made
    finally:
        made.end()


def gregor(server, *arguments, text=None, code=0):
    """What it prints."""
    done = subprocess.run([BINARY, "--server", server, *arguments], input=text, capture_output=True, timeout=120, text=True,
                          check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def create(quorum, name):
    """{partition: node that leads it}."""
    server = quorum.nodes[0].grpc
    gregor(server, "topic", "create", name, "--partitions", str(PARTITIONS))
    described = json.loads(gregor(server, "--output", "json", "topic", "describe", name))
    return {row["partition"]: row["leader"] for row in described["partitions"]}


def test_a_topic_over_three_brokers_is_written_and_read_through_any_of_them(quorum):
    leaders = create(quorum, "orders")
    assert set(leaders.values()) == {1, 2, 3}, "partitions are spread"
    values = [f"{i} {random.Random(i).getrandbits(200):x}" for i in range(20_000)]
    lines = "".join(f"{value}\n" for value in values)
    expected = hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()
    for round_, (writer, reader) in enumerate([(1, 2), (2, 3), (3, 1)]):
        name = f"orders{round_}"
        create(quorum, name)
        gregor(quorum.nodes[writer - 1].grpc, "produce", name, text=lines)
        read = gregor(quorum.nodes[reader - 1].grpc, "consume", name, "--exit-at-end").splitlines()
        assert hashlib.sha256("\n".join(sorted(read)).encode()).hexdigest() == expected
    # One partition keeps the order, wherever it is led.
    for partition in (0, 1, 2):
        gregor(quorum.nodes[0].grpc, "produce", "orders", "--partition", str(partition), text=lines)
        assert gregor(quorum.nodes[1].grpc, "consume", "orders", "--partition", str(partition), "--exit-at-end") == lines


def test_admin_calls_of_partitions_go_to_their_leaders(quorum):
    create(quorum, "orders")
    server = quorum.nodes[2].grpc
    for partition in range(PARTITIONS):
        gregor(server, "produce", "orders", "--partition", str(partition), text="a\nb\nc\n")
    deleted = json.loads(gregor(server, "--output", "json", "topic", "delete-records", "orders", "--before", "2"))
    assert [row["log_start_offset"] for row in deleted] == [2] * PARTITIONS


def test_offsets_of_a_topic_that_lost_a_leader_are_those_of_the_others(quorum):
    leaders = create(quorum, "orders")
    quorum.nodes[2].kill()
    left = [{"partition": partition, "start": 0, "end": 0, "records": 0} for partition in sorted(leaders) if leaders[partition] != 3]
    server = quorum.nodes[0].grpc
    # A leader that is only late is waited for.
    eventually(lambda: json.loads(gregor(server, "--output", "json", "broker", "describe", "3"))["state"] == "fenced")
    done = command("--server", server, "--output", "json", "offsets", "orders")
    assert done.returncode == 1
    assert json.loads(done.stdout) == left
    assert f"{PARTITIONS - len(left)} of {PARTITIONS} partitions are not shown" in done.stderr


def test_a_topic_that_should_have_more_replicas_is_not_written_to(quorum):
    gregor(quorum.nodes[0].grpc, "topic", "create", "safe", "--replication-factor", "3")
    done = command("--server", quorum.nodes[0].grpc, "produce", "safe", "--delivery-timeout", "1", input="a\n")
    assert done.returncode == 1
    assert "replication factor 1" in done.stderr, done.stderr


def test_another_address_is_tried_where_a_server_does_not_answer(quorum):
    create(quorum, "orders")
    addresses = ",".join(node.grpc for node in quorum.nodes)
    quorum.nodes[0].kill()
    eventually(lambda: command("--server", addresses, "topic", "create", "more").returncode == 0)
    assert "orders" in gregor(addresses, "topic", "list")


def test_a_node_that_is_killed_under_load_loses_and_doubles_nothing(quorum):
    leaders = create(quorum, "orders")
    addresses = ",".join(node.grpc for node in quorum.nodes)
    producer = subprocess.Popen([BINARY, "--server", addresses, "produce", "orders", "--key-separator", "="],
                                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    stop = threading.Event()
    written = []

    def write():
        number = 0
        while not stop.is_set():
            for _ in range(200):
                producer.stdin.write(f"k{number % 997}={number}\n")
                number += 1
            producer.stdin.flush()
            stop.wait(0.01)
        written.append(number)

    writer = threading.Thread(target=write)
    writer.start()

    def size(node):
        led = ",".join(str(partition) for partition, leader in leaders.items() if leader == node.number)
        return sum(row["end"] for row in json.loads(gregor(node.grpc, "--output", "json", "offsets", "orders", "--partition", led)))

    first, second, third = quorum.nodes
    eventually(lambda: size(first) > 0 and size(second) > 0 and size(third) > 0)
    third.kill()
    before = size(first)
    eventually(lambda: size(first) > before)  # partitions that stay go on
    third.start()
    before = size(first)
    eventually(lambda: size(third) > 0 and size(first) > before, seconds=30)
    stop.set()
    writer.join()
    _, stderr = producer.communicate(timeout=150)
    assert producer.returncode == 0, stderr
    read = gregor(addresses, "consume", "orders", "--exit-at-end").splitlines()
    assert sorted(map(int, read)) == list(range(written[0]))
