"""What a client may send by mistake or on purpose: each gets its documented error, nothing is appended, the node goes on."""
import gzip
import uuid

import grpc
import pytest
from batches import batch, crc32c, record
from node import EARLIEST, Node, cluster_pb2_grpc, errors, fails
from gregor.v1 import cluster_pb2, config_pb2, fetch_pb2, produce_pb2, topic_pb2, types_pb2

INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """One for all tests: none of them may harm it."""
    shared = Node(tmp_path_factory.mktemp("node"))
    shared.start()
    yield shared
    assert shared.stop()[0] == 0


@pytest.fixture
def empty_topic(node):
    name = f"t-{uuid.uuid4()}"
    node.create_topic(name, partitions=2)
    return name


@pytest.fixture
def topic(node, empty_topic):
    """A topic with one record; at the end it must have no more, and nobody else either."""
    node.produce(empty_topic, [b"first"])
    appended = node.metric("gregor_appended_records_total")
    yield empty_topic
    assert node.is_up()
    assert node.metric("gregor_appended_records_total") == appended


def produce(node, **fields):
    return node.producer.Produce(produce_pb2.ProduceRequest(**fields), timeout=20)


def records(*values):
    return [types_pb2.Record(value=value) for value in values]


# --- names ---


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "a\0b", "\x1b[31mred", "a b", "ü", "x" * 250, "a\n"])
def test_a_name_that_may_not_be_is_refused(node, name):
    with fails("INVALID_TOPIC", INVALID) as failure:
        node.create_topic(name)
    # Shown, not obeyed by a terminal.
    assert failure.error.details().isprintable()
    for value in errors.facts(failure.error).values():
        assert value.isprintable()
    assert node.is_up()


def test_a_name_of_249_characters_is_taken(node):
    node.create_topic("x" * 249)
    node.produce("x" * 249, [b"a"])


@pytest.mark.parametrize("name", ["none", "..", "a\0b", "\x1b[31m", "x" * 250, "x" * 100_000])
def test_a_topic_that_does_not_exist_is_not_found(node, topic, name):
    with fails("TOPIC_NOT_FOUND", NOT_FOUND):
        node.topics.GetTopic(topic_pb2.GetTopicRequest(topic=name), timeout=20)
    with fails("TOPIC_NOT_FOUND", NOT_FOUND):
        produce(node, topic=name, records=records(b"x"))
    with fails("TOPIC_NOT_FOUND", NOT_FOUND):
        node.topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic=name), timeout=20)


@pytest.mark.parametrize("partition", [2, 1_000_000, -1, -2**31])
def test_a_partition_that_does_not_exist_is_not_found(node, topic, partition):
    with fails("PARTITION_NOT_FOUND", NOT_FOUND):
        produce(node, topic=topic, partition=partition, records=records(b"x"))


def test_an_id_of_another_topic_is_refused(node, topic):
    with fails("INCONSISTENT_TOPIC_ID", NOT_FOUND):
        other = node.create_topic("other").topic_id
        produce(node, topic=topic, topic_id=other, records=records(b"x"))
    with fails("UNKNOWN_TOPIC_ID", NOT_FOUND):
        node.topics.GetTopic(topic_pb2.GetTopicRequest(topic_id=uuid.uuid4().bytes), timeout=20)
    with fails("INVALID_ARGUMENT", INVALID):
        produce(node, topic=topic, topic_id=b"short", records=records(b"x"))


# --- configs and counts ---


@pytest.mark.parametrize("name,value", [
    ("no.such.config", "1"), ("retention.ms", "soon"), ("retention.ms", "-2"), ("cleanup.policy", "burn"),
    ("segment.bytes", "1"), ("min.insync.replicas", "0"), ("compression.type", "rar"), ("remote.storage.enable", "true"),
    ("", ""), ("max.message.bytes", str(2**40))])
def test_a_config_that_may_not_be_is_refused(node, topic, name, value):
    with fails("INVALID_CONFIG", INVALID) as failure:
        node.create_topic("new", **{name: value}) if name else node.topics.CreateTopic(
            topic_pb2.CreateTopicRequest(topic="new", configs={name: value}), timeout=20)
    assert name in failure.error.details()
    alteration = config_pb2.AlterConfigsRequest.Alteration(
        resource=config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_TOPIC, name=topic),
        ops=[config_pb2.AlterConfigsRequest.Op(name=name, value=value)])
    result = node.configs.AlterConfigs(config_pb2.AlterConfigsRequest(alterations=[alteration]), timeout=20).results[0]
    assert result.code == INVALID.value[0]
    with fails("TOPIC_NOT_FOUND"):
        node.topics.GetTopic(topic_pb2.GetTopicRequest(topic="new"), timeout=20)


