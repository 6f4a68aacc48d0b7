import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.ClientInfo;
import org.apache.zookeeper.data.Stat;

/**
 * Prints one line for each operation in words that are the same on every run: no session ids, zxids
 * counted from the first one, times only as "set" or not, unordered lists sorted, events below the
 * operation that caused them.
 */
final class Report {
    private static final long EVENTS_LIMIT_MS = 10_000;
    private static final int DATA_SHOWN_MAX = 60;

    private final List<ZooKeeper> clients = new ArrayList<>();
    private final List<Event> events = new ArrayList<>();
    private long firstZxid = Long.MAX_VALUE;

    /** What a watcher saw. Its name is that of its client, or begins with it: {@code two/data}. */
    private record Event(String watcher, String text) {
        String client() {
            return watcher.replaceFirst("/.*", "");
        }
    }

    /** Several results of one operation. */
    record Results(Object... parts) {}

    /** Counts zxids from here. */
    void startAt(long zxid) {
        firstZxid = zxid;
    }

    /** Makes every operation wait until this client has seen the events that come before it. */
    void follow(ZooKeeper client) {
        clients.add(client);
    }

    void forget(ZooKeeper client) {
        clients.remove(client);
    }

    Watcher watcher(String name) {
        return event -> {
            synchronized (events) {
                events.add(new Event(name, text(event)));
                events.notifyAll();
            }
        };
    }

    /** Runs one operation and prints what came of it. */
    void line(String operation, Callable<?> call) throws Exception {
        String result;
        try {
            result = text(call.call());
        } catch (KeeperException refused) {
            List<OpResult> results = refused.getResults();
            result = "! " + refused.code() + (results == null ? "" : " " + text(results));
        } catch (IllegalArgumentException refused) {
            result = "! refused by the client";
        }
        System.out.println(operation + " -> " + result);
        settle();
        printEvents();
    }

    /** Waits for a watcher to see something that no operation of ours brings about. */
    void await(String watcher, String start) throws InterruptedException {
        long limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        synchronized (events) {
            while (events.stream().noneMatch(
                    e -> e.watcher().equals(watcher) && e.text().startsWith(start))) {
                if (System.nanoTime() > limit) {
                    throw new IllegalStateException(
                            watcher + " never saw " + start + ", only " + events);
                }
                events.wait(100);
            }
        }
    }

    /**
     * Every event handed to a client comes before the answer to a later request of the same
     * client.
     */
    private void settle() throws InterruptedException {
        for (ZooKeeper client : clients) {
            CountDownLatch answered = new CountDownLatch(1);
            client.sync("/", (code, path, context) -> answered.countDown(), null);
            if (!answered.await(EVENTS_LIMIT_MS, TimeUnit.MILLISECONDS)) {
                throw new IllegalStateException("a client no longer answers");
            }
        }
    }

    private void printEvents() {
        synchronized (events) {
            // Between two clients there is no order.
            events.sort(Comparator.comparing(Event::client));
            // A client runs the watchers of one event in any order.
            for (int start = 0; start < events.size();) {
                int end = start;
                while (end < events.size()
                        && events.get(end).text().equals(events.get(start).text())) {
                    end++;
                }
                List<Event> same = events.subList(start, end);
                same.sort(Comparator.comparing(Event::watcher));
                same.forEach(event
                        -> System.out.println("    " + event.watcher() + ": " + event.text()));
                start = end;
            }
            events.clear();
        }
    }

    private String text(WatchedEvent event) {
        String path = event.getPath() == null ? "" : " " + event.getPath();
        String zxid = event.getType() == Watcher.Event.EventType.None
                ? ""
                : " zxid " + zxid(event.getZxid());
        return event.getType() + " " + event.getState() + path + zxid;
    }

    private String text(Object result) {
        if (result == null) {
            return "nothing";
        } else if (result instanceof byte[] data) {
            return data(data);
        } else if (result instanceof Stat stat) {
            return stat(stat);
        } else if (result instanceof OpResult part) {
            return part(part);
        } else if (result instanceof ACL acl) {
            return acl.getPerms() + ":" + acl.getId().getScheme() + ":" + acl.getId().getId();
        } else if (result instanceof ClientInfo info) {
            return info.getAuthScheme() + ":" + info.getUser();
        } else if (result instanceof Results results) {
            return Arrays.stream(results.parts())
                    .map(part -> part == null ? "null" : text(part))
                    .collect(Collectors.joining(" "));
        } else if (result instanceof List<?> list) {
            return list.stream().map(this::text).collect(Collectors.joining(", ", "[", "]"));
        }
        return result.toString();
    }

    private String part(OpResult part) {
        if (part instanceof OpResult.CreateResult create) {
            return "create " + create.getPath()
                    + (create.getStat() == null ? "" : " " + stat(create.getStat()));
        } else if (part instanceof OpResult.SetDataResult set) {
            return "setData " + stat(set.getStat());
        } else if (part instanceof OpResult.GetDataResult get) {
            return "getData " + data(get.getData()) + " " + stat(get.getStat());
        } else if (part instanceof OpResult.GetChildrenResult get) {
            return "getChildren " + get.getChildren().stream().sorted().toList();
        } else if (part instanceof OpResult.ErrorResult error) {
            return "error " + error.getErr();
        }
        return part instanceof OpResult.CheckResult ? "check" : "delete";
    }

    private String stat(Stat stat) {
        return "{c " + zxid(stat.getCzxid()) + " m " + zxid(stat.getMzxid()) + " p "
                + zxid(stat.getPzxid()) + " times " + (stat.getCtime() > 0 ? "set" : "0")
                + (stat.getMtime() >= stat.getCtime() ? "" : " backwards") + " v "
                + stat.getVersion() + "/" + stat.getCversion() + "/" + stat.getAversion()
                + " owner " + owner(stat.getEphemeralOwner()) + " length " + stat.getDataLength()
                + " children " + stat.getNumChildren() + "}";
    }

    private String owner(long owner) {
        for (int index = 0; index < clients.size(); index++) {
            if (clients.get(index).getSessionId() == owner && owner != 0) {
                return "client " + (index + 1);
            }
        }
        return owner == 0 ? "none" : "somebody";
    }

    private String zxid(long zxid) {
        if (zxid <= 0) {
            return Long.toString(zxid);
        }
        return zxid < firstZxid ? "before" : "+" + (zxid - firstZxid);
    }

    private static String data(byte[] data) {
        if (data == null) {
            return "null";
        }
        return data.length > DATA_SHOWN_MAX ? data.length + " bytes"
                                            : '"' + new String(data, StandardCharsets.UTF_8) + '"';
    }
}
