import static org.apache.zookeeper.ZooDefs.Ids.CREATOR_ALL_ACL;
import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZKUtil;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/**
 * Runs every operation of the Java client once, in a fixed order, and prints one line for each.
 * What it prints against one server can be compared, line by line, with what it prints against
 * another.
 *
 * <pre>java -cp "$ZK_JAVA_DRIVER:$ZK_APACHE_39/*" Driver 127.0.0.1:2181</pre>
 *
 * The server must have {@code tickTime=2000}, {@code extendedTypesEnabled=true}, and nobody else
 * may write to it meanwhile. It runs about ten seconds, because it waits for one session to expire,
 * and leaves nothing behind.
 */
public final class Driver {
    private static final byte[] X = {'x'};
    private static final int TIMEOUT_MS = 20_000;
    private static final int CLOSE_LIMIT_MS = 10_000;

    private final Report report = new Report();
    private final String connect;
    private final Clients.Mortal one;
    private final Clients.Mortal two;

    private Driver(String connect) throws Exception {
        this.connect = connect;
        try (ZooKeeper before = Clients.open(connect)) {
            if (before.exists("/driver", false) != null) {
                ZKUtil.deleteRecursive(before, "/driver");
            }
        }
        one = client("one", TIMEOUT_MS);
        two = client("two", TIMEOUT_MS);
    }

    public static void main(String[] arguments) throws Exception {
        Driver driver = new Driver(arguments[0]);
        driver.creates();
        driver.reads();
        driver.changes();
        driver.acls();
        driver.multis();
        new DriverWatches(driver.report, driver.one, driver.two).run();
        driver.quota();
        driver.others();
        driver.deletes();
        driver.report.line("close one", () -> close(driver.report, "one", driver.one));
        driver.report.line("close two", () -> close(driver.report, "two", driver.two));
        new DriverSessions(arguments[0], driver.report).run();
        System.exit(0);
    }

    private Clients.Mortal client(String name, int timeoutMs) throws Exception {
        Clients.Mortal client = new Clients.Mortal(connect, timeoutMs, report.watcher(name), false);
        report.await(name, "None SyncConnected");
        report.follow(client);
        return client;
    }

