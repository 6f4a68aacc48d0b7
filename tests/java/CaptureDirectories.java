import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Collectors;
import java.util.zip.GZIPInputStream;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;
import org.xerial.snappy.SnappyInputStream;

/** Whole data directories, with a list of what must be found in them. */
final class CaptureDirectories {
    /** Enough changes to pass a zxid that the server keeps the digest of. */
    private static final int CHANGES = 140;

    private CaptureDirectories() {}

    static void run(Path to, Path scratch) throws Exception {
        one(to.resolve("plain"), scratch.resolve("plain"), "");
        one(to.resolve("gz"), scratch.resolve("gz"), "gz");
        one(to.resolve("snappy"), scratch.resolve("snappy"), "snappy");
    }

    private static void one(Path to, Path scratch, String compression) throws Exception {
        String[] jvm = {"-Dzookeeper.preAllocSize=4",
                "-Dzookeeper.snapshot.compression.method=" + compression};
        List<String> sessions = new ArrayList<>();
        ZooKeeper first;
        try (ApacheServer server = ApacheServer.standalone(scratch, jvm)) {
            first = EveryTxn.run(server, (name, what, deed) -> deed.run());
            sessions.add(session(first));
        }
        // The start writes a snapshot of what is there by then; what follows is only in the log.
        List<String> facts = new ArrayList<>();
        ZooKeeper second;
        Path files;
        try (ApacheServer server = ApacheServer.standalone(scratch, jvm)) {
            second = Clients.open(server.connect());
            second.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
            sessions.add(session(second));
            second.create("/later", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            second.create("/later/e", null, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            for (int change = 0; change < CHANGES; change++) {
                second.setData("/later",
                        Integer.toString(change).getBytes(StandardCharsets.US_ASCII), change);
            }
            facts.add("# what must be found in version-2 beside this file, as seen by the Java "
                      + "client before the server was stopped");
            facts.add("# numbers: zxids, sessions and digests in hex, all others decimal; data in "
                      + "hex or null; times in ms");
            facts.add("# container: /kinds/c /kinds/m/c; ttl of 3600000 ms: /kinds/t /kinds/m/t");
            facts.add("# server Apache ZooKeeper " + server.version()
                    + ", extendedTypesEnabled=true, snapshot.compression.method=" + compression);
            facts.add("last_zxid " + hex(server.lastZxid()));
            sessions.forEach(line -> facts.add("session " + line));
            server.word("hash")
                    .lines()
                    .filter(line -> !line.isBlank())
                    .forEach(line -> facts.add(kept(line)));
            tree(second, "/", facts);
            files = server.files();
        }
        List<byte[]> payloads = TxnLogFile.readAll(files);
        ByteBuffer last = ByteBuffer.wrap(payloads.get(payloads.size() - 1));
        facts.add(5, "digest " + hex(last.getLong(last.limit() - 8)));
        facts.add(6, "log_entries " + payloads.size());
        copy(files, to.resolve("version-2"), facts);
        Files.write(to.resolve("facts.txt"), facts);
        // Their server is gone, so this ends threads, not sessions.
        first.close();
        second.close();
    }

    /** A kept digest: the server prints the zxid in hex and the digest in decimal. */
    private static String kept(String line) {
        String[] parts = line.split(":\\s*");
        return "hash 0x" + parts[0].trim() + " " + hex(Long.parseLong(parts[1].trim()));
    }

    private static String session(ZooKeeper client) {
        return hex(client.getSessionId()) + " " + client.getSessionTimeout();
    }

    private static void tree(ZooKeeper client, String path, List<String> facts) throws Exception {
        Stat stat = new Stat();
        byte[] data = client.getData(path, false, stat);
        String acl = client.getACL(path, null)
                             .stream()
                             .map(entry -> entry.getPerms() + ":" + entry.getId().getScheme() + ":"
                                             + entry.getId().getId())
                             .collect(Collectors.joining(","));
        facts.add("node " + path
                + " data=" + (data == null ? "null" : HexFormat.of().formatHex(data))
                + " czxid=" + hex(stat.getCzxid()) + " mzxid=" + hex(stat.getMzxid())
                + " pzxid=" + hex(stat.getPzxid()) + " ctime=" + stat.getCtime()
                + " mtime=" + stat.getMtime() + " version=" + stat.getVersion()
                + " cversion=" + stat.getCversion() + " aversion=" + stat.getAversion()
                + " owner=" + hex(stat.getEphemeralOwner()) + " length=" + stat.getDataLength()
                + " children=" + stat.getNumChildren() + " acl=" + acl);
        for (String child : client.getChildren(path, false).stream().sorted().toList()) {
            tree(client, (path.equals("/") ? "" : path) + "/" + child, facts);
        }
    }

    private static void copy(Path from, Path to, List<String> facts) throws Exception {
        if (Files.exists(to)) {
            try (var old = Files.list(to)) {
                for (Path file : old.toList()) {
                    Files.delete(file);
                }
            }
        }
        Files.createDirectories(to);
        List<Path> files;
        try (var listed = Files.list(from)) {
            files = listed.sorted(Comparator.naturalOrder()).toList();
        }
        for (Path file : files) {
            String name = file.getFileName().toString();
            Files.copy(file, to.resolve(name));
            if (name.startsWith("snapshot.")) {
                facts.add(snapshot(file, name));
            }
        }
    }

    /** Name, then what the two blocks behind the tree say: digest zxid, digest, last zxid. */
    private static String snapshot(Path file, String name) throws Exception {
        byte[] stored = Files.readAllBytes(file);
        InputStream in = new ByteArrayInputStream(stored);
        if (name.endsWith(".gz")) {
            in = new GZIPInputStream(in);
        } else if (name.endsWith(".snappy")) {
            in = new SnappyInputStream(in);
        }
        ByteBuffer plain = ByteBuffer.wrap(in.readAllBytes());
        int seal = 13;
        int lastZxid = plain.limit() - seal - 8;
        int digest = lastZxid - seal - 8;
        return "snapshot " + name + " digest_zxid=" + hex(plain.getLong(digest - 12)) + " digest="
                + hex(plain.getLong(digest)) + " last_zxid=" + hex(plain.getLong(lastZxid));
    }

    private static String hex(long number) {
        return "0x" + Long.toHexString(number);
    }
}
