"""The first steps of a cluster: its nodes are formatted with one id, and started, or told what is wrong."""
import re
import shlex

import pytest
from node import command
from quorum import Loopback, Quorum, QuorumNode


def node(directory, number, controllers, **settings):
    """A node with a settings file, and without data."""
    made = QuorumNode(number, directory / f"node{number}", Loopback())
    made.configure(controllers, **settings)
    return made


def cluster(directory, count):
    """Controllers 1 to `count`, without data."""
    places = [QuorumNode(number, directory / f"node{number}", Loopback()) for number in range(1, count + 1)]
    controllers = [f"{each.number}@{each.address('internal')}" for each in places]
    for each in places:
        each.configure(controllers)
    return places


def format_node(node, *arguments):
    return command("cluster", "format", "--config", str(node.settings), *arguments)


def serve(node):
    """What a server says that has no data to serve."""
    started = command("server", "--config", str(node.settings))
    assert started.returncode == 1, started.stderr
    return started.stderr


def test_nodes_of_one_cluster_are_not_formatted_without_its_id(tmp_path):
    first, *_ = cluster(tmp_path, 3)
    for arguments in ([], ["--if-needed"]):
        refused = format_node(first, *arguments)
        assert refused.returncode == 2 and "--cluster-id" in refused.stderr, refused
    assert "`gregor cluster new-id`" in format_node(first).stderr
    assert not first.data.exists()
    broker = node(tmp_path, 9, ["1@127.0.0.1:9"], roles=["broker"])
    assert format_node(broker).returncode == 2


def test_the_line_that_a_server_prints_makes_nodes_of_one_cluster(tmp_path):
    nodes = cluster(tmp_path, 3)
    id_ = command("cluster", "new-id").stdout.strip()
    for each in nodes:
        told = serve(each)
        assert "`gregor cluster new-id` makes one" in told
        line = re.search("`gregor (cluster format .+?)`", told)[1]
        assert line.endswith("--cluster-id ID")
        formatted = command(*shlex.split(line)[:-1], id_)
        assert formatted.returncode == 0, formatted.stderr
    try:
        for each in nodes:
            each.launch()
        for each in nodes:
            each.await_ready()
        nodes[0].create("orders")
    finally:
        for each in nodes:
            each.end()


def test_a_node_of_several_makes_no_cluster_of_its_own_without_a_settings_file_either(tmp_path):
    data = tmp_path / "data"
    started = command("server", "--data-dir", str(data), "--controllers", "1@127.0.0.1:9,2@127.0.0.1:10,3@127.0.0.1:11")
    assert started.returncode == 1 and f"{data} is not formatted" in started.stderr and "--cluster-id ID" in started.stderr
    assert not data.exists()


def test_a_controller_alone_needs_no_id(tmp_path):
    alone, = cluster(tmp_path, 1)
    assert "--cluster-id" not in serve(alone)
    formatted = format_node(alone)
    assert formatted.returncode == 0 and "as node 1 of cluster" in formatted.stdout, formatted.stderr
    alone.start()
    alone.create("orders")
    alone.end()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_an_even_number_of_controllers_is_warned_of(tmp_path, count):
    first = cluster(tmp_path, count)[0]
    told = serve(first), format_node(first, "--cluster-id", command("cluster", "new-id").stdout.strip()).stderr
    for each in told:
        warnings = [line for line in each.splitlines() if line.startswith("W") and "`controllers` names an even number" in line]
        assert len(warnings) == (count % 2 == 0), each
        assert not warnings or f"of {count} no more may fail than of {count - 1}" in warnings[0]


def test_the_help_shows_the_ready_line_of_a_node_of_a_cluster(tmp_path):
    quorum = Quorum(tmp_path, [Loopback()])
    quorum.nodes[0].launch()
    line = quorum.nodes[0]._read_line(quorum.nodes[0].began + 30)
    quorum.end()
    words = [word.split("=")[0] for word in line.split()]
    assert words == ["gregor", "ready", "grpc", "http", "internal", "node"]
    text = command("server", "--help").stdout
    footer = text[text.index("Once it serves"):].split("SIGTERM")[0]
    assert [word for word in re.findall(r"(gregor|ready|\w+(?==))", footer)] == words
