#!/usr/bin/env python3
"""Measures how fast three real nodes do admin operations, each acknowledged once it is durable on a majority of them.

`gregor bench admin` makes and deletes topics of one partition, one at a time and 64 at a time: after a warm-up of both some runs
of each, in turns, so that a machine that is slower for a while is so for both. The medians of the runs count.

usage: GREGOR_BINARY=... GREGOR_PYTHON_GENERATED=... admin_speed.py [--runs N] [--seconds S] [--json] [--keep]
The last line is a JSON document, with --json the only one; exit code 0 if the median run had a p50 of no more than --p50
milliseconds one at a time, and no fewer than --rate operations a second 64 at a time.
"""
import argparse
import json
import pathlib
import statistics
import sys
import tempfile

import measurement
from node import command
from quorum import Loopback, Quorum

MANY = 64
WARM_UP_SECONDS = 2


def measure(quorum, concurrency, seconds):
    """What `gregor bench admin` says of so many operations at a time."""
    servers = ",".join(node.grpc for node in quorum.nodes)
    ran = command("--server", servers, "bench", "admin", "--json", "--concurrency", str(concurrency), "--seconds", str(seconds),
                  timeout=seconds + 60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def run(directory, runs, seconds, show=lambda line: None):
    quorum = Quorum(directory, [Loopback() for _ in range(3)])
    try:
        quorum.start()
        quorum.leader()
        for concurrency in (1, MANY):
            measure(quorum, concurrency, WARM_UP_SECONDS)
        p50, rates = [], []
        for number in range(1, runs + 1):
            p50.append(measure(quorum, 1, seconds)["latency_ms"]["p50"])
            rates.append(round(measure(quorum, MANY, seconds)["calls_per_second"]))
            show(f"run {number}: one at a time p50 {p50[-1]} ms; {MANY} at a time {rates[-1]}/s")
        return {"runs": runs, "p50_ms": p50, "per_second": rates, "p50_ms_median": round(statistics.median(p50), 2),
                "per_second_median": round(statistics.median(rates))}
    finally:
        quorum.end()


def misses(result, options):
    """What of a result is not as it should be, as sentences; `options`: the bounds."""
    missed = []
    if result["p50_ms_median"] > options.p50:
        missed.append(f"one at a time: p50 {result['p50_ms_median']} ms, and no more than {options.p50} is allowed")
    if result["per_second_median"] < options.rate:
        missed.append(f"{MANY} at a time: {result['per_second_median']}/s, and no less than {options.rate} is allowed")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    parser.add_argument("--seconds", type=int, default=5, help="that a run takes")
    parser.add_argument("--p50", type=float, default=3.0, help="milliseconds that the median operation may take, one at a time")
    parser.add_argument("--rate", type=float, default=3000, help=f"operations a second that there have to be, {MANY} at a time")
    parser.add_argument("--json", action="store_true", help="print one JSON document, and nothing else, to stdout")
    parser.add_argument("--keep", action="store_true", help="keep the files")
    options = parser.parse_args()
    if options.runs < 1 or options.seconds < 1:
        parser.error("--runs and --seconds are 1 at least")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gregor-admin-speed-"))
    result = run(directory, options.runs, options.seconds, (lambda line: None) if options.json else lambda line: print(line, flush=True))
    print(json.dumps(result))
    return measurement.end(directory, options.keep, misses(result, options))


if __name__ == "__main__":
    sys.exit(main())
