"""Basic operations, a watch, a transaction and two contenders for a lock, all through kazoo.

    python kazoo_smoke.py 127.0.0.1:2181

Prints "good" at the end; fails with an assertion otherwise.
"""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.security import make_digest_acl

WAIT_SECONDS = 20


def refused(error, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except error:
        return
    raise AssertionError(f"{call} was not refused with {error}")


def operations(one, two):
    assert one.create("/k", b"1", makepath=True) == "/k"
    refused(NodeExistsError, one.create, "/k")
    data, stat = two.get("/k")
    assert (data, stat.version) == (b"1", 0)
    assert one.set("/k", b"2").version == 1
    refused(BadVersionError, one.set, "/k", b"3", version=0)
    assert one.create("/k/s-", sequence=True) == "/k/s-0000000000"
    assert one.create("/k/e", ephemeral=True) == "/k/e"
    assert sorted(two.get_children("/k")) == ["e", "s-0000000000"]
    assert two.exists("/k/e").ephemeralOwner == one.client_id[0]
    two.sync("/k")
    one.add_auth("digest", "u:p")
    one.create("/k/mine", acl=[make_digest_acl("u", "p", all=True)])
    assert len(one.get_acls("/k/mine")[0]) == 1
    transaction = one.transaction()
    transaction.create("/k/t", b"x")
    transaction.check("/k/t", 0)
    transaction.delete("/k/s-0000000000")
    assert transaction.commit()[0] == "/k/t"
    refused(NoNodeError, one.get, "/k/no")


def watches(one, two):
    fired = threading.Event()
    two.get("/k", watch=lambda event: fired.set())
    one.set("/k", b"seen")
    assert fired.wait(WAIT_SECONDS)


def locks(one, two):
    first, second = one.Lock("/lock", "one"), two.Lock("/lock", "two")
    assert first.acquire(timeout=WAIT_SECONDS)
    assert not second.acquire(blocking=False)
    held = threading.Event()

    def contend():
        assert second.acquire(timeout=WAIT_SECONDS)
        held.set()

    contender = threading.Thread(target=contend)
    contender.start()
    assert not held.is_set()
    first.release()
    contender.join(WAIT_SECONDS)
    assert held.is_set()
    assert second.contenders() == ["two"]
    second.release()


def main(address):
    one, two = KazooClient(hosts=address), KazooClient(hosts=address)
    one.start(timeout=WAIT_SECONDS)
    two.start(timeout=WAIT_SECONDS)
    operations(one, two)
    watches(one, two)
    locks(one, two)
    one.delete("/k/mine")
    one.stop()
    assert two.exists("/k/e") is None
    two.delete("/k", recursive=True)
    two.stop()
    print("good")


main(sys.argv[1])
