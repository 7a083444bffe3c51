#!/usr/bin/env python3
"""What a bare generated Python stub writes a second: python_produce.py HOST:PORT TOPIC [--record-size N] [--calls N] [--in-flight N] [--alone]

One thread, 1000 plain records a call, made anew for every call; calls are acknowledged when they are durable. The next call waits
for the answer to the one before, or with --in-flight for the answer to the Nth before: then Python works while the node does.
Needs the generated stubs in PYTHONPATH (build/release/gen/python, or the package in clients/python). Prints one JSON document.
"""
import argparse
import collections
import json
import time

import grpc
from gregor.v1 import produce_pb2, produce_pb2_grpc, types_pb2

RECORDS = 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("topic")
    parser.add_argument("--record-size", type=int, default=100)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=1, help="calls that may be without an answer (default 1)")
    parser.add_argument("--alone", action="store_true", help="only make the requests and their bytes: what Python could send at most")
    options = parser.parse_args()
    value = b"x" * options.record_size
    with grpc.insecure_channel(options.server) as channel:
        stub = produce_pb2_grpc.ProduceServiceStub(channel)

        waiting = collections.deque()

        def call():
            records = [types_pb2.Record(value=value) for _ in range(RECORDS)]
            request = produce_pb2.ProduceRequest(topic=options.topic, partition=0, records=records)
            if options.alone:
                request.SerializeToString()
            elif options.in_flight == 1:
                stub.Produce(request, timeout=30)
            else:
                waiting.append(stub.Produce.future(request, timeout=30))
                if len(waiting) == options.in_flight:
                    waiting.popleft().result()

        def calls(count):
            for _ in range(count):
                call()
            while waiting:
                waiting.popleft().result()

        calls(options.calls // 10)
        began = time.monotonic()
        calls(options.calls)
        seconds = time.monotonic() - began
    print(json.dumps({"records": options.calls * RECORDS, "seconds": seconds,
                      "records_per_second": options.calls * RECORDS / seconds}))


if __name__ == "__main__":
    main()
