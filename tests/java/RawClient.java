import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.proto.RequestHeader;

/** Sends what the Java client cannot: any opcode, any list, any header. Writes down every frame. */
final class RawClient implements AutoCloseable {
    private static final int READ_LIMIT_MS = 10_000;

    private final Socket socket;
    private final DataInputStream in;
    private final DataOutputStream out;
    private final List<Golden.Line> lines = new ArrayList<>();
    private boolean isGreeted;
    private boolean isWelcomed;

    RawClient(int port) throws IOException {
        socket = new Socket(InetAddress.getLoopbackAddress(), port);
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(READ_LIMIT_MS);
        in = new DataInputStream(socket.getInputStream());
        out = new DataOutputStream(socket.getOutputStream());
    }

    /** A connection with a new session; the handshake is not part of what {@link #take} gives. */
    static RawClient connected(int port) throws IOException {
        RawClient client = new RawClient(port);
        client.handshake(0, 0, new byte[16], true);
        client.take();
        return client;
    }

    /** Sends a connect request and gives the answer, or null when the server hangs up. */
    byte[] handshake(long lastZxid, long sessionId, byte[] password, boolean hasReadOnlyByte)
            throws IOException {
        ByteBuffer payload = ByteBuffer.allocate(28 + password.length + (hasReadOnlyByte ? 1 : 0));
        payload.putInt(0)
                .putLong(lastZxid)
                .putInt(30_000)
                .putLong(sessionId)
                .putInt(password.length)
                .put(password);
        send(payload.array());
        return receive();
    }

    /** Sends one request and reads up to its reply. */
    byte[] call(int xid, int type, Record body) throws IOException {
        return call(xid, payload(xid, type, body));
    }

    /** Sends one request whose bytes are all the caller's and reads up to its reply. */
    byte[] call(int xid, byte[] payload) throws IOException {
        send(payload);
        byte[] frame = receive();
        while (frame != null && ByteBuffer.wrap(frame).getInt() != xid) {
            frame = receive();
        }
        return frame;
    }

    /** Everything since the last call. */
    List<Golden.Line> take() {
        List<Golden.Line> taken = List.copyOf(lines);
        lines.clear();
        return taken;
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    static byte[] payload(int xid, int type, Record body) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(bytes);
        new RequestHeader(xid, type).serialize(archive, "header");
        if (body != null) {
            body.serialize(archive, "request");
        }
        return bytes.toByteArray();
    }

    private void send(byte[] payload) throws IOException {
        lines.add(Golden.Line.fromClient(!isGreeted, payload));
        isGreeted = true;
        byte[] frame = new byte[4 + payload.length];
        ByteBuffer.wrap(frame).putInt(payload.length).put(payload);
        out.write(frame);
    }

    private byte[] receive() throws IOException {
        try {
            byte[] payload = new byte[in.readInt()];
            in.readFully(payload);
            lines.add(Golden.Line.fromServer(!isWelcomed, payload));
            isWelcomed = true;
            return payload;
        } catch (java.io.EOFException | java.net.SocketException hungUp) {
            return null;
        }
    }
}
