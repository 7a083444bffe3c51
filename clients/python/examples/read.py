#!/usr/bin/env python3
"""Reads a topic without a group: python3 read.py localhost:9094 orders [--follow] [--last N] [--partition P]

Prints the value of each record on a line. By default from the beginning to the end of the topic; --follow goes on with what comes,
--last N begins with the last N records of each partition. With --partition it reads that one alone, and goes on where it was when
the connection breaks.
"""
import argparse
import sys
import time

import grpc
from gregor.v1 import fetch_pb2, fetch_pb2_grpc, types_pb2


def read(server, request):
    """Yields the responses of one call: records of one partition each. Between partitions there is no order."""
    with grpc.insecure_channel(server) as channel:
        yield from fetch_pb2_grpc.FetchServiceStub(channel).Read(request)


def read_partition(server, request):
    """The same of one partition, over broken connections: next_offset says where to go on."""
    while True:
        try:
            for response in read(server, request):
                yield response
                request.start.offset = response.next_offset
            return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("topic")
    parser.add_argument("--follow", action="store_true")
    parser.add_argument("--last", type=int)
    parser.add_argument("--partition", type=int)
    options = parser.parse_args()
    request = fetch_pb2.ReadRequest(topic=options.topic, stop_at_end=not options.follow)
    if options.last is not None:
        request.start.tail = options.last
    else:
        request.start.anchor = types_pb2.Position.ANCHOR_EARLIEST
    if options.partition is not None:
        request.partitions.append(options.partition)
    for response in (read if options.partition is None else read_partition)(options.server, request):
        for record in response.records:
            sys.stdout.buffer.write(record.value + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as failed:
        sys.exit(f"{failed.code().name}: {failed.details()}")
