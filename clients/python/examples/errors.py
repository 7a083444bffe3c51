#!/usr/bin/env python3
"""What errors look like: python3 errors.py localhost:9094

Every failed call has a gRPC status, whose code says what kind of failure it is, and the reason as a plain trailer. Nothing else is
needed to act on it; gregor.errors reads the rest (docs/errors.md lists the reasons and what to do).
"""
import argparse

import grpc
from gregor import errors
from gregor.v1 import fetch_pb2, fetch_pb2_grpc, topic_pb2, topic_pb2_grpc, types_pb2


def show(what, call, request):
    try:
        call(request, timeout=5)
        print(f"{what}: OK")
    except grpc.RpcError as error:
        reason = dict(error.trailing_metadata() or ()).get("x-gregor-reason", "none: no broker answered")
        print(f"{what}: {error.code().name}, reason {reason}: {error.details()}")
        print(f"    facts {errors.facts(error)}, retry after {errors.retry_delay_seconds(error)} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="HOST:PORT of the gRPC API")
    options = parser.parse_args()
    with grpc.insecure_channel(options.server) as channel:
        topics = topic_pb2_grpc.TopicServiceStub(channel)
        show("a topic that does not exist", topics.GetTopic, topic_pb2.GetTopicRequest(topic="no-such-topic"))
        show("a name that may not be", topics.CreateTopic, topic_pb2.CreateTopicRequest(topic=".."))
        show("a topic for errors", topics.CreateTopic, topic_pb2.CreateTopicRequest(topic="errors-example", partitions=1))
        show("the same once more", topics.CreateTopic, topic_pb2.CreateTopicRequest(topic="errors-example", partitions=1))
        show("an offset that is not there", fetch_pb2_grpc.FetchServiceStub(channel).Fetch,
             fetch_pb2.FetchRequest(topic="errors-example", position=types_pb2.Position(offset=1000)))
        show("that topic goes", topics.DeleteTopic, topic_pb2.DeleteTopicRequest(topic="errors-example"))


if __name__ == "__main__":
    main()
