#!/usr/bin/env python3
"""Puts many partitions into the metadata of real nodes, and says what that costs them.

Three controllers, which are brokers too, and a broker that is no controller; topics of 10 000 partitions with three replicas.
Then it measures: the memory that a partition takes on the broker; whether a loop is ever held up for more than 50 ms while small
operations go on and every node takes snapshots; the time from one SIGKILL of the active controller to the next acknowledged
operation that began after it, and until that node serves again; and how long an empty broker takes from its start until it
has all the metadata, once the others have nothing else to do. How long it takes right behind the fail-over is told, and not
judged: on one machine it shares the processors with all that work through 150 000 changes of leaders then.

Only the small operations are in the window of the 50 ms. What the large creations, the fail-over and the replay at a start hold
up is outside of it: what they cost is the time that they are measured to take. How long a fail-over takes when it is repeated,
failover.py says.

The brokers are few because every node keeps all of the metadata and works through every record: on one machine with few
processors more of them would be measured against each other.

usage: GREGOR_BINARY=... GREGOR_PYTHON_GENERATED=... scale.py [--partitions N] [--keep]
The last line is a JSON document; exit code 0 if all bounds are kept.
"""
import argparse
import collections
import json
import pathlib
import re
import sys
import tempfile
import time

import measurement
from admin_load import AdminLoad
from failover import one_round
from node import eventually
from quorum import Loopback, Quorum

from gregor.v1 import topic_pb2

PARTITIONS = 10_000  # of a topic
SETTLE_SECONDS = 5
SNAPSHOT_BYTES = 1 << 20
SNAPSHOTS = 2  # of each node under load
LONG_EVENT = 0.05
BOUNDS = {"bytes_per_partition": 400, "topic_seconds_max": 1.0, "events_over_50_ms": 0, "fail_over_seconds": 1.5,
          "restart_seconds": 3.0, "registration_seconds": 3.0}


def resident(node):
    """Bytes of memory that its process has."""
    status = pathlib.Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def long_events(nodes):
    """{(node, loop): how many of its tasks took longer than LONG_EVENT}."""
    found = collections.Counter()
    for node in nodes:
        _, page = node.page("/metrics")
        for loop, bound, count in re.findall(r'gregor_event_loop_task_seconds_bucket\{loop="([^"]+)",le="([^"]+)"\} (\d+)', page):
            if bound == "+Inf":
                found[node.number, loop] += int(count)
            elif float(bound) == LONG_EVENT:
                found[node.number, loop] -= int(count)
    return found


def create(node, number):
    """The seconds that a topic takes."""
    began = time.monotonic()
    node.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=f"large{number}", partitions=PARTITIONS, replication_factor=3),
                            timeout=60)
    return time.monotonic() - began


def events_under_load(quorum, load):
    """How many tasks took too long while every node wrote snapshots under a load of small operations."""
    offsets = {node.number: node.metric("gregor_metadata_snapshot_offset") for node in quorum.nodes}
    before = long_events(quorum.nodes)
    for _ in range(SNAPSHOTS):
        eventually(lambda: all(node.metric("gregor_metadata_snapshot_offset") > offsets[node.number] for node in quorum.nodes), 120)
        offsets = {node.number: node.metric("gregor_metadata_snapshot_offset") for node in quorum.nodes}
    load.await_acknowledged(1)
    late = long_events(quorum.nodes) - before
    for (node, loop), count in late.items():
        print(f"longer than {LONG_EVENT} s: {count} of node {node}, loop {loop}", flush=True)
    return late.total()


def register(quorum, settings, partitions):
    """The seconds until an empty broker has all the metadata."""
    newcomer = quorum.add_broker(Loopback(), **settings)
    seconds = round(newcomer.start(), 3)
    quorum.await_level()
    found = sum(map(len, newcomer.list_topics().values()))
    assert found >= partitions, f"the new broker knows of {found} partitions"
    return seconds


def run(directory, partitions):
    settings = {"quorum": {"snapshot_bytes": SNAPSHOT_BYTES}}
    quorum = Quorum(directory, [Loopback() for _ in range(3)], **settings)
    broker = quorum.add_broker(Loopback(), **settings)
    try:
        quorum.start()
        time.sleep(SETTLE_SECONDS)
        empty = resident(broker)
        seconds = [create(quorum.nodes[0], number) for number in range(partitions // PARTITIONS)]
        quorum.await_level()
        time.sleep(SETTLE_SECONDS)
        result = {"partitions": partitions, "topic_seconds_max": round(max(seconds), 3),
                  "bytes_per_partition": round((resident(broker) - empty) / partitions)}
        print(f"topics made: {json.dumps(result)}", flush=True)
        with AdminLoad(quorum.nodes[:3]) as load:
            load.await_acknowledged(50)
            result["events_over_50_ms"] = events_under_load(quorum, load)
            killed = one_round(quorum, load, quorum.nodes[:3])
        assert load.problems == [], load.problems[:5]
        result |= {"acknowledged": len(load.acknowledged), "fail_over_seconds": killed["seconds"], "restart_seconds": killed["restart"]}
        result["registration_after_fail_over_seconds"] = register(quorum, settings, partitions)
        time.sleep(SETTLE_SECONDS)
        result["registration_seconds"] = register(quorum, settings, partitions)
        return result
    finally:
        quorum.end()


def misses(result):
    """What of a result is not as it should be, as sentences."""
    missed = [f"{name}: {result[name]}, and no more than {bound} is allowed" for name, bound in BOUNDS.items() if result[name] > bound]
    if not result["acknowledged"]:
        missed.append("nothing was acknowledged")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=200_000, help=f"in all, in topics of {PARTITIONS}")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    if options.partitions < PARTITIONS or options.partitions % PARTITIONS:
        parser.error(f"--partitions is a multiple of {PARTITIONS}")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gregor-scale-"))
    result = run(directory, options.partitions)
    print(json.dumps(result))
    return measurement.end(directory, options.keep, misses(result))


if __name__ == "__main__":
    sys.exit(main())
