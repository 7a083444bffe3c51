"""How a measurement ends: its files, and whether its bounds were kept."""
import shutil
import sys


def end(directory, keep, missed):
    """The exit code; `missed` are the lines that say which bounds were not kept."""
    if keep:
        print(f"files kept in {directory}", file=sys.stderr)
    else:
        shutil.rmtree(directory)
    for each in missed:
        print(each, file=sys.stderr)
    return 1 if missed else 0
