"""kazoo's lock, as it is or with Curator's names.

    python curator_kazoo.py HOST:PORT kazoo|curator PATH ROUNDS WITNESS

Says "turn CZXID" for each turn and "done" at the end; "overlap" when the file WITNESS, which whoever
has a turn makes and removes, is there already.
"""

import os
import sys

from kazoo.client import KazooClient
from kazoo.recipe.lock import Lock


class CuratorLock(Lock):
    _NODE_NAME, _EXCLUDE_NAMES = "-lock-", ["-lock-"]


def main():
    connect, layout, path, rounds, witness = sys.argv[1:]
    client = KazooClient(hosts=connect)
    client.start(timeout=30)
    kind = CuratorLock if layout == "curator" else Lock
    for _ in range(int(rounds)):
        lock = kind(client, path)
        with lock:
            try:
                os.close(os.open(witness, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                print("overlap", flush=True)
                return
            czxid = client.exists(path + "/" + lock.node).czxid
            os.unlink(witness)
            print("turn", czxid, flush=True)
    print("done", flush=True)
    client.stop()


main()
