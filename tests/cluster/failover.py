#!/usr/bin/env python3
"""Kills the active controller of three real nodes again and again under admin load, and says how long nothing went.

A round: the active controller is ended with SIGKILL; the time runs from there to the first acknowledgement of an operation that
began after it, by clients that try a failed call again at once on another node. Then it is started again. Afterwards
nothing that was acknowledged may be missing on any node, nothing be there in part, and the nodes' logs must not differ.

Kills are --apart seconds apart: of a node's lost connections three in ten seconds are believed to mean a lost leader, so that
one that flaps does no harm, and where kills come faster than that some are only noticed after an election timeout.

usage: GREGOR_BINARY=... GREGOR_PYTHON_GENERATED=... failover.py [--rounds N] [--clients N] [--apart S] [--keep]
The last line is a JSON document; exit code 0 if nothing was lost, no round took longer than --worst seconds, and no start of three
nodes longer than --start seconds to their first topic.
"""
import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

import measurement
from admin_load import AdminLoad
from metadata_checks import find_problems
from quorum import Loopback, Quorum

ROUND_SECONDS = 20


def measure_start(directory):
    """Seconds from the start of three formatted nodes to their first topic."""
    quorum = Quorum(directory, [Loopback() for _ in range(3)])
    began = time.monotonic()
    try:
        for node in quorum.nodes:
            node.launch()
        quorum.nodes[0].await_ready()
        quorum.nodes[0].create("first")
        seconds = time.monotonic() - began
        for node in quorum.nodes[1:]:
            node.await_ready()
        return seconds
    finally:
        quorum.end()


def one_round(quorum, load, controllers=None):
    """The seconds without an acknowledgement, when another leader was known, and how long the restart took."""
    controllers = controllers or quorum.nodes
    leader = quorum.leader(controllers)
    others = [node for node in controllers if node is not leader]
    killed = time.monotonic()
    leader.process.kill()
    known = None
    while (seconds := load.first_after(killed)) is None:
        view = others[0].view(timeout=0.2)
        if known is None and view is not None and view[0] != leader.number:
            known = time.monotonic() - killed
        assert time.monotonic() < killed + ROUND_SECONDS, "nothing is acknowledged any more"
        time.sleep(0.002)
    leader.await_end()
    restart = leader.start()
    load.await_acknowledged(20)
    return {"node": leader.number, "seconds": round(seconds, 3), "leader_known": known and round(known, 3),
            "restart": round(restart, 3)}


def run(directory, rounds, clients, apart=0.0):
    quorum = Quorum(directory / "failover", [Loopback() for _ in range(3)])
    try:
        quorum.start()
        with AdminLoad(quorum.nodes, count=clients) as load:
            load.await_acknowledged(50)
            done = []
            for number in range(rounds):
                began = time.monotonic()
                done.append(one_round(quorum, load))
                print(f"round {number + 1}: {json.dumps(done[-1])}", flush=True)
                time.sleep(max(0.0, began + apart - time.monotonic()))
        problems = load.problems + find_problems(quorum, load.history)[0]
    finally:
        quorum.end()
    seconds = [each["seconds"] for each in done]
    return {"rounds": rounds, "acknowledged": len(load.acknowledged),
            "unknown": len(load.history) - len(load.acknowledged), "problems": problems,
            "median_seconds": round(statistics.median(seconds), 3), "worst_seconds": max(seconds)}


def misses(result, options):
    """What of a result is not as it should be, as sentences; `options`: the bounds, in seconds."""
    bounds = {"worst_seconds": options.worst, "median_seconds": options.median, "start_to_first_topic_seconds": options.start}
    missed = [f"{name}: {result[name]}, and no more than {bound} is allowed" for name, bound in bounds.items()
              if (max(result[name]) if isinstance(result[name], list) else result[name]) > bound]
    if result["problems"]:
        missed.append(f"{result['problems']} problems")
    if not result["acknowledged"]:
        missed.append("nothing was acknowledged")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--apart", type=float, default=4.0, help="seconds between two kills at least")
    parser.add_argument("--worst", type=float, default=1.5, help="seconds a round may take")
    parser.add_argument("--median", type=float, default=0.8, help="seconds the median round may take")
    parser.add_argument("--start", type=float, default=1.0, help="seconds that three nodes may take to their first topic")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gregor-failover-"))
    starts = [measure_start(directory / f"start{number}") for number in range(3)]
    result = run(directory, options.rounds, options.clients, options.apart)
    result["start_to_first_topic_seconds"] = [round(seconds, 3) for seconds in starts]
    for problem in result["problems"][:20]:
        print(problem)
    result["problems"] = len(result["problems"])
    print(json.dumps(result))
    return measurement.end(directory, result["problems"] or options.keep, misses(result, options))


if __name__ == "__main__":
    sys.exit(main())
