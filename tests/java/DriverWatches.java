import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.util.List;
import org.apache.zookeeper.AddWatchMode;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.Watcher.WatcherType;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/** The part of {@link Driver} that is about watches: client one writes, both watch. */
final class DriverWatches {
    private static final byte[] X = {'x'};

    private final Report report;
    private final ZooKeeper one;
    private final ZooKeeper two;

    DriverWatches(Report report, ZooKeeper one, ZooKeeper two) {
        this.report = report;
        this.one = one;
        this.two = two;
    }

    void run() throws Exception {
        oneShot();
        standing();
        removal();
    }

    private void oneShot() throws Exception {
        report.line("exists with a watch, missing",
                () -> two.exists("/driver/w", report.watcher("two/exists")));
        report.line("exists with the default watcher", () -> one.exists("/driver/w", true));
        report.line("create it", () -> create("/driver/w"));
        report.line("exists with a watch, there",
                () -> two.exists("/driver/w", report.watcher("two/exists")));
        report.line("getData with a watch",
                () -> two.getData("/driver/w", report.watcher("two/data"), new Stat()));
        report.line("getChildren with a watch",
                () -> two.getChildren("/driver/w", report.watcher("two/children")));
        report.line("setData on it", () -> one.setData("/driver/w", null, -1));
        report.line("setData on it again", () -> one.setData("/driver/w", X, -1));
        report.line("create a child", () -> create("/driver/w/1"));
        report.line("create another child", () -> create("/driver/w/2"));
        report.line("getChildren of the child",
                () -> two.getChildren("/driver/w/1", report.watcher("two/children")));
        report.line("getData of the child",
                () -> two.getData("/driver/w/1", report.watcher("two/data"), null));
        report.line("getChildren of the parent",
                () -> two.getChildren("/driver/w", report.watcher("two/parent"), new Stat()));
        report.line("delete the child", () -> delete("/driver/w/1"));
        report.line("getData with a watch, no node",
                () -> two.getData("/driver/w/1", report.watcher("two/never"), null));
        report.line("create the child again", () -> create("/driver/w/1"));
        report.line("setACL tells nobody", () -> {
            two.getData("/driver/w/1", report.watcher("two/data"), null);
            return one.setACL("/driver/w/1", OPEN_ACL_UNSAFE, -1);
        });
        report.line("delete the child again", () -> delete("/driver/w/1"));
    }

    private void standing() throws Exception {
        report.line("addWatch persistent",
                () -> watch("/driver/w", "persistent", AddWatchMode.PERSISTENT));
        report.line("addWatch recursive",
                () -> watch("/driver/w", "recursive", AddWatchMode.PERSISTENT_RECURSIVE));
        report.line("create a child", () -> create("/driver/w/1"));
        report.line("create a grandchild", () -> create("/driver/w/1/1"));
        report.line("setData on the node", () -> one.setData("/driver/w", X, -1));
        report.line("setData on the child", () -> one.setData("/driver/w/1", X, -1));
        report.line("multi below it",
                () -> one.multi(List.of(Op.setData("/driver/w/1/1", null, -1),
                                Op.delete("/driver/w/1/1", -1),
                                Op.create("/driver/w/3", X, OPEN_ACL_UNSAFE,
                                        CreateMode.PERSISTENT))));
        report.line("delete the child", () -> delete("/driver/w/1"));
        report.line("addWatch on a missing node",
                () -> watch("/driver/later", "later", AddWatchMode.PERSISTENT));
        report.line("create that node", () -> create("/driver/later"));
        report.line("delete that node", () -> delete("/driver/later"));
        report.line("create that node again", () -> create("/driver/later"));
        report.line("one-shot beside standing",
                () -> two.getData("/driver/later", report.watcher("two/data"), null));
        report.line("setData on that node", () -> one.setData("/driver/later", X, -1));
    }

    private void removal() throws Exception {
        Watcher data = report.watcher("two/data");
        Watcher children = report.watcher("two/children");
        Watcher persistent = report.watcher("two/standing");
        Watcher recursive = report.watcher("two/deep");
        two.getData("/driver/w", data, null);
        two.getChildren("/driver/w", children);
        two.addWatch("/driver/later", persistent, AddWatchMode.PERSISTENT);
        two.addWatch("/driver/later", recursive, AddWatchMode.PERSISTENT_RECURSIVE);
        report.line("removeWatches, never set",
                () -> remove("/driver/no", data, WatcherType.Data, false));
        report.line("removeWatches, another kind",
                () -> remove("/driver/w", data, WatcherType.Children, false));
        report.line("removeWatches data", () -> remove("/driver/w", data, WatcherType.Data, false));
        report.line("removeWatches children",
                () -> remove("/driver/w", children, WatcherType.Children, true));
        report.line("removeWatches persistent",
                () -> remove("/driver/later", persistent, WatcherType.Persistent, false));
        report.line("removeWatches recursive",
                () -> remove("/driver/later", recursive, WatcherType.PersistentRecursive, false));
        report.line("setData hears no one-shot", () -> one.setData("/driver/w", X, -1));
        report.line("removeAllWatches recursive",
                () -> removeAll("/driver/w", WatcherType.PersistentRecursive));
        report.line("setData hears the persistent", () -> one.setData("/driver/w", X, -1));
        report.line("removeAllWatches any", () -> removeAll("/driver/w", WatcherType.Any));
        report.line("removeAllWatches again", () -> removeAll("/driver/w", WatcherType.Any));
        report.line("setData hears none", () -> one.setData("/driver/w", X, -1));
        report.line("removeAllWatches persistent",
                () -> removeAll("/driver/later", WatcherType.Persistent));
        report.line("an ephemeral is watched", () -> {
            one.create("/driver/e", X, OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
            return two.exists("/driver/e", report.watcher("two/ephemeral"));
        });
        report.line("and deleted", () -> delete("/driver/e"));
    }

    private Object create(String path) throws Exception {
        return one.create(path, X, OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    }

    private Object delete(String path) throws Exception {
        return Driver.nothing(() -> one.delete(path, -1));
    }

    private Object watch(String path, String name, AddWatchMode mode) throws Exception {
        return Driver.nothing(() -> two.addWatch(path, report.watcher("two/" + name), mode));
    }

    private Object remove(String path, Watcher watcher, WatcherType type, boolean local)
            throws Exception {
        return Driver.nothing(() -> two.removeWatches(path, watcher, type, local));
    }

    private Object removeAll(String path, WatcherType type) throws Exception {
        return Driver.nothing(() -> two.removeAllWatches(path, type, false));
    }
}
