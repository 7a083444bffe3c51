#!/usr/bin/env python3
"""A cluster of processes on loopback for playing: `./dev cluster --help` says how.

usage: cluster.py --gregor BINARY --directory FOLDER COMMAND [ARGUMENT...]

FOLDER/nodeN holds all of a node: node.yaml, its data, server.log, and ready, which has its ready
line. The ports are chosen when the cluster is made, and stay. Whether a node runs is told by who
holds its files: a process whose command line names its node.yaml.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

START_SECONDS = 60
STOP_SECONDS = 15
FIRST_PORT = 9093
PORTS_APART = 100  # between two nodes
NODES_MAX = 50


class Trouble(Exception):
    """What the user is told."""


class Node:
    """One node's folder, and its process where it runs."""

    def __init__(self, folder, binary):
        self.id = int(folder.name.removeprefix("node"))
        self.folder = folder
        self.binary = binary
        self.settings = folder / "node.yaml"
        self.ready = folder / "ready"
        self.log = folder / "server.log"

    def pid(self):
        """Of its process; None where it does not run."""
        try:
            pid = int((self.folder / "pid").read_text())
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # Another process may have got the number since. A zombie has no command line.
        return pid if str(self.settings).encode() in command else None

    def state(self):
        pid = self.pid()
        if pid is None:
            return "stopped"
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return "stopped"
        if state == "T":
            return "paused"
        return "running" if self.addresses() else "starting"

    def addresses(self):
        """{"grpc": "host:port", ...} of its ready line; empty while it has none."""
        try:
            words = self.ready.read_text().split()
        except OSError:
            return {}
        return dict(word.split("=", 1) for word in words if "=" in word)

    def setting(self, name):
        """A line of its settings file."""
        for line in self.settings.read_text().splitlines():
            if line.startswith(name + ":"):
                return line.split(":", 1)[1].strip()
        raise Trouble(f"{self.settings} has no {name}")

    def make(self, text, cluster_id):
        self.folder.mkdir(parents=True)
        self.settings.write_text(text)
        run(self.binary, "cluster", "format", "--config", str(self.settings), "--cluster-id", cluster_id)

    def start(self):
        self.ready.write_text("")
        with open(self.ready, "wb") as ready, open(self.log, "ab") as log:
            # A session of its own: what stops the terminal's foreground does not stop the cluster.
            process = subprocess.Popen([self.binary, "server", "--config", str(self.settings)], stdout=ready, stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        (self.folder / "pid").write_text(f"{process.pid}\n")
        return process

    def signal(self, number):
        pid = self.pid()
        if pid is None:
            raise Trouble(f"node {self.id} does not run: ./dev cluster restart {self.id}")
        os.kill(pid, number)

    def ask_to_stop(self):
        pid = self.pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)  # a paused one would not notice

    def await_stop(self):
        """REQUIRES: asked to."""
        deadline = time.monotonic() + STOP_SECONDS
        while (pid := self.pid()) is not None:
            if time.monotonic() > deadline:
                print(f"node {self.id} did not stop within {STOP_SECONDS} s and is killed; see {self.log}", file=sys.stderr)
                os.kill(pid, signal.SIGKILL)
                deadline += STOP_SECONDS
            time.sleep(0.02)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(done.stderr.strip() or f"{' '.join(command)} ended with exit code {done.returncode}")
    return done.stdout


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_ports(count, first_port):
    """Of each node (internal, grpc, http): 9093 to 9095, 9193 to 9195 and so on, or a range above that is free."""
    for first in range(first_port, 65000 - count * PORTS_APART, 1000):
        ports = [[first + PORTS_APART * node + i for i in range(3)] for node in range(count)]
        if all(is_free(port) for of_node in ports for port in of_node):
            return ports
    raise Trouble("no free range of ports was found")


