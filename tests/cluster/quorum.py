"""Several real nodes that keep one copy of the metadata, as a test sees them."""
import json
import shutil
import signal
import subprocess
import time

import grpc
from node import BINARY, Node, command, errors
from ports import free_port
from gregor.v1 import cluster_pb2, cluster_pb2_grpc, topic_pb2, topic_pb2_grpc

# min_reconnect_backoff_ms is how long an attempt may take.
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 2000),
             ("grpc.max_reconnect_backoff_ms", 100), ("grpc.use_local_subchannel_pool", 1),
             ("grpc.max_receive_message_length", 64 << 20)]


def connect(address):
    """A channel that is soon there again when the node is."""
    return grpc.insecure_channel(address, options=RECONNECT)


# Ends a process with the thread that started it: the test's main thread.
DIES_WITH_TEST = ["setpriv", "--pdeathsig", "KILL", "--"]


class Loopback:
    """A place for a node where there is no network to cut."""

    host = "127.0.0.1"
    prefix = DIES_WITH_TEST

    def __init__(self):
        self.ports = {name: free_port() for name in ("internal", "grpc", "http")}


class QuorumNode(Node):
    """A node with a settings file, at a place; it has the same addresses after every start."""

    def __init__(self, number, directory, place):
        super().__init__(directory)
        self.number = number
        self.place = place
        self.directory.mkdir(parents=True, exist_ok=True)
        self.settings = self.directory / "node.yaml"
        self.connection = self.stubs = None
        self.grpc = self.address("grpc")
        self.http = self.address("http")

    def address(self, listener):
        return f"{self.place.host}:{self.place.ports[listener]}"

    def configure(self, controllers, **settings):
        listen = {name: self.address(name) for name in ("internal", "grpc", "http")}
        self.settings.write_text(json.dumps({
            "node_id": self.number, "data_dir": str(self.data), "controllers": controllers, "listen": listen,
            "insecure_internal": True, "event_loops": 1, **settings}))  # JSON is YAML

    def launch(self):
        """Starts it without waiting for it."""
        self.spawn([*self.place.prefix, BINARY, "server", "--config", str(self.settings)])

    def start(self):
        self.launch()
        return self.await_ready()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def wipe(self):
        shutil.rmtree(self.data)

    # --- what it serves; one connection for all of it, another one after each start ---

    def _stub(self, kind):
        if self.connection is None:
            self.connection = connect(self.grpc)
            self.stubs = {"cluster": cluster_pb2_grpc.ClusterServiceStub(self.connection),
                          "topics": topic_pb2_grpc.TopicServiceStub(self.connection)}
        return self.stubs[kind]

    def _close_channels(self):
        super()._close_channels()
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    @property
    def cluster(self):
        return self._stub("cluster")

    @property
    def topics(self):
        return self._stub("topics")

    def view(self, timeout=1):
        """(the active controller as it knows it, how far its metadata are); None where it does not answer, or knows of none."""
        try:
            metadata = self.cluster.GetMetadata(cluster_pb2.GetMetadataRequest(), timeout=timeout)
        except grpc.RpcError:
            return None
        return (metadata.controller_id, metadata.metadata_version) if metadata.controller_id >= 0 else None

    def list_topics(self):
        """{name: sorted indexes of its partitions}."""
        found, token = {}, ""
        while True:
            request = topic_pb2.ListTopicsRequest(include_partitions=True)
            request.page.page_token = token
            answer = self.topics.ListTopics(request, timeout=10)
            for topic in answer.topics:
                indexes = [partition.partition for partition in topic.partitions]
                # Only topics with few partitions are listed with them.
                found[topic.topic] = indexes or list(range(topic.partition_count))
            token = answer.next_page_token
            if not token:
                return found

    def create(self, name, partitions=1, timeout=10, request_id=""):
        return self.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, partitions=partitions, request_id=request_id),
                                       timeout=timeout)

    def brokers(self):
        """Ids of the brokers that it tells clients of."""
        return [broker.broker_id for broker in self.cluster.GetMetadata(cluster_pb2.GetMetadataRequest(), timeout=10).brokers]

    def broker_state(self, broker):
        request = cluster_pb2.DescribeClusterRequest(include_fenced=True, broker_ids=[broker])
        return self.cluster.DescribeCluster(request, timeout=10).states[0]

    def dump(self):
        """What its metadata directory holds. REQUIRES: it does not run."""
        return dump([self])[0]


