import static org.apache.zookeeper.ZooDefs.Ids.OPEN_ACL_UNSAFE;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.jute.BinaryOutputArchive;
import org.apache.jute.Record;
import org.apache.zookeeper.MultiOperationRecord;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.ZooDefs.OpCode;
import org.apache.zookeeper.proto.AddWatchRequest;
import org.apache.zookeeper.proto.AuthPacket;
import org.apache.zookeeper.proto.CheckWatchesRequest;
import org.apache.zookeeper.proto.CreateRequest;
import org.apache.zookeeper.proto.DeleteRequest;
import org.apache.zookeeper.proto.GetDataRequest;
import org.apache.zookeeper.proto.GetEphemeralsRequest;
import org.apache.zookeeper.proto.GetSASLRequest;
import org.apache.zookeeper.proto.MultiHeader;
import org.apache.zookeeper.proto.RemoveWatchesRequest;
import org.apache.zookeeper.proto.SetDataRequest;
import org.apache.zookeeper.proto.SetWatches;
import org.apache.zookeeper.proto.SetWatches2;
import org.apache.zookeeper.proto.SyncRequest;

/**
 * Requests that only other clients send, or nobody should. Runs after {@link CaptureRequests} on
 * the same tree.
 */
final class CaptureRaw {
    private static final byte[] X = {'x'};

    private final Golden golden;
    private final ApacheServer server;

    private CaptureRaw(Golden golden, ApacheServer server) {
        this.golden = golden;
        this.server = server;
    }

    static void run(Golden golden, ApacheServer server) throws Exception {
        CaptureRaw capture = new CaptureRaw(golden, server);
        capture.handshakes();
        capture.heartbeat();
        capture.watches();
        capture.multis();
        capture.odd();
        capture.malformed();
    }

    private void handshakes() throws Exception {
        long sessionId;
        byte[] password = new byte[16];
        try (RawClient client = new RawClient(server.port())) {
            ByteBuffer answer = ByteBuffer.wrap(client.handshake(0, 0, new byte[16], false));
            golden.write("connect_without_read_only",
                    "a new session asked for without the read-only byte: the answer lacks it too",
                    client.take());
            sessionId = answer.getLong(8);
            answer.position(20).get(password);
        }
        try (RawClient client = new RawClient(server.port())) {
            client.handshake(server.lastZxid(), sessionId, password, true);
            golden.write("connect_resume", "an existing session resumed", client.take());
        }
        try (RawClient client = new RawClient(server.port())) {
            client.handshake(0, sessionId, new byte[16], true);
            golden.write("connect_refused",
                    "an existing session with a wrong password: timeout 0, session 0, zero "
                    + "password, then hung up",
                    client.take());
        }
        try (RawClient client = new RawClient(server.port())) {
            client.handshake(0, sessionId, new byte[16], false);
            golden.write("connect_refused_without_read_only", "the same without the read-only byte",
                    client.take());
        }
        try (RawClient client = new RawClient(server.port())) {
            client.handshake(Long.MAX_VALUE, sessionId, password, true);
            golden.write("connect_from_the_future",
                    "a client that has seen more than the server: hung up without an answer",
                    client.take());
        }
    }

