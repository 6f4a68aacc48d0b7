import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import javax.security.auth.login.AppConfigurationEntry;
import javax.security.auth.login.AppConfigurationEntry.LoginModuleControlFlag;
import javax.security.auth.login.Configuration;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.StatsTrack;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.admin.ZooKeeperAdmin;
import org.apache.zookeeper.cli.SetQuotaCommand;
import org.apache.zookeeper.client.ZKClientConfig;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.proto.ExistsRequest;
import org.apache.zookeeper.server.auth.DigestLoginModule;

/**
 * What takes a server of its own: SASL, enforced authentication, quotas, reconfiguration,
 * read-only mode.
 */
final class CaptureSpecial {
    private static final byte[] X = {'x'};
    private static final Watcher QUIET = event -> {};

    private CaptureSpecial() {}

    static void sasl(Golden golden, Path scratch) throws Exception {
        Files.createDirectories(scratch);
        Path login = Files.writeString(scratch.resolve("login.conf"),
                "Server { org.apache.zookeeper.server.auth.DigestLoginModule required "
                + "user_bob=\"secret\"; };\n");
        Configuration.setConfiguration(new Configuration() {
            @Override
            public AppConfigurationEntry[] getAppConfigurationEntry(String section) {
                String password = section.equals("Good") ? "secret" : "wrong";
                return new AppConfigurationEntry[] {new AppConfigurationEntry(
                        DigestLoginModule.class.getName(), LoginModuleControlFlag.REQUIRED,
                        Map.of("username", "bob", "password", password))};
            }
        });
        try (ApacheServer server = ApacheServer.standalone(scratch,
                     "-Djava.security.auth.login.config=" + login,
                     "-Dzookeeper.authProvider.1=org.apache.zookeeper.server.auth."
                     + "SASLAuthenticationProvider",
                     "-Dzookeeper.fips-mode=false");
                RecordingProxy proxy = new RecordingProxy(server.port())) {
            try (ZooKeeper zk = Clients.open(proxy.connect(), false, withSasl("Good"))) {
                zk.whoAmI();
                golden.write("sasl",
                        "DIGEST-MD5 as user \"bob\" with password \"secret\": handshake, empty "
                        + "token, challenge, response, rspauth,\n"
                                + "then whoAmI -> ip:127.0.0.1 and sasl:bob",
                        proxy.take());
            }
            proxy.take();
            try (ZooKeeper zk = Clients.open(proxy.connect(), false, withSasl("Bad"))) {
                while (zk.getState() != ZooKeeper.States.AUTH_FAILED && zk.getState().isAlive()) {
                    Thread.sleep(20);
                }
                golden.write("sasl_failed",
                        "the same with a wrong password -> -115 with a null token, then hung up",
                        proxy.take());
            }
        }
    }

    static void enforcedAuthentication(Golden golden, Path scratch) throws Exception {
        try (ApacheServer server =
                        ApacheServer.standalone(scratch, "-Dzookeeper.enforce.auth.enabled=true",
                                "-Dzookeeper.enforce.auth.schemes=digest");
                RawClient client = RawClient.connected(server.port())) {
            client.call(1, OpCode.exists, new ExistsRequest("/", false));
            golden.write("authentication_required",
                    "exists \"/\" on a server that demands authentication -> -124, zxid 0, then "
                    + "hung up",
                    client.take());
        }
    }

    static void quota(Golden golden, Path scratch) throws Exception {
        try (ApacheServer server =
                        ApacheServer.standalone(scratch, "-Dzookeeper.enforceQuota=true");
                RecordingProxy proxy = new RecordingProxy(server.port());
                ZooKeeper zk = Clients.open(proxy.connect())) {
            zk.create("/q", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            StatsTrack limits = new StatsTrack();
            limits.setByteHardLimit(4);
            SetQuotaCommand.createQuota(zk, "/q", limits);
            proxy.take();
            Clients.fails(own -> own.setData("/q", new byte[5], -1), zk);
            golden.write("quota_exceeded",
                    "setData \"/q\" with 5 bytes where 4 are allowed -> -125", proxy.take());
        }
    }

    /** Gives the directory with the log that holds the reconfiguration. */
    static Path reconfig(Golden golden, Path scratch) throws Exception {
        try (ApacheServer server =
                        ApacheServer.member(scratch, 0, "Mode: leader", "-Dzookeeper.skipACL=yes");
                RecordingProxy proxy = new RecordingProxy(server.port());
                ZooKeeperAdmin zk =
                        new ZooKeeperAdmin(proxy.connect(), 30_000, QUIET, Clients.withoutSasl())) {
            zk.getConfig(QUIET, new Stat());
            proxy.take();
            zk.reconfigure("server.2=127.0.0.1:2888:3888:observer;127.0.0.1:2181", null, null, -1,
                    new Stat());
            golden.write("reconfig",
                    "reconfig that adds the observer 2, with a watch on \"/zookeeper/config\"\n"
                            + "-> NodeDataChanged, then config and stat",
                    proxy.take());
            Clients.fails(own -> zk.reconfigure(null, "2", null, 77, new Stat()), zk);
            golden.write("reconfig_bad_version",
                    "reconfig of configuration 0x4d, which is not the present one -> -103",
                    proxy.take());
            zk.reconfigure(null, List.of("2"), null, -1, new Stat());
            golden.write("reconfig_leaving", "reconfig that lets server 2 go", proxy.take());
            zk.getConfig(false, new Stat());
            golden.write("get_config_member", "getConfig of an ensemble member", proxy.take());
            return server.files();
        }
    }

    static void readOnly(Golden golden, Path scratch) throws Exception {
        try (ApacheServer server = ApacheServer.member(
                     scratch, 1, "Mode: read-only", "-Dreadonlymode.enabled=true");
                RecordingProxy proxy = new RecordingProxy(server.port());
                ZooKeeper zk = Clients.open(proxy.connect(), true, Clients.withoutSasl())) {
            golden.write("connect_read_only",
                    "a new session on a server without its ensemble: the read-only byte is 1",
                    proxy.take());
            Clients.fails(own -> own.create("/a", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), zk);
            golden.write("create_read_only", "create on a read-only server -> -119", proxy.take());
        }
    }

    private static ZKClientConfig withSasl(String section) {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.LOGIN_CONTEXT_NAME_KEY, section);
        config.setProperty("zookeeper.fips-mode", "false");
        return config;
    }
}
