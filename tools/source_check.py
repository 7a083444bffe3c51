#!/usr/bin/env python3
"""Checks what the compiler cannot: layers, third-party headers, banned calls, sizes.

usage: source_check.py [--root FOLDER] [--update] [--strict]

Rules (the tables below are the reference; a finding names its rule):
  layer       a folder includes only the folders of its row in LAYERS
  library     a third-party or system header appears only where LIBRARIES allows it
  banned      a call that only the files named in BANNED may make: clocks, threads, sleeps
  file        500 lines a file, 800 in tests
  function    60 lines a function
  columns     100 columns a line
  thread      the name of a thread is listed in docs/architecture.md

tools/source_check.ratchet records exceptions: each line is a rule, what it is about, and how much
(lines, or how many such lines). Nothing new goes over, and nothing recorded grows. --update writes
what has shrunk or gone; exceptions are added by hand, so that they are seen. --strict fails on a
record that is larger than what it records. Exit code: 0 if all is well.
"""
import argparse
import collections
import os
import re
import subprocess
import sys

import cxx_scan

RATCHET = "tools/source_check.ratchet"
THREADS = "docs/architecture.md"
THREAD_NAMES = (r"NewThreadLoop\s*\(", r"pthread_setname_np\s*\(", r"thread_name\s*=")
FILE_LINES_MAX = 500
TEST_LINES_MAX = 800
FUNCTION_LINES_MAX = 60
COLUMNS_MAX = 100

# What the files of a folder may include beside their own; the longest match is a file's folder.
EVERYTHING = {"*"}
DOOR = {"broker", "controller/image", "proto", "base", "rpc/queue"}
LAYERS = {
    "base": set(),
    "proto": set(),
    "storage": {"base"},
    "raft/core": {"base"},
    "raft/host": {"raft/core", "storage", "base"},
    "controller/image": {"proto", "storage", "base"},
    "controller": {"controller/image", "raft/host", "raft/core", "storage", "proto", "base"},
    "broker": {"controller/image", "storage", "base"},
    "broker/grpc": DOOR,
    "broker/kafka": DOOR,
    "broker/http": DOOR,
    "rpc": {"raft/host", "raft/core", "controller", "broker", "proto", "base", "rpc/queue"},
    "rpc/queue": {"base"},
    "client": {"proto", "base"},
    "client/cli": {"client", "proto", "base"},
    "node": EVERYTHING,
    "tests": EVERYTHING,
    "bench": EVERYTHING,
    "cmake": EVERYTHING,
}

# The algorithms of raft/core take the time and randomness as input: of base they see types only.
PURE = ("raft/core/",)
PURE_INCLUDES = {
    "base/bytes.h", "base/check.h", "base/overloaded.h", "base/random.h", "base/reason.h", "base/result.h",
    "base/strong.h", "base/time.h", "base/types.h",
}
PURE_BANNED_HEADERS = re.compile(
    r"^(mutex|thread|shared_mutex|condition_variable|future|atomic|random|iostream|fstream|"
    r"filesystem|cstdio|unistd\.h|fcntl\.h|sys/.*|pthread\.h|glog/.*)$")

# (what it is, its headers, the files that may include it). Elsewhere it stays behind an interface.
LIBRARIES = [
    ("gRPC", r"grpc(pp)?/.*|.*\.grpc\.pb\.h",
     r"broker/grpc/|rpc/|client/[^/]*\.cc|client/channel_pool\.h|node/[^/]*\.cc|cmake/"),
    ("Protobuf", r"google/protobuf/.*|.*\.pb\.h",
     r"proto/|broker/grpc/|rpc/|client/|controller/|node/[^/]*\.cc|cmake/"),
    ("RocksDB", r"rocksdb/.*", r"controller/image/rocksdb_store\.cc"),
    ("Boost.Asio and Beast", r"boost/(asio|beast)[./].*",
     r"base/event_loop\.cc|broker/kafka/|broker/http/"),
    ("Abseil", r"absl/.*", r"broker/grpc/.*\.cc|rpc/.*\.cc|client/[^/]*\.cc|node/main\.cc"),
    ("RE2", r"re2/.*", r"broker/grpc/[^/]*\.cc|client/cli/[^/]*\.cc"),
    ("yaml-cpp", r"yaml-cpp/.*", r"node/[^/]*\.cc"),
    ("CLI11", r"CLI/.*", r"client/cli/|node/|bench/|cmake/"),
    ("nlohmann-json", r"nlohmann/.*",
     r"client/cli/|node/[^/]*\.cc|broker/http/[^/]*\.cc|bench/|cmake/"),
    ("prometheus-cpp", r"prometheus/.*", r"base/metrics\.(h|cc)|broker/http/[^/]*\.cc"),
    ("OpenSSL", r"openssl/.*", r"broker/kafka/|broker/http/|broker/grpc/|base/[^/]*\.cc"),
    ("a codec", r"(zstd|lz4|lz4frame|lz4hc|snappy|snappy-c|snappy-sinksource|zlib)\.h",
     r"base/[^/]*\.cc"),
    ("jemalloc", r"jemalloc/.*", r"node/[^/]*\.cc|base/[^/]*\.cc"),
    ("the file system",
     r"fstream|filesystem|fcntl\.h|dirent\.h|sys/(stat|statvfs|mman|uio|file)\.h",
     r"storage/posix[^/]*\.cc|node/[^/]*\.cc|client/cli/[^/]*\.cc|base/memory_file\.cc|bench/"),
    ("sockets", r"sys/(socket|epoll|poll|eventfd)\.h|netinet/.*|arpa/.*|netdb\.h",
     r"node/[^/]*\.cc|base/(event_loop|ip_address)\.cc|rpc/queue/acceptor\.cc"),
    ("<ranges> (clang 14 rejects it)", r"ranges", r"$^"),
]

