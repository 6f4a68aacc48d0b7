import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.Participant;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.zookeeper.data.Stat;

/**
 * Curator's mutex and leader latch under remote control. One command per line of standard input,
 * one or more lines of answer each; the end of the input ends the session.
 *
 * <pre>
 * java -cp "$ZK_JAVA_DRIVER:$ZK_CURATOR/*" CuratorLock 127.0.0.1:2181 SESSION_MS
 *
 * mutex PATH ROUNDS WITNESS      a turn: "turn CZXID"; at the end: "done"
 * latch PATH ID ROUNDS WITNESS   the same with a latch, closed after each turn
 * hold PATH                      "held CZXID NODE DATA", then holds
 * lead PATH ID                   "held CZXID NODE DATA", then leads
 * release                        "released": what hold or lead took
 * participants PATH              "participants ID*|ID|ID", the leader marked
 * </pre>
 *
 * Whoever has a turn makes the file WITNESS and removes it at the end of the turn. When the file is
 * there already, two have a turn at once: the answer is "overlap".
 */
public final class CuratorLock {
    private static final int CONNECTION_MS = 10_000;

    private final CuratorFramework client;
    private InterProcessMutex mutex;
    private LeaderLatch latch;

    private CuratorLock(String connect, int sessionMs) {
        client = CuratorFrameworkFactory.newClient(
                connect, sessionMs, CONNECTION_MS, new ExponentialBackoffRetry(50, 10));
        client.start();
    }

    public static void main(String[] arguments) throws Exception {
        CuratorLock driver = new CuratorLock(arguments[0], Integer.parseInt(arguments[1]));
        BufferedReader commands =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            driver.obey(line.split(" ", -1));
        }
        driver.client.close();
    }

    private void obey(String[] command) throws Exception {
        switch (command[0]) {
            case "mutex":
                mutexTurns(command[1], Integer.parseInt(command[2]), Path.of(command[3]));
                break;
            case "latch":
                int rounds = Integer.parseInt(command[3]);
                latchTurns(command[1], command[2], rounds, Path.of(command[4]));
                break;
            case "hold":
                mutex = new InterProcessMutex(client, command[1]);
                mutex.acquire();
                held(command[1]);
                break;
            case "lead":
                latch = new LeaderLatch(client, command[1], command[2]);
                latch.start();
                latch.await();
                held(command[1]);
                break;
            case "release":
                release();
                say("released");
                break;
            case "participants":
                participants(command[1]);
                break;
            default:
                throw new IllegalArgumentException(command[0]);
        }
    }

    private void mutexTurns(String path, int rounds, Path witness) throws Exception {
        mutex = new InterProcessMutex(client, path);
        for (int round = 0; round < rounds; round++) {
            mutex.acquire();
            turn(path, witness);
            mutex.release();
        }
        mutex = null;
        say("done");
    }

    private void latchTurns(String path, String id, int rounds, Path witness) throws Exception {
        for (int round = 0; round < rounds; round++) {
            latch = new LeaderLatch(client, path, id);
            latch.start();
            latch.await();
            turn(path, witness);
            latch.close();
        }
        latch = null;
        say("done");
    }

    private void turn(String path, Path witness) throws Exception {
        try {
            Files.createFile(witness);
        } catch (java.nio.file.FileAlreadyExistsException e) {
            say("overlap");
            return;
        }
        long czxid = client.checkExists().forPath(own(path)).getCzxid();
        Files.delete(witness);
        say("turn " + czxid);
    }

    /** The path of the one node under a path that belongs to this session and comes first. */
    private String own(String path) throws Exception {
        long session = client.getZookeeperClient().getZooKeeper().getSessionId();
        String first = null;
        for (String name : client.getChildren().forPath(path)) {
            Stat stat = client.checkExists().forPath(path + "/" + name);
            boolean isOurs = stat != null && stat.getEphemeralOwner() == session;
            if (isOurs && (first == null || number(name).compareTo(number(first)) < 0)) {
                first = name;
            }
        }
        return path + "/" + first;
    }

    private static String number(String name) {
        return name.substring(name.length() - 10);
    }

    private void held(String path) throws Exception {
        String own = own(path);
        Stat stat = new Stat();
        byte[] data = client.getData().storingStatIn(stat).forPath(own);
        say("held " + stat.getCzxid() + " " + own + " " + new String(data, StandardCharsets.UTF_8));
    }

    private void release() throws Exception {
        if (mutex != null) {
            mutex.release();
            mutex = null;
        }
        if (latch != null) {
            latch.close();
            latch = null;
        }
    }

    private void participants(String path) throws Exception {
        try (LeaderLatch look = new LeaderLatch(client, path)) {
            Collection<Participant> all = look.getParticipants();
            say("participants " + all.stream()
                    .map(one -> one.getId() + (one.isLeader() ? "*" : ""))
                    .collect(Collectors.joining("|")));
        } catch (IllegalStateException notStarted) {
            // A latch that never started has nothing to close.
        }
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
