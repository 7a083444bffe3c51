"""What the kill test needs of the gRPC API, with nothing but generated stubs."""
import time

import grpc
from gregor.v1 import fetch_pb2, fetch_pb2_grpc, produce_pb2, produce_pb2_grpc, topic_pb2, topic_pb2_grpc, types_pb2


def create_topic(address, name, partitions):
    with grpc.insecure_channel(address) as channel:
        topic_pb2_grpc.TopicServiceStub(channel).CreateTopic(
            topic_pb2.CreateTopicRequest(topic=name, partitions=partitions), timeout=10)


def read_all(address, topic, partition):
    """All records of a partition as (offset, value)."""
    records = []
    with grpc.insecure_channel(address) as channel:
        request = fetch_pb2.ReadRequest(
            topic=topic, partitions=[partition], stop_at_end=True,
            start=types_pb2.Position(anchor=types_pb2.Position.ANCHOR_EARLIEST))
        for response in fetch_pb2_grpc.FetchServiceStub(channel).Read(request, timeout=600):
            records += [(record.offset, record.value.decode()) for record in response.records]
    return records


class Producer:
    """Repeats a call with its request_id until it is answered."""

    def __init__(self, address):
        self.address = address
        self.channel = grpc.insecure_channel(address, options=[
            ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20),
            ("grpc.max_reconnect_backoff_ms", 100)])
        self.stub = produce_pb2_grpc.ProduceServiceStub(self.channel)

    def produce(self, topic, partition, values, request_id):
        request = produce_pb2.ProduceRequest(
            topic=topic, partition=partition, request_id=request_id,
            records=[types_pb2.Record(value=value.encode()) for value in values])
        while True:
            try:
                response = self.stub.Produce(request, timeout=5)
                assert len(response.ranges) == 1 and response.ranges[0].count == len(values), response
                return response.ranges[0].base_offset
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED,
                                        grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED):
                    raise
                time.sleep(0.01)
