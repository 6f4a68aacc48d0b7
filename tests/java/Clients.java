import java.io.IOException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.client.ZKClientConfig;

/** Makes plain Java clients and waits until they are connected. */
final class Clients {
    private static final int SESSION_TIMEOUT_MS = 30_000;
    private static final long CONNECT_LIMIT_MS = 20_000;

    private Clients() {}

    /** Something done with a client. */
    interface Action {
        void run(ZooKeeper client) throws Exception;
    }

    static ZooKeeper open(String connect) throws Exception {
        return open(connect, false, withoutSasl());
    }

    static ZooKeeper open(String connect, boolean readOnly, ZKClientConfig config)
            throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        return await(new ZooKeeper(connect, SESSION_TIMEOUT_MS, opens(connected), readOnly, config),
                connected);
    }

    /** A client that can vanish the way a crashed process does: its session stays behind. */
    static final class Mortal extends ZooKeeper {
        Mortal(String connect, int timeoutMs, Watcher watcher, boolean readOnly)
                throws IOException {
            super(connect, timeoutMs, watcher, readOnly, withoutSasl());
        }

        Mortal(String connect, int timeoutMs, Watcher watcher, long sessionId, byte[] password)
                throws IOException {
            super(connect, timeoutMs, watcher, sessionId, password, false);
        }

        void vanish() {
            cnxn.disconnect();
        }
    }

    static ZKClientConfig withoutSasl() {
        ZKClientConfig config = new ZKClientConfig();
        config.setProperty(ZKClientConfig.ENABLE_CLIENT_SASL_KEY, "false");
        return config;
    }

    /** Runs something that must fail, and gives its error code. */
    static KeeperException.Code fails(Action action, ZooKeeper client) throws Exception {
        try {
            action.run(client);
        } catch (KeeperException expected) {
            return expected.code();
        }
        throw new IllegalStateException("should have failed");
    }

    private static Watcher opens(CountDownLatch connected) {
        return event -> {
            switch (event.getState()) {
                case SyncConnected, ConnectedReadOnly, Expired, AuthFailed -> connected.countDown();
                default -> {
                }
            }
        };
    }

    private static ZooKeeper await(ZooKeeper client, CountDownLatch connected) throws Exception {
        if (!connected.await(CONNECT_LIMIT_MS, TimeUnit.MILLISECONDS)) {
            client.close();
            throw new IllegalStateException("not connected in time");
        }
        return client;
    }
}
