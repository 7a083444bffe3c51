"""Topics come, change and go; records of one never turn up in another."""
import os
import shutil

import pytest
from node import EARLIEST, errors, eventually, fails
from gregor.v1 import config_pb2, fetch_pb2, produce_pb2, topic_pb2, types_pb2


def folders(node):
    return sorted(path.name for path in (node.data / "topics").iterdir() if path.is_dir())


def delete(node, **key):
    node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(**key), timeout=20)


def test_a_topic_that_was_created_anew_has_nothing_of_the_old_one(node):
    old = node.create_topic("orders", partitions=2)
    node.produce("orders", [b"old"] * 10)
    node.produce("orders", [b"old"], request_id="id")
    delete(node, topic="orders")
    with fails("TOPIC_NOT_FOUND"):
        node.produce("orders", [b"lost"])
    new = node.create_topic("orders", partitions=2)
    assert new.topic_id != old.topic_id
    assert node.read("orders") == []
    # What was meant for the old one does not reach the new one.
    with fails("UNKNOWN_TOPIC_ID"):
        node.produce("orders", [b"late"], topic_id=old.topic_id)
    assert not node.produce("orders", [b"old"], request_id="id").duplicate
    assert node.read("orders") == [(0, b"old")]
    for end in (node.kill, node.stop):
        end()
        node.start()
        assert node.read("orders") == [(0, b"old")]
        assert node.topics.GetTopic(topic_pb2.GetTopicRequest(topic="orders"), timeout=20).topic.topic_id == new.topic_id


def test_files_of_a_deleted_topic_go(node):
    node.create_topic("orders", partitions=3)
    for partition in range(3):
        node.produce("orders", [b"x"], partition=partition)
    assert len(folders(node)) == 3
    delete(node, topic="orders")
    eventually(lambda: folders(node) == [])


def test_a_topic_that_was_deleted_stays_deleted_after_a_kill(node):
    node.create_topic("orders")
    node.produce("orders", [b"x"])
    delete(node, topic="orders")
    node.kill()
    node.start()
    with fails("TOPIC_NOT_FOUND"):
        node.produce("orders", [b"x"])
    assert [topic.topic for topic in node.topics.ListTopics(topic_pb2.ListTopicsRequest(), timeout=20).topics] == []


def test_a_stop_right_after_a_topic_with_many_partitions_was_deleted_ends_in_time(node):
    node.create_topic("wide", partitions=400)
    requests = [produce_pb2.ProduceRequest(topic="wide", partition=partition, records=[types_pb2.Record(value=b"x")])
                for partition in range(400)]
    stub = node.producer
    for call in [stub.Produce.future(request, timeout=60) for request in requests]:
        call.result()
    assert len(folders(node)) == 400
    delete(node, topic="wide")
    code, seconds = node.stop()
    assert code == 0
    assert seconds < 5
    node.start()
    eventually(lambda: folders(node) == [])


def test_a_topic_that_is_deleted_while_its_logs_are_opened_leaves_nothing(node):
    node.create_topic("wide", partitions=200)
    stub = node.producer
    for call in [stub.Produce.future(produce_pb2.ProduceRequest(
            topic="wide", partition=partition, records=[types_pb2.Record(value=b"x")]), timeout=60)
            for partition in range(200)]:
        call.result()
    node.kill()
    node.start("--recovery-parallelism", "1")
    delete(node, topic="wide")
    eventually(lambda: folders(node) == [])
    assert node.stop()[0] == 0
    node.start()
    assert folders(node) == []


def test_deleting_by_id_spares_a_successor(node):
    old = node.create_topic("orders")
    delete(node, topic_id=old.topic_id)
    node.create_topic("orders")
    with fails("UNKNOWN_TOPIC_ID"):
        delete(node, topic_id=old.topic_id)
    node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic_id=old.topic_id, allow_missing=True), timeout=20)
    assert node.produce("orders", [b"x"]).base_offset == 0


def test_many_partitions_are_created_written_and_found_again(node):
    node.create_topic("wide", partitions=1200)
    for partition in (0, 1, 599, 1199):
        node.produce("wide", [b"%d" % partition], partition=partition)
    assert len(folders(node)) == 4
    node.kill()
    node.start()
    for partition in (0, 1, 599, 1199):
        assert node.read("wide", partition) == [(0, b"%d" % partition)]
    pages, token = [], ""
    while True:
        answer = node.topics.GetTopic(topic_pb2.GetTopicRequest(topic="wide", page=types_pb2.PageRequest(page_token=token)),
                                      timeout=20)
        pages.append(len(answer.topic.partitions))
        token = answer.next_page_token
        if not token:
            break
    assert pages == [500, 500, 200]


def test_added_partitions_are_served(node):
    node.create_topic("orders")
    topic = node.topics.AddPartitions(topic_pb2.AddPartitionsRequest(topic="orders", total_partitions=5), timeout=20).topic
    assert topic.partition_count == 5
    assert node.produce("orders", [b"x"], partition=4).base_offset == 0
    node.kill()
    node.start()
    assert node.read("orders", 4) == [(0, b"x")]