@pytest.mark.parametrize("fields,reason", [
    (dict(partitions=-1), "INVALID_PARTITIONS"), (dict(partitions=2**31 - 1), "INVALID_PARTITIONS"),
    (dict(replication_factor=2), "INVALID_REPLICATION_FACTOR"), (dict(replication_factor=-1), "INVALID_REPLICATION_FACTOR"),
    (dict(assignment=[dict(partition=0, broker_ids=[9])]), "INVALID_REPLICA_ASSIGNMENT"),
    (dict(assignment=[dict(partition=0, broker_ids=[1, 1])]), "INVALID_REPLICA_ASSIGNMENT"),
    (dict(assignment=[dict(partition=5, broker_ids=[1])]), "INVALID_REPLICA_ASSIGNMENT"),
    (dict(assignment=[dict(partition=0)]), "INVALID_REPLICA_ASSIGNMENT")])
def test_counts_and_placements_that_cannot_be_are_refused(node, fields, reason):
    with fails(reason, INVALID):
        node.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic="new", **fields), timeout=20)
    assert node.is_up()


@pytest.mark.parametrize("total", [2, 1, 0, -1, 2**31 - 1])
def test_partitions_cannot_become_fewer_or_too_many(node, topic, total):
    with fails("INVALID_PARTITIONS", INVALID):
        node.topics.AddPartitions(topic_pb2.AddPartitionsRequest(topic=topic, total_partitions=total), timeout=20)


# --- records and batches ---


@pytest.mark.parametrize("fields", [
    dict(), dict(records=records(b"a"), record_batch=batch([b"a"]), partition=0), dict(record_batch=batch([b"a"])),
    dict(records=records(b"a"), acks=99), dict(records=records(b"a"), compression=99), dict(records=records(b"a"), routing=99),
    dict(records=records(b"a"), acks=-1), dict(records=records(b"a"), request_id="x" * 257)],
    ids=["nothing", "both", "batch without partition", "acks", "compression", "routing", "negative acks", "request_id"])
def test_a_request_that_contradicts_the_api_is_refused(node, topic, fields):
    with fails("INVALID_ARGUMENT", INVALID) as failure:
        produce(node, topic=topic, **fields)
    assert errors.outcome(failure.error) == "NOT_APPLIED"


@pytest.mark.parametrize("count", [0, 2, -1])
def test_more_acks_than_replicas_are_refused(node, topic, count):
    with fails("INVALID_REQUIRED_ACKS", INVALID):
        produce(node, topic=topic, partition=0, records=records(b"a"), acks=types_pb2.ACKS_COUNT, acks_count=count)


