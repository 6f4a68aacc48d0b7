import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * Writes captured bytes as text: comment lines, then one line {@code <kind> <hex>} for each
 * payload.
 */
final class Golden {
    private static final int PING = -2;
    private static final int NOTIFICATION = -1;

    private final Path dir;
    private final String source;

    /** One payload, without the length in front of it. */
    record Line(String kind, byte[] payload) {
        static Line fromClient(boolean isFirst, byte[] payload) {
            return new Line(isFirst ? "connect_request" : "request", payload);
        }

        static Line fromServer(boolean isFirst, byte[] payload) {
            if (isFirst) {
                return new Line("connect_response", payload);
            }
            return new Line(xid(payload) == NOTIFICATION ? "notification" : "reply", payload);
        }

        boolean isPing() {
            return !kind.startsWith("connect") && xid(payload) == PING;
        }

        private static int xid(byte[] payload) {
            return payload.length < 4 ? 0 : ByteBuffer.wrap(payload).getInt();
        }
    }

    Golden(Path dir, String source) throws IOException {
        this.dir = Files.createDirectories(dir);
        this.source = source;
    }

    void write(String name, String what, List<Line> lines) throws IOException {
        if (lines.isEmpty()) {
            throw new IllegalStateException("nothing captured for " + name);
        }
        List<String> text = new ArrayList<>();
        what.lines().forEach(line -> text.add("# " + line));
        text.add("# captured from " + source);
        for (Line line : lines) {
            text.add(line.kind() + " " + HexFormat.of().formatHex(line.payload()));
        }
        Files.write(dir.resolve(name + ".hex"), text);
    }
}
