"""Writes a small corpus for the fuzz targets, made of what is captured from Apache servers.

    tests/fuzz/seeds.py DIRECTORY       one folder per target, one file per input
"""

import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIRE = ROOT / "zk-client/proto/tests/golden"
DISK = ROOT / "zk-server-embedded/core/tests/golden"
OUT = pathlib.Path(sys.argv[1])
# Recover in every way that lets the most through.
LENIENT = b"\x07"


def put(target, data):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{len(list(folder.iterdir())):03}").write_bytes(data)


def lines(folder, name="*"):
    """Kind and bytes of everything captured there."""
    for path in sorted((WIRE / folder).glob(f"{name}.hex")):
        for line in path.read_text().splitlines():
            kind, _, text = line.partition(" ")
            if text and not line.startswith("#"):
                try:
                    yield kind, bytes.fromhex(text)
                except ValueError:
                    pass


def chunk(data):
    return struct.pack(">H", len(data)) + data


def short(data):
    return bytes([len(data)]) + data


def framed(data):
    return struct.pack(">i", len(data)) + data


def learners():
    """Who learns, as the fuzz target is told, and what its leader says."""
    for path in sorted((WIRE / "quorum").glob("*.hex")):
        start, said, pair = b"", [], None
        for line in path.read_text().splitlines():
            kind, _, text = line.partition(" ")
            if not text or line.startswith("#"):
                continue
            side, sender, receiver = kind.split(":")
            data = bytes.fromhex(text)
            if side == "learner" and data[3] in (11, 16):
                if said:
                    yield start, said
                pair, said = (sender, receiver), []
                # Answers come at once; it observes or not; what it has promised.
                start = bytes([4 | (data[3] == 16) << 1, data[7], data[7]])
            elif side == "learner" and data[3] == 18 and (sender, receiver) == pair:
                start += data[4:12]
            elif side != "learner" and (receiver, sender) == pair and len(data) < 65536:
                said.append(data)
        if said:
            yield start, said


def leader(name):
    """What the learners of one capture say; storage answers at once, sockets take everything."""
    links, steps = {}, b""
    for kind, data in lines("quorum", name):
        side, sender, _ = kind.split(":")
        if side == "learner" and len(data) < 65536:
            if sender not in links:
                links[sender] = len(links)
                steps += bytes([links[sender], 0])
            steps += bytes([links[sender], 1]) + chunk(data)
            # A proposal, that it is on our own disk, and a `sync`.
            steps += b"\0\x07\x01" + b"\0\x09" + b"\0\x0e\x01"
    return b"\x02\0" + steps


def wire():
    client = list(lines("client"))
    greeting = next(data for kind, data in client if kind == "connect_request")
    for kind, data in client:
        if kind.startswith("connect"):
            put("connect", data)
            if kind == "connect_request":
                put("client_conn", b"\0" + short(framed(data)))
        elif kind == "request":
            op = struct.unpack(">i", data[4:8])[0] if len(data) >= 8 else 0
            body = data[8:]
            target = "multi" if op in (14, 22) else "set_watches" if op in (101, 105) else "request"
            put(target, body)
            put("frame", framed(data))
            if len(data) < 200:
                pieces = framed(greeting)[:20], framed(greeting)[20:], framed(data)
                put("client_conn", b"\1" + b"".join(map(short, pieces)))
            # A connection, its session on disk, the request with its body, and that on disk.
            put("peer", b"\x0d" + b"\x00\x00" + b"\x05"
                + b"\x02\x09" + struct.pack(">H", op & 0xFFFF) + chunk(body) + b"\x00" + b"\x05")
        elif kind == "reply":
            put("reply", data[16:])
            put("multi", data[16:])
            # An attempt, a connection, a greeting, a request, its answer.
            put("session", b"\0" + b"\x09\0" * 2 + b"\x09\0\0" + b"\0\0\0\0\0\x01"
                + b"\x0e\x11" + short(data[16:][:255]))
    for word in (b"ruok", b"mntr", b"stmk\0\0\0\0\0\0\0\7", b"\xff\xf4\xff\xfd"):
        put("client_conn", b"\0" + short(word[:2]) + short(word[2:]))
    for _, data in lines("txn"):
        put("txn", data)
        put("log_txns", LENIENT + chunk(data))
    for _, data in lines("quorum"):
        if len(data) < 4096:
            put("quorum", data)
    for name in ("fresh", "diff", "snap", "trunc", "sessions", "observer"):
        put("leader", leader(name))
    for kind, said in learners():
        put("learner", kind + b"".join(b"\0" + chunk(data) for data in said))
    for kind, data in lines("election"):
        if len(data) < 2048:
            put("ballot", data)
            if b"server." in data:
                put("ensemble", data[data.index(b"server."):])


