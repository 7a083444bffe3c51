"""What was acknowledged is there after the process was killed, and once."""
import random
import shutil
import threading
import time
import uuid

import grpc
import pytest
from node import errors, fails
from gregor.v1 import produce_pb2, types_pb2


def test_records_and_topics_survive_a_kill(node):
    node.create_topic("orders", partitions=3, retention_ms="123456789")
    expected = {}
    for partition in range(3):
        values = [b"%d-%d" % (partition, index) for index in range(100)]
        for start in range(0, 100, 10):
            node.produce("orders", values[start:start + 10], partition=partition)
        expected[partition] = list(enumerate(values))
    node.kill()
    node.start()
    for partition in range(3):
        assert node.read("orders", partition) == expected[partition]
        assert node.produce("orders", [b"more"], partition=partition).base_offset == 100


def test_a_clean_stop_keeps_everything_too(node):
    node.create_topic("orders")
    node.produce("orders", [b"a", b"b"])
    node.stop()
    node.start()
    assert node.read("orders") == [(0, b"a"), (1, b"b")]
    assert node.produce("orders", [b"c"]).base_offset == 2


def test_the_leader_epoch_rises_with_every_start(node):
    node.create_topic("orders")
    epochs = []
    for index in range(4):
        epochs.append(node.produce("orders", [b"%d" % index]).leader_epoch)
        (node.kill if index % 2 else node.stop)()
        node.start()
    assert epochs == sorted(set(epochs))
    assert [offset for offset, _ in node.read("orders")] == [0, 1, 2, 3]


def test_a_repeated_request_is_stored_once_also_over_restarts(node):
    node.create_topic("orders", partitions=4)
    request = produce_pb2.ProduceRequest(
        topic="orders", request_id=str(uuid.uuid4()),
        records=[types_pb2.Record(key=b"k%d" % index, value=b"v%d" % index) for index in range(50)] + [
            types_pb2.Record(value=b"without key")])
    first = node.producer.Produce(request, timeout=20)
    assert not any(r.duplicate for r in first.ranges)
    for end in (lambda: None, node.kill, node.stop, node.kill):
        if end() is not None or node.process is None:
            node.start()
        again = node.producer.Produce(request, timeout=20)
        assert [(r.first_index, r.count, r.partition, r.base_offset) for r in again.ranges] == [
            (r.first_index, r.count, r.partition, r.base_offset) for r in first.ranges]
        assert all(r.duplicate for r in again.ranges)
    assert sum(len(node.read("orders", partition)) for partition in range(4)) == 51


def test_an_id_that_was_used_for_something_else_is_refused_also_over_restarts(node):
    node.create_topic("orders")
    node.produce("orders", [b"one"], request_id="the-id")
    for end in (lambda: None, node.kill, node.stop):
        if end() is not None or node.process is None:
            node.start()
        with fails("INVALID_ARGUMENT", grpc.StatusCode.INVALID_ARGUMENT) as failure:
            node.produce("orders", [b"two"], request_id="the-id")
        assert errors.outcome(failure.error) == "NOT_APPLIED"
    assert node.read("orders") == [(0, b"one")]


def test_sequences_of_a_producer_go_on_after_a_kill(node):
    node.create_topic("orders")
    session = node.producer.InitProducer(produce_pb2.InitProducerRequest(), timeout=20)

    def send(base_sequence):
        return node.produce("orders", [b"%d" % base_sequence], producer=produce_pb2.ProducerSession(
            producer_id=session.producer_id, producer_epoch=session.producer_epoch, base_sequence=base_sequence))

    assert send(0).base_offset == 0
    assert send(1).base_offset == 1
    node.kill()
    node.start()
    again = send(1)
    assert again.duplicate and again.base_offset == 1
    with fails("OUT_OF_ORDER_SEQUENCE"):
        send(3)
    assert send(2).base_offset == 2
    # Nobody gets the same id again.
    assert node.producer.InitProducer(produce_pb2.InitProducerRequest(), timeout=20).producer_id != session.producer_id


@pytest.mark.parametrize("durability", ["synced", "replicated"])
def test_a_kill_takes_nothing_that_was_acknowledged(node, durability):
    node.create_topic("orders", partitions=2, durability=durability)
    acknowledged = {0: [], 1: []}
    stop = threading.Event()

    def write(partition):
        number = 0
        while not stop.is_set():
            values = [b"%d:%d" % (partition, number + index) for index in range(random.randint(1, 50))]
            try:
                base = node.produce("orders", values, partition=partition).base_offset
            except grpc.RpcError:
                return
            acknowledged[partition] += [(base + index, value) for index, value in enumerate(values)]
            number += len(values)

    for _ in range(3):
        writers = [threading.Thread(target=write, args=(partition,)) for partition in acknowledged]
        for writer in writers:
            writer.start()
        time.sleep(random.uniform(0.1, 0.4))
        node.process.kill()
        stop.set()
        for writer in writers:
            writer.join()
        stop.clear()
        node.wait()
        node.start()
        for partition, records in acknowledged.items():
            found = dict(node.read("orders", partition))
            assert [record for record in records if found.get(record[0]) != record[1]] == []
            assert sorted(found) == list(range(len(found)))
            # Values begin anew each round: only what was acknowledged in this one must be told apart.
            acknowledged[partition] = []
    assert node.stop()[0] == 0


def session(node):
    return node.producer.InitProducer(produce_pb2.InitProducerRequest(), timeout=20)


def send(node, of, sequence, value):
    return node.produce("orders", [value], producer=produce_pb2.ProducerSession(
        producer_id=of.producer_id, producer_epoch=of.producer_epoch, base_sequence=sequence))


@pytest.mark.parametrize("starts", [1, 2])
def test_metadata_of_an_older_backup_swallow_no_record(node, tmp_path, starts):
    node.create_topic("orders")
    send(node, session(node), 0, b"before the backup")
    node.stop()
    backup = tmp_path / "backup"
    shutil.copytree(node.data / "metadata", backup)
    expected = [b"before the backup"]
    for number in range(starts):
        node.start()
        late = session(node)
        expected.append(b"after it %d" % number)
        send(node, late, 0, expected[-1])
        node.stop()
    shutil.rmtree(node.data / "metadata")
    shutil.copytree(backup, node.data / "metadata")
    node.start()
    new = session(node)
    assert new.producer_id != late.producer_id
    if starts > 1:
        # The log has leader epochs of which the metadata know nothing: it is left as it is.
        with fails("STORAGE_ERROR"):
            send(node, new, 0, b"new")
        with fails("STORAGE_ERROR"):
            node.read("orders")
        assert node.is_up()
        return
    assert not send(node, new, 0, b"new").duplicate
    # Who has a session from after the backup goes on, or is told to begin anew.
    try:
        send(node, late, 1, b"late")
        expected += [b"new", b"late"]
    except grpc.RpcError as error:
        assert errors.reason(error) == "UNKNOWN_PRODUCER_ID"
        assert errors.outcome(error) == "NOT_APPLIED"
        expected += [b"new"]
    assert [value for _, value in node.read("orders")] == expected


def test_a_producer_id_that_was_never_given_is_refused(node):
    node.create_topic("orders")
    given = session(node)
    made_up = produce_pb2.InitProducerResponse(producer_id=given.producer_id + 1_000_000, producer_epoch=0)
    with fails("UNKNOWN_PRODUCER_ID") as failure:
        send(node, made_up, 0, b"swallows somebody's first batch")
    assert errors.outcome(failure.error) == "NOT_APPLIED"
    send(node, given, 0, b"x")
    assert node.read("orders") == [(0, b"x")]
