"""The examples of clients/python do what they say."""
import os
import pathlib
import re
import subprocess
import sys

import pytest
from node import GENERATED
from gregor.v1 import topic_pb2

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "clients" / "python" / "examples"


def run(name, *arguments):
    result = subprocess.run([sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=120,
                            env=dict(os.environ, PYTHONPATH=GENERATED), check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_every_example_has_help_and_says_what_is_missing(name):
    assert "usage: " + name in run(name, "--help")
    ran = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=60,
                         env=dict(os.environ, PYTHONPATH=GENERATED), check=False)
    assert ran.returncode == 2 and "server" in ran.stderr


def test_produce_and_read(node):
    node.create_topic("orders", partitions=3)
    written = run("produce.py", node.grpc, "orders")
    assert sum(int(count) for count in re.findall(r"(\d+) record\(s\) in partition", written)) == 2
    assert sorted(run("read.py", node.grpc, "orders").splitlines()) == ['{"total": 9.5}', "{}"]
    assert run("read.py", node.grpc, "orders", "--last", "0") == ""
    node.produce("orders", [b"x", b"y", b"z"], partition=2)
    assert run("read.py", node.grpc, "orders", "--last", "2", "--partition", "2").splitlines() == ["y", "z"]


@pytest.mark.parametrize("name", ["produce.py", "read.py"])
def test_an_unknown_topic_is_said_in_one_line(node, name):
    ran = subprocess.run([sys.executable, str(EXAMPLES / name), node.grpc, "none"], capture_output=True, text=True, timeout=60,
                         env=dict(os.environ, PYTHONPATH=GENERATED), check=False)
    assert ran.returncode == 1 and re.fullmatch(r'NOT_FOUND: .*"none".*\n', ran.stderr), ran.stderr


def test_following_goes_on_over_a_restart(node):
    node.create_topic("orders")
    node.produce("orders", [b"a"])
    address = node.grpc
    reader = subprocess.Popen([sys.executable, str(EXAMPLES / "read.py"), address, "orders", "--follow", "--partition", "0"],
                              stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=GENERATED))
    try:
        assert reader.stdout.readline() == "a\n"
        node.kill()
        node.start(grpc_listen=address)
        node.produce("orders", [b"b"])
        assert reader.stdout.readline() == "b\n"
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()


def test_errors_are_shown_with_reason_and_facts(node):
    shown = run("errors.py", node.grpc)
    for reason in ("TOPIC_NOT_FOUND", "INVALID_TOPIC", "TOPIC_ALREADY_EXISTS", "OFFSET_OUT_OF_RANGE"):
        assert f"reason {reason}: " in shown
    assert "'high_watermark': '0'" in shown
    assert node.topics.ListTopics(topic_pb2.ListTopicsRequest(), timeout=20) == topic_pb2.ListTopicsResponse()


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A real text: this project's sources, with an end that is no line's end."""
    root = EXAMPLES.parents[2]
    parts = [path.read_bytes() for pattern in ("**/*.cc", "**/*.md", "**/*.proto") for path in sorted(root.glob(pattern))
             if "build" not in path.parts]
    path = tmp_path_factory.mktemp("text") / "sources.txt"
    path.write_bytes(b"".join(parts) + b"\r\nno end\r")
    return path


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_file_comes_back_to_the_byte(node, text, codec):
    shown = run("file_roundtrip.py", node.grpc, str(text), "--codec", codec)
    assert shown.rstrip().endswith("identical"), shown
    assert f"{text.stat().st_size} bytes in {text.read_bytes().count(10) + 1} records" in shown


def test_an_empty_file_comes_back_too(node, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert run("file_roundtrip.py", node.grpc, str(tmp_path / "empty")).rstrip().endswith("identical")