def run_all(commands):
    """The outputs of commands that run side by side."""
    running = [subprocess.Popen([BINARY, *each], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for each in commands]
    outputs = []
    for process in running:
        output, errors_told = process.communicate(timeout=60)
        assert process.returncode == 0, errors_told
        outputs.append(output)
    return outputs


def dump(nodes):
    outputs = run_all(["--output", "json", "metadata", "dump", str(node.data)] for node in nodes)
    return [[json.loads(line) for line in output.splitlines()] for output in outputs]


def format_all(nodes, cluster_id):
    run_all(["cluster", "format", "--config", str(node.settings), "--cluster-id", cluster_id] for node in nodes)


class Quorum:
    """Nodes 1 to N at the places given, formatted with one cluster id."""

    def __init__(self, directory, places, **settings):
        self.directory = directory
        self.nodes = [QuorumNode(number, directory / f"node{number}", place) for number, place in enumerate(places, 1)]
        self.controllers = [f"{node.number}@{node.address('internal')}" for node in self.nodes]
        self.cluster_id = command("cluster", "new-id").stdout.strip()
        for node in self.nodes:
            node.configure(self.controllers, **settings)
        format_all(self.nodes, self.cluster_id)

    def add_broker(self, place, **settings):
        """A node that is no controller, formatted."""
        node = QuorumNode(len(self.nodes) + 1, self.directory / f"node{len(self.nodes) + 1}", place)
        node.configure(self.controllers, roles=["broker"], **settings)
        format_all([node], self.cluster_id)
        self.nodes.append(node)
        return node

    def start(self):
        """Returns how many seconds it took until all were ready."""
        for node in self.nodes:
            node.launch()
        return max(node.await_ready() for node in self.nodes)

    def kill(self):
        """All at once."""
        for node in self.nodes:
            if node.process is not None:
                node.process.kill()
        for node in self.nodes:
            node.await_end()

    def end(self):
        for node in self.nodes:
            node.end()

    def dump(self):
        """{node: what its metadata directory holds}. REQUIRES: none runs."""
        return {f"node {node.number}": dumped for node, dumped in zip(self.nodes, dump(self.nodes))}

    def others(self, *nodes):
        return [node for node in self.nodes if node not in nodes]

    def leader(self, among=None, seconds=15):
        """The one of `among` that all of them take for the active controller; waits until there is one."""
        among = among or self.nodes
        deadline = time.monotonic() + seconds
        while True:
            views = {view and view[0] for view in (node.view() for node in among)}
            if len(views) == 1 and (number := views.pop()) is not None:
                leader = self.nodes[number - 1]
                if leader in among:
                    return leader
            assert time.monotonic() < deadline, f"no active controller among {[node.number for node in among]} after {seconds} s"
            time.sleep(0.02)

    def await_level(self, nodes=None, seconds=15):
        """Waits until all of the nodes answer and have the same metadata."""
        nodes = nodes or self.nodes
        deadline = time.monotonic() + seconds
        while not is_level(views := [node.view() for node in nodes]):
            assert time.monotonic() < deadline, f"the nodes' metadata differ after {seconds} s: {views}"
            time.sleep(0.02)


def is_level(views):
    """Whether all of these nodes' views are there, and of the same metadata."""
    return None not in views and len({version for _, version in views}) == 1


def outcome(error):
    """What is known of an operation that failed: NOT_APPLIED or UNKNOWN."""
    return errors.outcome(error) or "UNKNOWN"