def test_records_before_an_offset_go_for_good(node):
    node.create_topic("orders")
    node.produce("orders", [b"%d" % index for index in range(10)])

    def delete_records(before):
        item = topic_pb2.DeleteRecordsRequest.Item(
            partition=types_pb2.TopicPartition(topic="orders", partition=0), before_offset=before)
        return node.topics.DeleteRecords(topic_pb2.DeleteRecordsRequest(items=[item]), timeout=20).results[0]

    assert delete_records(4).log_start_offset == 4
    assert [offset for offset, _ in node.read("orders")] == [4, 5, 6, 7, 8, 9]
    with fails("OFFSET_OUT_OF_RANGE") as failure:
        node.fetcher.Fetch(fetch_pb2.FetchRequest(topic="orders", position=types_pb2.Position(offset=3)), timeout=20)
    assert errors.facts(failure.error)["log_start_offset"] == "4"
    assert delete_records(99).error.code != 0
    assert delete_records(-2).error.code != 0
    node.kill()
    node.start()
    assert [offset for offset, _ in node.read("orders")] == [4, 5, 6, 7, 8, 9]
    assert delete_records(-1).log_start_offset == 10
    assert node.read("orders") == []
    assert node.produce("orders", [b"next"]).base_offset == 10


def test_configs_hold_and_come_back(node):
    node.create_topic("orders", max_message_bytes="2000")
    resource = config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_TOPIC, name="orders")

    def describe(key):
        result = node.configs.DescribeConfigs(config_pb2.DescribeConfigsRequest(resources=[resource], keys=[key]),
                                              timeout=20).results[0]
        return result.entries[0].value, result.entries[0].source

    def alter(name, kind, value=""):
        op = config_pb2.AlterConfigsRequest.Op(name=name, kind=kind, value=value)
        request = config_pb2.AlterConfigsRequest(alterations=[
            config_pb2.AlterConfigsRequest.Alteration(resource=resource, ops=[op])])
        assert node.configs.AlterConfigs(request, timeout=20).results[0].code == 0

    assert describe("max.message.bytes") == ("2000", config_pb2.ConfigEntry.SOURCE_TOPIC)
    with fails("BATCH_TOO_LARGE"):
        node.produce("orders", [b"x" * 3000])
    alter("max.message.bytes", config_pb2.AlterConfigsRequest.KIND_SET, "4000")
    node.produce("orders", [b"x" * 3000])
    node.kill()
    node.start()
    assert describe("max.message.bytes") == ("4000", config_pb2.ConfigEntry.SOURCE_TOPIC)
    alter("max.message.bytes", config_pb2.AlterConfigsRequest.KIND_DELETE)
    assert describe("max.message.bytes") == ("1048588", config_pb2.ConfigEntry.SOURCE_DEFAULT)
    alter("cleanup.policy", config_pb2.AlterConfigsRequest.KIND_APPEND, "compact")
    assert sorted(describe("cleanup.policy")[0].split(",")) == ["compact", "delete"]


def test_brokers_configs_are_defaults_of_topics(node):
    node.create_topic("orders")
    broker = config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_BROKER, name="")
    op = config_pb2.AlterConfigsRequest.Op(name="message.max.bytes", value="3000")
    node.configs.AlterConfigs(config_pb2.AlterConfigsRequest(alterations=[
        config_pb2.AlterConfigsRequest.Alteration(resource=broker, ops=[op])]), timeout=20)
    resource = config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_TOPIC, name="orders")
    result = node.configs.DescribeConfigs(config_pb2.DescribeConfigsRequest(
        resources=[resource], keys=["max.message.bytes"]), timeout=20).results[0]
    assert (result.entries[0].value, result.entries[0].source) == ("3000", config_pb2.ConfigEntry.SOURCE_CLUSTER_DYNAMIC)
    with fails("BATCH_TOO_LARGE"):
        node.produce("orders", [b"x" * 4000])


def test_folders_that_no_topic_claims_are_kept_aside(node):
    node.create_topic("orders")
    node.produce("orders", [b"precious"])
    (folder,) = folders(node)
    node.stop()
    stray = node.data / "topics" / f"{'A' * 21}Q-0"
    shutil.copytree(node.data / "topics" / folder, stray)
    node.start()
    eventually(lambda: not stray.exists())
    kept = stray.with_name(stray.name + ".stray")
    assert sorted(os.listdir(kept)) == sorted(os.listdir(node.data / "topics" / folder)) or list(kept.glob("*.log"))
    assert stray.name in node.log.read_text()
    assert node.read("orders") == [(0, b"precious")]


def test_missing_metadata_deletes_no_data(node):
    node.create_topic("orders")
    node.produce("orders", [b"precious"])
    (folder,) = folders(node)
    node.stop()
    content = (node.data / "topics" / folder / f"{0:020}.log").read_bytes()
    shutil.rmtree(node.data / "metadata")
    with pytest.raises(Exception):
        node.start()
    kept = [path for path in (node.data / "topics").glob(f"{folder}*/{0:020}.log")]
    assert len(kept) == 1 and kept[0].read_bytes() == content


def test_reading_begins_where_it_is_told(node):
    node.create_topic("orders")
    for index in range(10):
        node.produce("orders", [b"%d" % index])
    values = lambda position: [value for _, value in node.read("orders", start=position)]  # noqa: E731
    assert values(types_pb2.Position(offset=7)) == [b"7", b"8", b"9"]
    assert values(types_pb2.Position(tail=2)) == [b"8", b"9"]
    assert values(EARLIEST) == [b"%d" % index for index in range(10)]
    assert values(types_pb2.Position(anchor=types_pb2.Position.ANCHOR_LATEST)) == []
