#!/usr/bin/env python3
"""Gregor's figures against what this machine gives to a plain program: throughput, latency, start, memory.

Every figure is measured on the real binary, client and server sharing the machine. Where it is a ratio both sides do the same
work, alternating within one run, after a warm-up; the median of the repetitions counts. Bad figures are printed like good ones.

Usage: compare.py [--only NAME,...] [--scale N] [--repeat N]   (./dev bench compare builds what it needs first)
Prints a line for each figure, and one JSON document at the end. Ends with exit code 1 where a goal was missed.
"""
import argparse
import contextlib
import filecmp
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

MIB = 1 << 20
BENCH = pathlib.Path(__file__).resolve().parent
PYTHON = ["/usr/bin/python3"]  # the one that has Debian's gRPC


def run_json(command, **environment):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1] if "\n" in done.stdout.strip() and
                      not done.stdout.strip().startswith("{") else done.stdout)


class Node:
    def __init__(self, options, directory, *flags):
        self.options = options
        self.directory = directory
        self.flags = flags
        self.address = None

    def start(self):
        began = time.monotonic()
        self.log = open(self.directory / "server.log", "ab")
        self.process = subprocess.Popen(
            [self.options.gregor, "server", "--data-dir", str(self.directory / "data"), "--grpc-listen", "127.0.0.1:0",
             "--http-listen", "127.0.0.1:0", *self.flags], stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if "gregor ready" not in line:
            raise SystemExit(f"the node did not start: {self.directory}/server.log")
        self.address = line.split()[2].removeprefix("grpc=")
        self.http = line.split()[3].removeprefix("http=")
        return time.monotonic() - began

    def cli(self, *arguments):
        return [self.options.gregor, "--server", self.address, *map(str, arguments)]

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name):
        with urllib.request.urlopen(f"http://{self.http}/metrics") as answer:
            return sum(float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines()
                       if re.match(rf"{name}[{{ ]", line))

    def await_recovery(self):
        """Seconds until every log that was found at the start was opened, or refused."""
        began = time.monotonic()
        while self.metric("gregor_recovery_logs_done") + self.metric("gregor_recovery_logs_failed") < self.metric("gregor_recovery_logs"):
            time.sleep(0.1)
        return time.monotonic() - began

    def resident_mib(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)


@contextlib.contextmanager
def running(options, *flags):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="gregor-bench-", dir=options.directory))
    node = Node(options, directory, *flags)
    node.start()
    try:
        yield node
    finally:
        if node.process.poll() is None:
            node.kill()
        shutil.rmtree(directory, ignore_errors=True)


def create(node, topic, partitions, *configs):
    command = node.cli("topic", "create", topic, "--partitions", partitions, "--replication-factor", 1)
    for config in configs:
        command += ["--config", config]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def produce(node, topic, size, records, *flags):
    """Bytes per second, records per second, and the server's CPU seconds per GB, of one `gregor bench produce`."""
    before = node.cpu_seconds()
    result = run_json(node.cli("bench", "produce", "--topic", topic, "--record-size", size, "--records", records, "--json",
                               *flags))
    cpu = (node.cpu_seconds() - before) / (size * records / 1e9)
    return result["bytes_per_second"], result["records_per_second"], cpu


def plain(options, total, sync):
    path = pathlib.Path(tempfile.mkdtemp(prefix="gregor-plain-", dir=options.directory))
    try:
        return run_json([options.plain, path / "file", total, MIB, "sync" if sync else "nosync"])["bytes_per_second"]
    finally:
        shutil.rmtree(path)


class Report:
    def __init__(self):
        self.figures = {}
        self.missed = []

    def add(self, name, value, unit, goal=None, at_most=False):
        self.figures[name] = {"value": value, "unit": unit, "goal": goal}
        verdict = ""
        if goal is not None:
            met = value <= goal if at_most else value >= goal
            verdict = f"   goal {'<=' if at_most else '>='} {goal:g} {'met' if met else 'MISSED'}"
            if not met:
                self.missed.append(name)
        print(f"{name:<44} {value:>12.4g} {unit}{verdict}", flush=True)


