"""Damages to the files of a node that is stopped: what a bad disk, a bad cable or a slip of the hand leaves."""
import dataclasses
import pathlib
import re

# The files without which a controller would not be what it was, by kind; relative to its data directory.
LOG = "metadata/log/AAAAAAAAAAAAAAAAAAAAAQ-0"
KINDS = {
    "segment": f"{LOG}/*.log",
    "index": f"{LOG}/*.index",
    "checkpoint of the log": f"{LOG}/checkpoint",
    "journal of marks": "metadata/log/synced-marks",
    "mark of a clean stop": "metadata/log/clean-shutdown",
    "directory id of the log": "metadata/log/meta.properties",
    "vote": "metadata/vote",
    "log base": "metadata/log-base",
    "snapshot": "metadata/snapshots/*.snapshot",
    "RocksDB: table": "metadata/image/*.sst",
    "RocksDB: manifest": "metadata/image/MANIFEST-*",
    "RocksDB: current": "metadata/image/CURRENT",
    "RocksDB: options": "metadata/image/OPTIONS-*",
    "identity of the node": "meta.properties",
    "identity of a log directory": "topics/meta.properties",
}


def files(data, kind):
    """Those of the kind that say something: what was set aside does not, nor do zeros."""
    found = [path for path in sorted(data.glob(KINDS[kind])) if path.suffix != ".damaged"]
    return [path for path in found if path.name == "clean-shutdown" or path.read_bytes().strip(b"\0")]


def _used(content):
    """Bytes up to the zeros at the end, which are room."""
    return len(content.rstrip(b"\0")) or len(content)


def flip(content, chance):
    at = chance.randrange(_used(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1:]


def cut(content, chance):
    return content[:chance.randrange(_used(content))]


def blank(content, chance):
    """A page of zeros."""
    at = chance.randrange(_used(content)) // 4096 * 4096
    return content[:at] + bytes(min(4096, len(content) - at)) + content[at + 4096:]


def scramble(content, chance):
    """A sector of something else."""
    at = chance.randrange(_used(content)) // 512 * 512
    return content[:at] + chance.randbytes(min(512, len(content) - at)) + content[at + 512:]


def remove(_, __):
    return None


WAYS = (flip, cut, blank, scramble, remove)


@dataclasses.dataclass
class Damage:
    kind: str
    path: pathlib.Path
    how: str
    before: bytes
    after: bytes | None  # None: it is gone

    def is_there_still(self):
        return (self.path.read_bytes() if self.path.exists() else None) == self.after

    def undo(self):
        self.path.write_bytes(self.before)


def inflict(data, kind, chance):
    """Damages a file of the kind, where there is one; tells how."""
    candidates = files(data, kind)
    if not candidates:
        return None
    path = chance.choice(candidates)
    before = path.read_bytes()
    after, way = before, remove
    while after == before:  # zeros were there before, or it is empty
        way = chance.choice(WAYS) if before else remove
        after = way(before, chance)
    if after is None:
        path.unlink()
    else:
        path.write_bytes(after)
    return Damage(kind, path, f"{way.__name__} {path.relative_to(data)}", before, after)


# What a node's log lines say of what it did, the first that fits.
OUTCOMES = (
    ("healed by another node", re.compile("the metadata log is whole again")),
    ("set aside and made again", re.compile("is set aside|is built anew|is made anew|are made anew")),
    ("noticed", re.compile(r"^[WE]\d{8} .*(damaged|missing|cannot be read)", re.MULTILINE)),
)


NOTHING = "nothing to be done"


def outcome(said):
    return next((name for name, pattern in OUTCOMES if pattern.search(said)), NOTHING)
