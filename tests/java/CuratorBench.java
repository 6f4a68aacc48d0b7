import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * What Curator's mutex costs, for {@code zk-bench recipes}: answers one line for each line that it
 * is given, so that whoever asks measures in turn with it.
 *
 * <pre>
 * java -cp "$ZK_JAVA_DRIVER:$ZK_CURATOR/*" CuratorBench 127.0.0.1:2181 LOCKS
 *
 * single SECONDS      one lock taken and given back, one after the other
 *   single PER_SECOND PROCESSOR_US
 * many SECONDS        the same by as many threads as there are locks
 *   many PER_SECOND PROCESSOR_US
 * hand-over SECONDS   from the call that gives back to the other's return with the lock
 *   hand-over P50_US
 * </pre>
 */
public final class CuratorBench {
    private static final int SESSION_MS = 20_000;
    private static final OperatingSystemMXBean SYSTEM =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    private CuratorBench() {}

    public static void main(String[] arguments) throws Exception {
        int locks = Integer.parseInt(arguments[1]);
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in));
        try (CuratorFramework one = client(arguments[0]);
                CuratorFramework other = client(arguments[0])) {
            for (String line = asked.readLine(); line != null; line = asked.readLine()) {
                String what = line.split(" ")[0];
                long nanos = (long) (Double.parseDouble(line.split(" ")[1]) * 1e9);
                if (what.equals("hand-over")) {
                    System.out.println(what + " " + p50(handOvers(one, other, nanos)));
                } else {
                    long before = SYSTEM.getProcessCpuTime();
                    long count = what.equals("many")
                            ? many(one, locks, nanos)
                            : turns(one, "/curator-bench/single", nanos);
                    double cost = (SYSTEM.getProcessCpuTime() - before) / 1e3 / Math.max(count, 1);
                    System.out.println(what + " " + count * 1e9 / nanos + " " + cost);
                }
                System.out.flush();
            }
        }
        System.exit(0);
    }

    private static CuratorFramework client(String connect) throws InterruptedException {
        CuratorFramework client = CuratorFrameworkFactory.newClient(
                connect, SESSION_MS, SESSION_MS, new ExponentialBackoffRetry(50, 10));
        client.start();
        client.blockUntilConnected();
        return client;
    }

    private static long turns(CuratorFramework client, String path, long nanos) throws Exception {
        InterProcessMutex mutex = new InterProcessMutex(client, path);
        long count = 0;
        for (long end = System.nanoTime() + nanos; System.nanoTime() < end; count++) {
            mutex.acquire();
            mutex.release();
        }
        return count;
    }

    private static long many(CuratorFramework client, int locks, long nanos) throws Exception {
        AtomicLong count = new AtomicLong();
        List<Thread> threads = new ArrayList<>();
        for (int lock = 0; lock < locks; lock++) {
            String path = "/curator-bench/many-" + lock;
            Thread thread = new Thread(() -> {
                try {
                    count.addAndGet(turns(client, path, nanos));
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        return count.get();
    }

    /** Two sessions take turns; whoever waits notes how long ago the other began to give back. */
    private static List<Long> handOvers(CuratorFramework one, CuratorFramework other, long nanos)
            throws Exception {
        String path = "/curator-bench/hand-over";
        AtomicLong released = new AtomicLong();
        List<Long> waits = Collections.synchronizedList(new ArrayList<>());
        long end = System.nanoTime() + nanos;
        CountDownLatch done = new CountDownLatch(2);
        for (CuratorFramework client : Arrays.asList(one, other)) {
            new Thread(() -> {
                try {
                    InterProcessMutex mutex = new InterProcessMutex(client, path);
                    while (System.nanoTime() < end) {
                        mutex.acquire();
                        long now = System.nanoTime();
                        long before = released.get();
                        // With nobody in line there is no hand-over.
                        while (mutex.getParticipantNodes().size() < 2 && System.nanoTime() < end) {
                            Thread.onSpinWait();
                        }
                        if (before != 0) {
                            waits.add(now - before);
                        }
                        released.set(System.nanoTime());
                        mutex.release();
                    }
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                } finally {
                    done.countDown();
                }
            }).start();
        }
        done.await();
        return waits;
    }

    private static double p50(List<Long> nanos) {
        long[] sorted = nanos.stream().mapToLong(Long::longValue).sorted().toArray();
        return sorted.length == 0 ? 0 : sorted[sorted.length / 2] / 1e3;
    }
}