    private void heartbeat() throws Exception {
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(-2, OpCode.ping, null);
            golden.write("ping", "ping", client.take());
        }
    }

    private void watches() throws Exception {
        long now = server.lastZxid();
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(-8, OpCode.setWatches,
                    new SetWatches(0, List.of("/gone", "/w"), List.of("/w", "/missing"),
                            List.of("/a", "/gone")));
            golden.write("set_watches",
                    "setWatches relative to zxid 0: data \"/gone\" \"/w\", exist \"/w\" "
                    + "\"/missing\", child \"/a\" \"/gone\"\n"
                            + "-> NodeDeleted, NodeDataChanged, NodeCreated, NodeChildrenChanged, "
                              + "NodeDeleted with zxid -1, then the reply",
                    client.take());
            client.call(-8, OpCode.setWatches2,
                    new SetWatches2(now, List.of("/w"), List.of("/missing"), List.of("/a"),
                            List.of("/m"), List.of("/c")));
            golden.write("set_watches2",
                    "setWatches2 relative to the present: nothing has changed, every watch is set",
                    client.take());
            for (int type = 1; type <= 5; type++) {
                client.call(10 + type, OpCode.checkWatches,
                        new CheckWatchesRequest(type == 5 ? "/c"
                                        : type == 4       ? "/m"
                                        : type == 1       ? "/a"
                                                          : "/w",
                                type));
            }
            golden.write("check_watches_types",
                    "checkWatches of each type that the lists before have set: 1 \"/a\", 2 \"/w\", "
                    + "3 \"/w\", 4 \"/m\", 5 \"/c\" -> all there",
                    client.take());
            client.call(20, OpCode.checkWatches, new CheckWatchesRequest("/a", 2));
            golden.write("check_watches_miss",
                    "checkWatches \"/a\" of type 2, which is not set -> -121", client.take());
            client.call(21, OpCode.removeWatches, new RemoveWatchesRequest("/a", 2));
            golden.write("remove_watches_miss",
                    "removeWatches \"/a\" of type 2, which is not set -> -121", client.take());
            for (int type = 1; type <= 5; type++) {
                client.call(30 + type, OpCode.removeWatches,
                        new RemoveWatchesRequest(type == 5 ? "/c"
                                        : type == 4        ? "/m"
                                        : type == 1        ? "/a"
                                        : type == 2        ? "/w"
                                                           : "/missing",
                                type));
            }
            golden.write("remove_watches_types",
                    "removeWatches of each type: 1 \"/a\", 2 \"/w\", 3 \"/missing\", 4 \"/m\", 5 "
                    + "\"/c\" -> all removed",
                    client.take());
            client.call(40, OpCode.addWatch, new AddWatchRequest("/w", 7));
            golden.write("add_watch_bad_mode", "addWatch with mode 7 -> -5", client.take());
        }
    }

    private void multis() throws Exception {
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(1, OpCode.multi, new MultiOperationRecord());
            golden.write("multi_empty", "multi of nothing -> the end header only", client.take());
            client.call(2, OpCode.multiRead, new MultiOperationRecord());
            golden.write("multi_read_empty", "multiRead of nothing", client.take());
            client.call(
                    3, multi(OpCode.create2, new CreateRequest("/m/c2", X, OPEN_ACL_UNSAFE, 0), 3));
            golden.write(
                    "multi_create2", "multi: create2 \"/m/c2\" -> path and stat", client.take());
            client.call(4, OpCode.multi, new MultiOperationRecord(List.of(Op.delete("/m/c2", 5))));
            golden.write("multi_failed_alone",
                    "multi: delete \"/m/c2\" at version 5 -> one result, -103", client.take());
            client.call(5, multi(OpCode.getACL, new SyncRequest("/m"), 5));
            golden.write("multi_unknown_kind",
                    "multi with an operation that may not be inside -> -5, no body", client.take());
            byte[] whole = RawClient.payload(
                    6, OpCode.multi, new MultiOperationRecord(List.of(Op.delete("/m/c2", -1))));
            client.call(6, java.util.Arrays.copyOf(whole, whole.length - 9));
            golden.write("multi_without_end", "multi without its end header -> -5, nothing done",
                    client.take());
            client.call(8, kinds(OpCode.multiRead, 8));
            golden.write("multi_read_with_write",
                    "multiRead of getData \"/m\", then delete \"/m/c2\" -> -5, no body",
                    client.take());
            client.call(9, kinds(OpCode.multi, 9));
            golden.write("multi_with_read", "multi of getData \"/m\", then delete \"/m/c2\" -> -5",
                    client.take());
        }
    }

    private void odd() throws Exception {
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(1, OpCode.sync, new SyncRequest("nowhere"));
            golden.write(
                    "sync_any_path", "sync of a path that is none -> the same path", client.take());
            client.call(2, OpCode.getEphemerals, new GetEphemeralsRequest(null));
            golden.write("get_ephemerals_null", "getEphemerals of a null prefix, none there",
                    client.take());
            client.call(3, OpCode.create, new CreateRequest("/x/", X, OPEN_ACL_UNSAFE, 0));
            golden.write("create_bad_path_no_parent",
                    "create \"/x/\" -> -101: \"/x\" is missed before the path is judged",
                    client.take());
            client.call(9, OpCode.create, new CreateRequest("/a/", X, OPEN_ACL_UNSAFE, 0));
            golden.write(
                    "create_bad_path", "create \"/a/\", where \"/a\" exists -> -8", client.take());
            client.call(10, OpCode.create, new CreateRequest("/a/", X, OPEN_ACL_UNSAFE, 2));
            golden.write("create_sequential_empty_name",
                    "create \"/a/\", flags 2 -> the name is the number alone", client.take());
            client.call(4, OpCode.create, new CreateRequest("/x", X, OPEN_ACL_UNSAFE, 9));
            golden.write("create_bad_flags", "create with flags 9 -> -8", client.take());
            client.call(5, OpCode.create, new CreateRequest("/x", X, null, 0));
            golden.write("create_null_acl", "create with a null acl list -> -114", client.take());
            client.call(6, OpCode.setData, new SetDataRequest(null, X, -1));
            golden.write("set_data_null_path", "setData with a null path -> -8", client.take());
            client.call(7, OpCode.deleteContainer, new SyncRequest("/w"));
            golden.write("delete_container",
                    "deleteContainer \"/w\" sent by a client; its record is a path, as that of "
                    + "sync",
                    client.take());
            client.call(8, OpCode.sasl, new GetSASLRequest(new byte[0]));
            golden.write("sasl_not_configured", "sasl on a server without it -> a null token",
                    client.take());
        }
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(-4, OpCode.auth, new AuthPacket(0, "digest", null));
            golden.write("auth_failed", "auth digest with null data -> -115, then hung up",
                    client.take());
        }
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(-4, OpCode.auth, new AuthPacket(0, "nobody", X));
            golden.write("auth_unknown_scheme", "auth of an unknown scheme -> -115, then hung up",
                    client.take());
        }
        for (int type : new int[] {0, 10, 13, 99}) {
            try (RawClient client = RawClient.connected(server.port())) {
                client.call(1, type, null);
                golden.write("unimplemented_" + type,
                        "opcode " + type + " -> zxid -1, error -6, then hung up", client.take());
            }
        }
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(1, OpCode.delete, new DeleteRequest("/m/c2", 0));
            client.call(2, OpCode.closeSession, null);
            golden.write("close_session_raw", "delete, then closeSession", client.take());
        }
    }

    private void malformed() throws Exception {
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(1, OpCode.getData, null);
            golden.write("header_only", "getData without a body -> -5", client.take());
            byte[] whole = RawClient.payload(2, OpCode.getData, new GetDataRequest("/a", false));
            client.call(2, java.util.Arrays.copyOf(whole, whole.length - 1));
            golden.write("get_data_cut_short", "getData \"/a\" without its watch byte -> -5",
                    client.take());
            client.call(2, java.util.Arrays.copyOf(whole, whole.length + 3));
            golden.write("get_data_trailing",
                    "getData \"/a\" with three more bytes behind it -> as if they were not there",
                    client.take());
            whole[whole.length - 1] = 2;
            client.call(2, whole);
            golden.write("get_data_watch_byte_2", "getData \"/a\" with watch byte 2, which is true",
                    client.take());
            client.call(3, OpCode.setWatches, new SetWatches(0, null, null, null));
            golden.write(
                    "set_watches_null_lists", "setWatches with null lists -> -5", client.take());
        }
        try (RawClient client = RawClient.connected(server.port())) {
            client.call(1, new byte[] {0, 0, 0, 1});
            golden.write("half_header", "a payload of 4 bytes: hung up without an answer",
                    client.take());
        }
    }

    /** A read and a write, which may not stand together. */
    private static byte[] kinds(int type, int xid) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(RawClient.payload(xid, type, new MultiHeader(OpCode.getData, false, -1)));
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(bytes);
        new GetDataRequest("/m", false).serialize(archive, "read");
        new MultiHeader(OpCode.delete, false, -1).serialize(archive, "header");
        new DeleteRequest("/m/c2", -1).serialize(archive, "write");
        new MultiHeader(-1, true, -1).serialize(archive, "end");
        return bytes.toByteArray();
    }

    /** One operation, its header and the end header. */
    private static byte[] multi(int type, Record body, int xid) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write(RawClient.payload(xid, OpCode.multi, null));
        BinaryOutputArchive archive = BinaryOutputArchive.getArchive(bytes);
        new MultiHeader(type, false, -1).serialize(archive, "header");
        body.serialize(archive, "request");
        new MultiHeader(-1, true, -1).serialize(archive, "end");
        return bytes.toByteArray();
    }
}
