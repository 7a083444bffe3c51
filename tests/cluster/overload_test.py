"""An active controller that has far more to do than it can: operations wait for each other, and nothing else does."""
import threading
import time

import grpc
import metadata_checks
from brokers_faults_test import SESSION_SECONDS, SHORT_SESSION, fences, start  # noqa: F401
from netns import network, required  # noqa: F401: before what starts threads
from node import eventually
from gregor.v1 import topic_pb2, topic_pb2_grpc

pytestmark = required

UNLIMITED = [("grpc.max_receive_message_length", -1)]


class Flood:
    """Callers that let the active controller plan topics as large as can be, which nobody keeps, through all nodes at once."""

    def __init__(self, nodes, count):
        self.channels = [grpc.insecure_channel(node.grpc, options=UNLIMITED) for node in nodes]
        self.stopping = threading.Event()
        self.answered = 0
        self.longest = 0.0  # seconds that an answer took
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]

    def _run(self, number):
        topics = topic_pb2_grpc.TopicServiceStub(self.channels[number % len(self.channels)])
        request = topic_pb2.CreateTopicRequest(topic=f"planned-{number}", partitions=20_000, replication_factor=3, validate_only=True)
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                topics.CreateTopic(request, timeout=60)
            except (grpc.RpcError, ValueError):  # ValueError: the channel is closed
                self.stopping.wait(0.05)  # there is too much to do
                continue
            self.answered += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, error, trace):
        self.stopping.set()
        for channel in self.channels:
            channel.close()
        for thread in self.threads:
            thread.join()


def test_a_controller_that_has_too_much_to_do_fences_nobody_who_lives(start, network):  # noqa: F811
    # Scenario C10.
    quorum = start(2, broker=SHORT_SESSION)
    silent, living = quorum.nodes[3:]
    leader = quorum.leader()
    term = leader.metric("gregor_quorum_term")
    with Flood(quorum.others(silent), count=120) as flood:
        # An operation waits for longer than a broker may be silent.
        eventually(lambda: flood.longest > SESSION_SECONDS, seconds=60)
        time.sleep(2 * SESSION_SECONDS)  # time enough to fence whoever is not heard of
        assert living.metric("gregor_broker_fenced") == 0
        # Who is silent is found all the same.
        network.isolate(silent.place)
        eventually(lambda: silent.number not in living.brokers(), seconds=30)
        assert flood.answered > 0
    assert quorum.leader(quorum.others(silent)) is leader and leader.metric("gregor_quorum_term") == term
    network.heal()
    eventually(lambda: living.brokers() == [node.number for node in quorum.nodes], seconds=30)
    found = fences(metadata_checks.conclude(quorum, []))
    assert [broker for _, broker, _ in found] == [silent.number], found
