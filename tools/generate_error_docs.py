#!/usr/bin/env python3
"""Writes the table of docs/errors.md from proto/gregor/v1/errors.proto: what stands between its two markers.

usage: generate_error_docs.py [--check]

--check changes nothing and fails if the table is not what it would write. Each value of ErrorReason needs a comment that says what
happened, and after "Do:" what to do.
"""
import argparse
import os
import re
import sys

import generate_reasons

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROTO = os.path.join(ROOT, "proto", "gregor", "v1", "errors.proto")
DOCS = os.path.join(ROOT, "docs", "errors.md")
BEGIN, END = "<!-- reasons: begin -->", "<!-- reasons: end -->"
CODES = {
    1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED", 5: "NOT_FOUND", 6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED", 9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED", 13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}
ADVICE = {"NEVER": "no", "BACKOFF": "later", "REROUTE": "elsewhere", "RESTART": "begin anew"}


def read_comments(text):
    """{name: (section, what happened, what to do)} of the values of ErrorReason."""
    body = re.search(r"enum ErrorReason \{(.*?)\n\}", text, re.S).group(1)
    comments, section, lines = {}, "in general", []
    for line in body.split("\n"):
        line = line.strip()
        if line.startswith("// ---"):
            section, lines = line.strip("/- "), []
        elif line.startswith("//"):
            lines.append(line[2:].strip())
        elif match := re.match(r"ERROR_REASON_([A-Z0-9_]+)", line):
            what, found, todo = " ".join(lines).partition(" Do: ")
            if not found:
                sys.exit(f"{PROTO}: ERROR_REASON_{match.group(1)} has no comment with \"Do:\"")
            comments[match.group(1)] = (section, what, todo)
            lines = []
    return comments


def table():
    with open(PROTO, encoding="utf-8") as source:
        comments = read_comments(source.read())
    parts, section = [], None
    for value in generate_reasons.read_values(PROTO):
        of, what, todo = comments[value["name"]]
        if of != section:
            section = of
            parts.append(f"\n### {section[0].upper()}{section[1:]}\n\n"
                         "| reason | gRPC code | Kafka | retry | what happened | what to do |\n"
                         "| --- | --- | --- | --- | --- | --- |\n")
        parts.append(f"| `{value['name']}` | {CODES[int(value['grpc'])]} | {value['kafka']} | {ADVICE[value['retry']]} "
                     f"| {what} | {todo} |\n")
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description="Writes the table of docs/errors.md.")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with open(DOCS, encoding="utf-8") as docs:
        before = docs.read()
    head, rest = before.split(BEGIN)
    after = head + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]
    if options.check and before != after:
        sys.exit("docs/errors.md is not what errors.proto says: run tools/generate_error_docs.py")
    if before != after:
        with open(DOCS, "w", encoding="utf-8") as docs:
            docs.write(after)


if __name__ == "__main__":
    main()