def settings_text(node, folder, roles, ports, controllers):
    return "\n".join([
        f"node_id: {node}",
        f"roles: [{', '.join(roles)}]",
        f"data_dir: {json.dumps(str(folder / 'data'))}",
        f"controllers: {json.dumps(controllers)}",
        "listen:",
        *(f"  {name}: 127.0.0.1:{port}" for name, port in zip(("internal", "grpc", "http"), ports)),
        ""])


class Cluster:
    def __init__(self, directory, binary):
        self.directory = directory
        self.binary = binary
        self.made = directory / "cluster-id"  # written last: what lies there without it is half of a cluster

    def nodes(self):
        if not self.made.exists():
            return []
        found = [Node(folder, self.binary) for folder in self.directory.glob("node*") if (folder / "node.yaml").exists()]
        return sorted(found, key=lambda node: node.id)

    def node(self, number):
        for node in self.nodes():
            if node.id == number:
                return node
        raise Trouble(f"there is no node {number}: ./dev cluster status shows those there are")

    def make(self, roles, first_port):
        """Settings and formatted directories, once; `roles` has those of each node."""
        if self.directory.exists() and any(entry for entry in self.directory.iterdir() if not entry.name.startswith("node")):
            raise Trouble(f"{self.directory} has something else in it, and is left alone")
        shutil.rmtree(self.directory, ignore_errors=True)
        cluster_id = run(self.binary, "cluster", "new-id").strip()
        ports = choose_ports(len(roles), first_port)
        controllers = [f"{number}@127.0.0.1:{ports[number - 1][0]}"
                       for number, of_node in enumerate(roles, 1) if "controller" in of_node]
        for number, of_node in enumerate(roles, 1):
            folder = self.directory / f"node{number}"
            text = settings_text(number, folder, of_node, ports[number - 1], controllers)
            Node(folder, self.binary).make(text, cluster_id)
        self.made.write_text(f"{cluster_id}\n")
        print(f"Made cluster {cluster_id} in {self.directory}")

    def start(self, options):
        nodes = self.nodes()
        roles = wanted_roles(options)
        if nodes and options.given and len(roles) != len(nodes):
            raise Trouble(f"there is a cluster of {len(nodes)} nodes in {self.directory}: ./dev cluster start without a number goes on "
                          "with it, ./dev cluster clean removes it and its data")
        if not nodes:
            self.make(roles, options.port)
            nodes = self.nodes()
        began = time.monotonic()
        self.await_ready([(node, node.start()) for node in nodes if node.pid() is None])
        print(f"{len(nodes)} nodes, ready after {time.monotonic() - began:.1f} s")
        self.status()
        self.hints()

    def await_ready(self, started):
        deadline = time.monotonic() + START_SECONDS
        for node, process in started:
            while not node.addresses():
                if process.poll() is not None:
                    raise Trouble(f"node {node.id} did not start: {last_line(node.log)} (more in {node.log})")
                if time.monotonic() > deadline:
                    raise Trouble(f"node {node.id} is not ready after {START_SECONDS} s: a majority of the controllers has to run, all of "
                                  f"them the first time. It goes on trying; its log is {node.log}")
                time.sleep(0.02)

    def active(self):
        """The active controller's id, as a running node sees it."""
        for node in self.nodes():
            if node.state() != "running" or "grpc" not in node.addresses():
                continue
            try:
                told = subprocess.run([self.binary, "--server", node.addresses()["grpc"], "--output", "json", "cluster", "describe"],
                                      capture_output=True, text=True, timeout=5, check=False)
                controller = json.loads(told.stdout)["controller"]
            except (subprocess.TimeoutExpired, ValueError, KeyError):
                continue
            if controller >= 0:
                return controller
        return None

    def status(self):
        nodes = self.nodes()
        if not nodes:
            raise Trouble("there is no cluster: ./dev cluster start")
        active = self.active()
        rows = [("node", "state", "pid", "roles", "grpc", "http", "")]
        for node in nodes:
            state, addresses = node.state(), node.addresses()
            if state == "stopped":
                addresses = {}
            rows.append((str(node.id), state, str(node.pid() or "-"), node.setting("roles").strip("[]").replace(", ", "+"),
                         addresses.get("grpc", "-"), addresses.get("http", "-"),
                         "active controller" if node.id == active and state == "running" else ""))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        print()
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if active is None:
            print("\nNo active controller is known: a majority of the controllers has to run.")

    def hints(self):
        running = [node for node in self.nodes() if node.state() == "running" and "broker" in node.setting("roles")]
        if len(running) < 1:
            return
        first, last = running[0].addresses()["grpc"], running[-1].addresses()["grpc"]
        gregor = f"./{os.path.relpath(self.binary)}"
        print(f"""
Three commands to try; any node takes an admin call:

  {gregor} --server {first} topic create hello --partitions {len(running)}
  {gregor} --server {last} topic describe hello
  ./dev cluster kill {self.active() or 1} && {gregor} --server {last} topic create after-the-kill

./dev cluster status shows the nodes, ./dev cluster restart ID brings one back, ./dev cluster stop stops them all.""")

    def stop(self):
        count = self.stop_all()
        print(f"Stopped {count} nodes; their data stay in {self.directory}" if count else "No node runs")

    def stop_all(self):
        """How many there were."""
        running = [node for node in self.nodes() if node.pid() is not None]
        for node in running:
            node.ask_to_stop()
        for node in running:
            node.await_stop()
        return len(running)

    def restart(self, number):
        node = self.node(number)
        node.ask_to_stop()
        node.await_stop()
        began = time.monotonic()
        self.await_ready([(node, node.start())])
        print(f"node {number} is ready after {time.monotonic() - began:.1f} s")

    def clean(self):
        self.stop_all()
        if self.made.exists():
            shutil.rmtree(self.directory)
        print(f"Removed {self.directory}")