def synced_throughput(options, report):
    records = options.scale * 600_000
    with running(options) as node:
        # Warm: every log has its file, and room in it.
        for partitions in (4, 64, 1000):
            create(node, f"synced{partitions}", partitions)
            produce(node, f"synced{partitions}", 1024, records)
        plain(options, records * 1024, True)
        runs = {4: [], 64: [], 1000: [], "plain": []}
        cpu = []
        # In another order every time: a disk that gets slower meanwhile counts against all of them.
        for turn in range(options.repeat + 2):
            for kind in list(runs)[turn % 4:] + list(runs)[:turn % 4]:
                if kind == "plain":
                    runs[kind].append(plain(options, records * 1024, True))
                    continue
                rate, _, used = produce(node, f"synced{kind}", 1024, records)
                runs[kind].append(rate)
                if kind == 4:
                    cpu.append(used)

        def ratio(kind, to):
            return statistics.median(one / other for one, other in zip(runs[kind], runs[to]))

        report.add("plain fdatasync append", statistics.median(runs["plain"]) / 1e6, "MB/s")
        report.add("synced 1 KiB, 4 partitions", statistics.median(runs[4]) / 1e6, "MB/s")
        report.add("synced 1 KiB / plain", ratio(4, "plain"), "ratio", 0.6)
        report.add("synced 64 / 4 partitions", ratio(64, 4), "ratio", 0.8)
        report.add("synced 1000 / 4 partitions", ratio(1000, 4), "ratio", 0.4)
        report.add("server CPU, synced produce", statistics.median(cpu), "s/GB")


