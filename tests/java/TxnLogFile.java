import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Reads the payloads of transaction logs. */
final class TxnLogFile {
    private static final int HEADER_BYTES = 16;

    private TxnLogFile() {}

    /** Payloads of all logs in a directory, oldest first. */
    static List<byte[]> readAll(Path directory) throws IOException {
        List<Path> logs;
        try (var files = Files.list(directory)) {
            logs = files.filter(file -> file.getFileName().toString().startsWith("log."))
                           .sorted(java.util.Comparator.comparingLong(TxnLogFile::firstZxid))
                           .toList();
        }
        List<byte[]> payloads = new ArrayList<>();
        for (Path log : logs) {
            payloads.addAll(read(log));
        }
        return payloads;
    }

    static long zxid(byte[] payload) {
        return ByteBuffer.wrap(payload).getLong(12);
    }

    private static List<byte[]> read(Path log) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(log)).position(HEADER_BYTES);
        List<byte[]> payloads = new ArrayList<>();
        while (bytes.remaining() >= 12) {
            bytes.getLong();
            byte[] payload = new byte[bytes.getInt()];
            if (payload.length == 0) {
                break; // Padding.
            }
            bytes.get(payload);
            bytes.get();
            payloads.add(payload);
        }
        return payloads;
    }

    private static long firstZxid(Path log) {
        return Long.parseUnsignedLong(log.getFileName().toString().substring("log.".length()), 16);
    }
}
