import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicInteger;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.locks.Revoker;
import org.apache.curator.framework.recipes.queue.DistributedDelayQueue;
import org.apache.curator.framework.recipes.queue.DistributedQueue;
import org.apache.curator.framework.recipes.queue.QueueBuilder;
import org.apache.curator.framework.recipes.queue.QueueConsumer;
import org.apache.curator.framework.recipes.queue.QueueSerializer;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * Curator's other recipes under remote control. One command per line of standard input, one line of
 * answer each; the end of the input ends the session.
 *
 * <pre>
 * java -cp "$ZK_JAVA_DRIVER:$ZK_CURATOR/*" CuratorRecipes 127.0.0.1:2181 SESSION_MS
 *
 * ready                      "ready"
 * rw PATH ROUNDS DIR         writes every third time, reads otherwise: "done"
 * write PATH                 "held"
 * downgrade PATH             what write took, read besides and no longer written: "read"
 * release                    what write or downgrade took: "released"
 * sem PATH MAX ROUNDS DIR    takes and returns leases: "done"
 * long PATH ROUNDS           adds one each time: "done"
 * int PATH ROUNDS            the same in four bytes: "done"
 * count PATH                 "count N", as a shared count
 * set PATH, lift PATH        a barrier: "done"
 * wait PATH                  "passed"
 * double PATH N              "entered"
 * leave                      "left"
 * revocable PATH             "held"; lets go when asked, and says "asked"
 * ask PATH                   asks the holder of a mutex: "done"
 * select PATH ID             "leads", with a selector
 * resign                     what select took: "resigned"
 * offer PATH TEXT            puts an item into a simple queue: "done"
 * take PATH                  "item TEXT", as soon as there is one
 * put PATH TEXT              puts an item into a queue of packed items: "done"
 * consume PATH LOCKS         "item TEXT", as soon as there is one, which is locked meanwhile
 * delay PATH MILLIS TEXT     puts an item into a delay queue, due so long from now: "done"
 * due PATH                   "item TEXT" of a delay queue, as soon as one is due
 * </pre>
 *
 * Whoever is inside leaves a file in DIR and looks at the files of the others. When they should not
 * be there, the answer is "overlap".
 */
public final class CuratorRecipes {
    private static final int CONNECTION_MS = 10_000;

    private final CuratorFramework client;
    private InterProcessReadWriteLock readWrite;
    private boolean isReading;
    private DistributedDoubleBarrier barrier;
    private CountDownLatch term;

    private CuratorRecipes(String connect, int sessionMs) {
        client = CuratorFrameworkFactory.newClient(
                connect, sessionMs, CONNECTION_MS, new ExponentialBackoffRetry(50, 10));
        client.start();
    }

