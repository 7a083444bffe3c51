"""A short run of failover.py: three kills of the active controller under admin load, and a start."""
import argparse

import failover
import pytest

# With assertions, on a machine that does other things at the same time; failover.py itself has the promised bounds.
SECONDS_MAX = 6


def test_kills_of_the_active_controller_lose_nothing_that_was_acknowledged(tmp_path, capsys):
    result = failover.run(tmp_path, rounds=3, clients=3)
    with capsys.disabled():
        print(f"\nfail-over: median {result['median_seconds']} s, worst {result['worst_seconds']} s "
              f"({result['acknowledged']} operations acknowledged)")
    assert result["problems"] == []
    assert result["acknowledged"] > 50
    assert result["worst_seconds"] < SECONDS_MAX


def test_three_formatted_nodes_soon_make_a_topic(tmp_path, capsys):
    seconds = failover.measure_start(tmp_path)
    with capsys.disabled():
        print(f"\nthree nodes, start to first topic: {seconds:.2f} s")
    assert seconds < SECONDS_MAX


@pytest.mark.parametrize("name,value", [("worst_seconds", 1.6), ("median_seconds", 0.9), ("start_to_first_topic_seconds", [0.5, 1.1, 0.5]),
                                        ("problems", 1), ("acknowledged", 0)])
def test_a_run_that_misses_a_bound_fails(name, value):
    bounds = argparse.Namespace(worst=1.5, median=0.8, start=1.0)
    good = {"worst_seconds": 1.4, "median_seconds": 0.7, "start_to_first_topic_seconds": [0.9, 0.9, 0.9], "problems": 0, "acknowledged": 9}
    assert failover.misses(good, bounds) == []
    assert len(failover.misses(good | {name: value}, bounds)) == 1
