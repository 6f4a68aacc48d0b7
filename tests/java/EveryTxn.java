import static org.apache.zookeeper.ZooDefs.Ids.CREATOR_ALL_ACL;
import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.StatsTrack;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.cli.SetQuotaCommand;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.MultiHeader;

/** A fixed list of deeds that together make a server write every kind of transaction. */
final class EveryTxn {
    private static final byte[] X = {'x'};

    private EveryTxn() {}

    /** One deed, and what the transactions it causes are called. */
    interface Step {
        void take(String name, String what, Deed deed) throws Exception;
    }

    /** Something done, by whatever client. */
    interface Deed {
        void run() throws Exception;
    }

    /**
     * Gives the client back with its session open: it owns {@code /kinds/e} and {@code
     * /kinds/q-...}.
     */
    static ZooKeeper run(ApacheServer server, Step step) throws Exception {
        ZooKeeper[] opened = new ZooKeeper[2];
        step.take("create_session", "createSession with timeout 30000",
                () -> opened[0] = Clients.open(server.connect()));
        ZooKeeper zk = opened[0];
        zk.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
        zk.create("/kinds", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        creates(zk, step);
        changes(zk, step);
        multis(zk, step, server);
        step.take("error", "delete of a node that is not there: the error -101, no digest",
                () -> Clients.fails(own -> own.delete("/no", -1), zk));

        opened[1] = Clients.open(server.connect());
        step.take("close_session_without_paths", "closeSession of a session without ephemerals",
                opened[1] ::close);
        opened[1] = Clients.open(server.connect());
        opened[1].create("/kinds/gone-1", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        opened[1].create("/kinds/gone-2", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        step.take("close_session",
                "closeSession of a session that owns \"/kinds/gone-1\" and \"/kinds/gone-2\"",
                opened[1] ::close);
        return zk;
    }

    private static void creates(ZooKeeper zk, Step step) throws Exception {
        step.take("create", "create \"/kinds/a\", data \"x\", acl world:anyone:31",
                () -> zk.create("/kinds/a", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step.take("create_null_data", "create \"/kinds/null\" with null data",
                () -> zk.create("/kinds/null", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step.take("create_empty_data", "create \"/kinds/empty\" with data of length 0",
                () -> zk.create("/kinds/empty", new byte[0], OPEN_ACL_UNSAFE,
                                CreateMode.PERSISTENT));
        step.take("create_unicode", "create \"/kinds/\u00fc\u4e16\"",
                () -> zk.create("/kinds/\u00fc\u4e16", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        step.take("create_ephemeral", "create \"/kinds/e\", ephemeral",
                () -> zk.create("/kinds/e", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL));
        step.take("create_sequential", "create \"/kinds/s-\", sequential",
                () -> zk.create("/kinds/s-", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL));
        step.take("create_ephemeral_sequential", "create \"/kinds/q-\", ephemeral and sequential",
                () -> zk.create("/kinds/q-", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL));
        step.take("create2", "create2 \"/kinds/a2\"",
                () -> zk.create("/kinds/a2", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT,
                                new Stat()));
        step.take("create_container", "createContainer \"/kinds/c\"",
                () -> zk.create("/kinds/c", X, OPEN_ACL_UNSAFE, CreateMode.CONTAINER));
        step.take("create_ttl", "createTTL \"/kinds/t\", ttl 3600000 ms",
                () -> zk.create("/kinds/t", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL,
                                new Stat(), 3_600_000));
        step.take("create_auth_acl",
                "create \"/kinds/mine\" with acl auth::31, which is digest u in the transaction",
                () -> zk.create("/kinds/mine", X, CREATOR_ALL_ACL, CreateMode.PERSISTENT));
    }

    private static void changes(ZooKeeper zk, Step step) throws Exception {
        step.take("set_data", "setData \"/kinds/a\", data \"yy\" -> version 1",
                () -> zk.setData("/kinds/a", new byte[] {'y', 'y'}, 0));
        step.take("set_data_null", "setData \"/kinds/a2\", null",
                () -> zk.setData("/kinds/a2", null, -1));
        step.take("set_acl", "setACL \"/kinds/a2\", acl auth::31 -> aversion 1",
                () -> zk.setACL("/kinds/a2", CREATOR_ALL_ACL, 0));
        zk.create("/kinds/d", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        step.take("delete", "delete \"/kinds/d\"", () -> zk.delete("/kinds/d", 0));
        zk.create("/kinds/brief", X, OPEN_ACL_UNSAFE, CreateMode.CONTAINER);
        zk.create("/kinds/brief/child", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.delete("/kinds/brief/child", -1);
        step.take("delete_container", "deleteContainer \"/kinds/brief\", issued by the server",
                () -> gone(zk, "/kinds/brief"));
        zk.create(
                "/kinds/short", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_WITH_TTL, new Stat(), 1);
        step.take("delete_ttl",
                "deleteContainer \"/kinds/short\", whose ttl of 1 ms is over, issued by the server",
                () -> gone(zk, "/kinds/short"));
        StatsTrack limits = new StatsTrack();
        limits.setCount(1000);
        limits.setByteHardLimit(100_000);
        SetQuotaCommand.createQuota(zk, "/kinds", limits);
    }

    private static void multis(ZooKeeper zk, Step step, ApacheServer server) throws Exception {
        step.take("multi_ok",
                "multi: create, createContainer, createTTL with ttl 3600000, setData, check at "
                + "version 1, delete",
                () -> zk.multi(List.of(
                                Op.create("/kinds/m", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
                                Op.create("/kinds/m/c", X, OPEN_ACL_UNSAFE, CreateMode.CONTAINER),
                                Op.create("/kinds/m/t", X, OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT_WITH_TTL, 3_600_000),
                                Op.setData("/kinds/m", new byte[] {'z'}, 0),
                                Op.check("/kinds/m", 1), Op.delete("/kinds/s-0000000005", -1))));
        step.take("multi_failed",
                "multi: create, check at version 9, delete: the second fails with -103",
                () -> Clients.fails(own
                                -> own.multi(List.of(Op.create("/kinds/m/ok", X, OPEN_ACL_UNSAFE,
                                                             CreateMode.PERSISTENT),
                                        Op.check("/kinds/m", 9), Op.delete("/kinds/m/ok", -1))),
                                zk));
        try (RawClient raw = RawClient.connected(server.port())) {
            step.take("multi_empty", "multi of nothing", () -> raw.call(1, end(1)));
            step.take("multi_create2", "multi: create2 \"/kinds/m/2\"",
                    () -> raw.call(2, create2(2)));
            raw.call(3, OpCode.closeSession, null);
        }
    }

    private static void gone(ZooKeeper zk, String path) throws Exception {
        while (zk.exists(path, false) != null) {
            Thread.sleep(20);
        }
    }

    private static byte[] end(int xid) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(RawClient.payload(xid, OpCode.multi, new MultiHeader(-1, true, -1)));
        return bytes.toByteArray();
    }

    private static byte[] create2(int xid) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(
                RawClient.payload(xid, OpCode.multi, new MultiHeader(OpCode.create2, false, -1)));
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(bytes);
        new CreateRequest("/kinds/m/2", X, OPEN_ACL_UNSAFE, 0).serialize(archive, "request");
        new MultiHeader(-1, true, -1).serialize(archive, "end");
        return bytes.toByteArray();
    }
}
