"""Nodes that know each other by certificates: three of them, those that are refused, and new certificates meanwhile."""
import os
import shutil
import stat
import subprocess
import time

import grpc
import pytest
from node import command, eventually
from quorum import Loopback, Quorum


def done(*arguments):
    finished = command(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


class TlsQuorum(Quorum):
    """Three nodes, each with files of its own as internal_tls; what `gregor cert` makes lies in `certs`."""

    def __init__(self, directory):
        super().__init__(directory, [Loopback() for _ in range(3)])
        self.certs = directory / "certs"
        done("cert", "ca", "--dir", str(self.certs))
        for node in self.nodes:
            self.make(self.certs, node.number)
            self.take(node, self.certs, node.number)
            shutil.copy(self.certs / "ca.pem", file_of(node, "ca"))
            tls = {part: str(file_of(node, part)) for part in ("ca", "certificate", "key")}
            node.configure(self.controllers, internal_tls=tls)

    def make(self, folder, number, *options):
        for kind in ("pem", "key"):
            (folder / f"node-{number}.{kind}").unlink(missing_ok=True)
        done("cert", "node", "--dir", str(folder), "--cluster-id", self.cluster_id, "--node", str(number), *options)

    def take(self, node, folder, number):
        """Puts the certificate of node `number` where the node looks for its own."""
        for kind, part in (("pem", "certificate"), ("key", "key")):
            new = node.directory / "new"
            shutil.copy(folder / f"node-{number}.{kind}", new)
            os.replace(new, file_of(node, part))

    def other_authority(self):
        other = self.directory / "other"
        done("cert", "ca", "--dir", str(other), "--name", "another authority")
        return other


def file_of(node, part):
    return node.directory / f"{part}.pem"


def log_has(node, *texts):
    return any(all(text in line for text in texts) for line in node.log.read_text(errors="replace").splitlines())


def refusal(node):
    """Starts it; what it says instead of getting ready."""
    node.launch()
    assert node.wait() == 1
    lines = [line for line in node.log.read_text().splitlines() if line.startswith("gregor: ")]
    return lines[-1]


@pytest.fixture
def stopped(tmp_path):
    cluster = TlsQuorum(tmp_path)
    yield cluster
    cluster.end()


@pytest.fixture
def cluster(stopped):
    stopped.start()
    return stopped


def test_three_nodes_with_certificates_are_a_cluster(cluster):
    for node in cluster.nodes:
        node.create(f"of-node-{node.number}")
    for node in cluster.nodes:
        eventually(lambda: node.metric("gregor_topics") == 3)
        assert node.metric("gregor_internal_certificate_files_bad") == 0
        left = node.metric("gregor_internal_certificate_expires_seconds") - time.time()
        assert 364 * 86400 < left <= 365 * 86400
    first = cluster.nodes[0]
    first.kill()
    first.start()
    assert first.metric("gregor_topics") == 3
    for node in cluster.nodes:
        assert not log_has(node, "A TLS connection was refused")
        assert node.stop()[0] == 0


def test_a_node_with_a_wrong_certificate_is_refused_and_both_sides_say_so(cluster):
    one, two, three = cluster.nodes
    three.kill()
    # To itself all is well: the certificate names it, and an authority that it trusts has signed it.
    other = cluster.other_authority()
    cluster.make(other, 3)
    cluster.take(three, other, 3)
    file_of(three, "ca").write_text((other / "ca.pem").read_text() + (cluster.certs / "ca.pem").read_text())
    three.launch()
    eventually(lambda: log_has(three, "No connection with node", "which can be reached"), 30)
    eventually(lambda: any(log_has(node, "A TLS connection was refused", "certificate verify failed") for node in (one, two)), 30)
    one.create("meanwhile")
    assert three.process.poll() is None
    # The right one is taken where it stands, without a restart.
    cluster.take(three, cluster.certs, 3)
    three.await_ready()
    assert three.metric("gregor_topics") == 1


@pytest.mark.parametrize("part, content, text", [
    ("ca", None, "cannot be read"),
    ("ca", "", "there is no certificate"),
    ("certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n", "cannot be read"),
    ("key", "no key", "no private key"),
])
def test_bad_files_are_refused_at_start_by_name(stopped, part, content, text):
    node = stopped.nodes[0]
    file_of(node, part).unlink()
    if content is not None:
        file_of(node, part).write_text(content)
    line = refusal(node)
    assert str(file_of(node, part)) in line and text in line, line


def test_certificates_of_others_are_refused_at_start(stopped):
    node = stopped.nodes[0]
    stopped.take(node, stopped.certs, 2)
    assert "is of node 2, and this is node 1" in refusal(node)
    stopped.take(node, stopped.certs, 1)
    shutil.copy(stopped.other_authority() / "ca.pem", file_of(node, "ca"))
    assert "is not signed by the authority" in refusal(node)
    shutil.copy(stopped.certs / "ca.pem", file_of(node, "ca"))
    own, stopped.cluster_id = stopped.cluster_id, done("cluster", "new-id")
    stopped.make(stopped.certs, 1)
    stopped.take(node, stopped.certs, 1)
    assert f"of cluster {stopped.cluster_id}, and this is cluster {own}" in refusal(node)


def test_certificates_are_replaced_while_the_cluster_runs(cluster):
    one, _, three = cluster.nodes
    # What is of no use changes nothing: here half of a pair.
    cluster.make(cluster.certs, 1)
    file_of(one, "certificate").write_text((cluster.certs / "node-1.pem").read_text())
    eventually(lambda: one.metric("gregor_internal_certificate_files_bad") == 1, 30)
    assert log_has(one, "Certificates have changed to what is of no use", str(file_of(one, "key")))
    three.kill()
    three.start()
    # The other half makes it good again. Ten days are few.
    cluster.make(cluster.certs, 1, "--days", "10")
    cluster.take(one, cluster.certs, 1)
    eventually(lambda: log_has(one, "the certificate expires in", "issue a new one"), 30)
    assert one.metric("gregor_internal_certificate_files_bad") == 0
    assert one.metric("gregor_internal_certificate_expires_seconds") < time.time() + 10 * 86400 + 1
    three.kill()
    three.start()
    one.create("afterwards")
    eventually(lambda: three.list_topics().keys() == {"afterwards"})  # a majority has it without this one


def call(address, method, credentials=None):
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        return channel.unary_unary(method)(b"", timeout=20)


def test_clients_and_pretenders_get_no_answer(cluster):
    one = cluster.nodes[0]
    public, internal = "/gregor.v1.TopicService/ListTopics", "/gregor.internal.v1.ControllerService/Execute"
    authority = (cluster.certs / "ca.pem").read_bytes()
    done("cert", "client", "--dir", str(cluster.certs), "--name", "user")
    pair = [(cluster.certs / f"user.{kind}").read_bytes() for kind in ("key", "pem")]
    for method in (public, internal):
        for credentials in (None, grpc.ssl_channel_credentials(authority), grpc.ssl_channel_credentials(authority, *pair)):
            with pytest.raises(grpc.RpcError) as refused:
                call(one.address("internal"), method, credentials)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    # A replica's services are not where clients are.
    with pytest.raises(grpc.RpcError) as refused:
        call(one.grpc, internal)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert call(one.grpc, public) is not None


def test_the_command_makes_certificates_and_keeps_keys_to_itself(tmp_path):
    folder = str(tmp_path / "certs")
    done("cert", "ca", "--dir", folder)
    cluster_id = done("cluster", "new-id")
    done("cert", "node", "--dir", folder, "--cluster-id", cluster_id, "--node", "7", "--host", "localhost", "--host", "10.0.0.7")
    for name in ("ca.key", "node-7.key"):
        assert stat.S_IMODE(os.stat(tmp_path / "certs" / name).st_mode) == 0o600
    shown = done("cert", "show", f"{folder}/node-7.pem")
    assert f"uris: gregor://{cluster_id}/node/7" in shown and "10.0.0.7" in shown and "localhost" in shown
    again = command("cert", "node", "--dir", folder, "--cluster-id", cluster_id, "--node", "7")
    assert again.returncode == 1 and "is not overwritten" in again.stderr
    wrong = command("cert", "node", "--dir", folder, "--cluster-id", "nonsense", "--node", "8")
    assert wrong.returncode == 2 and "no cluster id" in wrong.stderr
    assert command("cert", "show", f"{folder}/node-7.key").returncode == 1
    # openssl agrees.
    if shutil.which("openssl"):
        verified = subprocess.run(["openssl", "verify", "-x509_strict", "-CAfile", f"{folder}/ca.pem", f"{folder}/node-7.pem"],
                                  capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stderr


def test_the_documented_openssl_commands_make_what_a_node_takes(stopped, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    page = open(os.path.join(os.path.dirname(__file__), "../../docs/operations.md"), encoding="utf-8").read()
    block = page[page.index("    openssl req -x509"):]
    script = "\n".join(line[4:] for line in block[:block.index("\n\n")].splitlines())
    script = script.replace("gregor://ID/node/1", f"gregor://{stopped.cluster_id}/node/1")
    made = tmp_path / "made"
    made.mkdir()
    subprocess.run(["bash", "-ec", script], cwd=made, check=True, capture_output=True)
    node = stopped.nodes[0]
    shutil.copy(made / "ca.pem", file_of(node, "ca"))
    stopped.take(node, made, 1)
    node.launch()
    eventually(lambda: log_has(node, "Nodes are known by their certificates", f"gregor://{stopped.cluster_id}/node/1"), 30)
