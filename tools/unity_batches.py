#!/usr/bin/env python3
"""Divides source files into batches that can be compiled as one, so that the headers that they share are parsed once.

usage: unity_batches.py [--any-names] LINES SOURCE...

Prints a line for each batch: its files, with semicolons between them. They have LINES lines together at most, unless one
has more by itself. What one file keeps to itself (in an unnamed namespace) must not have a name that another file of its
batch declares, too, but for the same alias: such files come into different batches (unless --any-names says that somebody
else sees to it).
"""
import pathlib
import re
import sys

# Declarations begin in the first column, as clang-format has them.
DECLARED = re.compile(r"""^(?:template\ <.*>\s*)?(?:
      (?:class|struct|union|enum(?:\ class|\ struct)?)\ (\w+)
    | using\ (\w+)\ =
    | [\w:].*?[\s&*](\w+)\(
    | (?:constexpr|const|static|inline|thread_local)\ .*?(\w+)(?:\[[^]]*\])*\s*(?:=|\{|;|$)
    )""", re.VERBOSE)
DEFINED = re.compile(r"^\#define\ (\w+)")


def names(text):
    """What a file declares for itself alone, and all that it declares: by name, the line where that is an alias."""
    own, every = {}, {}
    unnamed = False
    for line in text.splitlines():
        if line.startswith("namespace {"):
            unnamed = True
        elif line.startswith("}  // namespace") and line.split("// namespace")[1].strip() == "":
            unnamed = False
        match = DECLARED.match(line) or DEFINED.match(line)
        name = match and next(group for group in match.groups() if group)
        if name:
            every[name] = line if line.startswith("using ") else None
            if unnamed or line.startswith(("static ", "#define")):
                own[name] = every[name]
    return own, every


def clash(own, every):
    """Whether a name of both means two things."""
    return any(own[name] is None or own[name] != every[name] for name in own.keys() & every.keys())


def batches(sources, lines, any_names=False):
    """Each a list of sources; as few as it takes, the order kept where it can be."""
    result = []
    for source in sources:
        text = pathlib.Path(source).read_text()
        size = text.count("\n")
        own, every = ({}, {}) if any_names else names(text)
        for batch in result:
            fits = batch["lines"] + size <= lines
            if fits and not clash(own, batch["every"]) and not clash(batch["own"], every):
                break
        else:
            batch = {"files": [], "lines": 0, "own": {}, "every": {}}
            result.append(batch)
        batch["files"].append(source)
        batch["lines"] += size
        batch["own"] |= own
        batch["every"] |= every
    return [batch["files"] for batch in result]


def main():
    arguments = sys.argv[1:]
    any_names = arguments[:1] == ["--any-names"]
    del arguments[:any_names]
    if len(arguments) < 2:
        sys.exit(__doc__)
    for batch in batches(arguments[1:], int(arguments[0]), any_names):
        print(";".join(batch))


if __name__ == "__main__":
    main()
