import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.ZooKeeper;

/**
 * The part of {@link Driver} that is about sessions: taken over, lost, refused, expired, closed.
 */
final class DriverSessions {
    private static final byte[] X = {'x'};
    private static final int TIMEOUT_MS = 20_000;
    /** Below what the server grants, but enough for the client to connect in. */
    private static final int SHORTEST_TIMEOUT_MS = 1_000;
    private static final int LONGEST_TIMEOUT_MS = 1_000_000_000;

    private final String connect;
    private final Report report;

    DriverSessions(String connect, Report report) {
        this.connect = connect;
        this.report = report;
    }

    void run() throws Exception {
        timeouts();
        Clients.Mortal witness = open("witness", connect, TIMEOUT_MS);
        report.follow(witness);
        witness.create("/driver", null, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        takeover(witness);
        loss(witness);
        oversize();
        expiry(witness);
        witness.delete("/driver", -1);
        report.line("close", () -> Driver.close(report, "witness", witness));
        report.line("exists after close", () -> witness.exists("/driver", false));
    }

    private void timeouts() throws Exception {
        for (int asked : new int[] {SHORTEST_TIMEOUT_MS, LONGEST_TIMEOUT_MS}) {
            Clients.Mortal client = open("timeout", connect, asked);
            report.line("timeout asked " + asked, client::getSessionTimeout);
            report.line("close", () -> Driver.close(report, "timeout", client));
        }
        Clients.Mortal readOnly =
                new Clients.Mortal(connect, TIMEOUT_MS, report.watcher("read-only"), true);
        report.await("read-only", "None SyncConnected");
        report.line("a client that may read only", readOnly::getState);
        report.line("close", () -> Driver.close(report, "read-only", readOnly));
    }

    private void takeover(ZooKeeper witness) throws Exception {
        Clients.Mortal first = open("first", connect, TIMEOUT_MS);
        first.create("/driver/session", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        long session = first.getSessionId();
        byte[] password = first.getSessionPasswd();
        first.vanish();
        Clients.Mortal second = new Clients.Mortal(
                connect, TIMEOUT_MS, report.watcher("second"), session, password);
        report.await("second", "None SyncConnected");
        report.follow(second);
        report.line("a session is taken over",
                () -> new Report.Results(second.getState(), second.getSessionId() == session,
                                second.getEphemerals()));
        report.line("a wrong password", () -> {
            Clients.Mortal thief = new Clients.Mortal(
                    connect, TIMEOUT_MS, report.watcher("thief"), session, new byte[16]);
            report.await("thief", "None Expired");
            // The attempt has broken the rightful connection; it comes back by itself.
            report.await("second", "None Disconnected");
            again(second);
            return thief.getState();
        });
        report.line("the rightful owner", second::getState);
        report.line("a witness of its end",
                () -> witness.exists("/driver/session", report.watcher("witness/ephemeral"))
                        != null);
        report.line("close of the session", () -> Driver.close(report, "second", second));
        Clients.Mortal late =
                new Clients.Mortal(connect, TIMEOUT_MS, report.watcher("late"), session, password);
        report.await("late", "None Expired");
        report.line("a closed session", late::getState);
    }

    private void loss(ZooKeeper witness) throws Exception {
        int port = Integer.parseInt(connect.replaceFirst("/.*", "").replaceFirst(".*:", ""));
        witness.create("/driver/changed", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        witness.create("/driver/deleted", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        witness.create("/driver/same", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        try (RecordingProxy proxy = new RecordingProxy(port)) {
            Clients.Mortal client = open("client", proxy.connect(), TIMEOUT_MS);
            client.addAuthInfo("digest", "u:p".getBytes(StandardCharsets.UTF_8));
            client.getData("/driver/changed", report.watcher("client/changed"), null);
            client.getData("/driver/deleted", report.watcher("client/deleted"), null);
            client.getData("/driver/same", report.watcher("client/same"), null);
            client.exists("/driver/created", report.watcher("client/created"));
            client.getChildren("/driver", report.watcher("client/children"));
            client.addWatch(
                    "/driver/same", report.watcher("client/persistent"), AddWatchMode.PERSISTENT);
            client.addWatch("/driver/same", report.watcher("client/recursive"),
                    AddWatchMode.PERSISTENT_RECURSIVE);
            report.line("seven watches", client::getState);
            report.line("the connection is lost", () -> {
                proxy.part();
                for (String watcher : List.of("", "/changed", "/deleted", "/same", "/created",
                             "/children", "/persistent", "/recursive")) {
                    report.await("client" + watcher, "None Disconnected");
                }
                return client.getState();
            });
            witness.setData("/driver/changed", X, -1);
            witness.delete("/driver/deleted", -1);
            witness.create("/driver/created", X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
            proxy.mend();
            again(client);
            report.follow(client);
            report.line("and comes back", client::getState);
            report.line("whoAmI as before",
                    () -> client.whoAmI()
                                    .stream()
                                    .map(info -> info.getAuthScheme() + ":" + info.getUser())
                                    .sorted()
                                    .toList());
            report.line("a watch that was kept", () -> witness.setData("/driver/same", X, -1));
            report.line("close", () -> Driver.close(report, "client", client));
        }
        for (String name : witness.getChildren("/driver", false)) {
            witness.delete("/driver/" + name, -1);
        }
        report.line("cleared", () -> "ok");
    }

    private void oversize() throws Exception {
        Clients.Mortal client = open("oversize", connect, TIMEOUT_MS);
        report.follow(client);
        report.line("a request beyond jute.maxbuffer", () -> {
            try {
                return client.setData("/driver", new byte[1 << 20], -1);
            } finally {
                again(client);
            }
        });
        report.line("the session goes on", client::getState);
        report.line("close", () -> Driver.close(report, "oversize", client));
    }

    private void expiry(ZooKeeper witness) throws Exception {
        Clients.Mortal doomed = open("doomed", connect, SHORTEST_TIMEOUT_MS);
        doomed.create("/driver/doomed", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        report.line("an ephemeral to expire",
                () -> witness.exists("/driver/doomed", report.watcher("witness/ephemeral"))
                        != null);
        report.line("its session expires", () -> {
            doomed.vanish();
            report.await("witness/ephemeral", "NodeDeleted");
            return witness.exists("/driver/doomed", false);
        });
        Clients.Mortal late = new Clients.Mortal(connect, TIMEOUT_MS, report.watcher("late"),
                doomed.getSessionId(), doomed.getSessionPasswd());
        report.await("late", "None Expired");
        report.line("and is refused", late::getState);
        report.line("exists on it", () -> late.exists("/driver", false));
    }

    private Clients.Mortal open(String name, String to, int timeoutMs) throws Exception {
        Clients.Mortal client = new Clients.Mortal(to, timeoutMs, report.watcher(name), false);
        report.await(name, "None SyncConnected");
        return client;
    }

    /** Uses a client until its connection is back. */
    private static <C extends ZooKeeper> C again(C client) throws Exception {
        while (true) {
            try {
                client.exists("/", false);
                return client;
            } catch (KeeperException.ConnectionLossException lost) {
                Thread.sleep(20);
            }
        }
    }
}
