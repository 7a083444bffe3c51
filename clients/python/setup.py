"""Generates the stubs from proto/gregor/v1 while the package is built, so that none are committed.

The generator is grpcio-tools where it is installed (pip does that in the isolated environment of the build), else protoc and
grpc_python_plugin of the machine. What is generated needs runtimes that are at least as new as the generator.
"""
import pathlib
import re
import shutil
import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "gregor" / "__init__.py").read_text()).group(1)


def proto_root():
    """The folder that holds gregor/v1/*.proto: of the source distribution, or of the checkout."""
    for folder in (HERE / "proto", HERE.parent.parent / "proto"):
        if (folder / "gregor" / "v1").is_dir():
            return folder
    raise SystemExit("there is no proto/gregor/v1: build from a checkout of Gregor or from a source distribution")


def protos():
    return sorted(str(path.relative_to(proto_root())) for path in (proto_root() / "gregor" / "v1").glob("*.proto"))


def generate(folder):
    arguments = [f"--proto_path={proto_root()}", f"--python_out={folder}", f"--pyi_out={folder}",
                 f"--grpc_python_out={folder}"] + protos()
    try:
        import grpc_tools
        from grpc_tools import protoc
    except ImportError:
        plugin = shutil.which("grpc_python_plugin")
        if plugin is None or shutil.which("protoc") is None:
            raise SystemExit("neither grpcio-tools nor protoc with grpc_python_plugin is there: pip install grpcio-tools, or "
                             "apt-get install protobuf-compiler protobuf-compiler-grpc")
        subprocess.run(["protoc", f"--plugin=protoc-gen-grpc_python={plugin}"] + arguments, check=True)
        return
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    if protoc.main(["protoc", f"--proto_path={well_known}"] + arguments) != 0:
        raise SystemExit("protoc failed")


def runtime_requirements():
    """The runtimes that the generated code needs."""
    try:
        from importlib.metadata import version
        tools, runtime = version("grpcio-tools"), version("protobuf")
    except Exception:  # the machine's protoc: as old as the oldest that has --pyi_out
        return ["grpcio>=1.49", "protobuf>=4.21"]
    return [f"grpcio>={tools}", f"protobuf>={runtime}"]


class BuildPy(build_py):
    """With the stubs beside the package's own modules."""

    def run(self):
        super().run()
        pathlib.Path(self.build_lib).mkdir(parents=True, exist_ok=True)
        generate(self.build_lib)
        (pathlib.Path(self.build_lib) / "gregor" / "v1" / "__init__.py").touch()


class Sdist(sdist):
    """With the .proto files, which lie outside of this folder in a checkout."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for proto in protos() + ["google/rpc/status.proto", "google/rpc/error_details.proto"]:
            target = pathlib.Path(base_dir) / "proto" / proto
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(proto_root() / proto, target)


setup(
    version=VERSION,
    packages=["gregor"],
    # google.rpc comes from there, as for every other API that uses it.
    install_requires=runtime_requirements() + ["googleapis-common-protos>=1.56"],
    cmdclass={"build_py": BuildPy, "sdist": Sdist},
)
