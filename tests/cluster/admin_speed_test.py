"""A short run of admin_speed.py, and what it is judged by."""
import argparse

import admin_speed
import pytest


def test_operations_are_measured_one_and_many_at_a_time(tmp_path):
    shown = []
    result = admin_speed.run(tmp_path, runs=1, seconds=1, show=shown.append)
    assert len(shown) == 1
    assert 0 < result["p50_ms_median"] < 1000
    assert result["per_second_median"] > 1


@pytest.mark.parametrize("name,value", [("p50_ms_median", 3.1), ("per_second_median", 2999)])
def test_a_run_that_misses_a_bound_fails(name, value):
    bounds = argparse.Namespace(p50=3.0, rate=3000)
    good = {"p50_ms_median": 3.0, "per_second_median": 3000}
    assert admin_speed.misses(good, bounds) == []
    assert len(admin_speed.misses(good | {name: value}, bounds)) == 1
