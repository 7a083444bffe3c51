"""The threads of a process, and those that docs/architecture.md lists."""
import pathlib
import re


def thread_names(pid):
    return [pathlib.Path(task, "comm").read_text().strip()
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def undocumented(names):
    known = re.compile("|".join(documented_threads()))
    return [name for name in names if not known.fullmatch(name)]


def documented_threads():
    """Patterns of the names that docs/architecture.md lists, where N stands for a number."""
    text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "architecture.md").read_text()
    rows = text.split("\n## Threads\n")[1].split("\n## ")[0]
    names = [name for row in re.findall(r"^\| (.*?) \|", rows, re.M) for name in re.findall(r"`([^`]+)`", row)]
    return [re.escape(name).replace("N", r"\d+") for name in names]