    public static void main(String[] arguments) throws Exception {
        CuratorRecipes driver = new CuratorRecipes(arguments[0], Integer.parseInt(arguments[1]));
        BufferedReader commands =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            say(driver.obey(line.split(" ", -1)));
        }
        driver.client.close();
    }

    private String obey(String[] command) throws Exception {
        String path = command.length > 1 ? command[1] : "";
        switch (command[0]) {
            case "ready":
                client.blockUntilConnected();
                return "ready";
            case "rw":
                return readAndWrite(path, Integer.parseInt(command[2]), Path.of(command[3]));
            case "write":
                readWrite = new InterProcessReadWriteLock(client, path);
                readWrite.writeLock().acquire();
                isReading = false;
                return "held";
            case "downgrade":
                readWrite.readLock().acquire();
                readWrite.writeLock().release();
                isReading = true;
                return "read";
            case "release":
                if (isReading) {
                    readWrite.readLock().release();
                } else {
                    readWrite.writeLock().release();
                }
                return "released";
            case "sem":
                int max = Integer.parseInt(command[2]);
                return leases(path, max, Integer.parseInt(command[3]), Path.of(command[4]));
            case "long":
                DistributedAtomicLong number =
                        new DistributedAtomicLong(client, path, new ExponentialBackoffRetry(1, 29));
                for (int round = Integer.parseInt(command[2]); round > 0; ) {
                    round -= number.increment().succeeded() ? 1 : 0;
                }
                return "done";
            case "int":
                DistributedAtomicInteger small = new DistributedAtomicInteger(
                        client, path, new ExponentialBackoffRetry(1, 29));
                for (int round = Integer.parseInt(command[2]); round > 0; ) {
                    round -= small.increment().succeeded() ? 1 : 0;
                }
                return "done";
            case "count":
                try (SharedCount count = new SharedCount(client, path, 0)) {
                    count.start();
                    return "count " + count.getCount();
                }
            case "set":
                new DistributedBarrier(client, path).setBarrier();
                return "done";
            case "lift":
                new DistributedBarrier(client, path).removeBarrier();
                return "done";
            case "wait":
                new DistributedBarrier(client, path).waitOnBarrier();
                return "passed";
            case "double":
                barrier =
                        new DistributedDoubleBarrier(client, path, Integer.parseInt(command[2]));
                barrier.enter();
                return "entered";
            case "leave":
                barrier.leave();
                return "left";
            case "revocable":
                return revocable(path);
            case "ask":
                String holder = client.getChildren().forPath(path).get(0);
                Revoker.attemptRevoke(client, path + "/" + holder);
                return "done";
            case "select":
                return select(path, command[2]);
            case "resign":
                term.countDown();
                return "resigned";
            case "offer":
                new SimpleDistributedQueue(client, path)
                        .offer(command[2].getBytes(StandardCharsets.UTF_8));
                return "done";
            case "take":
                byte[] item = new SimpleDistributedQueue(client, path).take();
                return "item " + new String(item, StandardCharsets.UTF_8);
            case "put":
                try (DistributedQueue<String> queue =
                        QueueBuilder.builder(client, null, TEXT, path).buildQueue()) {
                    queue.start();
                    queue.put(command[2]);
                    queue.flushPuts(10, TimeUnit.SECONDS);
                }
                return "done";
            case "consume":
                // Left open: closing it would interrupt what it does with the item afterwards.
                Consumer consumer = new Consumer();
                QueueBuilder.builder(client, consumer, TEXT, path)
                        .lockPath(command[2]).buildQueue().start();
                return "item " + consumer.items.take();
            case "delay":
                try (DistributedDelayQueue<String> queue =
                        QueueBuilder.builder(client, null, TEXT, path).buildDelayQueue()) {
                    queue.start();
                    long due = System.currentTimeMillis() + Long.parseLong(command[2]);
                    queue.put(command[3], due);
                    queue.flushPuts(10, TimeUnit.SECONDS);
                }
                return "done";
            case "due":
                Consumer waiting = new Consumer();
                QueueBuilder.builder(client, waiting, TEXT, path).buildDelayQueue().start();
                return "item " + waiting.items.take();
            default:
                throw new IllegalArgumentException(command[0]);
        }
    }

    private String readAndWrite(String path, int rounds, Path dir) throws Exception {
        InterProcessReadWriteLock lock = new InterProcessReadWriteLock(client, path);
        for (int round = 0; round < rounds; round++) {
            boolean isWriter = round % 3 == 0;
            InterProcessMutex one = isWriter ? lock.writeLock() : lock.readLock();
            one.acquire();
            Path own = dir.resolve(isWriter ? "writer" : "reader-" + UUID.randomUUID());
            try {
                Files.createFile(own);
            } catch (FileAlreadyExistsException e) {
                return "overlap";
            }
            boolean isAlone = isWriter ? count(dir) == 1 : !Files.exists(dir.resolve("writer"));
            Files.delete(own);
            one.release();
            if (!isAlone) {
                return "overlap";
            }
        }
        return "done";
    }

    private String leases(String path, int max, int rounds, Path dir) throws Exception {
        InterProcessSemaphoreV2 semaphore = new InterProcessSemaphoreV2(client, path, max);
        for (int round = 0; round < rounds; round++) {
            Lease lease = semaphore.acquire();
            Path own = Files.createFile(dir.resolve("lease-" + UUID.randomUUID()));
            boolean fits = count(dir) <= max;
            Files.delete(own);
            semaphore.returnLease(lease);
            if (!fits) {
                return "overlap";
            }
        }
        return "done";
    }

    private String select(String path, String id) throws Exception {
        CountDownLatch leads = new CountDownLatch(1);
        term = new CountDownLatch(1);
        CountDownLatch end = term;
        LeaderSelector selector =
                new LeaderSelector(client, path, new LeaderSelectorListenerAdapter() {
                    @Override
                    public void takeLeadership(CuratorFramework one) throws Exception {
                        leads.countDown();
                        end.await();
                    }
                });
        selector.setId(id);
        selector.start();
        leads.await();
        return "leads";
    }

    private static int count(Path dir) {
        return dir.toFile().list().length;
    }

    private String revocable(String path) throws Exception {
        InterProcessMutex mutex = new InterProcessMutex(client, path);
        CountDownLatch asked = new CountDownLatch(1);
        mutex.makeRevocable(one -> asked.countDown());
        mutex.acquire();
        say("held");
        asked.await();
        mutex.release();
        return "asked";
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

    /** Takes items from a queue that hands them over from a thread of its own. */
    private static final class Consumer implements QueueConsumer<String> {
        final LinkedBlockingQueue<String> items = new LinkedBlockingQueue<>();

        @Override
        public void consumeMessage(String item) {
            items.add(item);
        }

        @Override
        public void stateChanged(CuratorFramework client, ConnectionState state) {
            // What breaks shows in the answers.
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