# (rule, pattern, the files that may, why). Applies to code, not to comments and strings.
CLOCK_FILES = r"base/clock\.cc|bench/|client/cli/bench[^/]*\.cc|tests/cluster/shifted_clock\.cc"
BANNED = [
    ("reads a clock: take base/clock.h",
     r"(steady_clock|system_clock|high_resolution_clock)::now|\b(clock_gettime|gettimeofday)\s*\("
     r"|\btime\s*\(\s*(nullptr|NULL|0)\s*\)", CLOCK_FILES),
    ("draws randomness: take base/random.h",
     r"\brandom_device\b|\bgetrandom\s*\(|(?<![\w.>:])(rand|srand)\s*\(|\bmt19937",
     r"base/random\.cc|bench/"),
    ("sleeps: wait for an event, with EventLoop::After() at most",
     r"\bsleep_(for|until)\b|\b(usleep|nanosleep)\s*\(|(?<![\w:])sleep\s*\(",
     r"bench/|tests/cluster/"),
    ("starts a thread: take base/event_loop.h or storage/disk.h",
     r"std::(jthread|async)\b|std::thread\b(?!::)|\bpthread_create\b",
     r"base/event_loop\.cc|broker/http/http_server\.cc"
     r"|storage/(worker_pool|thread_disk|disk)\.(h|cc)"
     r"|rpc/queue/[^/]*|broker/grpc/[^/]*|client/[^/]*|client/cli/.*|node/[^/]*\.cc|tests/|bench/"),
    ("takes absl::Mutex: take base/thread_annotations.h", r"\babsl::Mutex\b", r"$^"),
    ("makes a test a friend", r"\bFRIEND_TEST\b", r"$^"),
]

Finding = collections.namedtuple("Finding", "rule subject amount text")


