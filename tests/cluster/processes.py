"""A cluster of real processes on loopback: controllers, brokers, and nodes that are both."""
import os
import subprocess
import time

import node as single
from node import Node, command, eventually
from ports import free_port

from gregor.v1 import cluster_pb2


class Member(Node):
    """A node of a cluster, with a settings file. Its internal port stays the same for its life."""

    def __init__(self, directory, node_id, roles):
        super().__init__(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.id = node_id
        self.roles = roles
        self.internal_port = free_port()
        self.config = self.directory / "node.yaml"
        self.ready = None

    @property
    def internal(self):
        return f"127.0.0.1:{self.internal_port}"

    def configure(self, controllers, **settings):
        """`controllers`: the members that the setting names."""
        lines = [f"node_id: {self.id}", f"roles: [{', '.join(self.roles)}]", f"data_dir: {self.data}",
                 "controllers: [" + ", ".join(f'"{each.id}@{each.internal}"' for each in controllers) + "]",
                 f'listen: {{internal: "{self.internal}", grpc: "127.0.0.1:0", http: "127.0.0.1:0"}}']
        lines += [f"{name}: {value}" for name, value in settings.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def format(self, cluster_id, *options):
        formatted = command("cluster", "format", "--config", str(self.config), "--cluster-id", cluster_id, *options)
        assert formatted.returncode == 0, formatted.stderr

    def launch(self):
        """Starts the process, and does not wait until it is ready: that takes a majority."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([single.BINARY, "server", "--config", str(self.config)],
                                            stdout=subprocess.PIPE, stderr=log, env=os.environ | self.environment)

    def await_ready(self, seconds=single.START_SECONDS):
        line = self._read_line(time.monotonic() + seconds)
        assert line.startswith("gregor ready grpc="), f"not ready, but {line!r}; see {self.log}"
        self.ready = dict(part.split("=", 1) for part in line.split()[2:])
        self.grpc, self.http = self.ready["grpc"], self.ready["http"]

    def restart(self):
        self.launch()
        self.await_ready()

    def leader(self):
        """The node that it takes for the active controller; -1: none."""
        return self.cluster.DescribeCluster(cluster_pb2.DescribeClusterRequest(), timeout=10).controller_id


class Cluster:
    """Members by id. `roles`: what each of them is, by id."""

    def __init__(self, directory, roles):
        self.directory = directory
        self.id = command("cluster", "new-id").stdout.strip()
        self.members = {}
        for node_id, each in roles.items():
            self.add(node_id, each)
        self.controllers = [member for member in self.members.values() if "controller" in member.roles]

    def __getitem__(self, node_id):
        return self.members[node_id]

    def add(self, node_id, roles):
        self.members[node_id] = Member(self.directory / f"node{node_id}", node_id, roles)
        return self.members[node_id]

    def prepare(self, *members, **settings):
        """Settings and formatted directories; of all where none is named."""
        for member in members or self.members.values():
            member.configure(self.controllers, **settings)
            member.format(self.id)

    def start(self, *members):
        chosen = members or list(self.members.values())
        try:
            for member in chosen:
                member.launch()
            for member in chosen:
                member.await_ready()
        except BaseException:
            self.end()  # whoever began to start them ends none
            raise

    def running(self):
        return [member for member in self.members.values() if member.process is not None]

    def end(self):
        for member in self.running():
            member.kill()


def version(member):
    return member.metric("gregor_metadata_version")


def await_same_metadata(members, seconds=10):
    """Until all of them have applied the same records."""
    eventually(lambda: len({version(member) for member in members}) == 1, seconds)
