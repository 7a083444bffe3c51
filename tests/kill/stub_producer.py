#!/usr/bin/env python3
"""A producer of the kill test: bare stub, one request_id per call, repeated until it is answered."""
import argparse
import os
import random
import sys


def main():
    parser = argparse.ArgumentParser()
    for name in ("stubs", "server", "topic", "name", "acks-file", "run-file"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    options = parser.parse_args()
    sys.path.insert(0, options.stubs)
    import stub_client

    producer = stub_client.Producer(options.server)
    chance = random.Random(options.name)
    number = 0
    with open(options.acks_file, "a", buffering=1) as acks:
        while os.path.exists(options.run_file):
            partition = chance.randrange(options.partitions)
            values = [f"{options.name}:{number + i}" for i in range(chance.randint(1, 20))]
            base = producer.produce(options.topic, partition, values, f"{options.name}-{number}")
            acks.write(f"{partition} {base} {' '.join(values)}\n")
            number += len(values)


if __name__ == "__main__":
    main()
