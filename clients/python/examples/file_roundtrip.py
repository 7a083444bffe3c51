#!/usr/bin/env python3
"""Writes a text file to a topic, a line a record, and reads it back: python3 file_roundtrip.py localhost:9094 FILE

Prints how long both took, and fails unless what came back is the same to the byte. The topic is created, and deleted at the end.
Options: --codec none|gzip|snappy|lz4|zstd, --records N (a call), --keep (the topic).
"""
import argparse
import hashlib
import pathlib
import re
import sys
import time
import uuid

import grpc
from gregor.v1 import fetch_pb2, fetch_pb2_grpc, produce_pb2, produce_pb2_grpc, topic_pb2, topic_pb2_grpc, types_pb2

CALL_BYTES_MAX = 800_000  # below max.message.bytes, which one call may not exceed


def chunks(lines, records_max):
    """Lists of lines that fit into one call."""
    chunk, size = [], 0
    for line in lines:
        if chunk and (len(chunk) == records_max or size + len(line) > CALL_BYTES_MAX):
            yield chunk
            chunk, size = [], 0
        chunk.append(line)
        size += len(line) + 16
    if chunk:
        yield chunk


def write(channel, topic, lines, codec, records_max):
    stub = produce_pb2_grpc.ProduceServiceStub(channel)
    for chunk in chunks(lines, records_max):
        request = produce_pb2.ProduceRequest(
            topic=topic, partition=0, request_id=str(uuid.uuid4()), compression=codec,
            records=[types_pb2.Record(value=line) for line in chunk])
        stub.Produce(request, timeout=30)


def read(channel, topic, sink):
    """Gives every value to `sink`, in order."""
    stub = fetch_pb2_grpc.FetchServiceStub(channel)
    request = fetch_pb2.ReadRequest(topic=topic, stop_at_end=True,
                                    start=types_pb2.Position(anchor=types_pb2.Position.ANCHOR_EARLIEST))
    for response in stub.Read(request):
        for record in response.records:
            sink(record.value)


def rate(records, seconds):
    return f"{records / max(seconds, 1e-9):.0f} records/s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--codec", default="none", choices=["none", "gzip", "snappy", "lz4", "zstd"])
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    content = options.file.read_bytes()
    # Every line with its end: joined they are the file again, whatever its last line ends with.
    lines = [line for line in re.split(rb"(?<=\n)", content) if line]
    topic = f"file-{uuid.uuid4()}"
    codec = types_pb2.Compression.Value("COMPRESSION_" + options.codec.upper())
    with grpc.insecure_channel(options.server) as channel:
        topics = topic_pb2_grpc.TopicServiceStub(channel)
        topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=topic, partitions=1), timeout=30)
        try:
            began = time.monotonic()
            write(channel, topic, lines, codec, options.records)
            written = time.monotonic()
            digest = hashlib.sha256()
            read(channel, topic, digest.update)
            done = time.monotonic()
        finally:
            if not options.keep:
                topics.DeleteTopic(topic_pb2.DeleteTopicRequest(topic=topic), timeout=30)
    same = digest.digest() == hashlib.sha256(content).digest()
    print(f"{len(content)} bytes in {len(lines)} records, codec {options.codec}: "
          f"written in {written - began:.3f} s ({rate(len(lines), written - began)}), "
          f"read in {done - written:.3f} s ({rate(len(lines), done - written)}), "
          f"{'identical' if same else 'DIFFERENT'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