BATCHES = {
    "wrong checksum": (batch([b"a"], crc=1), "CORRUPT_BATCH"),
    "magic 1": (batch([b"a"], magic=1), "CORRUPT_BATCH"),
    "magic 3": (batch([b"a"], magic=3), "CORRUPT_BATCH"),
    "more records than said": (batch([b"a", b"b"], count=1, last_offset_delta=0), "INVALID_RECORD"),
    "fewer records than said": (batch([b"a"], count=2, last_offset_delta=1), "INVALID_RECORD"),
    "no records": (batch([]), "INVALID_RECORD"),
    "two billion records": (batch([b"a"], count=2**31 - 1, last_offset_delta=2**31 - 2), "INVALID_RECORD"),
    "negative count": (batch([b"a"], count=-1), "INVALID_RECORD"),
    "offsets that do not fit the count": (batch([b"a", b"b"], last_offset_delta=5), "INVALID_RECORD"),
    "claimed length of 2 GiB": (batch([b"a"], length=2**31 - 1), "CORRUPT_BATCH"),
    "negative length": (batch([b"a"], length=-1), "CORRUPT_BATCH"),
    "cut off": (batch([b"a"])[:-1], "CORRUPT_BATCH"),
    "something behind it": (batch([b"a"]) + b"x", "INVALID_RECORD"),
    "two batches": (batch([b"a"]) + batch([b"b"]), "INVALID_RECORD"),
    "only a header": (batch([b"a"])[:61], "CORRUPT_BATCH"),
    "no batch": (b"what is this", "CORRUPT_BATCH"),
    "a control batch": (batch([b"a"], attributes=0x20), "INVALID_RECORD"),
    "an unknown codec": (batch([b"a"], attributes=0x7), "UNSUPPORTED_COMPRESSION"),
    "an id of the range of request_ids": (batch([b"a"], producer_id=2**62 + 5, producer_epoch=0, base_sequence=0),
                                          "INVALID_ARGUMENT"),
    "an id without sequence": (batch([b"a"], producer_id=5, producer_epoch=0, base_sequence=-1), "INVALID_RECORD"),
    "a record longer than the batch": (batch([b"a"], records=b"\xff\xff\xff\xff\x0f" + record(0, b"a")), "INVALID_RECORD"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_that_is_none_is_refused(node, topic, name):
    content, reason = BATCHES[name]
    before = node.resident_mib()
    with pytest.raises(grpc.RpcError) as refusal:
        produce(node, topic=topic, partition=0, record_batch=content)
    assert errors.reason(refusal.value) == reason
    assert refusal.value.code() == INVALID
    assert errors.outcome(refusal.value) == "NOT_APPLIED"
    assert node.resident_mib() < before + 50


def test_a_batch_as_it_should_be_is_taken(node, empty_topic):
    # The positive control of the test above.
    answer = produce(node, topic=empty_topic, partition=0, record_batch=batch([b"a", b"b"]))
    assert [(r.base_offset, r.count) for r in answer.ranges] == [(0, 2)]


def test_sequences_that_overlap_or_leave_a_gap_are_refused(node, empty_topic):
    appended = node.metric("gregor_appended_records_total")
    session = node.producer.InitProducer(produce_pb2.InitProducerRequest(), timeout=20)

    def send(base_sequence, count):
        return produce(node, topic=empty_topic, partition=0, record_batch=batch(
            [b"v%d" % i for i in range(base_sequence, base_sequence + count)], producer_id=session.producer_id,
            producer_epoch=session.producer_epoch, base_sequence=base_sequence)).ranges[0]

    assert send(0, 3).base_offset == 0
    again = send(0, 3)
    assert again.duplicate and again.base_offset == 0
    for base_sequence, count in ((2, 3), (0, 2), (1, 1), (4, 1), (7, 1)):
        with fails("OUT_OF_ORDER_SEQUENCE", grpc.StatusCode.ABORTED):
            send(base_sequence, count)
    assert send(3, 2).base_offset == 3
    assert node.metric("gregor_appended_records_total") == appended + 5


def test_a_request_id_with_other_content_is_refused_wherever_it_would_go(node):
    node.create_topic("used-ids", partitions=4)

    def send(keys, **fields):
        return produce(node, topic="used-ids", request_id="R", records=[types_pb2.Record(key=key, value=key) for key in keys], **fields)

    appended = node.metric("gregor_appended_records_total")
    first = send([b"k"]).ranges[0]
    keys = [b"k%d" % i for i in range(12)]
    others = [(keys, {})] + [([key], {}) for key in keys] + [([b"k"], dict(partition=p)) for p in range(4)]
    for other, fields in others:
        with fails("INVALID_ARGUMENT", INVALID) as failure:
            send(other, **fields)
        assert errors.outcome(failure.error) == "NOT_APPLIED"
    again = send([b"k"]).ranges[0]
    assert again.duplicate and (again.partition, again.base_offset) == (first.partition, first.base_offset)
    assert node.metric("gregor_appended_records_total") == appended + 1


def test_a_record_over_the_limit_is_refused_and_not_split(node, topic):
    for value in (b"x" * 1_048_588, b"x" * 3_000_000):
        with fails("BATCH_TOO_LARGE", INVALID) as failure:
            produce(node, topic=topic, partition=0, records=records(value))
        assert errors.facts(failure.error)["limit_bytes"] == "1048588"
        assert errors.outcome(failure.error) == "NOT_APPLIED"
    with fails("BATCH_TOO_LARGE", INVALID):
        produce(node, topic=topic, partition=0, records=records(*[b"x" * 1000] * 1100))


def test_a_message_over_the_limit_of_grpc_is_refused_by_it(stopped_node):
    node = stopped_node
    node.start("--grpc-memory", "64MiB")
    node.create_topic("orders")
    before = node.resident_mib()
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as refusal:
            produce(node, topic="orders", partition=0, records=records(b"x" * (200 << 20)))
        assert refusal.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert errors.reason(refusal.value) is None
        assert node.resident_mib() < before + 250
    assert node.is_up()
    assert node.produce("orders", [b"a"]).base_offset == 0


def test_bytes_that_are_no_message_are_refused(node, topic):
    channel = node.channel()
    log_bytes = node.log.stat().st_size
    nonsense = b"\xff" * 100
    not_utf8 = b"\x0a\x03a\xffb"  # as field 1, which is the name of the topic
    messages = [(method, nonsense) for method in (
        "ProduceService/Produce", "ProduceService/InitProducer", "FetchService/Fetch", "FetchService/ListOffsets",
        "FetchService/GetEpochEndOffset", "TopicService/CreateTopic", "TopicService/GetTopic", "ConfigService/DescribeConfigs",
        "ClusterService/GetMetadata", "ClusterService/DescribeCluster")]
    messages += [(method, not_utf8) for method in ("TopicService/CreateTopic", "TopicService/GetTopic", "ClusterService/GetMetadata")]
    for method, message in messages:
        with fails("INVALID_ARGUMENT", INVALID) as failure:
            channel.unary_unary(f"/gregor.v1.{method}")(message, timeout=20)
        assert errors.outcome(failure.error) in ("NOT_APPLIED", None), method
    with fails("INVALID_ARGUMENT", INVALID):
        next(iter(channel.unary_stream("/gregor.v1.ClusterService/WatchMetadata")(b"\xff" * 100, timeout=20)))
    # Whoever sends nonsense fills no log with it.
    assert node.log.stat().st_size == log_bytes


def test_methods_that_are_not_served_say_so(node):
    channel = node.channel()
    for method in ("ClusterService/DecommissionBroker", "ConsumerService/Subscribe",
                   "ProduceService/NoSuchMethod", "GroupAdminService/ListGroups", "NoSuchService/AtAll"):
        with fails("UNSUPPORTED_VERSION", grpc.StatusCode.UNIMPLEMENTED) as failure:
            channel.unary_unary(f"/gregor.v1.{method}")(b"", timeout=20)
        assert method in failure.error.details()
    for call in (channel.stream_stream("/gregor.v1.ConsumerService/JoinGroup")(iter([b""]), timeout=20),
                 channel.unary_stream("/gregor.v1.ConsumerService/Subscribe")(b"", timeout=20)):
        with fails("UNSUPPORTED_VERSION", grpc.StatusCode.UNIMPLEMENTED):
            next(iter(call))


def test_one_bad_query_fails_no_other(node, topic):
    def query(partition, **position):
        return dict(partition=dict(topic=topic, partition=partition), position=types_pb2.Position(**position))

    answer = node.fetcher.ListOffsets(fetch_pb2.ListOffsetsRequest(queries=[
        query(0, anchor=types_pb2.Position.ANCHOR_COMMITTED), query(0, anchor=types_pb2.Position.ANCHOR_EARLIEST),
        query(99, anchor=types_pb2.Position.ANCHOR_EARLIEST)]), timeout=20)
    assert [result.HasField("error") for result in answer.results] == [True, False, True]
    assert answer.results[0].error.code == INVALID.value[0]


@pytest.mark.parametrize("fields", [
    dict(record_batch=batch([b"a"], producer_id=1, producer_epoch=0, base_sequence=0),
         producer=produce_pb2.ProducerSession(producer_id=9)),
    dict(record_batch=batch([b"a"], producer_id=1, producer_epoch=0, base_sequence=0),
         producer=produce_pb2.ProducerSession(producer_id=1, producer_epoch=3)),
    dict(records=records(b"a"), producer=produce_pb2.ProducerSession(producer_id=-1))],
    ids=["another id", "another epoch", "no id"])
def test_a_session_that_contradicts_its_batch_is_refused(node, topic, fields):
    with fails("INVALID_ARGUMENT", INVALID) as failure:
        produce(node, topic=topic, partition=0, **fields)
    assert errors.outcome(failure.error) == "NOT_APPLIED"


@pytest.mark.parametrize("name", ["__consumer_offsets", "__transaction_state", "__cluster_metadata"])
def test_topics_of_the_cluster_are_not_for_clients_to_make(node, name):
    for validate_only in (False, True):
        with fails("INVALID_TOPIC", INVALID):
            node.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, validate_only=validate_only), timeout=20)


