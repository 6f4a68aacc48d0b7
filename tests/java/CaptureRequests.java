import static org.apache.zookeeper.ZooDefs.Ids.CREATOR_ALL_ACL;
import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;
import static org.apache.zookeeper.ZooDefs.Ids.READ_ACL_UNSAFE;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;

/** What the Java client itself sends, operation by operation, and what the server answers. */
final class CaptureRequests {
    private static final byte[] X = {'x'};
    private static final Watcher QUIET = event -> {};

    private final Golden golden;
    private final ApacheServer server;
    private final RecordingProxy proxy;
    private final ZooKeeper client;

    private CaptureRequests(Golden golden, ApacheServer server, RecordingProxy proxy)
            throws Exception {
        this.golden = golden;
        this.server = server;
        this.proxy = proxy;
        this.client = Clients.open(proxy.connect());
    }

    static void run(Golden golden, ApacheServer server) throws Exception {
        try (RecordingProxy proxy = new RecordingProxy(server.port())) {
            CaptureRequests capture = new CaptureRequests(golden, server, proxy);
            capture.creates();
            capture.refusals();
            capture.reads();
            capture.writes();
            capture.multis();
            capture.watches();
            capture.others();
            capture.sessions();
            capture.client.close();
        }
    }

    private void creates() throws Exception {
        one("create", "create \"/a\", data \"x\", acl world:anyone:31, flags 0 -> path",
                zk -> zk.create("/a", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        one("create2", "create2 \"/b\", data \"x\", acl world:anyone:31, flags 0 -> path, stat",
                zk -> zk.create("/b", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, new Stat()));
        one("create_null_data", "create \"/null\" with null data",
                zk -> zk.create("/null", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        one("create_empty_data", "create \"/empty\" with data of length 0",
                zk -> zk.create("/empty", new byte[0], OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        one("create_ephemeral", "create \"/e\", flags 1",
                zk -> zk.create("/e", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        one("create_sequential", "create \"/a/s-\", flags 2 -> path with the number",
                zk -> zk.create("/a/s-", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
        one("create_ephemeral_sequential", "create \"/a/s-\", flags 3 -> path with the number",
                zk -> zk.create("/a/s-", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
        one("create_container", "createContainer \"/c\", flags 4",
                zk -> zk.create("/c", X, OPEN_ACL_UNSAFE, CreateMode.CONTAINER));
        one("create_ttl", "createTTL \"/t\", flags 5, ttl 300000",
                zk
                -> zk.create("/t", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(),
                        300_000));
        one("create_ttl_sequential",
                "createTTL \"/a/t-\", flags 6, ttl 1099511627775 (the greatest)",
                zk
                -> zk.create("/a/t-", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL_WITH_TTL,
                        new Stat(), (1L << 40) - 1));
        one("create_unicode",
                "create \"/\u00fc\u4e16\", data is the UTF-8 of the same two characters",
                zk -> zk.create("/\u00fc\u4e16", "\u00fc\u4e16".getBytes(StandardCharsets.UTF_8),
                        OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        one("create_two_acls",
                "create \"/acls\" with acl world:anyone:1 and "
                + "digest:u:Wg+Zr3JyiNjXlIBLAdF2hPxCxTc=:31",
                zk -> zk.create("/acls", X, twoAcls(), CreateMode.PERSISTENT));
    }

    private void refusals() throws Exception {
        error("create_node_exists", "create \"/a\", which exists -> -110",
                zk -> zk.create("/a", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        error("create_no_parent", "create \"/no/child\" -> -101",
                zk -> zk.create("/no/child", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        error("create_under_ephemeral", "create \"/e/child\" -> -108",
                zk -> zk.create("/e/child", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        error("create_invalid_acl", "create \"/bad\" with an acl of an unknown scheme -> -114",
                zk -> zk.create("/bad", X, Arrays.asList(new ACL(31, new Id("nobody", "knows"))),
                        CreateMode.PERSISTENT));
        error("delete_not_empty", "delete \"/a\", which has children -> -111",
                zk -> zk.delete("/a", -1));
        error("delete_bad_version", "delete \"/b\" at version 9 -> -103", zk -> zk.delete("/b", 9));
        error("delete_no_node", "delete \"/no\" -> -101", zk -> zk.delete("/no", -1));
        error("set_data_bad_version", "setData \"/b\" at version 9 -> -103",
                zk -> zk.setData("/b", X, 9));
        error("set_data_no_auth", "setData \"/acls\" by somebody who may only read it -> -102",
                zk -> zk.setData("/acls", X, -1));
        error("get_data_no_node", "getData \"/no\" -> -101", zk -> zk.getData("/no", false, null));
    }

    private void reads() throws Exception {
        one("exists", "exists \"/a\", no watch -> stat", zk -> zk.exists("/a", false));
        one("exists_miss", "exists \"/no\", no watch -> -101", zk -> zk.exists("/no", false));
        one("get_data", "getData \"/a\", no watch -> data \"x\", stat",
                zk -> zk.getData("/a", false, new Stat()));
        one("get_data_null", "getData \"/null\" -> null, stat",
                zk -> zk.getData("/null", false, new Stat()));
        one("get_data_empty", "getData \"/empty\" -> data of length 0, stat",
                zk -> zk.getData("/empty", false, new Stat()));
        one("get_data_ephemeral", "getData \"/e\" -> a stat with an ephemeral owner",
                zk -> zk.getData("/e", false, new Stat()));
        one("get_children", "getChildren \"/a\" -> three names, in no order",
                zk -> zk.getChildren("/a", false));
        one("get_children_none", "getChildren \"/b\" -> no names",
                zk -> zk.getChildren("/b", false));
        one("get_children2", "getChildren2 \"/a\" -> three names, stat",
                zk -> zk.getChildren("/a", false, new Stat()));
        one("get_acl", "getACL \"/a\" -> world:anyone:31, stat", zk -> zk.getACL("/a", new Stat()));
        one("get_acl_digest", "getACL \"/acls\" -> two entries, the second with its hash hidden",
                zk -> zk.getACL("/acls", new Stat()));
        one("get_config", "getConfig: getData \"/zookeeper/config\" of a standalone server",
                zk -> zk.getConfig(false, new Stat()));
        one("get_ephemerals", "getEphemerals \"/\" -> the two of this session",
                zk -> zk.getEphemerals());
        one("get_ephemerals_prefix", "getEphemerals \"/a\" -> one", zk -> zk.getEphemerals("/a"));
        one("get_all_children_number", "getAllChildrenNumber \"/a\" -> 3",
                zk -> zk.getAllChildrenNumber("/a"));
        one("whoami", "whoAmI without authentication -> ip:127.0.0.1", ZooKeeper::whoAmI);
    }

    private void writes() throws Exception {
        one("set_data", "setData \"/b\", data \"yy\", version 0 -> stat",
                zk -> zk.setData("/b", new byte[] {'y', 'y'}, 0));
        one("set_data_any_version", "setData \"/b\", null, version -1 -> stat",
                zk -> zk.setData("/b", null, -1));
        one("set_acl", "setACL \"/b\", world:anyone:1, version 0 -> stat with aversion 1",
                zk -> zk.setACL("/b", READ_ACL_UNSAFE, 0));
        one("delete", "delete \"/b\", version 2 -> nothing", zk -> zk.delete("/b", 2));
        one("sync", "sync \"/a\" -> path",
                zk -> await(done -> zk.sync("/a", (code, path, context) -> done.run(), null)));
    }

    private void multis() throws Exception {
        one("multi_ok",
                "multi: create \"/m\", create \"/m/2\", createContainer \"/m/c\", createTTL "
                + "\"/m/t\" with ttl 1000000,\n"
                        + "setData \"/m\" \"z\" version 0, check \"/m\" version 1, delete \"/m/2\" "
                          + "version 0",
                zk -> zk.multi(List.of(Op.create("/m", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                        Op.create("/m/2", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                        Op.create("/m/c", X, OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                        Op.create("/m/t", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL,
                                1_000_000),
                        Op.setData("/m", new byte[] {'z'}, 0), Op.check("/m", 1),
                        Op.delete("/m/2", 0))));
        error("multi_failed",
                "multi: create \"/m/ok\", check \"/m\" at version 9, delete \"/m/ok\"\n"
                        + "-> reply error 0, results 0, -103, -2",
                zk
                -> zk.multi(List.of(Op.create("/m/ok", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                        Op.check("/m", 9), Op.delete("/m/ok", -1))));
        one("multi_read", "multiRead: getData \"/m\", getChildren \"/m\", getData \"/null\"",
                zk
                -> zk.multi(List.of(Op.getData("/m"), Op.getChildren("/m"), Op.getData("/null"))));
        one("multi_read_partial",
                "multiRead: getData \"/m\", getData \"/no\", getChildren \"/no\", getChildren "
                + "\"/m\"\n"
                        + "-> reply error 0, the second and third result are errors -101",
                zk -> zk.multi(List.of(Op.getData("/m"), Op.getData("/no"), Op.getChildren("/no"),
                        Op.getChildren("/m"))));
    }

    private void watches() throws Exception {
        one("notification_created",
                "exists \"/w\" with a watch, then create \"/w\" -> NodeCreated before the create's "
                + "reply",
                zk -> {
                    zk.exists("/w", QUIET);
                    zk.create("/w", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                });
        one("notification_data_changed",
                "getData \"/w\" with a watch, then setData -> NodeDataChanged", zk -> {
                    zk.getData("/w", QUIET, null);
                    zk.setData("/w", X, -1);
                });
        one("notification_children_changed",
                "getChildren2 \"/w\" with a watch, then create \"/w/1\" -> NodeChildrenChanged",
                zk -> {
                    zk.getChildren("/w", QUIET, new Stat());
                    zk.create("/w/1", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                });
        one("notification_deleted",
                "getChildren and getData \"/w/1\" with watches, then delete -> one NodeDeleted",
                zk -> {
                    zk.getChildren("/w/1", QUIET);
                    zk.getData("/w/1", QUIET, null);
                    zk.delete("/w/1", -1);
                });
        one("add_watch_persistent",
                "addWatch \"/w\" mode 0, then setData twice, create and delete \"/w/1\"\n"
                        + "-> NodeDataChanged twice, NodeChildrenChanged twice",
                zk -> {
                    zk.addWatch("/w", QUIET, AddWatchMode.PERSISTENT);
                    zk.setData("/w", X, -1);
                    zk.setData("/w", X, -1);
                    zk.create("/w/1", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                    zk.delete("/w/1", -1);
                });
        one("check_watches",
                "removeWatches \"/w\" of one watcher of two: the Java client sends checkWatches, "
                + "type 4",
                zk -> {
                    Watcher second = event -> {};
                    zk.addWatch("/w", second, AddWatchMode.PERSISTENT);
                    proxy.take();
                    zk.removeWatches("/w", second, Watcher.WatcherType.Persistent, false);
                });
        one("remove_watches", "removeAllWatches \"/w\" -> removeWatches, type 4",
                zk -> zk.removeAllWatches("/w", Watcher.WatcherType.Persistent, false));
        one("add_watch_recursive",
                "addWatch \"/w\" mode 1, then create, set and delete \"/w/1\"\n"
                        + "-> NodeCreated, NodeDataChanged, NodeDeleted of \"/w/1\"",
                zk -> {
                    zk.addWatch("/w", QUIET, AddWatchMode.PERSISTENT_RECURSIVE);
                    zk.create("/w/1", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                    zk.setData("/w/1", X, -1);
                    zk.delete("/w/1", -1);
                });
        one("remove_watches_any", "removeAllWatches \"/w\" -> removeWatches, type 3",
                zk -> zk.removeAllWatches("/w", Watcher.WatcherType.Any, false));
    }

    private void others() throws Exception {
        try (RecordingProxy own = new RecordingProxy(server.port());
                ZooKeeperAdmin admin =
                        new ZooKeeperAdmin(own.connect(), 30_000, QUIET, Clients.withoutSasl())) {
            admin.getConfig(false, null);
            own.take();
            Clients.fails(zk -> admin.reconfigure("server.2=127.0.0.1:1:2;3", null, null, -1, null),
                    admin);
            golden.write("reconfig_disabled", "reconfig on a server that does not allow it -> -123",
                    own.take());
        }
        fresh("auth_ok",
                "auth digest \"u:p\", then whoAmI -> ip:127.0.0.1 and digest:u, then create "
                + "\"/mine\" with acl auth::31",
                (zk, own) -> {
                    own.take();
                    zk.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
                    zk.whoAmI();
                    zk.create("/mine", X, CREATOR_ALL_ACL, CreateMode.PERSISTENT);
                });
        fresh("get_acl_auth",
                "auth digest \"u:p\", then getACL \"/mine\", where \"auth\" has become the digest "
                + "identity",
                (zk, own) -> {
                    zk.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
                    zk.whoAmI();
                    own.take();
                    zk.getACL("/mine", new Stat());
                });
    }

    private void sessions() throws Exception {
        fresh("connect", "a new session asked for with timeout 30000 and the read-only byte 0",
                (zk, own) -> {});
        fresh("connect_can_be_read_only", "a new session with the read-only byte 1", true,
                (zk, own) -> {});
        fresh("set_watches_java",
                "what the Java client sends when it comes back after a loss: the session resumed,\n"
                        + "then setWatches2 with the five lists, under an ordinary xid",
                (zk, own) -> {
                    zk.getData("/w", QUIET, null);
                    zk.exists("/missing", QUIET);
                    zk.getChildren("/a", QUIET);
                    zk.addWatch("/m", QUIET, AddWatchMode.PERSISTENT);
                    zk.addWatch("/c", QUIET, AddWatchMode.PERSISTENT_RECURSIVE);
                    own.take();
                    own.cut();
                    again(zk);
                });
        fresh("set_watches_java_plain",
                "the same without persistent watches: setWatches with three lists", (zk, own) -> {
                    zk.getData("/w", QUIET, null);
                    zk.exists("/missing", QUIET);
                    zk.getChildren("/a", QUIET);
                    own.take();
                    own.cut();
                    again(zk);
                });
        fresh("close_session",
                "closeSession of a session that owns the ephemeral \"/closing\" and watches it\n"
                        + "-> NodeDeleted, then the reply",
                (zk, own) -> {
                    zk.create("/closing", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
                    zk.exists("/closing", QUIET);
                    own.take();
                    zk.close();
                });
    }

    /** Uses the client until its connection is back. */
    private static void again(ZooKeeper zk) throws Exception {
        for (int attempt = 0; attempt < 100; attempt++) {
            try {
                zk.exists("/", false);
                return;
            } catch (org.apache.zookeeper.KeeperException.ConnectionLossException lost) {
                Thread.sleep(50);
            }
        }
        throw new IllegalStateException("the client did not come back");
    }

    private static List<ACL> twoAcls() {
        return Arrays.asList(new ACL(ZooDefs.Perms.READ, new Id("world", "anyone")),
                new ACL(ZooDefs.Perms.ALL, new Id("digest", "u:Wg+Zr3JyiNjXlIBLAdF2hPxCxTc=")));
    }

    private interface Asynchronous {
        void start(Runnable done);
    }

    private static void await(Asynchronous work) throws InterruptedException {
        java.util.concurrent.CountDownLatch latch = new java.util.concurrent.CountDownLatch(1);
        work.start(latch::countDown);
        latch.await();
    }

    private void one(String name, String what, Clients.Action action) throws Exception {
        proxy.take();
        action.run(client);
        golden.write(name, what, proxy.take());
    }

    private void error(String name, String what, Clients.Action action) throws Exception {
        proxy.take();
        Clients.fails(action, client);
        golden.write(name, what, proxy.take());
    }

    /** Something done with a client of its own behind a proxy of its own. */
    private interface FreshAction {
        void run(ZooKeeper client, RecordingProxy own) throws Exception;
    }

    private void fresh(String name, String what, FreshAction action) throws Exception {
        fresh(name, what, false, action);
    }

    private void fresh(String name, String what, boolean readOnly, FreshAction action)
            throws Exception {
        try (RecordingProxy own = new RecordingProxy(server.port())) {
            ZooKeeper zk = Clients.open(own.connect(), readOnly, Clients.withoutSasl());
            action.run(zk, own);
            golden.write(name, what, own.take());
            zk.close();
        }
    }
}
