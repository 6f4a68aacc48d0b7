import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.persistence.FileTxnLog;
import org.apache.zookeeper.txn.SetDataTxn;
import org.apache.zookeeper.txn.TxnHeader;

/**
 * What the members of an ensemble say to each other, on the election port and on the quorum port.
 * Three of them vote, the fourth observes.
 *
 * <p>All have the same configuration, with names in place of addresses. Each has its own idea of
 * what the names mean: its own name is its own address, any other name the address of a proxy. So
 * nobody is reached but through a proxy.
 *
 * <pre>java -cp "$ZK_JAVA_DRIVER:$ZK_APACHE_39/*" CaptureEnsemble
 * zk-client/proto/tests/golden</pre>
 */
public final class CaptureEnsemble implements AutoCloseable {
    private static final int MEMBERS = 4;
    private static final int OBSERVER = 4;
    private static final byte[] X = {'x'};

    private final Path scratch;
    private final Golden election;
    private final Golden quorum;
    private final List<MemberProxy> proxies = new ArrayList<>();
    private final MemberProxy.Tape electionTape = new MemberProxy.Tape(true);
    private final MemberProxy.Tape quorumTape = new MemberProxy.Tape(false);
    private final Map<Integer, ApacheServer> members = new HashMap<>();
    private final int[] clientPorts = new int[MEMBERS + 1];
    private final int electionPort = ApacheServer.freePort();
    private final int quorumPort = ApacheServer.freePort();
    private int leader = 2;