@pytest.mark.parametrize("timeout", [0.000001, 0])
def test_a_deadline_that_has_passed_is_kept(node, topic, timeout):
    with pytest.raises(grpc.RpcError) as refusal:
        node.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic="late"), timeout=timeout)
    assert refusal.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


# --- reading ---


def fetch(node, topic, **fields):
    return node.fetcher.Fetch(fetch_pb2.FetchRequest(topic=topic, **fields), timeout=20)


@pytest.mark.parametrize("offset", [2, 2**62])
def test_an_offset_that_is_not_there_is_refused_with_those_that_are(node, topic, offset):
    with fails("OFFSET_OUT_OF_RANGE", grpc.StatusCode.OUT_OF_RANGE) as failure:
        fetch(node, topic, position=types_pb2.Position(offset=offset))
    facts = errors.facts(failure.error)
    assert (facts["log_start_offset"], facts["high_watermark"]) == ("0", "1")
    with fails("OFFSET_OUT_OF_RANGE"):
        list(node.fetcher.Read(fetch_pb2.ReadRequest(topic=topic, partitions=[0], start=types_pb2.Position(offset=offset)),
                               timeout=20))


@pytest.mark.parametrize("fields", [
    dict(format=99), dict(isolation=99), dict(routing=99), dict(position=types_pb2.Position(anchor=99)),
    dict(position=types_pb2.Position(anchor=types_pb2.Position.ANCHOR_COMMITTED)), dict(position=types_pb2.Position(offset=-5)),
    dict(position=types_pb2.Position(tail=-1)), dict(max_bytes=-1), dict(max_wait_ms=-1), dict(min_bytes=-1),
    dict(topic_id=b"short")], ids=lambda fields: next(iter(fields)))
