"""The Python package: it can be installed, and has what the build tree's modules have."""
import os
import pathlib
import re
import subprocess
import sys

import grpc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
GENERATED = pathlib.Path(os.environ["GREGOR_PYTHON_GENERATED"])
sys.path.insert(0, str(GENERATED))

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from gregor import errors  # noqa: E402
from gregor.v1 import errors_pb2  # noqa: E402


def test_can_be_installed_without_a_network(tmp_path):
    source = tmp_path / "checkout"
    source.mkdir()
    subprocess.run(["cp", "-r", "--parents", "clients/python", "proto", str(source)], cwd=ROOT, check=True)
    target = tmp_path / "installed"
    subprocess.run(["/usr/bin/python3", "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
                    "--target", str(target), str(source / "clients" / "python")], check=True)
    installed = {str(path.relative_to(target)) for path in target.glob("gregor/**/*.py*") if "__pycache__" not in str(path)}
    built = {str(path.relative_to(GENERATED)) for path in GENERATED.glob("gregor/**/*.py*") if "__pycache__" not in str(path)}
    assert installed == built
    # google.rpc belongs to another package, which every other API's stubs share.
    assert not (target / "google").exists()
    subprocess.run([sys.executable, "-c", "from gregor.v1 import topic_pb2_grpc; topic_pb2_grpc.TopicServiceStub"],
                   env=dict(os.environ, PYTHONPATH=f"{target}:{GENERATED}"), cwd=tmp_path, check=True)


def test_has_the_version_of_the_project():
    import gregor
    project = re.search(r"project\(gregor VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    assert gregor.__version__ == project


class FakeError(grpc.RpcError):
    """What a stub raises."""

    def __init__(self, code, status=None, trailers=()):
        self._code = code
        self._trailers = list(trailers)
        if status is not None:
            self._trailers.append(("grpc-status-details-bin", status.SerializeToString()))

    def code(self):
        return self._code

    def trailing_metadata(self):
        return self._trailers


def failure(name, *details, outcome=None):
    status = status_pb2.Status()
    for detail in (error_details_pb2.ErrorInfo(reason=name, domain="gregor", metadata={"fact": "17"}),) + details:
        status.details.add().Pack(detail)
    trailers = [("x-gregor-reason", name)] + ([("x-gregor-outcome", outcome)] if outcome else [])
    return FakeError(grpc.StatusCode.UNAVAILABLE, status, trailers)


def test_reads_reason_outcome_and_facts():
    error = failure("DISK_FULL", outcome="NOT_APPLIED")
    assert errors.reason(error) == "DISK_FULL"
    assert errors.outcome(error) == "NOT_APPLIED"
    assert errors.facts(error) == {"fact": "17"}
    # Nobody knows what became of a call that no broker answered.
    broken = FakeError(grpc.StatusCode.UNAVAILABLE)
    assert errors.reason(broken) is None
    assert errors.outcome(broken) == "UNKNOWN"
    assert errors.facts(broken) == {}


@pytest.mark.parametrize("name", [value.name[len("ERROR_REASON_"):] for value in errors_pb2.ErrorReason.DESCRIPTOR.values])
def test_knows_when_to_retry(name):
    advice = errors_pb2.ErrorReason.DESCRIPTOR.values_by_name["ERROR_REASON_" + name].GetOptions().Extensions[errors_pb2.error].retry
    stated = errors.retry_delay_seconds(failure(name, error_details_pb2.RetryInfo(
        retry_delay={"seconds": 1, "nanos": 500_000_000})))
    assert stated == 1.5
    unstated = errors.retry_delay_seconds(failure(name))
    assert unstated == (0.0 if advice == errors_pb2.RETRY_ADVICE_REROUTE else None)


def test_a_call_that_reached_nobody_may_be_repeated():
    assert errors.retry_delay_seconds(FakeError(grpc.StatusCode.UNAVAILABLE)) == 0.0
    assert errors.retry_delay_seconds(FakeError(grpc.StatusCode.UNIMPLEMENTED)) is None
