"""A node starts, serves and stops; and says what is wrong where it cannot."""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket

import pytest
from node import EARLIEST, Exited, Node, command
from gregor.v1 import cluster_pb2, config_pb2, fetch_pb2


ROOT = pathlib.Path(__file__).resolve().parents[2]


def refused(node, *flags, code=1, **options):
    """The message with which a start is refused."""
    with pytest.raises(Exited) as refusal:
        node.start(*flags, **options)
    assert refusal.value.code == code, refusal.value
    message = refusal.value.stderr.strip().splitlines()[-1]
    assert message.startswith("gregor: "), refusal.value.stderr
    return message


def settings_file(tmp_path, text):
    path = tmp_path / "gregor.yaml"
    path.write_text(text)
    return str(path)


def test_prints_one_line_when_it_serves_and_exits_with_0(stopped_node):
    assert stopped_node.start() < 20
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", stopped_node.grpc)
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", stopped_node.http)
    told = stopped_node.log.read_text()
    assert "formatted it as the single node 1" in told and "made anew" not in told
    stopped_node.create_topic("orders")
    code, seconds = stopped_node.stop()
    assert code == 0
    assert seconds < 5
    assert stopped_node.rest_of_stdout == ""


def test_interrupt_stops_it_too(node):
    assert node.stop(signal.SIGINT)[0] == 0


def test_the_end_of_its_terminal_stops_it_cleanly(node):
    assert node.stop(signal.SIGHUP)[0] == 0
    assert "Stopped cleanly" in node.log.read_text()


def test_under_nohup_it_outlives_its_terminal(stopped_node):
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it to what it runs
    try:
        stopped_node.start()
    finally:
        signal.signal(signal.SIGHUP, ignored)
    stopped_node.process.send_signal(signal.SIGHUP)
    stopped_node.create_topic("orders")
    code, _ = stopped_node.stop()
    assert code == 0
    assert "Stopping on signal 15" in stopped_node.log.read_text()


def test_stops_in_time_while_clients_are_connected_and_wait(node):
    node.create_topic("orders")
    watch = node.cluster.WatchMetadata(cluster_pb2.WatchMetadataRequest())
    assert next(watch).complete
    code, seconds = node.stop()
    assert code == 0
    assert seconds < 5


def test_stops_in_time_while_clients_do_not_read(node):
    node.create_topic("orders")
    value = os.urandom(500_000)
    for _ in range(40):
        node.produce("orders", [value])
    fetcher = node.fetcher
    reads = [fetcher.Read(fetch_pb2.ReadRequest(topic="orders", start=EARLIEST)) for _ in range(30)]
    for read in reads:
        next(read)
    code, seconds = node.stop()
    assert code == 0
    assert seconds < 5


def test_formats_once_and_keeps_its_identity(node):
    properties = (node.data / "meta.properties").read_text()
    node.stop()
    before = len(node.log.read_text())
    node.start()
    assert (node.data / "meta.properties").read_text() == properties
    assert "formatted" not in node.log.read_text()[before:]


def test_pages_say_how_it_is(node):
    assert node.page("/live") == (200, '{"status":"live"}\n')
    status, ready = node.page("/ready")
    assert status == 200 and json.loads(ready)["status"] == "ready"
    status, version = node.page("/version")
    build = json.loads(version)
    assert status == 200 and re.fullmatch(r"\d+\.\d+\.\d+", build["version"])
    shown = command("--version")
    assert shown.returncode == 0
    assert shown.stdout == f"gregor {build['version']} (commit {build['commit']}, {build['build_type']}, {build['compiler']})\n"
    assert all(build.values())
    status, metrics = node.page("/metrics")
    assert status == 200
    for line in metrics.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) (gregor|process)_\w+ .+|(gregor|process)_\w+(\{.*\})? [-+.\deEinfNa]+', line), line
    assert node.page("/none")[0] == 404