def last_line(path):
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def wanted_roles(options):
    """The roles of each node."""
    options.given = options.count is not None or options.controllers is not None or options.brokers is not None
    if options.controllers is None and options.brokers is None:
        count = 3 if options.count is None else options.count
        roles = [["controller", "broker"]] * count
    else:
        if options.count is not None:
            raise Trouble("start takes N nodes that are both, or --controllers and --brokers, not all of them")
        roles = [["controller"]] * (3 if options.controllers is None else options.controllers)
        roles += [["broker"]] * (3 if options.brokers is None else options.brokers)
        if options.controllers == 0:
            raise Trouble("a cluster has at least one controller")
    if not 1 <= len(roles) <= NODES_MAX:
        raise Trouble(f"a cluster here has 1 to {NODES_MAX} nodes")
    return roles


class Parser(argparse.ArgumentParser):
    def error(self, message):
        sys.exit(f"cluster: {message} (./dev cluster --help)")


def parse(arguments):
    parser = Parser(add_help=False)
    parser.add_argument("--gregor", required=True)
    parser.add_argument("--directory", required=True)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", add_help=False)
    start.add_argument("count", nargs="?", type=int)
    start.add_argument("--controllers", type=int)
    start.add_argument("--brokers", type=int)
    start.add_argument("--port", type=int, default=FIRST_PORT)
    for name in ("status", "stop", "clean"):
        commands.add_parser(name, add_help=False)
    for name in ("kill", "pause", "resume", "restart"):
        commands.add_parser(name, add_help=False).add_argument("node", type=int, metavar="ID")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    cluster = Cluster(pathlib.Path(options.directory).absolute(), os.path.abspath(options.gregor))
    try:
        if options.command == "start":
            cluster.start(options)
        elif options.command == "restart":
            cluster.restart(options.node)
        elif options.command in ("status", "stop", "clean"):
            getattr(cluster, options.command)()
        else:
            number = {"kill": signal.SIGKILL, "pause": signal.SIGSTOP, "resume": signal.SIGCONT}[options.command]
            cluster.node(options.node).signal(number)
            print(f"node {options.node}: {options.command} done")
    except Trouble as trouble:
        print(f"cluster: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
