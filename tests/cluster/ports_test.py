"""Two test processes that run beside each other have no port in common, also where a server of one is stopped for a while."""
import pathlib
import subprocess
import sys

import ports

OTHER = "import ports; print(*(ports.free_port() for _ in range(200)))"


def test_processes_beside_each_other_share_no_port():
    here = [ports.free_port() for _ in range(200)]
    printed = subprocess.run([sys.executable, "-c", OTHER], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=True)
    there = [int(port) for port in printed.stdout.split()]
    assert len(set(here)) == len(set(there)) == 200
    assert not set(here) & set(there)
