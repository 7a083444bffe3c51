"""Clients that write to partitions without a pause, and note what was acknowledged."""
import threading
import time

import grpc
from node import EARLIEST, errors
from quorum import connect
from gregor.v1 import fetch_pb2, fetch_pb2_grpc, produce_pb2, produce_pb2_grpc, types_pb2

TRY_SECONDS = 5
GIVE_UP_SECONDS = 40


class Producer:
    """Writes 0, 1, 2 ... to one partition, each once the one before is acknowledged, and asks the node that has it again at once
    where that fails, with the same request id: so each number is there once, and in its place."""

    def __init__(self, topic, partition, node):
        self.topic = topic
        self.partition = partition
        self.node = node
        self.channel = connect(node.grpc)
        self.stub = produce_pb2_grpc.ProduceServiceStub(self.channel)
        self.acknowledged = 0
        self.failures = 0  # tries
        self.longest_gap = 0.0  # seconds between two acknowledgements
        self.problem = None
        self.thread = threading.Thread(target=self._run)
        self.stopping = threading.Event()

    def _run(self):
        last = time.monotonic()
        while not self.stopping.is_set():
            if not self._write():
                return
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            self.acknowledged += 1

    def _write(self):
        value = self.acknowledged
        request = produce_pb2.ProduceRequest(topic=self.topic, partition=self.partition, request_id=f"{self.partition}-{value}",
                                             records=[types_pb2.Record(value=str(value).encode())])
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                self.stub.Produce(request, timeout=TRY_SECONDS)
                return True
            except grpc.RpcError as error:
                self.failures += 1
                # Cancelled: gRPC does so to what a server that stops has not answered.
                is_final = errors.retry_delay_seconds(error) is None and error.code() != grpc.StatusCode.CANCELLED
                if is_final or time.monotonic() > deadline:
                    self.problem = f"partition {self.partition}, {value}: {error.code().name}: {error.details()}"
                    return False
                time.sleep(0.01)

    def check(self):
        """What is wrong with what the partition has. REQUIRES: stopped."""
        if self.problem is not None:
            return [self.problem]
        with connect(self.node.grpc) as channel:
            request = fetch_pb2.ReadRequest(topic=self.topic, partitions=[self.partition], start=EARLIEST, stop_at_end=True)
            answers = fetch_pb2_grpc.FetchServiceStub(channel).Read(request, timeout=60)
            values = [int(record.value) for answer in answers for record in answer.records]
        if values == list(range(self.acknowledged)):
            return []
        lost = sorted(set(range(self.acknowledged)) - set(values))
        return [f"partition {self.partition} has {len(values)} records, and {self.acknowledged} were acknowledged; "
                f"lost: {lost[:5]}, twice: {len(values) - len(set(values))}"]


class ProduceLoad:
    """A producer for each partition of `nodes`: {partition: the node that has it}."""

    def __init__(self, topic, nodes):
        self.producers = [Producer(topic, partition, node) for partition, node in nodes.items()]

    def __enter__(self):
        for producer in self.producers:
            producer.thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.stop()

    def stop(self):
        """Each ends once what it has begun is acknowledged."""
        for producer in self.producers:
            producer.stopping.set()
        for producer in self.producers:
            producer.thread.join()
            producer.channel.close()

    def of(self, node):
        return [producer for producer in self.producers if producer.node is node]

    def await_acknowledged(self, count, seconds=20):
        """Until each has so many more than when it is called."""
        wanted = [producer.acknowledged + count for producer in self.producers]
        deadline = time.monotonic() + seconds
        while any(producer.acknowledged < number for producer, number in zip(self.producers, wanted)):
            problems = [producer.problem for producer in self.producers if producer.problem is not None]
            assert not problems, problems
            assert time.monotonic() < deadline, f"not every partition took {count} records in {seconds} s"
            time.sleep(0.01)

    def check(self):
        return [problem for producer in self.producers for problem in producer.check()]
