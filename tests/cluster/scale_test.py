"""What scale.py and the nodes' views are judged by; scale.py itself takes too long for a test."""
import pytest
import quorum
import scale

GOOD = {"bytes_per_partition": 399, "topic_seconds_max": 0.9, "events_over_50_ms": 0, "fail_over_seconds": 1.4, "restart_seconds": 2.9,
        "registration_seconds": 2.9, "acknowledged": 1}


@pytest.mark.parametrize("name,value", [("bytes_per_partition", 401), ("topic_seconds_max", 1.1), ("events_over_50_ms", 1),
                                        ("fail_over_seconds", 1.6), ("restart_seconds", 3.1), ("registration_seconds", 3.1),
                                        ("acknowledged", 0)])
def test_a_run_that_misses_a_bound_fails(name, value):
    assert scale.misses(GOOD) == []
    assert len(scale.misses(GOOD | {name: value})) == 1


def test_nodes_that_do_not_answer_are_not_level():
    assert quorum.is_level([(1, 7), (1, 7)])
    assert not quorum.is_level([(1, 7), (1, 8)])
    assert not quorum.is_level([(1, 7), None])
    assert not quorum.is_level([None, None])
