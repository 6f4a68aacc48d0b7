import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Stands between one client and one server and writes down every frame, a request before it is
 * passed on, so that the order written down is the order of cause and effect.
 */
final class RecordingProxy implements AutoCloseable {
    private static final int FRAME_BYTES_MAX = 1 << 20;

    private final ServerSocket listener;
    private final int target;
    private final List<Golden.Line> lines = new ArrayList<>();
    private final List<Socket> open = new ArrayList<>();
    private boolean isParted;

    RecordingProxy(int target) throws IOException {
        this.target = target;
        this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        daemon(this::accept);
    }

    String connect() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /**
     * Everything since the last call, pings left out: they come by the clock, not by the scenario.
     */
    synchronized List<Golden.Line> take() {
        List<Golden.Line> taken = lines.stream().filter(line -> !line.isPing()).toList();
        lines.clear();
        return taken;
    }

    /**
     * Breaks every connection, as a failing network would, and lets none through until {@link
     * #mend}.
     */
    synchronized void part() {
        isParted = true;
        cut();
    }

    synchronized void mend() {
        isParted = false;
    }

    /** Breaks every connection, as a failing network would. */
    synchronized void cut() {
        open.forEach(RecordingProxy::closeQuietly);
        open.clear();
    }

    @Override
    public void close() throws IOException {
        listener.close();
        cut();
    }

    private synchronized boolean isParted() {
        return isParted;
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                if (isParted()) {
                    client.close();
                    continue;
                }
                Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
                client.setTcpNoDelay(true);
                server.setTcpNoDelay(true);
                synchronized (this) {
                    open.add(client);
                    open.add(server);
                }
                daemon(() -> pass(client, server, true));
                daemon(() -> pass(server, client, false));
            }
        } catch (IOException closed) {
            cut();
        }
    }

    private void pass(Socket from, Socket to, boolean isClient) {
        try {
            DataInputStream in = new DataInputStream(from.getInputStream());
            DataOutputStream out = new DataOutputStream(to.getOutputStream());
            for (boolean isFirst = true;; isFirst = false) {
                int length = in.readInt();
                if (length < 0 || length > FRAME_BYTES_MAX) {
                    throw new IOException("not a frame"); // A four-letter word: the client looks
                                                          // for a writable server.
                }
                byte[] payload = new byte[length];
                in.readFully(payload);
                synchronized (this) {
                    lines.add(isClient ? Golden.Line.fromClient(isFirst, payload)
                                       : Golden.Line.fromServer(isFirst, payload));
                }
                byte[] frame = new byte[4 + payload.length];
                ByteBuffer.wrap(frame).putInt(payload.length).put(payload);
                out.write(frame);
            }
        } catch (IOException ended) {
            closeQuietly(from);
            closeQuietly(to);
        }
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work, "recording-proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException ignored) {
            // It is closed either way.
        }
    }
}
