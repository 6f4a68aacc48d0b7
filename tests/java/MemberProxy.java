import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Stands between two members of an ensemble, on one port of the one that is dialled, and writes
 * down every message. Each is passed on in one piece, as members expect of the first one on the
 * election port.
 */
final class MemberProxy implements AutoCloseable {
    /** The packet that a snapshot follows, unframed. */
    private static final int SNAP = 15;

    private final ServerSocket listener;
    private final InetAddress target;
    private final int dialler;
    private final int dialled;
    private final Tape tape;
    private final List<Socket> open = new ArrayList<>();

    /** What was said, by all proxies together, in the order it was passed on. */
    static final class Tape {
        private final boolean isElection;
        private final List<Golden.Line> lines = new ArrayList<>();

        Tape(boolean isElection) {
            this.isElection = isElection;
        }

        private synchronized void add(String kind, int from, int to, byte[] payload) {
            lines.add(new Golden.Line(kind + ":" + from + ":" + to, payload));
        }

        synchronized List<Golden.Line> take() {
            List<Golden.Line> taken = List.copyOf(lines);
            lines.clear();
            return taken;
        }
    }

    MemberProxy(int dialler, int dialled, InetAddress own, InetAddress target, int port, Tape tape)
            throws IOException {
        this.listener = new ServerSocket(port, 50, own);
        this.target = target;
        this.dialler = dialler;
        this.dialled = dialled;
        this.tape = tape;
        daemon(this::accept);
    }

    @Override
    public void close() throws IOException {
        listener.close();
        synchronized (open) {
            open.forEach(MemberProxy::closeQuietly);
        }
    }

    private void accept() {
        try {
            while (true) {
                Socket from = listener.accept();
                Socket to;
                try {
                    to = new Socket(target, listener.getLocalPort());
                } catch (IOException nobodyThere) {
                    from.setSoLinger(true, 0);
                    from.close();
                    continue;
                }
                from.setTcpNoDelay(true);
                to.setTcpNoDelay(true);
                synchronized (open) {
                    open.add(from);
                    open.add(to);
                }
                daemon(() -> pass(from, to, true));
                daemon(() -> pass(to, from, false));
            }
        } catch (IOException closed) {
            // Nobody dials any more.
        }
    }

    private void pass(Socket source, Socket sink, boolean isDialler) {
        int from = isDialler ? dialler : dialled;
        int to = isDialler ? dialled : dialler;
        try {
            Copy in = new Copy(source);
            for (boolean isFirst = isDialler; ; isFirst = false) {
                if (tape.isElection) {
                    in.electionMessage(isFirst);
                    tape.add(isFirst ? "hello" : "notification", from, to, in.payload);
                } else {
                    boolean isSnapshot = in.packet() == SNAP && !isDialler;
                    tape.add(isDialler ? "learner" : "leader", from, to, in.payload);
                    if (isSnapshot) {
                        sink.getOutputStream().write(in.whole.toByteArray());
                        in.snapshot();
                        tape.add("stream", from, to, in.payload);
                    }
                }
                sink.getOutputStream().write(in.whole.toByteArray());
            }
        } catch (IOException ended) {
            closeQuietly(source);
            closeQuietly(sink);
        }
    }

    /** Reads one message after the other and keeps what it read. */
    private static final class Copy {
        private final DataInputStream in;
        private ByteArrayOutputStream whole = new ByteArrayOutputStream();
        private byte[] payload;

        Copy(Socket socket) throws IOException {
            this.in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
        }

        void electionMessage(boolean isHello) throws IOException {
            whole = new ByteArrayOutputStream();
            if (isHello) {
                take(16);
                buffer();
                payload = whole.toByteArray();
            } else {
                payload = buffer();
            }
        }

        /** Gives the packet's type. */
        int packet() throws IOException {
            whole = new ByteArrayOutputStream();
            int kind = number();
            take(8);
            buffer();
            for (int left = number(); left > 0; left--) {
                buffer();
                buffer();
            }
            payload = whole.toByteArray();
            return kind;
        }

        /** Sessions, access control lists, nodes up to the path "/", and the signature. */
        void snapshot() throws IOException {
            whole = new ByteArrayOutputStream();
            for (int left = number(); left > 0; left--) {
                take(12);
            }
            for (int lists = number(); lists > 0; lists--) {
                take(8);
                for (int left = number(); left > 0; left--) {
                    take(4);
                    buffer();
                    buffer();
                }
            }
            while (!new String(buffer()).equals("/")) {
                buffer();
                take(8 + 60);
            }
            buffer();
            payload = whole.toByteArray();
        }

        private byte[] buffer() throws IOException {
            int length = number();
            return length < 0 ? new byte[0] : take(length);
        }

        private int number() throws IOException {
            return ByteBuffer.wrap(take(4)).getInt();
        }

        private byte[] take(int count) throws IOException {
            byte[] bytes = new byte[count];
            in.readFully(bytes);
            whole.write(bytes);
            return bytes;
        }
    }

    private static void daemon(Runnable work) {
        Thread thread = new Thread(work, "member-proxy");
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
