"""The known bugs that the simulator switches in are not in the product."""
import os
import re
import subprocess


def switches(program):
    """Functions of the program that say which known bug is switched in."""
    symbols = subprocess.run(["nm", "--demangle", program], check=True, stdout=subprocess.PIPE,
                             text=True).stdout
    return re.findall(r"\b[Tt] (gregor::raft::IsMutant\(.*\))$", symbols, re.MULTILINE)


def test_the_product_has_no_switch():
    assert switches(os.environ["GREGOR_BINARY"]) == []


def test_the_simulator_has_one():
    runner = os.path.join(os.path.dirname(os.environ["GREGOR_BINARY"]), "tests", "gregor_sim_runner")
    assert switches(runner) == ["gregor::raft::IsMutant(int, char)"]
