"""One of kazoo's contenders, a turn at a time.

    python kazoo_contender.py HOST:PORT SESSION_MS

One command per line, one line of answer each; the end of the input ends the session.

    enter mutex PATH          kazoo's lock
    enter curator PATH        the same with Curator's names
    enter read|write PATH     a read-write lock
    enter lease PATH MAX      a semaphore
    enter elect PATH          an election
    enter jobs PATH           an item of a locking queue
                              "in CZXID" or "in ITEM", as soon as it has its turn
    leave                     "out": what enter took; an item is consumed
    add text|integer PATH     "added": one more
    share PATH ITEM,ITEM,...  "in ITEM,ITEM,...", as soon as it has a share of the set;
                              "changed" when it is to be given up
    quit                      "out": is no member any more
"""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.recipe.counter import Counter
from kazoo.recipe.lock import Lock, ReadLock, Semaphore, WriteLock
from kazoo.recipe.partitioner import PartitionState
from kazoo.recipe.queue import LockingQueue

QUIET_SECONDS = 0.05
WAIT_SECONDS = 60


class CuratorLock(Lock):
    _NODE_NAME, _EXCLUDE_NAMES = "-lock-", ["-lock-"]


def say(line):
    print(line, flush=True)


class Contender:
    def __init__(self, client):
        self.client = client
        self.leave = None

    def enter(self, kind, path, *rest):
        if kind == "elect":
            leads, resigns = threading.Event(), threading.Event()
            election = self.client.Election(path, "theirs")
            term = threading.Thread(
                target=lambda: election.run(lambda: (leads.set(), resigns.wait()))
            )
            term.start()
            leads.wait()
            self.leave = lambda: (resigns.set(), term.join())
            return self.czxid(election.lock)
        if kind == "jobs":
            queue = LockingQueue(self.client, path)
            item = queue.get(WAIT_SECONDS)
            self.leave = queue.consume
            return item.decode() if item else "nothing"
        if kind == "lease":
            semaphore = Semaphore(self.client, path, max_leases=int(rest[0]))
            semaphore.acquire()
            self.leave = semaphore.release
            return self.client.exists(path + "/" + semaphore.create_path.split("/")[-1]).czxid
        kinds = {"mutex": Lock, "curator": CuratorLock, "read": ReadLock, "write": WriteLock}
        lock = kinds[kind](self.client, path)
        lock.acquire()
        self.leave = lock.release
        return self.czxid(lock)

    def czxid(self, lock):
        return self.client.exists(lock.path + "/" + lock.node).czxid

    def share(self, path, items):
        """Takes shares until it is told to quit."""
        changed = threading.Event()
        partitioner = self.client.SetPartitioner(
            path,
            set=items.split(","),
            identifier=str(self.client.client_id[0]),
            time_boundary=QUIET_SECONDS,
            state_change_event=changed,
        )
        is_over = threading.Event()
        told = threading.Semaphore(0)

        def listen():
            for line in sys.stdin:
                if line.strip() == "quit":
                    is_over.set()
                    changed.set()
                told.release()

        threading.Thread(target=listen, daemon=True).start()
        is_in = False
        while not is_over.is_set():
            changed.clear()
            if partitioner.state == PartitionState.ACQUIRED and not is_in:
                is_in = True
                say("in " + ",".join(sorted(partitioner)))
            elif partitioner.state == PartitionState.RELEASE:
                if is_in:
                    say("changed")
                    told.acquire()
                    if is_over.is_set():
                        break
                    is_in = False
                    say("out")
                partitioner.release_set()
                continue
            elif partitioner.state == PartitionState.FAILURE:
                say("failed")
                return
            changed.wait(0.05)
        partitioner.finish()
        say("out")


def main():
    connect, session_ms = sys.argv[1:]
    # Others add all the time: whoever waits longer each time, up to a minute, comes last for ever.
    retry = {"max_tries": -1, "delay": 0.001, "max_delay": 0.01}
    client = KazooClient(hosts=connect, timeout=int(session_ms) / 1000, command_retry=retry)
    client.start(timeout=30)
    contender = Contender(client)
    while line := sys.stdin.readline():
        command = line.split()
        if command[0] == "enter":
            say("in %s" % contender.enter(*command[1:]))
        elif command[0] == "leave":
            contender.leave()
            say("out")
        elif command[0] == "add":
            counter = Counter(client, command[2], support_curator=command[1] == "integer")
            counter += 1
            say("added")
        elif command[0] == "share":
            contender.share(*command[1:])
            break
    client.stop()


main()
