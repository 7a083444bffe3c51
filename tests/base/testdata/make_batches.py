#!/usr/bin/env python3
"""Writes batches.txt: record batches as kafka-python encodes them, and compressed payloads in every framing that clients send.

usage: make_batches.py > batches.txt
Needs Debian's python3-kafka, python3-lz4, python3-snappy and python3-zstandard. The output is committed; run it again only
to add a case. Lines:
  batch NAME HEX                                  one batch
  record OFFSET TIMESTAMP KEY VALUE [KEY=VALUE]*  ... and its records, in order; the pairs are its headers
  plain HEX                                       what all payloads below decompress to
  payload NAME CODEC HEX                          a payload alone; CODEC as in the attributes
Bytes are in hexadecimal, `-` is null, `.` is empty.
"""
import gzip
import struct

import lz4.frame
import snappy
import zstandard
from kafka.codec import snappy_encode
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c

T = 1_700_000_000_000


def text(data):
    return "-" if data is None else data.hex() or "."


def batch(name, records, codec=0, transactional=0, producer=(-1, -1, -1)):
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=transactional, producer_id=producer[0],
        producer_epoch=producer[1], base_sequence=producer[2], batch_size=1 << 20)
    for offset, (time, key, value, headers) in enumerate(records):
        assert builder.append(offset, time, key, value, headers) is not None
    print("batch", name, bytes(builder.build()).hex())
    print_records(records)


def print_records(records):
    for offset, (time, key, value, headers) in enumerate(records):
        pairs = [f"{text(k.encode())}={text(v)}" for k, v in headers]
        print("record", offset, time, text(key), text(value), *pairs)


def raw_batch(name, payload, count, attributes=0, times=(T, T), producer=(-1, -1, -1), base=0, epoch=-1, last_delta=None):
    """A batch put together by hand, for what kafka-python does not write."""
    last_delta = count - 1 if last_delta is None else last_delta
    rest = struct.pack(">hiqqqhii", attributes, last_delta, *times, *producer, count) + payload
    print("batch", name, (struct.pack(">qiibI", base, 9 + len(rest), epoch, 2, calc_crc32c(rest)) + rest).hex())


MIXED = [
    (T, b"key", b"value", []),
    (T + 5, None, b"no key", []),
    (T - 70_000, b"tombstone", None, []),  # before the first: a negative delta
    (T + 5, b"", b"", []),
    (T + 86_400_000, None, None, []),
    (T + 1, b"h", b"v", [("trace", b"\x00\xff"), ("", b""), ("trace", b"again"), ("ключ", b"utf-8")]),
    (T + 2, b"k" * 63, b"v" * 64, []),     # either side of a two-byte length
    (T + 3, b"k" * 64, b"v" * 300, []),
]
MANY = [(T + i, b"key-%d" % (i % 17), b"value %d of many, " % i * 3, []) for i in range(60)]
NAMES = ["none", "gzip", "snappy", "lz4", "zstd"]


def main():
    print("# Written by make_batches.py; do not edit.")
    batch("one", [(T, None, b"x", [])])
    for codec, name in enumerate(NAMES):
        batch(f"mixed-{name}", MIXED, codec)
    for codec in range(1, 5):
        batch(f"many-{NAMES[codec]}", MANY, codec)
    batch("idempotent", MIXED[:4], producer=(4_294_967_298, 7, 2_147_483_646))
    batch("transactional", MIXED[:2], transactional=1, producer=(9, 0, 0))
    # A commit marker (KIP-98): key = version 0, type 1; value = version 0, coordinator epoch 5.
    raw_batch("commit-marker", bytes.fromhex("20000000" "08" "00000001" "0c" "000000000005" "00"), 1, 0x30, producer=(9, 3, -1),
              base=1234, epoch=6)
    print("record 1234", T, "00000001", "000000000005")
    # What compaction leaves of a batch whose records are all gone.
    raw_batch("empty", b"", 0, 0, times=(-1, T), producer=(9, 3, 40), base=50, epoch=2, last_delta=9)
    # The broker's time wins over the records' own.
    raw_batch("append-time", bytes.fromhex("10000000" "026b" "0276" "00"), 1, 0x08, times=(T, T + 999))
    print("record 0", T + 999, b"k".hex(), b"v".hex())

    plain = b"".join(b"line %d of the sample\n" % (i * i % 101) for i in range(4000))
    print("plain", zstandard.ZstdCompressor().compress(plain).hex())
    payload = lambda name, codec, data: print("payload", name, codec, data.hex())
    half = len(plain) // 2
    payload("gzip", 1, gzip.compress(plain, mtime=0))
    payload("gzip-two-members", 1, gzip.compress(plain[:half], mtime=0) + gzip.compress(plain[half:], mtime=0))
    payload("snappy-xerial", 2, snappy_encode(plain))
    payload("snappy-raw", 2, snappy.compress(plain))
    payload("snappy-xerial-small-blocks", 2, snappy_encode(plain, xerial_blocksize=9000))
    frame = lambda **options: lz4.frame.compress(plain, **options)
    payload("lz4-linked", 3, frame(block_linked=True))
    payload("lz4-independent", 3, frame(block_linked=False, block_size=lz4.frame.BLOCKSIZE_MAX64KB, store_size=False))
    payload("lz4-checksums", 3, frame(content_checksum=True, block_checksum=True))
    payload("lz4-high", 3, frame(compression_level=12))
    payload("lz4-largest-blocks", 3, frame(block_size=lz4.frame.BLOCKSIZE_MAX4MB))
    payload("zstd", 4, zstandard.ZstdCompressor().compress(plain))
    payload("zstd-no-size", 4, zstandard.ZstdCompressor(write_content_size=False).compress(plain))
    payload("zstd-checksum", 4, zstandard.ZstdCompressor(write_checksum=True, level=19).compress(plain))
    two = zstandard.ZstdCompressor()
    payload("zstd-two-frames", 4, two.compress(plain[:half]) + two.compress(plain[half:]))


if __name__ == "__main__":
    main()
