"""kazoo's other recipes.

    python kazoo_recipes.py HOST:PORT rw PATH ROUNDS DIR
    python kazoo_recipes.py HOST:PORT sem PATH MAX ROUNDS DIR
    python kazoo_recipes.py HOST:PORT text|integer PATH ROUNDS
    python kazoo_recipes.py HOST:PORT wait PATH
    python kazoo_recipes.py HOST:PORT double PATH N
    python kazoo_recipes.py HOST:PORT put PATH PRIORITY TEXT
    python kazoo_recipes.py HOST:PORT get PATH
    python kazoo_recipes.py HOST:PORT lock PATH
    python kazoo_recipes.py HOST:PORT party PATH NAME
    python kazoo_recipes.py HOST:PORT shallow PATH NAME
    python kazoo_recipes.py HOST:PORT elect PATH NAME
    python kazoo_recipes.py HOST:PORT timed PATH SECONDS NAME
    python kazoo_recipes.py HOST:PORT slots PATH SECONDS NAME COUNT

Says "ready", waits for a line, and says "done" at the end; "overlap" when somebody is inside who should not be, as the files in DIR tell
that everybody leaves there who is; "item TEXT" for an item;
"consumed" for one that was locked, after another line; "members NAME NAME" for a party, which it leaves
after another line; "leads" for an election, until another line; "obtained" or "refused" for a lease.
"""

import datetime
import os
import sys
import uuid

from kazoo.client import KazooClient
from kazoo.recipe.barrier import Barrier, DoubleBarrier
from kazoo.recipe.counter import Counter
from kazoo.recipe.lease import MultiNonBlockingLease, NonBlockingLease
from kazoo.recipe.lock import ReadLock, Semaphore, WriteLock
from kazoo.recipe.party import Party, ShallowParty
from kazoo.recipe.queue import LockingQueue, Queue


def say(line):
    print(line, flush=True)


def inside(directory, name, is_fine):
    path = os.path.join(directory, name)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    fine = is_fine(os.listdir(directory))
    os.unlink(path)
    return fine


def read_and_write(client, path, rounds, directory):
    for number in range(int(rounds)):
        if number % 3 == 0:
            lock, name = WriteLock(client, path), "writer"
            is_fine = lambda names: len(names) == 1
        else:
            lock, name = ReadLock(client, path), "reader-" + uuid.uuid4().hex
            is_fine = lambda names: "writer" not in names
        with lock:
            if not inside(directory, name, is_fine):
                return "overlap"
    return "done"


def leases(client, path, most, rounds, directory):
    semaphore = Semaphore(client, path, max_leases=int(most))
    for _ in range(int(rounds)):
        with semaphore:
            name = "lease-" + uuid.uuid4().hex
            if not inside(directory, name, lambda names: len(names) <= int(most)):
                return "overlap"
    return "done"


def main():
    connect, command, path = sys.argv[1:4]
    rest = sys.argv[4:]
    client = KazooClient(hosts=connect)
    client.start(timeout=30)
    say("ready")
    sys.stdin.readline()
    if command == "rw":
        say(read_and_write(client, path, *rest))
    elif command == "sem":
        say(leases(client, path, *rest))
    elif command in ("text", "integer"):
        counter = Counter(client, path, support_curator=command == "integer")
        for _ in range(int(rest[0])):
            counter += 1
        say("done")
    elif command == "wait":
        Barrier(client, path).wait()
        say("done")
    elif command == "double":
        barrier = DoubleBarrier(client, path, int(rest[0]))
        barrier.enter()
        say("entered")
        barrier.leave()
        say("done")
    elif command == "put":
        Queue(client, path).put(rest[1].encode(), int(rest[0]))
        say("done")
    elif command == "get":
        say("item " + Queue(client, path).get().decode())
    elif command == "lock":
        queue = LockingQueue(client, path)
        item = queue.get(30)
        say("item " + item.decode())
        sys.stdin.readline()
        say("consumed" if queue.consume() else "lost")
    elif command == "elect":
        client.Election(path, rest[0]).run(lambda: (say("leads"), sys.stdin.readline()))
        say("done")
    elif command in ("timed", "slots"):
        duration = datetime.timedelta(seconds=int(rest[0]))
        if command == "timed":
            lease = NonBlockingLease(client, path, duration, rest[1])
        else:
            lease = MultiNonBlockingLease(client, int(rest[2]), path, duration, rest[1])
        say("obtained" if lease else "refused")
    elif command in ("party", "shallow"):
        party = (Party if command == "party" else ShallowParty)(client, path, rest[0])
        party.join()
        say("members " + " ".join(sorted(party)))
        sys.stdin.readline()
        party.leave()
        say("done")
    client.stop()


main()
