#!/usr/bin/env python3
"""Divides source files into batches that can be compiled as one, so that the headers that they share are parsed once.

usage: unity_batches.py SIZE SOURCE...

Prints a line for each batch: its files, with semicolons between them. What one file keeps to itself (in an unnamed
namespace) must not have a name that another file of its batch declares, too: such files come into different batches.
"""
import pathlib
import re
import sys

# Declarations begin in the first column, as clang-format has them.
DECLARED = re.compile(r"""^(?:template\ <.*>\s*)?(?:
      (?:class|struct|union|enum(?:\ class|\ struct)?|using)\ (\w+)
    | [\w:].*?[\s&*](\w+)\(
    | (?:constexpr|const|static|inline|thread_local)\ .*?(\w+)(?:\[[^]]*\])*\s*(?:=|\{|;|$)
    )""", re.VERBOSE)
DEFINED = re.compile(r"^\#define\ (\w+)")


def names(text):
    """What a file declares for itself alone, and all that it declares."""
    own, every = set(), set()
    unnamed = False
    for line in text.splitlines():
        if line.startswith("namespace {"):
            unnamed = True
        elif line.startswith("}  // namespace") and line.split("// namespace")[1].strip() == "":
            unnamed = False
        match = DECLARED.match(line) or DEFINED.match(line)
        name = match and next(group for group in match.groups() if group)
        if name:
            every.add(name)
            if unnamed or line.startswith(("static ", "#define")):
                own.add(name)
    return own, every


def batches(sources, size):
    """Each a list of sources; as few as it takes, the order kept where it can be."""
    result = []
    for source in sources:
        own, every = names(pathlib.Path(source).read_text())
        for batch in result:
            if len(batch["files"]) < size and not own & batch["every"] and not every & batch["own"]:
                break
        else:
            batch = {"files": [], "own": set(), "every": set()}
            result.append(batch)
        batch["files"].append(source)
        batch["own"] |= own
        batch["every"] |= every
    return [batch["files"] for batch in result]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for batch in batches(sys.argv[2:], int(sys.argv[1])):
        print(";".join(batch))


if __name__ == "__main__":
    main()
