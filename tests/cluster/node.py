"""A real node as a test sees it: a process, its data directory, its gRPC API and its pages."""
import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import grpc

GENERATED = os.environ["GREGOR_PYTHON_GENERATED"]
sys.path.insert(0, GENERATED)

from gregor import errors  # noqa: E402
from gregor.v1 import (cluster_pb2_grpc, config_pb2_grpc, fetch_pb2, fetch_pb2_grpc, produce_pb2,  # noqa: E402
                       produce_pb2_grpc, topic_pb2, topic_pb2_grpc, types_pb2)

BINARY = os.environ["GREGOR_BINARY"]
START_SECONDS = 30
STOP_SECONDS = 15
EARLIEST = types_pb2.Position(anchor=types_pb2.Position.ANCHOR_EARLIEST)


class Exited(Exception):
    """The process ended before it was ready."""

    def __init__(self, code, stderr):
        super().__init__(f"exit code {code}: {stderr}")
        self.code = code
        self.stderr = stderr


class Node:
    """A server on `directory`/data. Ports are free ones, and others after each start."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.process = None
        self.grpc = self.http = None
        self.channels = []
        self.environment = {}  # of the process, beside the test's own

    def start(self, *flags, data=None, grpc_listen="127.0.0.1:0", http_listen="127.0.0.1:0"):
        """Returns how many seconds it took to be ready; raises Exited."""
        command = [BINARY, "server", "--grpc-listen", grpc_listen, "--http-listen", http_listen]
        if data is not False:
            command += ["--data-dir", str(data or self.data)]
        self.spawn(command + list(flags))
        return self.await_ready()

    def spawn(self, command):
        """Starts the process without waiting for it."""
        self.began = time.monotonic()
        self.log_end = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=os.environ | self.environment)

    def await_ready(self, seconds=START_SECONDS):
        """Returns how many seconds it took since it was spawned; raises Exited."""
        line = self._read_line(self.began + seconds)
        if not line.startswith("gregor ready grpc="):
            try:
                code = self.process.wait(timeout=max(1, self.began + seconds - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"not ready within {seconds} s, but {line!r}; see {self.log}") from None
            self.process.stdout.close()
            self.process = None
            raise Exited(code, self.log.read_bytes()[self.log_end:].decode())
        ready = dict(word.split("=", 1) for word in line.split()[2:])
        self.grpc = ready["grpc"]
        self.http = ready["http"]
        return time.monotonic() - self.began

    def _read_line(self, deadline):
        line = b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            byte = os.read(self.process.stdout.fileno(), 1) if ready else b""
            if not byte:
                break
            line += byte
        return line.decode()

    def wait(self):
        """The exit code."""
        code = self.process.wait(timeout=STOP_SECONDS)
        self.rest_of_stdout = self.process.stdout.read().decode()
        self.process.stdout.close()
        self.process = None
        self._close_channels()
        return code

    def stop(self, signal_number=signal.SIGTERM):
        """Returns the exit code and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal_number)
        return self.wait(), time.monotonic() - began

    def kill(self):
        self.process.kill()
        self.wait()

    def end(self):
        if self.process is not None:
            self.kill()

    def await_end(self):
        """Of a process that was killed."""
        if self.process is not None:
            self.wait()

    def _close_channels(self):
        for channel in self.channels:
            channel.close()
        self.channels.clear()

    # --- what it serves ---

    def channel(self, **options):
        channel = grpc.insecure_channel(self.grpc, options=[(f"grpc.{k}", v) for k, v in options.items()]
                                        + [("grpc.use_local_subchannel_pool", 1)])
        self.channels.append(channel)
        return channel

    @property
    def topics(self):
        return topic_pb2_grpc.TopicServiceStub(self.channel())

    @property
    def producer(self):
        return produce_pb2_grpc.ProduceServiceStub(self.channel())

    @property
    def fetcher(self):
        return fetch_pb2_grpc.FetchServiceStub(self.channel(max_receive_message_length=64 << 20))

    @property
    def configs(self):
        return config_pb2_grpc.ConfigServiceStub(self.channel())

    @property
    def cluster(self):
        return cluster_pb2_grpc.ClusterServiceStub(self.channel())

    def create_topic(self, name, partitions=1, **configs):
        request = topic_pb2.CreateTopicRequest(topic=name, partitions=partitions,
                                               configs={k.replace("_", "."): v for k, v in configs.items()})
        return self.topics.CreateTopic(request, timeout=20).topic

    def produce(self, topic, values, partition=0, timeout=20, **fields):
        """The range of the records."""
        response = self.producer.Produce(produce_pb2.ProduceRequest(
            topic=topic, partition=partition, records=[types_pb2.Record(value=value) for value in values], **fields), timeout=timeout)
        assert len(response.ranges) == 1 and response.ranges[0].count == len(values), response
        return response.ranges[0]

    def read(self, topic, partition=0, start=EARLIEST):
        """[(offset, value)] up to the end of the partition."""
        request = fetch_pb2.ReadRequest(topic=topic, partitions=[partition], start=start, stop_at_end=True)
        return [(record.offset, record.value) for response in self.fetcher.Read(request, timeout=60) for record in response.records]

    def page(self, path):
        """(status, body) of an HTTP page."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        """The sum of a metric over its labels."""
        _, body = self.page("/metrics")
        values = [float(line.rsplit(" ", 1)[1]) for line in body.splitlines()
                  if line.startswith(name) and line[len(name)] in " {"]
        assert values, f"no metric {name}"
        return sum(values)

    def calls(self, method):
        """How many calls of a method ("TopicService/CreateTopic") have ended, whichever way."""
        _, body = self.page("/metrics")
        return sum(int(line.rsplit(" ", 1)[1]) for line in body.splitlines()
                   if line.startswith("gregor_grpc_calls_total{") and f'method="gregor.v1.{method}"' in line)

    def resident_mib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def is_up(self):
        return self.process.poll() is None and json.loads(self.page("/live")[1]) == {"status": "live"}


def command(*arguments, **options):
    """Runs `gregor`; the finished process with its output."""
    return subprocess.run([BINARY, *arguments], capture_output=True, timeout=options.pop("timeout", 60), text=options.pop("text", True),
                          check=False, **options)


def eventually(condition, seconds=10):
    """Waits until `condition()` holds: for what another process does at its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "that did not happen in time"
        time.sleep(0.02)


class fails:
    """with fails("TOPIC_NOT_FOUND"): the block ends with that reason, as stubs see it; `.error` is the RpcError."""

    def __init__(self, reason, code=None):
        self.reason = reason
        self.code = code
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        assert isinstance(error, grpc.RpcError), f"expected {self.reason}, nothing failed" if error is None else error
        self.error = error
        assert errors.reason(error) == self.reason, (errors.reason(error), error.code(), error.details())
        if self.code is not None:
            assert error.code() == self.code
        assert error.details()
        return True
