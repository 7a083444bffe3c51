"""A short run of failover.py: three kills of the active controller under admin load, and a start."""
import failover

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
