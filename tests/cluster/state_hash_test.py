"""A controller whose own files give it another state than the others have: it finds that out by the state's hash."""
import json
import shutil
import struct

import pytest
from node import command, eventually
from processes import Cluster, await_same_metadata

from gregor.v1 import topic_pb2

NODES = {1: ["controller"], 2: ["controller"], 3: ["controller"], 11: ["broker"]}
SETTINGS = {"quorum": "{snapshot_bytes: 64KiB, hash_interval: 500ms}"}
MAGIC = b"GREGORS1"
NOBODY = 77


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, NODES)
    cluster.prepare(**SETTINGS)
    cluster.start()
    yield cluster
    cluster.end()


# --- docs/formats.md, "State hash" and "Metadata snapshot", once more

MASK = (1 << 64) - 1


def siphash(key, data):
    """SipHash-2-4."""
    def left(value, bits):
        return ((value << bits) | (value >> (64 - bits))) & MASK

    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = left(v[1], 13) ^ v[0]
            v[0] = left(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = left(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = left(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = left(v[1], 17) ^ v[2]
            v[2] = left(v[2], 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def row_hash(key, record):
    return siphash(b"gregor state hsh", struct.pack("<Q", len(key)) + key + record)


CRC_TABLE = []
for number in range(256):
    for _ in range(8):
        number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
    CRC_TABLE.append(number)


def crc32c(data, before=0):
    crc = before ^ 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data, at):
    number, shift = 0, 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def field(number, value):
    """A field of a message or of bytes."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def inner(frame, number):
    """What a frame has, if it is that field; None: it is another one."""
    if frame[0] != number << 3 | 2:
        return None
    size, at = read_varint(frame, 1)
    assert at + size == len(frame)
    return frame[at:]


def key_of(row):
    size, at = read_varint(row, 1)
    return row[at:at + size]


def altered(snapshot):
    """The snapshot with configs of a broker that is not there, and with the hash that it has then."""
    assert snapshot.startswith(MAGIC)
    frames, at = [], len(MAGIC)
    while at < len(snapshot):
        size, checksum = struct.unpack_from(">II", snapshot, at)
        frames.append(snapshot[at + 8:at + 8 + size])
        assert crc32c(frames[-1]) == checksum
        at += 8 + size
    key = b"\x11" + struct.pack(">I", NOBODY + (1 << 31))
    config = field(1, b"log.retention.ms") + field(2, b"666")
    record = field(7, varint(2 << 3) + varint(2 * NOBODY) + field(3, config))
    header = inner(frames[0], 1)
    assert header[-9] == 6 << 3 | 1, "the header ends with the state's hash"
    state_hash = (struct.unpack("<Q", header[-8:])[0] + row_hash(key, record)) & MASK
    rows = [frame for frame in frames[1:-1] if inner(frame, 2) is not None]
    assert len(rows) == len(frames) - 2
    rows.append(field(2, field(1, key) + field(2, record)))
    rows.sort(key=lambda frame: key_of(inner(frame, 2)))
    made = [field(1, header[:-8] + struct.pack("<Q", state_hash)), *rows]
    checksum = 0
    for frame in made:
        checksum = crc32c(frame, checksum)
    made.append(field(3, b"\x08" + varint(len(rows)) + b"\x15" + struct.pack("<I", checksum)))
    return MAGIC + b"".join(struct.pack(">II", len(frame), crc32c(frame)) + frame for frame in made)


def snapshots(member):
    return sorted((member.data / "metadata" / "snapshots").glob("*.snapshot"))


def describe(member):
    done = command("--server", member.grpc, "--output", "json", "cluster", "describe")
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)
    return described["metadata_version"], described["metadata_hash"]


def create(member, name, partitions):
    member.topics.CreateTopic(topic_pb2.CreateTopicRequest(topic=name, partitions=partitions), timeout=20)


def test_a_state_that_differs_is_found_and_made_again(cluster):
    members = list(cluster.members.values())
    for number in range(4):
        create(cluster[11], f"wide{number}", 1000)
    eventually(lambda: len({describe(member) for member in members}) == 1, 10)
    leader = cluster[11].leader()
    follower = next(member for member in cluster.controllers if member.id != leader)
    eventually(lambda: snapshots(follower), 10)

    follower.kill()
    for path in snapshots(follower):
        path.write_bytes(altered(path.read_bytes()))
    shutil.rmtree(follower.data / "metadata" / "image", ignore_errors=True)
    follower.restart()
    create(cluster[11], "one-more", 1)
    eventually(lambda: follower.metric("gregor_metadata_hash_mismatches_total") >= 1, 20)
    eventually(lambda: follower.metric("gregor_metadata_state_differs") == 0, 30)
    log = follower.log.read_text(errors="replace")
    assert "The state of the metadata differs from the active controller's at offset" in log
    assert "The state of the metadata was made again up to offset" in log
    assert "from the active controller's snapshot" in log

    # And so it stays: with what comes next, and over a start.
    for start in range(2):
        create(cluster[11], f"later{start}", 1)
        await_same_metadata(members)
        eventually(lambda: follower.metric("gregor_metadata_hash_offset") == follower.metric("gregor_metadata_version"), 10)
        eventually(lambda: len({describe(member) for member in members}) == 1, 10)
        assert follower.metric("gregor_metadata_state_differs") == 0
        follower.kill()
        follower.restart()
    assert follower.metric("gregor_metadata_hash_mismatches_total") == 0


def test_the_hash_is_the_one_that_is_written_down():
    # Of the paper by which SipHash is known: the key 00 01 .. 0f, and 15 bytes 00 .. 0e.
    assert siphash(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5
    assert crc32c(b"123456789") == 0xE3069283
