import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Captures golden bytes from live Apache servers that it starts and stops by itself.
 *
 * <pre>java -cp "$ZK_JAVA_DRIVER:$ZK_APACHE_39/*" Capture zk-client/proto/tests/golden
 * zk-server-embedded/core/tests/golden</pre>
 *
 * Run again, it gives the same files but for session ids, passwords, times and what depends on
 * them.
 */
public final class Capture {
    private Capture() {}

    public static void main(String[] arguments) throws Exception {
        Path messages = Path.of(arguments[0]);
        Path directories = Path.of(arguments[1]);
        Path scratch = Files.createTempDirectory("zk-capture");
        try {
            messages(messages, scratch);
            CaptureDirectories.run(directories, scratch.resolve("directories"));
        } finally {
            try (var files = Files.walk(scratch)) {
                files.sorted(java.util.Comparator.reverseOrder())
                        .forEach(file -> file.toFile().delete());
            }
        }
        System.exit(0);
    }

    private static void messages(Path to, Path scratch) throws Exception {
        try (ApacheServer server = ApacheServer.standalone(scratch.resolve("client"))) {
            String source = "Apache ZooKeeper " + server.version() + " by tests/java/Capture.java";
            Golden client = new Golden(to.resolve("client"), source);
            Golden txn = new Golden(to.resolve("txn"), source);
            CaptureRequests.run(client, server);
            CaptureRaw.run(client, server);
            CaptureSpecial.sasl(client, scratch.resolve("sasl"));
            CaptureSpecial.enforcedAuthentication(client, scratch.resolve("enforced"));
            CaptureSpecial.quota(client, scratch.resolve("quota"));
            CaptureSpecial.readOnly(client, scratch.resolve("read-only"));
            CaptureTxns.reconfig(txn, CaptureSpecial.reconfig(client, scratch.resolve("reconfig")));
            CaptureTxns.run(txn, scratch.resolve("txn"));
        }
    }
}