def test_every_metric_is_documented(node):
    node.create_topic("orders")
    node.produce("orders", [b"a"])
    node.read("orders")
    _, metrics = node.page("/metrics")
    served = set(re.findall(r"(?m)^# TYPE ((?:gregor|process)_\w+) ", metrics))
    pages = (ROOT / "docs" / "operations.md").read_text()
    documented = set(re.findall(r"`((?:gregor|process)_\w+)`", pages))
    elsewhere = set(re.findall(r"`(gregor_\w+)` \((?:in a cluster|with `internal_tls`)\)", pages))
    assert len(served) > 20
    assert served - documented == set()
    assert documented - served == elsewhere


def test_counts_what_it_appends(node):
    node.create_topic("orders")
    node.produce("orders", [b"a", b"b", b"c"])
    assert node.metric("gregor_appended_records_total") == 3
    assert 'gregor_topic_appended_records_total{topic="orders"} 3' in node.page("/metrics")[1]


def test_a_locked_data_directory_is_refused(node, tmp_path):
    (tmp_path / "second").mkdir()
    second = Node(tmp_path / "second")
    message = refused(second, data=node.data)
    assert str(node.data) in message and "lock" in message
    assert node.is_up()


def test_of_two_nodes_that_start_on_an_empty_directory_one_serves(tmp_path):
    nodes = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        nodes.append(Node(tmp_path / name))
    for number in range(20):
        data = tmp_path / f"data{number}"
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(node.start, data=data) for node in nodes]
        refusals = [start.exception() for start in starts]
        try:
            winner = refusals.index(None)
            refusal = refusals[1 - winner]
            assert isinstance(refusal, Exited) and refusal.code == 1, refusals
            message = refusal.stderr.strip().splitlines()[-1]
            assert message.startswith("gregor: ") and str(data / ".lock") in message, message
            # The holder's process id is in the file a moment after it is locked.
            assert re.search(rf"locked by (process {nodes[winner].process.pid}|another process);", message), message
            assert nodes[winner].is_up()
            assert nodes[winner].stop()[0] == 0
            # The next one finds nothing of the other's try.
            nodes[1 - winner].start(data=data)
            assert nodes[1 - winner].stop()[0] == 0
        finally:
            for node in nodes:
                node.end()


def test_a_port_that_is_taken_is_refused(stopped_node):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for flag, api in (("grpc_listen", "gRPC"), ("http_listen", "HTTP")):
            assert refused(stopped_node, **{flag: address}) == (
                f"gregor: cannot listen on {address} for {api}: another process listens there. Stop it, or choose another port "
                f"with --{flag[:4]}-listen HOST:PORT (port 0: a free one)")
        assert refused(stopped_node, "--controllers", f"1@{address}", "--internal-listen", address).startswith(
            f"gregor: cannot listen on {address} for the cluster's other nodes: another process listens there. Stop it, or choose "
            "another port with --internal-listen HOST:PORT (the setting listen.internal; where `controllers` names")
    stopped_node.start()


def test_a_log_directory_of_another_cluster_is_refused(node, tmp_path):
    node.stop()
    (tmp_path / "other").mkdir()
    other = Node(tmp_path / "other")
    other.start()
    other.stop()
    foreign = node.data / "topics"
    shutil.rmtree(foreign)
    shutil.copytree(other.data / "topics", foreign)
    message = refused(node)
    assert "cluster" in message and str(foreign) in message


def test_a_name_that_is_not_known_is_not_listened_on(stopped_node):
    for flag in ("grpc_listen", "http_listen"):
        message = refused(stopped_node, **{flag: "nosuch.invalid:0"})
        assert "nosuch.invalid is not known: no address was found for that name" in message
        assert "other machines can reach" not in stopped_node.log.read_text()


