import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Semaphore;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.retry.RetryNTimes;
import org.apache.zookeeper.data.Stat;

/**
 * One of Curator's contenders, a turn at a time. One command per line of standard input, one line
 * of answer each; the end of the input ends the session.
 *
 * <pre>
 * java -cp "$ZK_JAVA_DRIVER:$ZK_CURATOR/*" CuratorContender 127.0.0.1:2181 SESSION_MS
 *
 * enter mutex PATH          a mutex
 * enter read|write PATH     a read-write lock
 * enter lease PATH MAX      a semaphore
 * enter latch PATH          a leader latch, closed after each turn
 * enter select PATH         a leader selector, likewise
 * enter barrier PATH N      a double barrier
 * enter jobs PATH           an item of a queue whose items are locked at PATH-locks
 *                           "in CZXID" or "in ITEM", as soon as it has its turn
 * leave                     "out": what enter took; an item is consumed
 * add long|integer PATH     "added": one more
 * put PATH ITEM             "put": an item for the jobs
 * </pre>
 */
public final class CuratorContender {
    private static final int CONNECTION_MS = 10_000;

    private final CuratorFramework client;
    private Leave leave;
    private Consumer consumer;
    private LeaderSelector selector;
    private final Semaphore leads = new Semaphore(0);
    private final Semaphore resigns = new Semaphore(0);

    private interface Leave {
        void leave() throws Exception;
    }

    private CuratorContender(String connect, int sessionMs) {
        client = CuratorFrameworkFactory.newClient(
                connect, sessionMs, CONNECTION_MS, new ExponentialBackoffRetry(50, 10));
        client.start();
    }

    public static void main(String[] arguments) throws Exception {
        CuratorContender contender =
                new CuratorContender(arguments[0], Integer.parseInt(arguments[1]));
        BufferedReader commands =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            System.out.println(contender.obey(line.split(" ", -1)));
            System.out.flush();
        }
        // What waits for items in a thread of its own must not keep the process alive.
        contender.client.close();
        System.exit(0);
    }

    private String obey(String[] command) throws Exception {
        switch (command[0]) {
            case "enter":
                return "in " + enter(command);
            case "leave":
                leave.leave();
                return "out";
            case "add":
                add(command[1], command[2]);
                return "added";
            case "put":
                put(command[1], command[2]);
                return "put";
            default:
                throw new IllegalArgumentException(command[0]);
        }
    }

    private String enter(String[] command) throws Exception {
        String path = command[2];
        switch (command[1]) {
            case "mutex":
                return lock(new InterProcessMutex(client, path), path);
            case "read":
                return lock(new InterProcessReadWriteLock(client, path).readLock(), path);
            case "write":
                return lock(new InterProcessReadWriteLock(client, path).writeLock(), path);
            case "lease":
                int max = Integer.parseInt(command[3]);
                InterProcessSemaphoreV2 semaphore =
                        new InterProcessSemaphoreV2(client, path, max);
                Lease lease = semaphore.acquire();
                leave = () -> semaphore.returnLease(lease);
                return czxid(path + "/leases");
            case "latch":
                LeaderLatch latch = new LeaderLatch(client, path, "java");
                latch.start();
                latch.await();
                leave = latch::close;
                return czxid(path);
            case "select":
                return select(path);
            case "barrier":
                DistributedDoubleBarrier barrier = new DistributedDoubleBarrier(
                        client, path, Integer.parseInt(command[3]));
                barrier.enter();
                leave = barrier::leave;
                return "0";
            case "jobs":
                return job(path);
            default:
                throw new IllegalArgumentException(command[1]);
        }
    }

    private String lock(InterProcessMutex lock, String path) throws Exception {
        lock.acquire();
        leave = lock::release;
        return czxid(path);
    }

    private String select(String path) throws Exception {
        if (selector == null) {
            selector = new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework one) throws Exception {
                    leads.release();
                    resigns.acquire();
                }
            });
            selector.start();
        } else {
            // It gives up its former turn in a thread of its own.
            while (!selector.requeue()) {
                Thread.yield();
            }
        }
        leads.acquire();
        leave = resigns::release;
        return czxid(path);
    }

    private String job(String path) throws Exception {
        if (consumer == null) {
            consumer = new Consumer();
            QueueBuilder.builder(client, consumer, TEXT, path)
                    .lockPath(path + "-locks").buildQueue().start();
        }
        String item = consumer.items.take();
        leave = () -> consumer.done.put("");
        return item;
    }

    private void put(String path, String item) throws Exception {
        try (DistributedQueue<String> queue =
                QueueBuilder.builder(client, null, TEXT, path).buildQueue()) {
            queue.start();
            queue.put(item);
            queue.flushPuts(10, TimeUnit.SECONDS);
        }
    }

    private void add(String kind, String path) throws Exception {
        // Others add all the time: whoever waits longer each time comes last for ever.
        RetryNTimes retry = new RetryNTimes(Integer.MAX_VALUE, 1);
        boolean isAdded = false;
        while (!isAdded) {
            isAdded = kind.equals("long")
                    ? new DistributedAtomicLong(client, path, retry).increment().succeeded()
                    : new DistributedAtomicInteger(client, path, retry).increment().succeeded();
        }
    }

    /** When the first of our nodes under a path was created. */
    private String czxid(String path) throws Exception {
        long session = client.getZookeeperClient().getZooKeeper().getSessionId();
        long first = Long.MAX_VALUE;
        for (String name : client.getChildren().forPath(path)) {
            Stat stat = client.checkExists().forPath(path + "/" + name);
            if (stat != null && stat.getEphemeralOwner() == session) {
                first = Math.min(first, stat.getCzxid());
            }
        }
        return Long.toString(first);
    }

    private static final QueueSerializer<String> TEXT = new QueueSerializer<>() {
        @Override
        public byte[] serialize(String item) {
            return item.getBytes(StandardCharsets.UTF_8);
        }

        @Override
        public String deserialize(byte[] bytes) {
            return new String(bytes, StandardCharsets.UTF_8);
        }
    };

    /** Has an item until it is told that it is done with. */
    private static final class Consumer implements QueueConsumer<String> {
        final SynchronousQueue<String> items = new SynchronousQueue<>();
        final SynchronousQueue<String> done = new SynchronousQueue<>();

        @Override
        public void consumeMessage(String item) throws InterruptedException {
            items.put(item);
            done.take();
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
            // What breaks shows in the answers.
        }
    }
}
