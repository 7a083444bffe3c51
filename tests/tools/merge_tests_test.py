"""tools/merge_tests.py: several test files as one."""
import pathlib
import subprocess
import sys

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "merge_tests.py"

FILE = """int Shown{number}();
namespace {{
int Value() {{ return {number}; }}
int Own() {{ return Value(); }}
}}  // namespace
"""


def merge(folder, *texts):
    names = []
    for number, text in enumerate(texts):
        names.append(f"part{number}_test.cc")
        (folder / names[-1]).write_text(text)
    subprocess.run([sys.executable, TOOL, "merged.cc", *names], cwd=folder, check=True)
    return folder / "merged.cc"


def test_helpers_of_the_same_name_do_not_meet(tmp_path):
    source = merge(tmp_path, FILE.format(number=1), FILE.format(number=2))
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source], check=True)
    assert source.read_text().count("Value()") == 4


def test_messages_name_the_files_as_they_are(tmp_path):
    source = merge(tmp_path, FILE.format(number=1), FILE.format(number=2) + "#error here\n")
    compiled = subprocess.run(["g++", "-fsyntax-only", source], capture_output=True, text=True)
    assert compiled.returncode != 0
    assert "part1_test.cc:6:" in compiled.stderr


def test_a_file_without_a_last_newline_does_not_run_into_the_next(tmp_path):
    source = merge(tmp_path, "int First();  // the end", "int Second();\n")
    subprocess.run(["g++", "-fsyntax-only", source], check=True)
    assert '\n#line 1 "part1_test.cc"\n' in source.read_text()