def test_what_others_can_reach_is_warned_of(stopped_node):
    stopped_node.start(grpc_listen="0.0.0.0:0", http_listen="0.0.0.0:0")
    told = stopped_node.log.read_text()
    grpc, http = (address.rsplit(":", 1)[1] for address in (stopped_node.grpc, stopped_node.http))
    assert re.search(rf"The gRPC API listens on 0\.0\.0\.0:{grpc}, .+ can read and write everything", told)
    assert re.search(rf"HTTP listens on 0\.0\.0\.0:{http}, .+ can read metrics and health", told)


@pytest.mark.parametrize("in_its_place", [True, False])
def test_a_node_that_is_alone_serves_at_once_with_other_log_directories(node, tmp_path, in_its_place):
    node.create_topic("orders")
    node.stop()
    shutil.rmtree(node.data / "topics")
    before = node.log.stat().st_size
    assert node.start(*[] if in_its_place else ["--log-dirs", str(tmp_path / "new")]) < 5
    told = node.log.read_text()[before:]
    assert "serves once the active controller" not in told
    folder = node.data / "topics" if in_its_place else tmp_path / "new"
    assert f"Log directory {folder} was empty: it was made anew. What was in it" in told
    assert json.loads(node.page("/ready")[1])["partitions_offline"] == 1
    node.create_topic("books")
    node.produce("books", [b"a"])


def test_another_node_id_than_that_of_the_directory_is_refused(node):
    node.stop()
    message = refused(node, "--node-id", "7")
    assert "7" in message and str(node.data) in message


def test_a_newer_format_is_refused(node):
    node.stop()
    properties = node.data / "meta.properties"
    text = properties.read_text()
    newer = re.sub(r"(?m)^(version=)\d+", r"\g<1>99", text)
    assert newer != text
    properties.write_text(newer)
    assert "has format version 99, and this release knows 1" in refused(node)
    properties.write_text(text)
    node.start()


def test_damaged_identity_is_refused_and_left_as_it_is(node):
    node.stop()
    properties = node.data / "meta.properties"
    properties.write_text("what is this\n")
    assert "meta.properties" in refused(node)
    assert properties.read_text() == "what is this\n"


def test_files_without_an_identity_are_not_formatted(stopped_node):
    stopped_node.data.mkdir()
    (stopped_node.data / "something").write_text("precious")
    assert str(stopped_node.data) in refused(stopped_node)
    assert os.listdir(stopped_node.data) == ["something"]


def test_a_file_in_place_of_the_directory_is_refused(stopped_node):
    stopped_node.data.write_text("")
    assert str(stopped_node.data) in refused(stopped_node)


def test_with_a_settings_file_an_empty_directory_is_not_formatted(stopped_node, tmp_path):
    path = settings_file(tmp_path, f"data_dir: {stopped_node.data}\n")
    message = refused(stopped_node, "--config", path, data=False)
    assert str(stopped_node.data) in message
    assert not stopped_node.data.exists() or os.listdir(stopped_node.data) == []
    assert f"`gregor cluster format --config {path}`" in message


@pytest.mark.parametrize("in_file", [True, False])
def test_a_node_with_a_settings_file_is_formatted_as_the_message_says(stopped_node, tmp_path, in_file):
    path = settings_file(tmp_path, f"data_dir: {stopped_node.data}\n" if in_file else "")
    message = refused(stopped_node, "--config", path, data=not in_file and stopped_node.data)
    line = re.search(r"`gregor (.+)`", message).group(1)
    formatted = command(*shlex.split(line))
    assert formatted.returncode == 0, formatted.stderr
    assert str(stopped_node.data) in formatted.stdout
    stopped_node.start("--config", path, data=not in_file and stopped_node.data)
    assert stopped_node.is_up()
    again = command(*shlex.split(line))
    assert again.returncode == 1 and str(stopped_node.data) in again.stderr


