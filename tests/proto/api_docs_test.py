"""The public API is a contract: everything in it is documented, and named as its rules say (buf's, AIP's)."""
import pathlib
import re
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in (ROOT / "proto" / "gregor" / "v1").glob("*.proto"))
# Paths of SourceCodeInfo: descriptor.proto's field numbers.
MESSAGE, ENUM, SERVICE, EXTENSION = 4, 5, 6, 7
FIELD, NESTED, NESTED_ENUM, ONEOF = 2, 3, 4, 8
VALUE, METHOD = 2, 2


@pytest.fixture(scope="module")
def descriptors(tmp_path_factory):
    target = tmp_path_factory.mktemp("api") / "api.pb"
    subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", "--include_source_info", "--include_imports",
                    f"--descriptor_set_out={target}"] + [f"gregor/v1/{name}" for name in FILES], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file
    return {pathlib.Path(file.name).name: file for file in files if file.package == "gregor.v1"}


def elements(file):
    """(path, full name, descriptor) of everything that a reader meets."""
    def message(path, name, descriptor):
        if descriptor.options.map_entry:
            return
        yield path, name, descriptor
        for index, field in enumerate(descriptor.field):
            yield path + (FIELD, index), f"{name}.{field.name}", field
        for index, oneof in enumerate(descriptor.oneof_decl):
            members = [field for field in descriptor.field if field.HasField("oneof_index") and field.oneof_index == index]
            if not all(field.proto3_optional for field in members):
                yield path + (ONEOF, index), f"{name}.{oneof.name}", oneof
        for index, nested in enumerate(descriptor.nested_type):
            yield from message(path + (NESTED, index), f"{name}.{nested.name}", nested)
        for index, nested in enumerate(descriptor.enum_type):
            yield from enum(path + (NESTED_ENUM, index), f"{name}.{nested.name}", nested)

    def enum(path, name, descriptor):
        yield path, name, descriptor
        for index, value in enumerate(descriptor.value):
            yield path + (VALUE, index), f"{name}.{value.name}", value

    for index, descriptor in enumerate(file.message_type):
        yield from message((MESSAGE, index), descriptor.name, descriptor)
    for index, descriptor in enumerate(file.enum_type):
        yield from enum((ENUM, index), descriptor.name, descriptor)
    for index, service in enumerate(file.service):
        yield (SERVICE, index), service.name, service
        for number, method in enumerate(service.method):
            yield (SERVICE, index, METHOD, number), f"{service.name}.{method.name}", method
    for index, field in enumerate(file.extension):
        yield (EXTENSION, index), field.name, field


@pytest.mark.parametrize("name", FILES)
def test_everything_is_documented(descriptors, name):
    file = descriptors[name]
    comments = {tuple(location.path): (location.leading_comments + location.trailing_comments).strip()
                for location in file.source_code_info.location}
    # What a call takes and gives is said at the call.
    bare = [full for path, full, descriptor in elements(file)
            if not comments.get(path) and not (isinstance(descriptor, descriptor_pb2.DescriptorProto)
                                               and re.search("(Request|Response)$", descriptor.name))]
    assert bare == []


@pytest.mark.parametrize("name", FILES)
def test_enums_begin_with_a_value_that_stands_for_the_default(descriptors, name):
    for _, full, descriptor in elements(descriptors[name]):
        if not isinstance(descriptor, descriptor_pb2.EnumDescriptorProto):
            continue
        prefix = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", descriptor.name).upper() + "_"
        assert descriptor.value[0].number == 0 and descriptor.value[0].name == prefix + "UNSPECIFIED", full
        assert all(value.name.startswith(prefix) for value in descriptor.value), full


@pytest.mark.parametrize("name", FILES)
def test_calls_have_messages_of_their_own(descriptors, name):
    for service in descriptors[name].service:
        assert service.name.endswith("Service")
        for method in service.method:
            assert method.input_type == f".gregor.v1.{method.name}Request", method.name
            assert method.output_type == f".gregor.v1.{method.name}Response", method.name


@pytest.mark.parametrize("name", FILES)
def test_a_field_of_a_batch_comes_last(descriptors, name):
    for _, full, descriptor in elements(descriptors[name]):
        if not isinstance(descriptor, descriptor_pb2.DescriptorProto):
            continue
        numbers = {field.name: field.number for field in descriptor.field}
        for batch in {"record_batch", "record_batches"} & set(numbers):
            assert numbers[batch] == 15 == max(numbers.values()), full


def test_lists_that_grow_with_the_cluster_are_paged(descriptors):
    paged = {"ListTopics", "GetTopic", "GetMetadata", "DescribeLogDirs", "ListReassignments", "DescribeQuotas", "ListGroups",
             "ListAcls", "ListUsers", "ListTransactions"}
    found = set()
    for file in descriptors.values():
        messages = {message.name: {field.name for field in message.field} for message in file.message_type}
        for service in file.service:
            for method in service.method:
                if method.name not in paged and not method.name.startswith("List"):
                    continue
                if method.name == "ListOffsets":  # one answer for each query
                    continue
                found.add(method.name)
                assert "page" in messages[f"{method.name}Request"], method.name
                assert "next_page_token" in messages[f"{method.name}Response"], method.name
    assert paged <= found


def test_the_page_of_errors_is_what_the_table_says():
    subprocess.run([sys.executable, ROOT / "tools" / "generate_error_docs.py", "--check"], check=True)
