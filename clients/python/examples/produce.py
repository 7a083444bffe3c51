#!/usr/bin/env python3
"""Writes two records, safely: python3 produce.py localhost:9094 orders"""
import argparse
import sys
import time
import uuid

import grpc
from gregor.v1 import produce_pb2, produce_pb2_grpc, types_pb2

RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def produce(stub, request, attempts=5, timeout=5):
    """Calls Produce until it is answered. The request_id makes that safe: what was appended already is not appended again."""
    for attempt in range(attempts):
        try:
            return stub.Produce(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() not in RETRIED or attempt == attempts - 1:
                raise
            time.sleep(0.1 * 2 ** attempt)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", help="HOST:PORT of the gRPC API")
    parser.add_argument("topic", help="topic, which must exist")
    options = parser.parse_args()
    with grpc.insecure_channel(options.server) as channel:
        stub = produce_pb2_grpc.ProduceServiceStub(channel)
        # Records with equal keys go to the same partition. A call may have many records: that is what makes it fast.
        response = produce(stub, produce_pb2.ProduceRequest(
            topic=options.topic, request_id=str(uuid.uuid4()),
            records=[types_pb2.Record(key=b"42", value=b'{"total": 9.5}'), types_pb2.Record(key=b"43", value=b"{}")]))
    for written in response.ranges:
        print(f"{written.count} record(s) in partition {written.partition} from offset {written.base_offset}")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as failed:
        sys.exit(f"{failed.code().name}: {failed.details()}")
