import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import unity_batches  # noqa: E402

FILES = {
    "a.cc": 'namespace gregor {\nnamespace {\n\nError Refused(const std::string& what) {\n  return {};\n}\n\n}  // namespace\n'
            'void A() {}\n}  // namespace gregor\n',
    "b.cc": "namespace gregor {\nnamespace {\n\nResult<int> Refused(int code) { return code; }\n\n}  // namespace\n}  // namespace gregor\n",
    "c.cc": "namespace gregor {\nint A(int x) { return x; }\nnamespace {\nconstexpr int kBytesMax = 3;\n}  // namespace\n}\n",
    "d.cc": "namespace gregor {\nconstexpr size_t kBytesMax = 4;\nclass Reader {};\n}  // namespace gregor\n",
}


def write(folder):
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return [str(folder / name) for name in FILES]


def test_files_that_keep_the_same_name_to_themselves_are_compiled_apart(tmp_path):
    a, b, c, d = write(tmp_path)
    assert unity_batches.batches([a, b, c, d], 8) == [[a, c], [b, d]]


def test_a_batch_has_no_more_files_than_was_said(tmp_path):
    a, _, c, d = write(tmp_path)
    assert unity_batches.batches([a, c, d], 1) == [[a], [c], [d]]


def test_what_a_file_keeps_to_itself_is_told_from_what_it_gives(tmp_path):
    own, every = unity_batches.names(FILES["c.cc"])
    assert own == {"kBytesMax"} and every == {"A", "kBytesMax"}
    assert unity_batches.names(FILES["d.cc"]) == (set(), {"kBytesMax", "Reader"})
