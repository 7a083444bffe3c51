// Writes java_batches.txt: record batches as Apache Kafka's Java client (kafka-clients 4.3) encodes them. Lines as in
// make_batches.py, and
//   digest COUNT CRC   ... instead of records: how many, and the CRC-32C of all their keys and values, in order
// usage: java -cp 'kafka-clients and its dependencies/*' MakeBatches.java > java_batches.txt
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.zip.CRC32C;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;

public class MakeBatches {
  static final long T = 1_700_000_000_000L;

  static byte[] bytes(String text) { return text == null ? null : text.getBytes(StandardCharsets.UTF_8); }

  static String text(byte[] data) {
    return data == null ? "-" : data.length == 0 ? "." : HexFormat.of().formatHex(data);
  }

  static MemoryRecordsBuilder builder(Compression compression, long id, short epoch, int sequence) {
    return new MemoryRecordsBuilder(ByteBuffer.allocate(1 << 20), (byte) 2, compression, TimestampType.CREATE_TIME, 0L, -1L, id,
        epoch, sequence, false, false, -1, 1 << 20);
  }

  static void print(String name, MemoryRecordsBuilder builder) {
    ByteBuffer buffer = builder.build().buffer().duplicate();
    byte[] data = new byte[buffer.remaining()];
    buffer.get(data);
    System.out.println("batch " + name + " " + text(data));
  }

  static void few(String name, Compression compression) {
    MemoryRecordsBuilder builder = builder(compression, 77L, (short) 2, 5);
    Header[] headers = {new RecordHeader("trace", bytes("a")), new RecordHeader("", null), new RecordHeader("trace", bytes(""))};
    Object[][] records = {
      {T, "key", "value", new Header[0]}, {T - 5, null, "ÿ€", headers}, {T + 9, "", null, new Header[0]}, {T + 9, null, "", headers}};
    for (Object[] r : records) builder.append((Long) r[0], bytes((String) r[1]), bytes((String) r[2]), (Header[]) r[3]);
    print(name, builder);
    for (int i = 0; i < records.length; i++) {
      StringBuilder line = new StringBuilder("record " + i + " " + records[i][0] + " " + text(bytes((String) records[i][1])) + " "
          + text(bytes((String) records[i][2])));
      for (Header h : (Header[]) records[i][3]) line.append(" " + text(bytes(h.key())) + "=" + text(h.value()));
      System.out.println(line);
    }
  }

  // Beyond every codec's block size.
  static void many(String name, Compression compression) {
    MemoryRecordsBuilder builder = builder(compression, -1L, (short) -1, -1);
    CRC32C digest = new CRC32C();
    int count = 0;
    for (; count < 160; count++) {
      byte[] key = bytes("key " + count * count % 211), value = bytes(("line " + count * 7 % 13 + " of a record\n").repeat(30));
      builder.append(T + count, key, value);
      digest.update(key);
      digest.update(value);
    }
    print(name, builder);
    System.out.println("digest " + count + " " + digest.getValue());
  }

  public static void main(String[] args) {
    System.out.println("# Written by MakeBatches.java; do not edit.");
    Object[][] codecs = {
      {"none", Compression.NONE}, {"gzip", Compression.gzip().build()}, {"gzip-9", Compression.gzip().level(9).build()},
      {"snappy", Compression.snappy().build()}, {"lz4", Compression.lz4().build()}, {"lz4-17", Compression.lz4().level(17).build()},
      {"zstd", Compression.zstd().build()}, {"zstd-22", Compression.zstd().level(22).build()},
      {"zstd-fast", Compression.zstd().level(-50).build()}};
    for (Object[] each : codecs) {
      few("java-" + each[0], (Compression) each[1]);
      if (!each[0].equals("none") && !each[0].equals("zstd-fast")) many("java-many-" + each[0], (Compression) each[1]);
    }
  }
}
