#!/usr/bin/env python3
"""Kills a real node at random moments under producers, and checks what it promised.

Each round starts the node, lets the producers write for a random time, and ends it with SIGKILL. Producers of two kinds
write all the time, across the rounds: idempotent ones (the C++ client) and bare Python stubs with a request_id per call.
Whatever was acknowledged is noted by who wrote it. Afterwards every partition is read from its beginning:

  - every acknowledged record is there, at the offset that was given for it,
  - no record is there twice,
  - the records of a producer are in the order in which it wrote them,
  - offsets are dense.

Usage: kill_rounds.py --gregor build/release/gregor --producer build/release/tests/kill_producer [--rounds 200] [--seed 1]
The last line is a JSON document; exit code 0 if nothing was lost, doubled or reordered.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOPIC = "kill"


class Node:
    """A server process on a data directory; restarted on the port that it got first."""

    def __init__(self, binary, directory):
        self.binary = binary
        self.directory = directory
        self.address = "127.0.0.1:0"
        self.process = None
        self.start_seconds = []

    def start(self):
        began = time.monotonic()
        log = open(self.directory / "server.log", "ab")
        self.process = subprocess.Popen(
            [self.binary, "server", "--data-dir", str(self.directory / "data"), "--grpc-listen", self.address,
             "--http-listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode()
        if not line.startswith("gregor ready grpc="):
            raise SystemExit(f"the node did not start; see {self.directory}/server.log: {line!r}")
        self.start_seconds.append(time.monotonic() - began)
        self.address = line.split()[2].removeprefix("grpc=")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=10) != 0:
            raise SystemExit("the node did not stop cleanly")


def start_producers(options, node, directory):
    """Producers that write until their control file goes away, noting acknowledgements in <name>.acks."""
    producers = []
    for kind, count in (("native", options.native), ("stub", options.stubs)):
        for index in range(count):
            name = f"{kind}{index}"
            if kind == "native":
                command = [options.producer]
            else:
                command = [sys.executable, str(HERE / "stub_producer.py"), "--stubs", options.stubs_path]
            command += ["--server", node.address, "--topic", TOPIC, "--partitions", str(options.partitions), "--name", name,
                        "--acks-file", str(directory / f"{name}.acks"), "--run-file", str(directory / "run")]
            log = open(directory / f"{name}.log", "wb")
            producers.append((name, subprocess.Popen(command, stdout=log, stderr=log)))
    return producers


def read_acks(directory):
    """{(partition, offset): value} of everything acknowledged; a torn last line was not noted in time."""
    acked = {}
    counts = collections.Counter()
    for path in sorted(directory.glob("*.acks")):
        for line in path.read_text().splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            partition, base, *values = line.split()
            for index, value in enumerate(values):
                acked[int(partition), int(base) + index] = value
                counts[path.stem] += 1
    return acked, counts


def check(partitions_read, acked):
    """Problems in what was read, against what was acknowledged."""
    problems = []
    seen = {}
    last = {}
    for partition, records in partitions_read.items():
        for index, (offset, value) in enumerate(records):
            if offset != index:
                problems.append(f"partition {partition}: record {index} has offset {offset}")
            if value in seen:
                problems.append(f"doubled: {value} at {seen[value]} and {(partition, offset)}")
            seen[value] = (partition, offset)
            name, number = value.split(":")
            key = (name, partition)
            if last.get(key, -1) >= int(number):
                problems.append(f"reordered: {value} in partition {partition} comes after {last[key]}")
            last[key] = int(number)
    for place, value in acked.items():
        if seen.get(value) != place:
            problems.append(f"lost: {value} was acknowledged at {place}, and is at {seen.get(value)}")
    return problems


def self_test():
    """Positive controls: the checker must notice each kind of damage."""
    good = {0: [(0, "a:1"), (1, "b:1"), (2, "a:2")]}
    acked = {(0, 0): "a:1", (0, 1): "b:1", (0, 2): "a:2"}
    assert check(good, acked) == []
    assert any("lost" in p for p in check({0: good[0][:2]}, acked))
    assert any("doubled" in p for p in check({0: good[0] + [(3, "a:1")]}, acked))
    assert any("reordered" in p for p in check({0: [(0, "a:2"), (1, "a:1")]}, {}))
    assert any("offset" in p for p in check({0: [(1, "a:1")]}, {}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gregor", required=True)
    parser.add_argument("--producer", required=True, help="the native producer's binary")
    parser.add_argument("--stubs-path", required=True, help="folder with the generated Python stubs")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--native", type=int, default=2)
    parser.add_argument("--stubs", type=int, default=2)
    parser.add_argument("--round-seconds", type=float, default=0.8, help="longest time between start and kill")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    self_test()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed={seed}", flush=True)
    chance = random.Random(seed)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gregor-kill-"))
    (directory / "run").touch()
    sys.path.insert(0, options.stubs_path)
    import stub_client  # after the stubs' folder is known

    node = Node(options.gregor, directory)
    node.start()
    stub_client.create_topic(node.address, TOPIC, options.partitions)
    producers = start_producers(options, node, directory)
    for number in range(options.rounds):
        time.sleep(chance.uniform(0.02, options.round_seconds))
        node.kill()
        node.start()
        if (number + 1) % 20 == 0:
            acked, _ = read_acks(directory)
            print(f"round {number + 1}: {len(acked)} records acknowledged", flush=True)
    time.sleep(1)
    os.unlink(directory / "run")
    for name, process in producers:
        if process.wait(timeout=60) != 0:
            raise SystemExit(f"producer {name} failed; see {directory}/{name}.log")
    acked, counts = read_acks(directory)
    read = {p: stub_client.read_all(node.address, TOPIC, p) for p in range(options.partitions)}
    node.stop()
    problems = check(read, acked)
    for problem in problems[:20]:
        print(problem)
    starts = sorted(node.start_seconds)
    print(json.dumps({
        "seed": seed, "rounds": options.rounds, "acknowledged": len(acked), "by_producer": dict(counts),
        "read": sum(len(records) for records in read.values()), "problems": len(problems),
        "start_median_ms": round(1000 * starts[len(starts) // 2]), "start_max_ms": round(1000 * starts[-1])}))
    if problems or options.keep:
        print(f"files kept in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory)
    return 1 if problems or not acked or len(counts) != options.native + options.stubs else 0


if __name__ == "__main__":
    sys.exit(main())
