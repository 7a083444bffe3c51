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
    assert unity_batches.batches([a, b, c, d], 100) == [[a, c], [b, d]]
    assert unity_batches.batches([a, b, c, d], 100, any_names=True) == [[a, b, c, d]]


def test_a_batch_has_no_more_lines_than_was_said(tmp_path):
    a, _, c, d = write(tmp_path)
    assert unity_batches.batches([a, c, d], 1) == [[a], [c], [d]]
    assert unity_batches.batches([a, c, d], 16) == [[a, c], [d]]


def test_the_same_alias_is_no_clash(tmp_path):
    paths = []
    for number, wire in enumerate(["A", "A", "B"]):
        path = tmp_path / f"{number}.cc"
        path.write_text(f"namespace {{\nusing internal::v1::Message;\nusing Wire = {wire};\n}}  // namespace\n")
        paths.append(str(path))
    assert unity_batches.batches(paths, 100) == [paths[:2], paths[2:]]


def test_what_a_file_keeps_to_itself_is_told_from_what_it_gives(tmp_path):
    own, every = unity_batches.names(FILES["c.cc"])
    assert set(own) == {"kBytesMax"} and set(every) == {"A", "kBytesMax"}
    own, every = unity_batches.names(FILES["d.cc"])
    assert own == {} and set(every) == {"kBytesMax", "Reader"}