def list_files(root):
    """The files that git tracks or would track, as paths below root."""
    command = ["git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    files = listing.stdout.splitlines() if listing.returncode == 0 else walk(root)
    files = [path for path in set(files) if path.endswith((".cc", ".h"))]
    return sorted(path for path in files if os.path.isfile(os.path.join(root, path)))


def walk(root):
    """All files of a tree that is no repository (an unpacked archive), save what is built."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != "build" and not name.startswith(".")]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def folder_of(path):
    """The longest folder of LAYERS that holds `path`, or None."""
    folder = os.path.dirname(path)
    while folder and folder not in LAYERS:
        folder = os.path.dirname(folder)
    return folder or None


def folder_of_include(target):
    """The folder that an include in quotes comes from, or None if it is not the project's."""
    if target.endswith(".pb.h"):
        return "proto"
    return folder_of(target)


def check_layers(path, includes):
    own = folder_of(path)
    if own is None:
        yield Finding("layer", path, 1, f"{path}: its folder has no row in LAYERS")
        return
    allowed = LAYERS[own]
    for line, quoted, target in includes:
        folder = folder_of_include(target)
        if not quoted or folder is None or folder == own or "*" in allowed or folder in allowed:
            continue
        yield Finding("layer", f"{path}:{target}", 1,
                      f"{path}:{line}: {own} may not include {folder} ({target})")


def check_pure(path, includes):
    if not path.startswith(PURE):
        return
    for line, quoted, target in includes:
        banned = (target.startswith("base/") and target not in PURE_INCLUDES if quoted
                  else PURE_BANNED_HEADERS.match(target))
        if banned:
            yield Finding("layer", f"{path}:{target}", 1,
                          f"{path}:{line}: pure code may not include {target}")


def check_libraries(path, includes):
    if path.startswith("tests/"):
        return
    for line, _, target in includes:
        for name, headers, files in LIBRARIES:
            if re.fullmatch(headers, target) and re.match(files, path) is None:
                yield Finding("library", f"{path}:{target}", 1,
                              f"{path}:{line}: {name} is not for this file ({target})")


def check_banned(path, code):
    for index, line in enumerate(code):
        for what, pattern, files in BANNED:
            if re.search(pattern, line) and re.match(files, path) is None:
                yield Finding("banned", path, 1, f"{path}:{index + 1}: {what}")


def check_sizes(path, raw, code):
    limit = TEST_LINES_MAX if path.startswith("tests/") else FILE_LINES_MAX
    if len(raw) > limit:
        yield Finding("file", path, len(raw), f"{path}: {len(raw)} lines, more than {limit}")
    for function in cxx_scan.functions(code):
        lines = function.end - function.begin + 1
        if lines > FUNCTION_LINES_MAX:
            yield Finding("function", f"{path}:{function.name}", lines,
                          f"{path}:{function.begin}: {function.name}() has {lines} lines, more "
                          f"than {FUNCTION_LINES_MAX}")
    for index, line in enumerate(raw):
        # A link cannot be broken.
        if len(line) > COLUMNS_MAX and not re.match(r"\s*//\s*https?://\S+$", line):
            yield Finding("columns", path, 1,
                          f"{path}:{index + 1}: {len(line)} columns, more than {COLUMNS_MAX}")


def check_threads(path, raw, code, documented):
    """Literals that become thread names; tests and benchmarks name theirs as they like."""
    if path.startswith(("tests/", "bench/")) or documented is None:
        return
    for name, line in cxx_scan.literals_in_calls(raw, code, THREAD_NAMES):
        if not name.startswith("-") and f"`{name}" not in documented:
            yield Finding("thread", f"{path}:{name}", 1,
                          f"{path}:{line}: thread name {name} is not in {THREADS}")


def check_file(path, text, documented):
    raw = text.splitlines()
    code = cxx_scan.strip(text).splitlines()
    includes = cxx_scan.includes(raw, code)
    yield from check_layers(path, includes)
    yield from check_pure(path, includes)
    yield from check_libraries(path, includes)
    yield from check_banned(path, code)
    yield from check_sizes(path, raw, code)
    yield from check_threads(path, raw, code, documented)


def check_tree(root):
    documented = None
    if os.path.exists(os.path.join(root, THREADS)):
        with open(os.path.join(root, THREADS), encoding="utf-8") as page:
            documented = page.read()
    for path in list_files(root):
        with open(os.path.join(root, path), encoding="utf-8") as source:
            yield from check_file(path, source.read(), documented)


def sum_up(findings):
    """{(rule, subject): [findings]}; a subject's amount is the sum of its findings."""
    groups = collections.OrderedDict()
    for finding in findings:
        groups.setdefault((finding.rule, finding.subject), []).append(finding)
    return groups


def amount(group):
    return sum(finding.amount for finding in group)


def read_ratchet(path):
    records = {}
    if not os.path.exists(path):
        return records
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            fields = line.split()
            if len(fields) != 3 or not fields[2].isdigit():
                raise ValueError(f"{path}:{number}: not `rule subject amount`: {line}")
            records[(fields[0], fields[1])] = int(fields[2])
    return records


def write_ratchet(path, records):
    with open(path, "w", encoding="utf-8") as out:
        out.write("# Exceptions of tools/source_check.py: rule, subject, amount. "
                  "They may only shrink.\n")
        for (rule, subject), value in sorted(records.items()):
            out.write(f"{rule} {subject} {value}\n")


def compare(groups, records):
    """(findings that count, {key: amount} of records that are larger than what is there)."""
    new = []
    for key, group in groups.items():
        if amount(group) > records.get(key, 0):
            new += group
    slack = {}
    for key, recorded in records.items():
        now = amount(groups.get(key, []))
        if now < recorded:
            slack[key] = now
    return new, slack


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Checks layers, banned calls and sizes.")
    here = os.path.dirname(os.path.abspath(__file__))
    parser.add_argument("--root", default=os.path.dirname(here))
    parser.add_argument("--update", action="store_true", help="write what has shrunk or gone")
    parser.add_argument("--strict", action="store_true", help="fail on records too large")
    options = parser.parse_args(arguments)

    ratchet = os.path.join(options.root, RATCHET)
    try:
        records = read_ratchet(ratchet)
    except ValueError as error:
        print(error)
        return 2
    new, slack = compare(sum_up(check_tree(options.root)), records)
    for finding in new:
        print(f"{finding.text} [{finding.rule}]")
    if slack and options.update:
        kept = {key: slack.get(key, value) for key, value in records.items()}
        write_ratchet(ratchet, {key: value for key, value in kept.items() if value})
        slack = {}
    for (rule, subject), now in sorted(slack.items()):
        print(f"{RATCHET}: {rule} {subject} has shrunk to {now}: run it with --update")
    if new:
        print(f"{len(new)} findings")
    return 1 if new or (slack and options.strict) else 0


if __name__ == "__main__":
    sys.exit(main())