def replicated_throughput(options, report):
    with running(options) as node:
        create(node, "large", 4, "durability=replicated")
        create(node, "small", 4, "durability=replicated")
        large, small = options.scale * 1_000_000, options.scale * 5_000_000
        produce(node, "large", 1024, large // 4)
        produce(node, "small", 100, small // 4)
        results, yardstick = [], []
        for number in range(options.repeat):
            # The file stays as the log does, so that both need new memory: a host that lends it page by page makes that slow.
            yardstick.append(run_json([options.plain, node.directory / f"plain{number}", large * 1024, MIB, "nosync"])["bytes_per_second"])
            results.append(produce(node, "large", 1024, large))
        ratios = [rate / plain for (rate, *_), plain in zip(results, yardstick)]
        report.add("plain append to the page cache", statistics.median(yardstick) / 1e6, "MB/s")
        report.add("replicated 1 KiB / plain", statistics.median(ratios), "ratio")
        report.add("replicated 1 KiB", statistics.median(r[0] for r in results) / 1e6, "MB/s", 700)
        report.add("server CPU, replicated produce", statistics.median(r[2] for r in results), "s/GB")
        results = [produce(node, "small", 100, small) for _ in range(options.repeat)]
        report.add("replicated 100 B", statistics.median(r[1] for r in results) / 1e6, "M records/s", 3)
        rates, cpu = [], []
        for _ in range(options.repeat + 1):
            before = node.cpu_seconds()
            result = run_json(node.cli("bench", "consume", "--topic", "large", "--records", large, "--json"))
            rates.append(result["bytes_per_second"])
            cpu.append((node.cpu_seconds() - before) / (large * 1024 / 1e9))
        report.add("read 1 KiB from the page cache", statistics.median(rates[1:]) / 1e9, "GB/s", 1.2)
        report.add("server CPU, consume", statistics.median(cpu[1:]), "s/GB")


def processor_time():
    """(taken by the host, all) of the processors' time so far, in ticks."""
    ticks = [int(value) for value in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


def plain_latency(options, rate, seconds):
    """The same bytes from a plain program: once a millisecond what has come by then is written and synced, into a file that has its
    room. Milliseconds from when the bytes came until they were durable, in order."""
    with tempfile.NamedTemporaryFile(dir=options.directory) as file:
        os.posix_fallocate(file.fileno(), 0, rate * (seconds + 1))
        data = os.urandom(rate // 1000)
        took, done, position, began = [], 0, 0, time.perf_counter()
        while done < seconds * 1000:
            due = int((time.perf_counter() - began) * 1000) + 1 - done
            if due <= 0:
                time.sleep(0.0002)
                continue
            for _ in range(due):
                os.pwrite(file.fileno(), data, position)
                position += len(data)
            os.fdatasync(file.fileno())
            now = time.perf_counter()
            took += [1000 * (now - began) - i for i in range(done, done + due)]
            done += due
        return sorted(took)


def rate_runs(options, node, rate):
    """(share of the processors' time that the host took meanwhile, latencies) of runs of four seconds."""
    runs = []
    for _ in range(5 * options.scale):
        taken, ticks = processor_time()
        result = run_json(node.cli("bench", "produce", "--topic", "rate", "--record-size", 1024, "--records", rate * 4,
                                   "--rate", rate, "--json"))
        taken, ticks = (after - before for after, before in zip(processor_time(), (taken, ticks)))
        runs.append((100 * taken / ticks, result["latency_ms"]))
        print(f"20 MB/s: p99 {runs[-1][1]['p99']:.2f} ms; the host took {runs[-1][0]:.1f} % of the processors", flush=True)
    return runs


def latency(options, report):
    plain = plain_latency(options, 20_000_000, 5)
    with running(options) as node:
        create(node, "rate", 4)
        create(node, "single", 1)
        produce(node, "rate", 1024, 100_000)
        runs = rate_runs(options, node, 20_000_000 // 1024)
        for name in ("p50", "p90"):
            report.add(f"produce {name} at 20 MB/s, synced", statistics.median(run[name] for _, run in runs), "ms")
        report.add("produce p99 at 20 MB/s, synced", statistics.median(run["p99"] for _, run in runs), "ms", 5, at_most=True)
        share, quietest = min(runs, key=lambda run: run[0])
        report.add("... where the host took the least processor time", quietest["p99"], "ms")
        report.add("... of the processors' time", share, "%")
        plain = sorted(plain + plain_latency(options, 20_000_000, 5))
        report.add("p99 of a plain program that writes and syncs the same, before and after", plain[len(plain) * 99 // 100], "ms")
        result = run_json(node.cli("bench", "latency", "--topic", "single", "--records", 3000 * options.scale, "--json"))
        report.add("one record produced and consumed, p50", result["latency_ms"]["p50"], "ms", 1, at_most=True)
        report.add("one record produced and consumed, p99", result["latency_ms"]["p99"], "ms")


def first_ack(options, node):
    """Seconds from the start of the process to the first acknowledged record."""
    began = time.monotonic()
    node.start()
    subprocess.run(node.cli("produce", "first"), input=b"x\n", check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def start(options, report):
    times = []
    for _ in range(5):
        directory = pathlib.Path(tempfile.mkdtemp(prefix="gregor-bench-", dir=options.directory))
        node = Node(options, directory)
        began = time.monotonic()
        node.start()
        create(node, "first", 1)
        subprocess.run(node.cli("produce", "first"), input=b"x\n", check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - began)
        node.kill()
        shutil.rmtree(directory)
    report.add("start to first acknowledged record, empty", 1000 * statistics.median(times), "ms", 150, at_most=True)


def restart(options, report):
    with running(options) as node:
        create(node, "big", 4)
        create(node, "first", 1)
        size = options.scale * 2_500_000
        produce(node, "big", 1024, size)
        times = []
        for _ in range(3):
            node.kill()
            times.append(first_ack(options, node))
        report.add(f"start after kill -9, {size * 1024 / 1e9:.1f} GB synced", statistics.median(times), "s", 2, at_most=True)


def memory(options, report):
    with running(options) as node:
        time.sleep(5)
        report.add("resident, idle", node.resident_mib(), "MiB", 40, at_most=True)
        before = node.cpu_seconds()
        time.sleep(10)
        report.add("CPU of an idle node", (node.cpu_seconds() - before) * 10, "% of a core", 0.5, at_most=True)
        create(node, "many", 1000)
        produce(node, "many", 1024, 200_000, "--keys", 1_000_000)
        time.sleep(5)
        report.add("resident, 1000 partitions written", node.resident_mib(), "MiB", 80, at_most=True)
        report.add("open files, 1000 partitions written", node.open_files(), "files")


def many_partitions(options, report):
    with running(options) as node:
        began = time.monotonic()
        for part in range(2):
            create(node, f"many{part}", 10_000)
        report.add("20 000 partitions created", time.monotonic() - began, "s")
        began = time.monotonic()
        for part in range(2):
            produce(node, f"many{part}", 100, 400_000, "--keys", 1_000_000)
        report.add("20 000 partitions written", time.monotonic() - began, "s")
        time.sleep(5)
        report.add("resident, 20 000 partitions", node.resident_mib(), "MiB")
        report.add("open files, 20 000 partitions", node.open_files(), "files")
        node.stop()
        report.add("20 000 partitions, clean restart", node.start(), "s")
        node.kill()
        report.add("20 000 partitions, restart after kill -9", node.start(), "s")
        report.add("... and until every log was looked through", node.await_recovery(), "s")
        time.sleep(5)
        before = node.cpu_seconds()
        time.sleep(10)
        report.add("CPU, 20 000 idle partitions", (node.cpu_seconds() - before) * 10, "% of a core", 0.5, at_most=True)


def python_stub(options, report):
    with running(options) as node:
        create(node, "python", 1)
        command = [*PYTHON, BENCH / "python_produce.py", node.address, "python", "--calls", 250 * options.scale]
        flags = {"one": [], "four": ["--in-flight", 4], "alone": ["--alone"]}
        rates = {name: [] for name in flags}
        for _ in range(options.repeat):
            for name, more in flags.items():
                rates[name].append(run_json([*command, *more], PYTHONPATH=str(options.stubs))["records_per_second"])
        median = {name: statistics.median(each) / 1e3 for name, each in rates.items()}
        report.add("Python alone: requests made, not sent", median["alone"], "k records/s")
        report.add("Python stub, 1000 records of 100 B a call", median["one"], "k records/s", 250)
        report.add("... four calls in flight", median["four"], "k records/s")


def text_file(directory):
    """At least 50 MB of lines of text: the sources that this machine has."""
    path = directory / "text"
    with open(path, "wb") as out:
        for source in sorted(pathlib.Path("/usr/include").rglob("*")):
            if out.tell() >= 60_000_000:
                break
            if source.is_file() and source.suffix in (".h", ".hpp", ".ipp", ""):
                text = source.read_bytes()
                out.write(text if text.endswith(b"\n") else text + b"\n")
    return path


def same_bytes(options, report):
    """A file through `gregor produce` and `gregor consume`, and through the Python stub: with every codec the same to the byte."""
    with running(options) as node:
        text = text_file(node.directory)
        report.add("file of lines", text.stat().st_size / 1e6, "MB", 50)
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            create(node, codec, 1)
            back = node.directory / "back"
            began = time.monotonic()
            subprocess.run(node.cli("produce", codec, "--file", text, "--compression", codec), check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            written = time.monotonic()
            with open(back, "wb") as out:
                subprocess.run(node.cli("consume", codec, "--from", "beginning", "--exit-at-end"), check=True, stdout=out)
            ended = time.monotonic()
            if not filecmp.cmp(text, back, shallow=False):
                raise SystemExit(f"with {codec} the file came back changed")
            report.add(f"gregor produce --compression {codec}", written - began, "s")
            report.add("gregor consume, identical", ended - written, "s")
            subprocess.run([*PYTHON, BENCH.parent / "clients/python/examples/file_roundtrip.py", node.address, text, "--codec", codec],
                           check=True, env={**os.environ, "PYTHONPATH": str(options.stubs)})


PARTS = {"bytes": same_bytes, "python": python_stub, "synced": synced_throughput, "replicated": replicated_throughput, "latency": latency, "start": start,
         "restart": restart, "memory": memory, "partitions": many_partitions}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gregor", default="build/release/gregor")
    parser.add_argument("--plain", default="build/release/bench/plain_append")
    parser.add_argument("--stubs", default="build/release/gen/python", help="where the generated Python stubs are")
    parser.add_argument("--directory", help="where the data goes (default: the system's temporary folder)")
    parser.add_argument("--only", help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scale", type=int, default=4, help="how much work; 4 gives the documented sizes")
    options = parser.parse_args()
    report = Report()
    for name in options.only.split(",") if options.only else PARTS:
        PARTS[name](options, report)
    print(json.dumps(report.figures))
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
