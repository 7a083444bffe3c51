"""The checks of tests/cluster find what is wrong: each is given a history that is known to be bad."""
import metadata_checks
from metadata_checks import Operation


def did(kind, topic, partitions=2, acknowledged=True):
    return Operation(kind, topic, partitions, 0.0, 1.0, acknowledged)


def log(*lines, node_term=1):
    """A dump, from (offset, term, record)."""
    return [{"node": {"term": node_term}}] + [{"offset": offset, "term": term, "record": record} for offset, term, record in lines]


GOOD = log((0, 1, {"leader_change": "1/a"}), (1, 1, {"topic": "a"}), (2, 2, {"leader_change": "2/b"}))


def test_a_good_history_has_no_problems():
    history = [did("create", "a"), did("create", "b"), did("delete", "b")]
    assert metadata_checks.check_topics(history, {"a": [0, 1]}, "node 1") == []
    assert metadata_checks.check_logs({"node 1": GOOD, "node 2": GOOD[:3]}) == []
    assert metadata_checks.check_leaders({"node 1": GOOD, "node 2": GOOD[:3]}) == []
    assert metadata_checks.check_views({"node 1": [1, 1, 4]}) == []


def test_an_acknowledged_topic_that_is_not_there_is_found():
    assert "lost" in metadata_checks.check_topics([did("create", "a")], {}, "node 1")[0]


def test_an_acknowledged_deletion_that_was_undone_is_found():
    assert "lost" in metadata_checks.check_topics([did("create", "a"), did("delete", "a")], {"a": [0, 1]}, "node 1")[0]


def test_a_topic_with_some_of_its_partitions_is_found():
    assert "half done" in metadata_checks.check_topics([did("create", "a")], {"a": [1]}, "node 1")[0]
    assert "lost" in metadata_checks.check_topics([did("create", "a", partitions=9)], {"a": [0, 1]}, "node 1")[0]


def test_a_topic_that_nobody_made_is_found():
    assert "nobody made" in metadata_checks.check_topics([], {"a": [0]}, "node 1")[0]


def test_an_unknown_outcome_is_done_or_not_but_not_half():
    history = [did("create", "a", acknowledged=False)]
    assert metadata_checks.check_topics(history, {}, "node 1") == []
    assert metadata_checks.check_topics(history, {"a": [0, 1]}, "node 1") == []
    assert metadata_checks.check_topics(history, {"a": [0]}, "node 1") != []
    deleted = [did("create", "a"), did("delete", "a", acknowledged=False)]
    assert metadata_checks.check_topics(deleted, {}, "node 1") == []
    assert metadata_checks.check_topics(deleted, {"a": [0, 1]}, "node 1") == []


def test_a_fork_is_found():
    forked = log((0, 1, {"leader_change": "1/a"}), (1, 1, {"topic": "b"}))
    assert "fork" in metadata_checks.check_logs({"node 1": GOOD, "node 2": forked})[0]


def test_a_hole_is_found():
    assert "holes" in metadata_checks.check_logs({"node 1": log((0, 1, {}), (2, 1, {}))})[0]


def test_a_term_that_goes_back_is_found():
    assert "terms" in metadata_checks.check_logs({"node 1": log((0, 2, {}), (1, 1, {}))})[0]


def test_two_leaders_of_one_term_are_found():
    other = log((5, 2, {"leader_change": "3/c"}))
    assert "two leaders" in metadata_checks.check_leaders({"node 1": GOOD, "node 2": other})[0]


def test_two_images_of_one_log_are_found():
    one, other = GOOD + [{"topic": "a"}], GOOD + [{"topic": "b"}]
    assert "different things" in metadata_checks.check_images({"node 1": one, "node 2": other})[0]
    assert metadata_checks.check_images({"node 1": one, "node 2": one, "node 3": GOOD[:2]}) == []


def test_a_view_that_goes_back_is_found():
    assert "went back" in metadata_checks.check_views({"node 1": [3, 2]})[0]