def records(log):
    offset = 16
    while offset + 12 < len(log):
        length = struct.unpack(">i", log[offset + 8:offset + 12])[0]
        if length <= 0:
            return offset
        yield log[offset + 12:offset + 12 + length]
        offset += 12 + length + 1


def disk():
    plain = DISK / "plain/version-2"
    logs = {name: (plain / name).read_bytes().rstrip(b"\0") for name in ("log.1", "log.29")}
    put("log_file", LENIENT + b"\0\1" + logs["log.1"])
    put("log_file", LENIENT + b"\1\0" + logs["log.29"])
    put("log_txns", LENIENT + b"".join(map(chunk, records(logs["log.1"]))))
    files = [(0, 1, logs["log.1"]), (0, 0x29, logs["log.29"])]
    packings = (("plain", ""), ("gz", ".gz"), ("snappy", ".snappy"))
    for kind, (folder, suffix) in enumerate(packings, 2):
        target = f"snapshot_{folder}"
        for number in (0, 0x28):
            data = (DISK / folder / "version-2" / f"snapshot.{number:x}{suffix}").read_bytes()
            put(target, b"\xff\xff" + data)
            put(target, b"\x00\x07" + data)
            files.append((kind, number, data))
    for start in range(len(files)):
        chosen = files[:2] + files[2 + start:3 + start]
        body = b"".join(bytes([kind, number]) + chunk(data) for kind, number, data in chosen)
        put("data_dir", LENIENT + b"\1" + body)
    epoch = struct.pack(">q", 12 << 32)
    put("epoch_file", epoch + b"\1\x03" + short(b"12") + short(b"12"))
    put("epoch_file", epoch + b"\1\x3f" + short(b"12") + short(b"11") + short(b"12") + short(b"1")
        + short(b"3\n") + short(b""))


def text():
    settings = "dataDir=/tmp/a\nclientPort=2181\n# note\ntickTime = 2000\n"
    for more in ("", "autopurge.snapRetainCount:5\n", "4lw.commands.whitelist=ruok, \\\n stat\n",
                 "minSessionTimeout=5\nmaxSessionTimeout=4\n", "server.1=a:1:2:observer;3\n",
                 "zookeeper.snapCount=1\n\\u0041=b\nenforce.auth.enabled=true\n"):
        put("config_file", (settings + more).encode())
    put("ensemble", b"server.1=[::1]:1:2|h:3:4:participant;5\ngroup.1=1\nweight.1=2\nversion=a")
    for path in ("/", "/a/b-0000000001", "/a//b", "/a/../b", "/\u00e9/\ud7ff"):
        put("path", path.encode())
    one = struct.pack(">ii6si6s", 31, 6, b"digest", 6, b"a:abcd")
    credentials = b"\1" + short(b"") + b"\0" + short(b"user:pw")
    put("auth", b"\0" * 17 + credentials + struct.pack(">i", 1) + one)
    put("auth", b"\4" * 17 + b"\0" + struct.pack(">iii2si9s", 1, 31, 2, b"ip", 9, b"1.2.3.4/8"))


wire()
disk()
text()
