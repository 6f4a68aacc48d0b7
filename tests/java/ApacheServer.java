import java.io.IOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/** One Apache server in a process of its own, on loopback, from the class path we run with. */
final class ApacheServer implements AutoCloseable {
    private static final long START_LIMIT_MS = 30_000;
    private static final int ANSWER_LIMIT_MS = 5_000;
    private static final int PORT_MIN = 15_000;
    private static final int PORT_MAX = 32_000;

    private final Path dir;
    private final int port;
    private final Process process;

    private ApacheServer(Path dir, int port, Process process) {
        this.dir = dir;
        this.port = port;
        this.process = process;
    }

    /** Starts a standalone server and waits until it answers. */
    static ApacheServer standalone(Path dir, String... jvm) throws Exception {
        int port = freePort();
        List<String> config = new ArrayList<>(common(dir));
        config.add("clientPort=" + port);
        config.add("clientPortAddress=127.0.0.1");
        return start(dir, port, config, jvm, "Mode: standalone");
    }

    /** Starts server 1 of an ensemble of which the other {@code absent} members never start. */
    static ApacheServer member(Path dir, int absent, String mode, String... jvm) throws Exception {
        int port = freePort();
        List<String> config = new ArrayList<>(common(dir));
        config.add("initLimit=10");
        config.add("syncLimit=5");
        config.add("standaloneEnabled=false");
        config.add("reconfigEnabled=true");
        config.add("localSessionsEnabled=" + (absent > 0));
        config.add("server.1=127.0.0.1:" + freePort() + ":" + freePort()
                + ":participant;127.0.0.1:" + port);
        for (int id = 2; id < 2 + absent; id++) {
            config.add("server." + id + "=127.0.0.1:" + freePort() + ":" + freePort()
                    + ":participant;127.0.0.1:" + freePort());
        }
        Files.createDirectories(dir.resolve("data"));
        Files.writeString(dir.resolve("data").resolve("myid"), "1\n");
        return start(dir, port, config, jvm, mode);
    }

    /**
     * A port below the range that outgoing connections take theirs from: asking a port of that
     * range for an answer before anybody listens on it can end in a connection to oneself.
     */
    static int freePort() throws IOException {
        while (true) {
            int port = ThreadLocalRandom.current().nextInt(PORT_MIN, PORT_MAX);
            try (ServerSocket socket =
                            new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
                return socket.getLocalPort();
            } catch (BindException taken) {
                // Somebody else's; draw again.
            }
        }
    }

    int port() {
        return port;
    }

    String connect() {
        return "127.0.0.1:" + port;
    }

    /** The directory with logs and snapshots. */
    Path files() {
        return dir.resolve("data").resolve("version-2");
    }

    /** What the server answers to a four-letter word. */
    String word(String word) throws IOException {
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), port)) {
            socket.setSoTimeout(ANSWER_LIMIT_MS);
            socket.getOutputStream().write(word.getBytes(StandardCharsets.US_ASCII));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    String version() throws IOException {
        return word("srvr")
                .lines()
                .findFirst()
                .orElseThrow()
                .replaceFirst("Zookeeper version: ", "")
                .replaceFirst("[-,].*", "");
    }

    long lastZxid() throws IOException {
        String line =
                word("srvr").lines().filter(l -> l.startsWith("Zxid: ")).findFirst().orElseThrow();
        return Long.parseUnsignedLong(line.substring("Zxid: 0x".length()), 16);
    }

    @Override
    public void close() throws Exception {
        process.destroy();
        if (!process.waitFor(10, TimeUnit.SECONDS)) {
            process.destroyForcibly().waitFor();
        }
    }

    /** Ends the process at once. */
    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    static List<String> common(Path dir) {
        return List.of("dataDir=" + dir.resolve("data"), "tickTime=2000",
                "admin.enableServer=false", "4lw.commands.whitelist=*",
                "extendedTypesEnabled=true");
    }

    private static ApacheServer start(
            Path dir, int port, List<String> config, String[] jvm, String mode) throws Exception {
        ApacheServer server = launch(dir, port, config, jvm);
        server.await(mode);
        return server;
    }

    /** Starts a process and does not wait for it. */
    static ApacheServer launch(Path dir, int port, List<String> config, String... jvm)
            throws Exception {
        Files.createDirectories(dir);
        Path file = Files.write(dir.resolve("zoo.cfg"), config);
        List<String> command = new ArrayList<>(
                List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        // Tree digests hash paths in the default character set of the machine.
                        "-Dfile.encoding=UTF-8", "-Xmx256m", "-XX:TieredStopAtLevel=1",
                        "-Dznode.container.checkIntervalMs=300"));
        command.addAll(List.of(jvm));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"),
                "org.apache.zookeeper.server.quorum.QuorumPeerMain", file.toString()));
        Path log = dir.resolve("server.log");
        Process process = new ProcessBuilder(command)
                                  .redirectErrorStream(true)
                                  .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                                  .start();
        return new ApacheServer(dir, port, process);
    }

    /** Waits until the server says that it is in this mode. */
    void await(String mode) throws Exception {
        long limit = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(START_LIMIT_MS);
        while (process.isAlive() && System.nanoTime() < limit) {
            try {
                if (word("srvr").contains(mode)) {
                    return;
                }
            } catch (IOException notYet) {
                // Refused until the port is open.
            }
            Thread.sleep(50);
        }
        close();
        throw new IllegalStateException(
                "server did not start:\n" + Files.readString(dir.resolve("server.log")));
    }
}
