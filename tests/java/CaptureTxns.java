import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;

/** Payloads of log entries, named by the deed that caused them. */
final class CaptureTxns {
    private final Golden golden;
    private final List<Deed> deeds = new ArrayList<>();

    /** The transactions after {@code before} up to {@code until} are those of this deed. */
    private record Deed(String name, String what, long before, long until) {}

    private CaptureTxns(Golden golden) {
        this.golden = golden;
    }

    static void run(Golden golden, Path scratch) throws Exception {
        CaptureTxns all = new CaptureTxns(golden);
        try (ApacheServer server = ApacheServer.standalone(scratch.resolve("all"))) {
            ZooKeeper client = EveryTxn.run(server, all.recording(server));
            client.close();
            all.write(server.files());
        }
        CaptureTxns bare = new CaptureTxns(golden);
        try (ApacheServer server = ApacheServer.standalone(scratch.resolve("bare"),
                     "-Dzookeeper.digest.enabled=false",
                     "-Dzookeeper.closeSessionTxn.enabled=false")) {
            bare.withoutDigest(server);
            bare.write(server.files());
        }
        CaptureTxns older = new CaptureTxns(golden);
        try (ApacheServer server = ApacheServer.standalone(
                     scratch.resolve("older"), "-Dzookeeper.closeSessionTxn.enabled=false")) {
            older.recording(server).take("close_session_no_body",
                    "closeSession with closeSessionTxn.enabled=false: a digest right behind the "
                    + "header",
                    Clients.open(server.connect())::close);
            older.write(server.files());
        }
    }

    static void reconfig(Golden golden, Path files) throws Exception {
        List<Golden.Line> lines =
                TxnLogFile.readAll(files)
                        .stream()
                        .filter(payload
                                -> java.nio.ByteBuffer.wrap(payload).getInt(28)
                                        == org.apache.zookeeper.ZooDefs.OpCode.reconfig)
                        .map(payload -> new Golden.Line("txn", payload))
                        .toList();
        golden.write("reconfig",
                "reconfig: the observer 2 joins, then leaves (from a one-member ensemble, "
                + "skipACL=yes)",
                lines);
    }

    private void withoutDigest(ApacheServer server) throws Exception {
        EveryTxn.Step step = recording(server);
        ZooKeeper[] client = new ZooKeeper[1];
        step.take("create_session_no_digest", "createSession with digest.enabled=false",
                () -> client[0] = Clients.open(server.connect()));
        step.take("create_no_digest", "create \"/a\" with digest.enabled=false",
                () -> client[0].create("/a", new byte[] {'x'}, Ids.OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        step.take("close_session_header_only",
                "closeSession with digest.enabled=false and closeSessionTxn.enabled=false: nothing "
                + "but the header",
                client[0] ::close);
    }

    private EveryTxn.Step recording(ApacheServer server) {
        return (name, what, deed) -> {
            long before = server.lastZxid();
            deed.run();
            deeds.add(new Deed(name, what, before, server.lastZxid()));
        };
    }

    private void write(Path files) throws Exception {
        List<byte[]> payloads = TxnLogFile.readAll(files);
        for (Deed deed : deeds) {
            List<Golden.Line> lines =
                    payloads.stream()
                            .filter(payload
                                    -> TxnLogFile.zxid(payload) > deed.before()
                                            && TxnLogFile.zxid(payload) <= deed.until())
                            .map(payload -> new Golden.Line("txn", payload))
                            .toList();
            golden.write(deed.name(), deed.what(), lines);
        }
    }
}
