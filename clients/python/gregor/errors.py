"""What a failed call says: the reason, and what is known of a write. All of it also stands in the trailers, so a program can do
without this module:

    dict(error.trailing_metadata()).get("x-gregor-reason")
"""
import grpc
from google.rpc import error_details_pb2, status_pb2
from gregor.v1 import errors_pb2

_SPECS = {value.name[len("ERROR_REASON_"):]: value.GetOptions().Extensions[errors_pb2.error]
          for value in errors_pb2.ErrorReason.DESCRIPTOR.values}


def reason(error):
    """The name of the reason, such as "TOPIC_NOT_FOUND"; None where the call did not reach a broker."""
    return _trailers(error).get("x-gregor-reason")


def outcome(error):
    """Of a failed write: "NOT_APPLIED" (it was not appended, and will not be) or "UNKNOWN"."""
    known = _trailers(error).get("x-gregor-outcome")
    return known if known is not None or reason(error) is not None else "UNKNOWN"


def retry_delay_seconds(error):
    """How long to wait before the same call may succeed; None: it will not without a change. A call that did not reach a broker
    may be repeated at once, elsewhere or with growing delays."""
    status = details(error)
    if status is None:
        return 0.0 if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) else None
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            return info.retry_delay.seconds + info.retry_delay.nanos / 1e9
    advice = _SPECS[reason(error)].retry if reason(error) in _SPECS else errors_pb2.RETRY_ADVICE_NEVER
    return 0.0 if advice == errors_pb2.RETRY_ADVICE_REROUTE else None


def facts(error):
    """The facts of the message, for programs: {"log_start_offset": "17", ...}."""
    status = details(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else []:
        if detail.Unpack(info):
            return dict(info.metadata)
    return {}


def details(error):
    """The google.rpc.Status of a failed call; None where the call did not reach a broker."""
    raw = _trailers(error).get("grpc-status-details-bin")
    return None if raw is None else status_pb2.Status.FromString(raw)


def _trailers(error):
    return dict(error.trailing_metadata() or ())