def test_a_fetch_that_contradicts_the_api_is_refused(node, topic, fields):
    with fails("INVALID_ARGUMENT", INVALID):
        fetch(node, topic, **fields)


def test_topics_and_partitions_that_do_not_exist_cannot_be_read(node, topic):
    with fails("TOPIC_NOT_FOUND", NOT_FOUND):
        fetch(node, "none")
    with fails("PARTITION_NOT_FOUND", NOT_FOUND):
        fetch(node, topic, partition=2)
    with fails("TOPIC_NOT_FOUND", NOT_FOUND):
        list(node.fetcher.Read(fetch_pb2.ReadRequest(topic="none"), timeout=20))
    with fails("PARTITION_NOT_FOUND", NOT_FOUND):
        list(node.fetcher.Read(fetch_pb2.ReadRequest(topic=topic, partitions=[7]), timeout=20))
    with fails("FENCED_LEADER_EPOCH", grpc.StatusCode.FAILED_PRECONDITION):
        fetch(node, topic, current_leader_epoch=-1)
    with fails("UNKNOWN_LEADER_EPOCH", grpc.StatusCode.UNAVAILABLE):
        fetch(node, topic, current_leader_epoch=1000)


def test_a_batch_larger_than_the_client_takes_says_what_it_needs(node, empty_topic):
    node.produce(empty_topic, [b"x" * 100_000])
    with fails("FETCH_TOO_SMALL", grpc.StatusCode.FAILED_PRECONDITION) as failure:
        fetch(node, empty_topic, position=EARLIEST, max_bytes=10_000)
    needed = int(errors.facts(failure.error)["needed_bytes"])
    assert 100_000 < needed < 110_000
    assert len(fetch(node, empty_topic, position=EARLIEST, max_bytes=needed).records) == 1


def bomb(mebibytes):
    """A small batch whose records would take that much."""
    value = b"\0" * (mebibytes << 20)
    return batch([b"x"], attributes=1, records=gzip.compress(record(0, value), mtime=0))


@pytest.mark.parametrize("content, reason", [
    (bomb(200), "BATCH_TOO_LARGE"), (batch([b"a"], attributes=1, records=b"no gzip"), "CORRUPT_BATCH"),
    (batch([b"a"], attributes=4), "CORRUPT_BATCH"), (batch([b"a"], attributes=1, records=gzip.compress(b"")), "INVALID_RECORD"),
    (batch([b"a"], attributes=1, records=gzip.compress(record(0, b"a") * 2)), "INVALID_RECORD")],
    ids=["a bomb", "no gzip", "no zstd", "no records", "more records"])
def test_compressed_records_are_read_before_they_are_taken(node, topic, content, reason):
    assert len(content) < 300_000
    before = node.resident_mib()
    for _ in range(5):
        with fails(reason, INVALID) as failure:
            produce(node, topic=topic, partition=0, record_batch=content)
        assert errors.outcome(failure.error) == "NOT_APPLIED"
    assert node.resident_mib() < before + 150


