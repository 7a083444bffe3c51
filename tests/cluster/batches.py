"""RecordBatch v2 by hand, for what no client would send."""
import struct

TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    TABLE.append(_byte)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(number):
    """Zigzag, as in records."""
    number = (number << 1) ^ (number >> 63)
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def record(index, value, key=None):
    body = b"\0" + varint(0) + varint(index)
    body += varint(-1) if key is None else varint(len(key)) + key
    body += (varint(-1) if value is None else varint(len(value)) + value) + varint(0)
    return varint(len(body)) + body


def batch(values, **fields):
    """A batch; `fields` replace those of the header, also where that makes it wrong."""
    header = dict(base_offset=0, leader_epoch=-1, magic=2, attributes=0, last_offset_delta=len(values) - 1, base_timestamp=1,
                  max_timestamp=1, producer_id=-1, producer_epoch=-1, base_sequence=-1, count=len(values))
    crc, length, records = fields.pop("crc", None), fields.pop("length", None), fields.pop("records", None)
    assert set(fields) <= set(header), fields
    header.update(fields)
    if records is None:
        records = b"".join(record(index, value) for index, value in enumerate(values))
    checked = struct.pack(">hiqqqhii", header["attributes"], header["last_offset_delta"], header["base_timestamp"],
                          header["max_timestamp"], header["producer_id"], header["producer_epoch"], header["base_sequence"],
                          header["count"]) + records
    after_length = struct.pack(">ibI", header["leader_epoch"], header["magic"],
                               crc32c(checked) if crc is None else crc) + checked
    return struct.pack(">qi", header["base_offset"], len(after_length) if length is None else length) + after_length
