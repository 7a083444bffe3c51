"""Clients that make and delete topics without a pause, on any node, and note what was acknowledged."""
import random
import threading
import time

import grpc
from metadata_checks import Operation
from quorum import connect
from gregor.v1 import topic_pb2, topic_pb2_grpc

TRY_SECONDS = 5
GIVE_UP_SECONDS = 20


class AdminLoad:
    """`count` clients on the nodes of a quorum. What one of them tries again it asks another node, at once, in words that make
    it the same operation: with its request id, or by a name that it alone uses."""

    def __init__(self, nodes, count=4, seed=1, partitions_max=20, name="load"):
        self.channels = [connect(node.grpc) for node in nodes]
        self.nodes = [topic_pb2_grpc.TopicServiceStub(channel) for channel in self.channels]
        self.partitions_max = partitions_max
        self.name = name  # topics begin so
        self.histories = [[] for _ in range(count)]
        self.counts = [0] * count  # of those that were acknowledged
        self.problems = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(index, random.Random(f"{seed}/{index}"))) for index in range(count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        for channel in self.channels:
            channel.close()

    @property
    def history(self):
        return [operation for history in self.histories for operation in list(history)]

    @property
    def acknowledged(self):
        return [operation for operation in self.history if operation.acknowledged]

    def await_acknowledged(self, count, seconds=20):
        """Until so many more are acknowledged than when it is called."""
        wanted = sum(self.counts) + count
        deadline = time.monotonic() + seconds
        while sum(self.counts) < wanted:
            assert time.monotonic() < deadline, f"{sum(self.counts)} of {wanted} operations were acknowledged in {seconds} s"
            time.sleep(0.01)

    def first_after(self, moment):
        """The seconds from `moment` to the first acknowledgement of an operation that began after it; None: none yet."""
        ends = []
        for history in self.histories:
            for operation in reversed(history):
                if operation.began < moment:
                    break
                if operation.acknowledged:
                    ends.append(operation.ended)
        return min(ends) - moment if ends else None

    def _run(self, index, chance):
        number = 0
        while not self.stopping.is_set():
            name = f"{self.name}-{index}-{number}"
            number += 1
            create = Operation("create", name, chance.randint(1, self.partitions_max), time.monotonic())
            if self._do(index, create, chance) and chance.random() < 0.7:
                self._do(index, Operation("delete", name, 0, time.monotonic()), chance)

    def _do(self, index, operation, chance):
        """Whether it was acknowledged."""
        self.histories[index].append(operation)
        at = chance.randrange(len(self.nodes))
        while time.monotonic() < operation.began + GIVE_UP_SECONDS:
            operation.tries += 1
            try:
                self._call(self.nodes[at % len(self.nodes)], operation)
            except grpc.RpcError as error:
                if error.code() not in RETRIED:
                    self.problems.append(f"{operation}: {error.code().name}: {error.details()}")
                    return False
                at += 1
                if operation.tries % len(self.nodes) == 0:
                    time.sleep(0.01)  # all of them refuse: connections take a moment to come back
                continue
            operation.ended = time.monotonic()
            operation.acknowledged = True
            self.counts[index] += 1
            return True
        return False

    @staticmethod
    def _call(topics, operation):
        if operation.kind == "create":
            topics.CreateTopic(topic_pb2.CreateTopicRequest(
                topic=operation.topic, partitions=operation.partitions, request_id=operation.topic), timeout=TRY_SECONDS)
        else:
            topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic=operation.topic, allow_missing=True), timeout=TRY_SECONDS)


# Nobody could be asked, or it is not known what became of it. CANCELLED: by gRPC, of a server that stops, where it had no answer yet.
RETRIED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


def created(node, name, partitions=3, seconds=15):
    """The operation once it is acknowledged by this node, which may take some tries: a connection that did not survive a fault
    is only found out when it is used."""
    operation = Operation("create", name, partitions, time.monotonic())
    while not operation.acknowledged:
        operation.tries += 1
        try:
            node.create(name, partitions, timeout=TRY_SECONDS, request_id=name)
            operation.acknowledged = True
        except grpc.RpcError as error:
            if error.code() not in RETRIED or time.monotonic() > operation.began + seconds:
                raise
    return operation