def test_a_stored_batch_that_cannot_be_unpacked_is_named_and_can_be_passed(stopped_node):
    node = stopped_node
    node.start()
    node.create_topic("orders")
    for value in (b"one", b"two", b"three"):
        produce(node, topic="orders", partition=0, record_batch=batch(
            [value], attributes=1, records=gzip.compress(record(0, value), mtime=0)))
    node.stop()
    # A fault that no checksum tells of.
    payload = gzip.compress(record(0, b"two"), mtime=0)
    log, = (file for file in node.data.glob("**/*.log") if payload in file.read_bytes())
    content = bytearray(log.read_bytes())
    at = content.find(payload)
    content[at:at + len(payload)] = b"?" * len(payload)
    content[at - 44:at - 40] = crc32c(content[at - 40:at + len(payload)]).to_bytes(4, "big")
    log.write_bytes(content)
    node.start()
    assert [r.value for r in fetch(node, "orders", position=EARLIEST).records] == [b"one"]
    reads = [lambda: fetch(node, "orders", position=types_pb2.Position(offset=1)),
             lambda: list(node.fetcher.Read(fetch_pb2.ReadRequest(topic="orders", start=EARLIEST, stop_at_end=True), timeout=20))]
    for read in reads:
        with fails("CORRUPT_BATCH") as failure:
            read()
        assert 'partition 0 of topic "orders": the batch at offset 1 ' in failure.error.details()
        facts = errors.facts(failure.error)
        assert (facts["topic"], facts["partition"], facts["offset"], facts["next_offset"]) == ("orders", "0", "1", "2")
    # Who takes batches gets it as it is, and everybody may go on behind it.
    raw = fetch(node, "orders", position=types_pb2.Position(offset=1), format=types_pb2.RECORD_FORMAT_BATCHES)
    assert b"?" * len(payload) in raw.record_batches
    assert node.read("orders", start=types_pb2.Position(offset=2)) == [(2, b"three")]


# --- enums of the control plane ---


def test_unknown_enum_values_are_refused_where_they_stand(node, topic):
    request = config_pb2.DescribeConfigsRequest(resources=[
        config_pb2.ConfigResource(type=99, name="x"),
        config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_TOPIC, name=topic)])
    bad, good = node.configs.DescribeConfigs(request, timeout=20).results
    assert bad.error.code == INVALID.value[0] and not bad.entries
    assert good.error.code == 0 and good.entries


# --- clients that do not read ---


def test_readers_that_stop_reading_cost_little(stopped_node):
    node = stopped_node
    node.start()
    node.create_topic("orders")
    for _ in range(80):
        node.produce("orders", [b"x" * 1000] * 800)
    before = node.resident_mib()
    readers = []
    for _ in range(30):
        stub = node.fetcher
        readers.append(stub.Read(fetch_pb2.ReadRequest(topic="orders", start=EARLIEST)))
        open_message = fetch_pb2.FetchStreamRequest(open=fetch_pb2.FetchOpen(format=types_pb2.RECORD_FORMAT_BATCHES))
        add = fetch_pb2.FetchStreamRequest(add=fetch_pb2.FetchAdd(
            slot=1, partition=types_pb2.TopicPartition(topic="orders"), position=EARLIEST))
        credit = fetch_pb2.FetchStreamRequest(credit_bytes=1 << 40)
        requests = iter([open_message, add, credit])
        readers.append(stub.FetchStream(requests))
    for reader in readers:
        next(reader)
    # Others are served all the while.
    for _ in range(20):
        node.produce("orders", [b"x" * 1000] * 100)
        assert len(node.read("orders", start=types_pb2.Position(tail=100))) == 100
    # 60 streams of 64 MB; what each may have on its way is bounded, and all of them together by fetch_memory.
    assert node.resident_mib() < before + 350
    for reader in readers:
        reader.cancel()
    assert node.is_up()


def test_watchers_that_stop_reading_cost_little(stopped_node):
    node = stopped_node
    node.start()
    for index in range(40):
        node.create_topic(f"t{index}", partitions=2500)
    before = node.resident_mib()
    # A window of 64 KiB for each stream; nothing is ever read.
    watches = [cluster_pb2_grpc.ClusterServiceStub(
        node.channel(**{"http2.bdp_probe": 0, "http2.lookahead_bytes": 65_536})).WatchMetadata(
            cluster_pb2.WatchMetadataRequest()) for _ in range(50)]
    for index in range(5):
        node.create_topic(f"more{index}", partitions=2500)
    assert node.resident_mib() < before + 60
    for watch in watches:
        watch.cancel()
    assert node.is_up()
