"""What stands in deploy/: files that their own tools take where those are installed (what is not is skipped, by name), settings
that a node knows, and directories that nothing formats unasked."""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

BINARY = os.environ["GREGOR_BINARY"]
DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = [DEPLOY / "compose" / f"{name}.yaml" for name in ("single", "combined", "separate")]
SETTINGS = [*sorted((DEPLOY / "systemd").glob("*.yaml")), *sorted((DEPLOY / "compose").glob("*-node.yaml")), DEPLOY / "container.yaml"]
KUBERNETES = DEPLOY / "kubernetes" / "gregor.yaml"


def run(*command, **options):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=60, **options)


def tool(name):
    """Skips the test where the tool is not there."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def yaml_module():
    return pytest.importorskip("yaml", reason="python3-yaml is not installed")


def documents(path):
    return list(yaml_module().safe_load_all(path.read_text()))


def known_settings():
    return {setting["name"]: setting["flag"] for setting in json.loads(run(BINARY, "--output", "json", "settings").stdout)}


def names(mapping, prefix=""):
    """The settings that a file names, dots for nesting."""
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from names(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def flags(words):
    return {word for word in words if word.startswith("--")} - {"--config", "--cluster-id", "--if-needed"}


def shell(container):
    return container["args"][0]


@pytest.mark.parametrize("path", [*COMPOSE, *SETTINGS, KUBERNETES], ids=lambda path: path.name)
def test_yaml_is_what_yamllint_takes(path):
    tool("yamllint")
    rules = "{extends: relaxed, rules: {line-length: {max: 140}, braces: disable, document-start: disable}}"
    linted = run("yamllint", "--strict", "-d", rules, path)
    assert linted.returncode == 0, linted.stdout


def test_the_unit_is_what_systemd_takes(tmp_path):
    tool("systemd-analyze")
    # As it is installed, save that the program and its user are those of this machine.
    unit = tmp_path / "gregor.service"
    text = (DEPLOY / "systemd" / "gregor.service").read_text()
    text = text.replace("/usr/local/bin/gregor", BINARY).replace("User=gregor", "User=root").replace("Group=gregor", "Group=root")
    unit.write_text(text)
    verified = run("systemd-analyze", "verify", unit)
    assert verified.returncode == 0 and str(unit) not in verified.stderr, verified.stderr


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_files_are_what_docker_compose_takes(path):
    # Docker's own, or Debian's package of it.
    compose = ["docker", "compose"]
    if shutil.which("docker") is None or run(*compose, "version").returncode != 0:
        tool("docker-compose")
        compose = ["docker-compose"]
    checked = run(*compose, "-f", path, "config", "--quiet")
    assert checked.returncode == 0, checked.stderr


def misfits(value, kind, where):
    """What is not as Kubernetes' models have it: names that a model does not know, what it needs, values of another type."""
    models = pytest.importorskip("kubernetes.client.models", reason="python3-kubernetes is not installed")
    if kind.startswith("list["):
        return [each for index, item in enumerate(value) for each in misfits(item, kind[5:-1], f"{where}[{index}]")]
    if kind.startswith("dict("):
        inner = kind[5:-1].split(", ", 1)[1]
        return [each for name, item in value.items() for each in misfits(item, inner, f"{where}.{name}")]
    model = getattr(models, kind, None)
    if model is None:
        types = {"str": str, "int": int, "bool": bool, "float": (int, float)}
        return [] if isinstance(value, types.get(kind, object)) else [f"{where}: {value!r} is no {kind}"]
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    found = [f"{where} has no {name}" for name in value.keys() - attributes.keys()]
    known = {attributes[name]: item for name, item in value.items() if name in attributes}
    try:
        model(**known)
    except ValueError as missing:
        found.append(f"{where}: {missing}")
    for attribute, item in known.items():
        found += misfits(item, model.openapi_types[attribute], f"{where}.{model.attribute_map[attribute]}")
    return found


def test_manifests_are_what_kubernetes_takes():
    for document in documents(KUBERNETES):
        version = document["apiVersion"].rsplit("/", 1)[-1].capitalize()
        assert misfits(document, version + document["kind"], document["kind"]) == []
    broken = documents(KUBERNETES)[0]
    broken["spec"]["ports"][0] = {"name": 5, "prot": 1}
    assert len(misfits(broken, "V1Service", "Service")) == 3


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.name)
def test_settings_are_those_that_a_node_knows(path):
    known = known_settings()
    used = list(names(documents(path)[0]))
    assert used and set(used) <= set(known)


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.name)
def test_settings_are_complete(path, tmp_path):
    # Formatting reads and checks all of them.
    data = ["--data-dir", str(tmp_path / "data")]
    id_ = run(BINARY, "cluster", "new-id").stdout.strip()
    formatted = run(BINARY, "cluster", "format", "--config", path, "--cluster-id", id_, *data)
    assert formatted.returncode == 0, formatted.stderr


def entry_words():
    """What a container without a command of its own runs."""
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    return sum([json.loads(line.split(" ", 1)[1]) for line in lines if line.startswith(("ENTRYPOINT", "CMD"))], [])


def unit_words():
    unit = (DEPLOY / "systemd" / "gregor.service").read_text()
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    return shlex.split(line.split("=", 1)[1])