    private void creates() throws Exception {
        Stat first = new Stat();
        one.create("/driver", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, first);
        report.startAt(first.getCzxid());
        report.line("connect",
                () -> new Report.Results(one.getState(), one.getSessionTimeout(),
                                one.getSessionPasswd().length));
        for (CreateMode mode : CreateMode.values()) {
            String name = "/driver/" + mode.name().toLowerCase() + "-";
            if (!mode.isTTL()) {
                report.line("create " + mode, () -> one.create(name, X, OPEN_ACL_UNSAFE, mode));
            }
            long ttl = mode.isTTL() ? 3_600_000 : -1;
            report.line("create with stat " + mode, () -> {
                Stat stat = new Stat();
                String path = one.create(name + "2", X, OPEN_ACL_UNSAFE, mode, stat, ttl);
                return new Report.Results(path, stat);
            });
        }
        report.line("create null data",
                () -> one.create("/driver/null", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("create empty data",
                () -> one.create("/driver/empty", new byte[0], OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        report.line("create non-ASCII",
                () -> one.create("/driver/\u00fc\u4e16",
                                "\u00fc\u4e16".getBytes(StandardCharsets.UTF_8), OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        report.line("create a million bytes",
                () -> one.create("/driver/big", new byte[1_000_000], OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        report.line("create, node exists",
                () -> one.create("/driver/null", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("create, no parent",
                () -> one.create("/driver/no/child", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("create under ephemeral",
                () -> one.create("/driver/ephemeral-/child", X, OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        report.line("create, unknown acl scheme",
                () -> one.create("/driver/bad", X,
                                Arrays.asList(new ACL(Perms.ALL, new Id("nobody", "x"))),
                                CreateMode.PERSISTENT));
        report.line("create, auth acl without auth",
                () -> one.create("/driver/bad", X, CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        report.line("create, ttl of 0",
                () -> one.create("/driver/bad", X, OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT_WITH_TTL, new Stat(), 0));
        report.line("create, bad path",
                () -> one.create("/driver//bad", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("create /", () -> one.create("/", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("create sequential below a parent",
                () -> one.create("/driver/null/", X, OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT_SEQUENTIAL));
    }

    private void reads() throws Exception {
        for (String name : List.of("null", "empty", "\u00fc\u4e16", "big", "ephemeral-",
                     "container-", "persistent_with_ttl-2", "no")) {
            String path = "/driver/" + name;
            report.line("exists " + path, () -> one.exists(path, false));
            report.line("getData " + path, () -> {
                Stat stat = new Stat();
                byte[] data = one.getData(path, false, stat);
                return new Report.Results(data, stat);
            });
        }
        report.line("getChildren", () -> sorted(one.getChildren("/driver", false)));
        report.line("getChildren with stat", () -> {
            Stat stat = new Stat();
            List<String> children = one.getChildren("/driver", false, stat);
            return new Report.Results(sorted(children), stat);
        });
        report.line("getChildren, no node", () -> one.getChildren("/driver/no", false));
        report.line("getAllChildrenNumber", () -> one.getAllChildrenNumber("/driver"));
        report.line("getEphemerals", () -> sorted(one.getEphemerals()));
        report.line(
                "getEphemerals by prefix", () -> sorted(one.getEphemerals("/driver/ephemeral_")));
        report.line("getEphemerals of the other client", two::getEphemerals);
        report.line("listSubTreeBFS", () -> sorted(ZKUtil.listSubTreeBFS(one, "/driver")));
        report.line("sync", () -> {
            java.util.concurrent.CompletableFuture<String> synced =
                    new java.util.concurrent.CompletableFuture<>();
            two.sync("/driver", (code, path, context) -> synced.complete(code + " " + path), null);
            return synced.get();
        });
    }

    private void changes() throws Exception {
        report.line("setData",
                () -> one.setData("/driver/null", "one".getBytes(StandardCharsets.UTF_8), 0));
        report.line("setData, any version", () -> one.setData("/driver/null", null, -1));
        report.line("setData, bad version", () -> one.setData("/driver/null", X, 0));
        report.line("setData, no node", () -> one.setData("/driver/no", X, -1));
        report.line("delete, bad version", () -> nothing(() -> one.delete("/driver/empty", 3)));
        report.line("delete, not empty", () -> nothing(() -> one.delete("/driver/null", -1)));
        report.line("delete, no node", () -> nothing(() -> one.delete("/driver/no", -1)));
        report.line("delete", () -> nothing(() -> one.delete("/driver/empty", 0)));
        report.line("delete /", () -> nothing(() -> one.delete("/", -1)));
        report.line("the parent afterwards", () -> one.exists("/driver", false));
    }

    private void acls() throws Exception {
        report.line("whoAmI",
                () -> one.whoAmI()
                                .stream()
                                .map(info -> info.getAuthScheme() + ":" + info.getUser())
                                .sorted()
                                .toList());
        one.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
        report.line("whoAmI with digest",
                () -> one.whoAmI()
                                .stream()
                                .map(info -> info.getAuthScheme() + ":" + info.getUser())
                                .sorted()
                                .toList());
        report.line("create, auth acl",
                () -> one.create("/driver/mine", X, CREATOR_ALL_ACL, CreateMode.PERSISTENT));
        report.line("getACL", () -> acl(one, "/driver/mine"));
        report.line("getData, not allowed", () -> two.getData("/driver/mine", false, null));
        report.line("getChildren, not allowed", () -> two.getChildren("/driver/mine", false));
        report.line("getACL, not allowed", () -> acl(two, "/driver/mine"));
        report.line("exists, not allowed", () -> two.exists("/driver/mine", false));
        report.line("setData, not allowed", () -> two.setData("/driver/mine", X, -1));
        report.line("create, not allowed",
                () -> two.create("/driver/mine/x", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("setACL, not allowed", () -> two.setACL("/driver/mine", OPEN_ACL_UNSAFE, -1));
        report.line(
                "multi, not allowed", () -> two.multi(List.of(Op.setData("/driver/mine", X, -1))));
        report.line("setACL",
                () -> one.setACL("/driver/mine",
                                Arrays.asList(new ACL(Perms.READ, new Id("world", "anyone")),
                                        new ACL(Perms.ALL, new Id("auth", "")),
                                        new ACL(Perms.WRITE, new Id("ip", "127.0.0.0/8"))),
                                0));
        report.line("getACL of three", () -> acl(one, "/driver/mine"));
        report.line("getACL without ADMIN", () -> acl(two, "/driver/mine"));
        report.line("setData, allowed by ip", () -> two.setData("/driver/mine", X, 0));
        report.line("setACL, bad version", () -> one.setACL("/driver/mine", OPEN_ACL_UNSAFE, 0));
        report.line("setACL, no node", () -> one.setACL("/driver/no", OPEN_ACL_UNSAFE, -1));
        report.line("setACL, read only",
                () -> one.setACL("/driver/null",
                                Arrays.asList(new ACL(Perms.READ, new Id("world", "anyone")),
                                        new ACL(Perms.ADMIN, new Id("auth", ""))),
                                -1));
        report.line("create below a read-only parent",
                () -> one.create("/driver/null/x", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        report.line("delete below a read-only parent",
                () -> nothing(() -> one.delete("/driver/null/0000000000", -1)));
    }

    private void multis() throws Exception {
        report.line("multi",
                () -> one.multi(List.of(
                                Op.create("/driver/m", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                                Op.create("/driver/m/e", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
                                Op.create("/driver/m/s-", X, OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT_SEQUENTIAL),
                                Op.create("/driver/m/s-", X, OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT_SEQUENTIAL),
                                Op.create("/driver/m/c", X, OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                                Op.create("/driver/m/t", X, OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT_WITH_TTL, 3_600_000),
                                Op.setData("/driver/m", null, 0), Op.check("/driver/m", 1),
                                Op.delete("/driver/m/e", 0))));
        report.line("multi, failing",
                () -> one.multi(List.of(Op.create("/driver/m/ok", X, OPEN_ACL_UNSAFE,
                                                     CreateMode.PERSISTENT),
                                Op.check("/driver/m", 9), Op.delete("/driver/m/ok", -1))));
        report.line("multi, failing first",
                () -> one.multi(List.of(
                                Op.delete("/driver/no", -1), Op.setData("/driver/m", X, -1))));
        report.line("multi of none", () -> one.multi(List.of()));
        report.line("transaction",
                () -> one.transaction()
                                .create("/driver/tx", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT)
                                .setData("/driver/tx", null, 0)
                                .check("/driver/tx", 1)
                                .delete("/driver/tx", 1)
                                .commit());
        report.line("multi read",
                () -> two.multi(List.of(Op.getData("/driver/m"), Op.getChildren("/driver/m"))));
        report.line("multi read, partly missing",
                () -> two.multi(List.of(Op.getData("/driver/no"), Op.getData("/driver/m/t"),
                                Op.getChildren("/driver/no"))));
        report.line("the node afterwards", () -> two.exists("/driver/m", false));
    }

    private void quota() throws Exception {
        one.create("/driver/q", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        org.apache.zookeeper.StatsTrack limits = new org.apache.zookeeper.StatsTrack();
        limits.setCount(10);
        limits.setBytes(100);
        report.line("set a quota",
                () -> org.apache.zookeeper.cli.SetQuotaCommand.createQuota(
                                one, "/driver/q", limits));
        one.create("/driver/q/a", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        one.setData("/driver/q", new byte[7], -1);
        report.line("its limits",
                () -> one.getData("/zookeeper/quota/driver/q/zookeeper_limits", false, null));
        report.line("its count",
                () -> one.getData("/zookeeper/quota/driver/q/zookeeper_stats", false, null));
        one.delete("/driver/q/a", -1);
        report.line("its count afterwards",
                () -> one.getData("/zookeeper/quota/driver/q/zookeeper_stats", false, null));
        report.line("delete the quota",
                () -> org.apache.zookeeper.cli.DelQuotaCommand.delQuota(one, "/driver/q", null));
    }

    private void others() throws Exception {
        report.line("getConfig", () -> one.getConfig(false, new Stat()));
        try (org.apache.zookeeper.admin.ZooKeeperAdmin admin =
                        new org.apache.zookeeper.admin.ZooKeeperAdmin(
                                connect, TIMEOUT_MS, event -> {}, Clients.withoutSasl())) {
            report.line("reconfigure",
                    () -> admin.reconfigure("server.2=127.0.0.1:1:2;3", null, null, -1, null));
        }
        try (ZooKeeper inside = Clients.open(connect + "/driver/m")) {
            report.line("create in a chroot",
                    () -> inside.create("/inside", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
            report.line("getChildren in a chroot", () -> sorted(inside.getChildren("/", false)));
            report.line("multi in a chroot",
                    () -> inside.multi(List.of(
                                    Op.setData("/inside", null, -1), Op.delete("/inside", -1))));
            report.line("getConfig in a chroot", () -> inside.getConfig(false, new Stat()));
        }
        try (ZooKeeper lost = Clients.open(connect + "/driver/nowhere")) {
            report.line("create in a missing chroot",
                    () -> lost.create("/x", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        }
        report.line("updateServerList", () -> nothing(() -> two.updateServerList(connect)));
        Clients.Mortal refused =
                new Clients.Mortal(connect, TIMEOUT_MS, report.watcher("refused"), false);
        report.await("refused", "None SyncConnected");
        refused.addAuthInfo("nobody", X);
        report.await("refused", "None AuthFailed");
        report.line("addAuthInfo, unknown scheme", refused::getState);
        report.line("exists after that", () -> refused.exists("/driver", false));
        // Left alone, its session would expire some time later and shift the zxids of whatever runs
        // then.
        Clients.Mortal heir = new Clients.Mortal(connect, TIMEOUT_MS, report.watcher("heir"),
                refused.getSessionId(), refused.getSessionPasswd());
        report.await("heir", "None SyncConnected");
        report.line("close its session", () -> close(report, "heir", heir));
    }

    private void deletes() throws Exception {
        report.line(
                "deleteRecursive", () -> nothing(() -> ZKUtil.deleteRecursive(one, "/driver/m")));
        report.line("setACL back", () -> one.setACL("/driver/null", OPEN_ACL_UNSAFE, 1));
        report.line("deleteRecursive of the rest",
                () -> nothing(() -> ZKUtil.deleteRecursive(one, "/driver")));
        report.line("exists afterwards", () -> one.exists("/driver", false));
    }

    /** Something without a result. */
    interface Deed {
        void run() throws Exception;
    }

    static Object nothing(Deed deed) throws Exception {
        deed.run();
        return "ok";
    }

    /** Closes a client and waits until every watcher has heard of it. */
    static Object close(Report report, String name, ZooKeeper client) throws Exception {
        report.forget(client);
        if (!client.close(CLOSE_LIMIT_MS)) {
            throw new IllegalStateException(name + " does not end");
        }
        return client.getState();
    }

    static List<String> sorted(List<String> names) {
        List<String> sorted = new ArrayList<>(names);
        sorted.sort(null);
        return sorted;
    }

    private static Report.Results acl(ZooKeeper client, String path) throws Exception {
        Stat stat = new Stat();
        List<ACL> acl = client.getACL(path, stat);
        return new Report.Results(acl, stat);
    }
}