    private CaptureEnsemble(Path to, Path scratch) throws Exception {
        this.scratch = scratch;
        String source = "Apache ZooKeeper " + org.apache.zookeeper.Version.getVersion()
                + " by tests/java/CaptureEnsemble.java; <kind>:<from>:<to>";
        this.election = new Golden(to.resolve("election"), source);
        this.quorum = new Golden(to.resolve("quorum"), source);
        for (int from = 1; from <= MEMBERS; from++) {
            clientPorts[from] = ApacheServer.freePort();
            for (int peer = 1; peer <= MEMBERS; peer++) {
                if (from != peer) {
                    proxies.add(new MemberProxy(
                            from, peer, proxy(from, peer), home(peer), electionPort, electionTape));
                    proxies.add(new MemberProxy(
                            from, peer, proxy(from, peer), home(peer), quorumPort, quorumTape));
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path scratch = Files.createTempDirectory("zk-capture");
        try {
            run(Path.of(arguments[0]), scratch);
        } finally {
            try (var files = Files.walk(scratch)) {
                files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
            }
        }
        System.exit(0);
    }

    private static void run(Path to, Path scratch) throws Exception {
        try (CaptureEnsemble ensemble = new CaptureEnsemble(to, scratch)) {
            ensemble.fresh();
            ensemble.clients();
            ensemble.sessions();
            ensemble.observer();
            ensemble.diff();
            // Cut while the transaction to cut after is still in the log: a snapshot replaces it.
            ensemble.trunc();
            ensemble.snap();
            ensemble.leaderKilled();
            ensemble.reconfig();
        }
    }

    @Override
    public void close() throws Exception {
        for (ApacheServer member : members.values()) {
            member.kill();
        }
        for (MemberProxy proxy : proxies) {
            proxy.close();
        }
    }

    private void fresh() throws Exception {
        launch(1);
        members.get(1).await("not currently serving");
        launch(2);
        members.get(2).await("Mode: ");
        members.get(1).await("Mode: ");
        Thread.sleep(500);
        write("fresh", "members 1 and 2 of three start with empty directories: 2 leads, 1 follows");
        launch(3);
        members.get(3).await("Mode: follower");
        Thread.sleep(500);
        write("late", "member 3 starts and finds 2 leading");
    }

    private void clients() throws Exception {
        try (ZooKeeper zk = client(2)) {
            zk.create("/leader", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        try (ZooKeeper zk = client(1)) {
            zk.create("/follower", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            zk.setData("/follower", new byte[] {'y', 'z'}, 0);
            zk.create("/ephemeral", null, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            zk.addAuthInfo("digest", "bob:secret".getBytes());
            zk.create("/follower/digest", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL);
            zk.multi(List.of(Op.create("/m", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                    Op.delete("/m", -1)));
            Clients.fails(own -> own.delete("/absent", -1), zk);
            zk.sync("/follower", (rc, path, context) -> { }, null);
            zk.exists("/follower", false);
        }
        quiet();
        write("clients", "a session on the leader: create. One on follower 1: create, setData,\n"
                + "ephemeral, sequential with digest identity, multi, delete of an absent node,\n"
                + "sync. Both are closed");
    }

    private void sessions() throws Exception {
        ZooKeeper moved = client(1);
        ZooKeeper same = new ZooKeeper(connect(3), 30_000, event -> { },
                moved.getSessionId(), moved.getSessionPasswd());
        same.exists("/", false);
        long id = same.getSessionId();
        byte[] password = same.getSessionPasswd();
        same.close();
        try (RawClient late = new RawClient(clientPorts[1])) {
            late.handshake(0, id, password, true);
        }
        quiet();
        write("sessions", "a session moves from follower 1 to follower 3, is closed, and is asked\n"
                + "for once more at 1: no longer valid");
        moved.close();
    }

    private void observer() throws Exception {
        launch(OBSERVER);
        members.get(OBSERVER).await("Mode: observer");
        try (ZooKeeper zk = client(OBSERVER)) {
            zk.create("/observer", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        }
        quiet();
        write("observer", "the observer 4 starts; a session on it creates a node and is closed");
    }

    private void diff() throws Exception {
        members.get(1).close();
        writes("/diff");
        electionTape.take();
        quorumTape.take();
        launch(1);
        members.get(1).await("Mode: follower");
        quiet();
        write("diff", "follower 1 comes back and lacks a few transactions");
    }

    private void snap() throws Exception {
        members.get(1).kill();
        try (var files = Files.walk(data(1).resolve("version-2"))) {
            files.sorted(Comparator.reverseOrder()).forEach(file -> file.toFile().delete());
        }
        electionTape.take();
        quorumTape.take();
        launch(1);
        members.get(1).await("Mode: follower");
        quiet();
        write("snap", "follower 1 comes back with an empty directory");
    }

    private void trunc() throws Exception {
        members.get(1).close();
        long last = members.get(2).lastZxid();
        FileTxnLog log = new FileTxnLog(data(1).resolve("version-2").toFile());
        for (long zxid = last + 1; zxid <= last + 2; zxid++) {
            log.append(new org.apache.zookeeper.server.Request(0, 0, OpCode.setData,
                    new TxnHeader(1, 1, zxid, System.currentTimeMillis(), OpCode.setData),
                    new SetDataTxn("/follower", X, 99), zxid));
        }
        log.commit();
        log.close();
        electionTape.take();
        quorumTape.take();
        launch(1);
        members.get(1).await("Mode: follower");
        quiet();
        write("trunc", "follower 1 comes back with two transactions that the leader never saw");
    }

    private void leaderKilled() throws Exception {
        members.get(leader).kill();
        int before = leader;
        leader = anybody("Mode: leader", 1, 3);
        members.get(4 - leader).await("Mode: follower");
        members.get(OBSERVER).await("Mode: observer");
        quiet();
        write("leader_killed", "leader 2 is killed: " + leader + " leads, " + (4 - leader)
                + " follows, 4 observes");
        launch(before);
        members.get(before).await("Mode: follower");
        quiet();
        write("leader_returns", "2 comes back and follows " + leader);
    }

    private void reconfig() throws Exception {
        int follower = 4 - leader;
        try (ZooKeeperAdmin zk = admin(leader)) {
            zk.reconfigure(null, "" + follower, null, -1, new Stat());
            quiet();
            write("reconfig_leaving",
                    "a client of leader " + leader + " lets member " + follower + " go");
            zk.reconfigure(server(follower), null, null, -1, new Stat());
            quiet();
            write("reconfig_joining",
                    "a client of leader " + leader + " lets member " + follower + " in again");
        }
        try (ZooKeeperAdmin zk = admin(follower)) {
            zk.exists("/", false);
            Clients.fails(own -> zk.reconfigure(null, "" + leader, null, -1, new Stat()), zk);
            quiet();
            write("reconfig_leader", "a client of follower " + follower + " lets leader " + leader
                    + " go: it appoints another and breaks the connection");
        }
    }

    private ZooKeeperAdmin admin(int id) throws Exception {
        return new ZooKeeperAdmin(connect(id), 30_000, event -> { }, Clients.withoutSasl());
    }

    /** The first of some members that says it is in this mode. */
    private int anybody(String mode, int... ids) throws Exception {
        for (int tries = 0; tries < 300; tries++) {
            for (int id : ids) {
                if (members.get(id).word("srvr").contains(mode)) {
                    return id;
                }
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("nobody says " + mode);
    }

    private void writes(String prefix) throws Exception {
        try (ZooKeeper zk = client(2)) {
            for (int i = 0; i < 3; i++) {
                zk.create(prefix + i, X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            }
        }
    }

    /** Waits until what was set off has come to an end. */
    private static void quiet() throws InterruptedException {
        Thread.sleep(1500);
    }

    private void write(String name, String what) throws Exception {
        List<Golden.Line> said = electionTape.take();
        if (!said.isEmpty()) {
            election.write(name, what, said);
        }
        quorum.write(name, what, fewerPings(quorumTape.take()));
    }

    /** Keeps of the pings those that say something, and one of each other kind. */
    private static List<Golden.Line> fewerPings(List<Golden.Line> lines) {
        Set<String> seen = new HashSet<>();
        return lines.stream()
                .filter(line -> {
                    ByteBuffer packet = ByteBuffer.wrap(line.payload());
                    boolean isPing = !line.kind().startsWith("stream") && packet.getInt() == 5;
                    String side = line.kind().split(":")[0];
                    return !isPing || packet.getInt(12) > 0 || seen.add(side);
                })
                .toList();
    }

    private void launch(int id) throws Exception {
        List<String> config = new ArrayList<>(ApacheServer.common(dir(id)));
        config.replaceAll(line -> line.equals("tickTime=2000") ? "tickTime=500" : line);
        config.add("initLimit=20");
        config.add("syncLimit=10");
        config.add("reconfigEnabled=true");
        Path file = dir(id).resolve("zoo.cfg");
        boolean isFirst = !Files.exists(file);
        if (isFirst) {
            for (int member = 1; member <= MEMBERS; member++) {
                config.add(server(member));
            }
            Files.createDirectories(data(id));
            Files.writeString(data(id).resolve("myid"), id + "\n");
            Files.writeString(dir(id).resolve("hosts"), names(id));
        } else {
            // It was rewritten to point at the dynamic part.
            config = Files.readAllLines(file);
        }
        members.put(id, ApacheServer.launch(dir(id), clientPorts[id], config,
                "-Djdk.net.hosts.file=" + dir(id).resolve("hosts"), "-Dzookeeper.skipACL=yes",
                "-Djava.net.preferIPv4Stack=true"));
    }

    private String server(int id) {
        return "server." + id + "=zk" + id + ":" + quorumPort + ":" + electionPort
                + (id == OBSERVER ? ":observer" : ":participant") + ";127.0.0.1:" + clientPorts[id];
    }

    private static String names(int own) throws Exception {
        StringBuilder names = new StringBuilder("127.0.0.1 localhost\n");
        for (int id = 1; id <= MEMBERS; id++) {
            InetAddress address = id == own ? home(id) : proxy(own, id);
            names.append(address.getHostAddress()).append(" zk").append(id).append('\n');
        }
        return names.toString();
    }

    private static InetAddress home(int id) throws Exception {
        return InetAddress.getByName("127.0.0." + (10 + id));
    }

    private static InetAddress proxy(int from, int to) throws Exception {
        return InetAddress.getByName("127.0." + from + "." + (10 + to));
    }

    private ZooKeeper client(int id) throws Exception {
        return Clients.open(connect(id));
    }

    private String connect(int id) {
        return "127.0.0.1:" + clientPorts[id];
    }

    private Path dir(int id) {
        return scratch.resolve("member-" + id);
    }

    private Path data(int id) {
        return dir(id).resolve("data");
    }
}