def dependencies(packages):
    """All packages that are installed with these, by name."""
    found, waiting = set(), list(packages)
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        found.add(package)
        listed = run("dpkg-query", "-W", "-f", "${Pre-Depends}, ${Depends}", package)
        waiting += re.findall(r"(?:^|[,|]) *([a-z0-9][a-z0-9.+-]+)", listed.stdout)
    return found


def test_the_image_has_the_libraries_that_the_program_needs():
    tool("dpkg-query")
    tool("readelf")
    (packages,) = re.findall(r"--no-install-recommends ((?:[^&]|&(?!&))*)", (DEPLOY / "Containerfile").read_text())
    there = dependencies(package for package in packages.split() if package != "\\")
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "--dynamic", BINARY).stdout)
    assert "libc.so.6" in needed
    for library in needed:
        owners = set(re.findall(r"(?m)^([^:\s]+):", run("dpkg-query", "--search", f"*/{library}").stdout))
        assert owners & there, f"{library} is in {owners or 'no package'}, which deploy/Containerfile does not install"


def servers():
    """(name, words of the command, its settings file) of all that containers, services of compose files and units start."""
    yield "container", entry_words(), DEPLOY / "container.yaml"
    for path in sorted((DEPLOY / "systemd").glob("*.yaml")):
        yield f"systemd {path.stem}", unit_words(), path
    for path in COMPOSE:
        for name, service in documents(path)[0]["services"].items():
            mounts = [volume.split(":") for volume in service["volumes"]]
            mounted = [path.parent / mount[0] for mount in mounts if mount[1] == "/etc/gregor/gregor.yaml"]
            words = ["gregor", *service["command"]] if "command" in service else entry_words()
            yield f"compose {path.stem} {name}", words, *(mounted or [DEPLOY / "container.yaml"])


def containers(kind):
    (pods,) = [each for each in documents(KUBERNETES) if each["kind"] == "StatefulSet"]
    return pods["spec"]["template"]["spec"][kind]


def run_in_pod(script, pod, directory):
    """Runs a container's script with the settings of the config map, with data and permissions to format in `directory`."""
    (settings,) = [each for each in documents(KUBERNETES) if each["kind"] == "ConfigMap"]
    settings = re.sub("data_dir: .*", f"data_dir: {directory / 'data'}", settings["data"]["gregor.yaml"])
    (directory / "gregor.yaml").write_text(settings)
    script = script.replace("/format/", f"{directory / 'format'}/").replace("/etc/gregor/gregor.yaml", str(directory / "gregor.yaml"))
    path = f"{pathlib.Path(BINARY).parent}:{os.environ['PATH']}"
    return run("sh", "-ec", script, env=os.environ | {"HOSTNAME": pod, "PATH": path})


def assert_only_data_are_missing(started):
    """Settings are looked at first: the server takes them, and finds nothing that it could serve."""
    assert started.returncode == 1, started.stderr
    assert started.stderr.splitlines()[-1].startswith("gregor: data directory ") and "is not formatted" in started.stderr


def test_everything_that_starts_a_server_starts_one(tmp_path):
    names = []
    for name, words, settings in servers():
        words = [str(settings) if word == "/etc/gregor/gregor.yaml" else word for word in words[1:]]
        assert str(settings) in words, name
        assert_only_data_are_missing(run(BINARY, *words, "--data-dir", tmp_path / "missing"))
        names.append(name)
    assert len(names) == 1 + 4 + 1 + 3 + 6, names


@pytest.mark.parametrize("pod", ["gregor-0", "gregor-1", "gregor-2"])
def test_every_pod_starts_a_server(pod, tmp_path):
    assert_only_data_are_missing(run_in_pod(shell(containers("containers")[0]), pod, tmp_path))


def test_flags_in_compose_files_and_manifests_are_those_of_a_node():
    known = set(known_settings().values())
    for path in COMPOSE:
        for service in documents(path)[0]["services"].values():
            assert flags(service.get("command", [])) <= known, path
    for container in containers("initContainers") + containers("containers"):
        assert flags(shlex.split(shell(container), comments=True)) <= known


def test_nothing_that_starts_a_node_can_format():
    """A server with a settings file never formats; so each has one, and none of them formats first."""
    starts = [words for _, words, _ in servers()] + [shlex.split(shell(container)) for container in containers("containers")]
    unit = (DEPLOY / "systemd" / "gregor.service").read_text()
    starts += [line.split("=", 1)[1].split() for line in unit.splitlines() if line.startswith("Exec")]
    assert len(starts) > 10
    for words in starts:
        assert "server" in words and "--config" in words and "format" not in words, words


def test_a_pod_formats_only_what_it_is_allowed_to(tmp_path):
    data, allowed = tmp_path / "data", tmp_path / "format"
    allowed.mkdir()
    script = shell(containers("initContainers")[0])
    refused = run_in_pod(script, "gregor-1", tmp_path)
    assert refused.returncode == 0 and "not allowed" in refused.stdout
    assert not data.exists()
    (allowed / "gregor-1").write_text(run(BINARY, "cluster", "new-id").stdout)
    assert "as node 2 of cluster" in run_in_pod(script, "gregor-1", tmp_path).stdout
    identity = (data / "meta.properties").read_bytes()
    again = run_in_pod(script, "gregor-1", tmp_path)
    assert again.returncode == 0 and "nothing to do" in again.stdout
    assert (data / "meta.properties").read_bytes() == identity