def test_formatting_if_needed_is_done_once_and_for_the_same_node_only(stopped_node):
    id_, other = (command("cluster", "new-id").stdout.strip() for _ in range(2))
    where = ["cluster", "format", "--if-needed", "--data-dir", str(stopped_node.data)]
    assert command(*where).returncode == 2
    first = command(*where, "--cluster-id", id_)
    assert first.returncode == 0 and "formatted" in first.stdout
    identity = (stopped_node.data / "meta.properties").read_bytes()
    again = command(*where, "--cluster-id", id_)
    assert again.returncode == 0 and "nothing to do" in again.stdout
    assert command(*where, "--cluster-id", other).returncode == 1
    assert command(*where, "--cluster-id", id_, "--node-id", "2").returncode == 1
    assert (stopped_node.data / "meta.properties").read_bytes() == identity


def test_bad_settings_are_refused_when_formatting_too(stopped_node, tmp_path):
    path = settings_file(tmp_path, "no_such_setting: 1\n")
    ran = command("cluster", "format", "--config", path, "--data-dir", str(stopped_node.data))
    assert ran.returncode == 2 and ":1" in ran.stderr and "no_such_setting" in ran.stderr
    assert not stopped_node.data.exists()


def test_the_settings_file_of_the_documentation_is_taken(stopped_node, tmp_path):
    text = re.search(r"```yaml\n(.+?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL).group(1)
    assert "configs:" in text
    path = settings_file(tmp_path, text)
    where = ["--config", path, "--data-dir", str(stopped_node.data), "--log-dirs", str(tmp_path / "logs")]
    assert command("cluster", "format", *where).returncode == 0
    stopped_node.start(*where, data=False)
    stopped_node.create_topic("orders")
    resource = config_pb2.ConfigResource(type=config_pb2.ConfigResource.TYPE_TOPIC, name="orders")
    result = stopped_node.configs.DescribeConfigs(config_pb2.DescribeConfigsRequest(resources=[resource], keys=["retention.ms"]),
                                                  timeout=20).results[0]
    assert result.entries[0].value == str(72 * 3600 * 1000)
    assert result.entries[0].source == config_pb2.ConfigEntry.SOURCE_BROKER_STATIC


@pytest.mark.parametrize("text,named", [
    ("data_dir: /x\nno_such_setting: 1\n", [":2", "no_such_setting"]),
    ("event_loops: many\n", [":1", "event_loops"]),
    ("node_id: 1\nevent_loops: -3\n", [":2", "event_loops"]),
    ("node_id: [1\n", ["gregor.yaml"]),
    ("node_id: 1\nnode_id: 2\n", ["node_id"]),
    ("listen:\n  grpc: nowhere\n", [":2", "listen.grpc"]),
    ("configs:\n  log.retention.ms: soon\n", [":2", "log.retention.ms cannot be", "soon"]),
    ("configs:\n  log.retention.hours: soon\n", [":2", "log.retention.hours", "whole number"]),
    ("configs:\n  log.retention.years: 1\n", [":2", "log.retention.years", "no broker config"]),
])
def test_bad_settings_are_named_with_line_and_key(stopped_node, tmp_path, text, named):
    message = refused(stopped_node, "--config", settings_file(tmp_path, text), data=False, code=2)
    for part in named:
        assert part in message, message


def test_a_settings_file_that_is_not_there_is_named(stopped_node, tmp_path):
    assert "none.yaml" in refused(stopped_node, "--config", str(tmp_path / "none.yaml"), data=False, code=2)


def test_bad_usage_exits_with_2():
    for arguments in (["server", "--no-such-flag"], ["no-such-command"], ["server", "--event-loops", "many"]):
        result = command(*arguments)
        assert result.returncode not in (0, 1), (arguments, result)
        assert result.stdout == ""
        assert result.stderr


def test_a_flag_wins_over_the_file(node, tmp_path):
    node.stop()
    path = settings_file(tmp_path, f"data_dir: {tmp_path / 'elsewhere'}\nlisten:\n  http: 127.0.0.1:0\n")
    node.start("--config", path)
    assert node.is_up()
    assert not (tmp_path / "elsewhere").exists()
