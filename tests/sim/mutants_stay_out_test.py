"""The known bugs that the simulator switches in are not in the product."""
import os
import re
import subprocess


def test_the_product_has_no_switch():
    symbols = subprocess.run(["nm", "--demangle", os.environ["GREGOR_BINARY"]], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert re.findall(r"\b[TtWw] (gregor::raft::IsMutant\(.*\))$", symbols, re.MULTILINE) == []
    assert "gregor::raft::" in symbols
