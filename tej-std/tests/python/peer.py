"""A peer that is the Python original, driven by the interop tests.

    peer.py server                  listens, prints {"port": N}, then one JSON line per frame it receives, and answers
                                    each frame but pings with a message `got <number of files>`
    peer.py client PORT SCENARIO    connects, sends the scenario's frames, prints what comes back
"""

import faulthandler
import hashlib
import json
import sys
import threading
import time

from tej_protoc import callbacks, protocol
from tej_protoc.client import TPClient
from tej_protoc.ping import Ping
from tej_protoc.server import TPServer


def report(**what):
    print(json.dumps(what), flush=True)


def digest(data):
    return hashlib.sha256(data or b"").hexdigest()


def pattern(size, seed):
    """Bytes that both sides can make: the SHA-256 of a counter, over and over."""
    blocks = (hashlib.sha256(b"%d:%d" % (seed, n)).digest() for n in range((size + 31) // 32))
    return b"".join(blocks)[:size]


class Reporting(callbacks.ResponseCallback):
    def describe(self, kind, files, message):
        report(
            kind=kind,
            status=self.custom_status,
            files=[{"name": f.name, "size": f.size, "sha256": digest(f.data)} for f in files],
            size=len(message or b""),
            sha256=digest(message),
        )

    def received(self, files, message):
        self.describe("received", files, message)

    def ping_received(self, files, message):
        self.describe("ping", files, message)

    def disconnected(self):
        report(kind="disconnected")


class Answering(Reporting):
    def received(self, files, message):
        super().received(files, message)
        builder = protocol.BytesBuilder(7)
        builder.set_message(b"got %d" % len(files))
        protocol.send(self.client, builder.bytes())


def server():
    tcp = TPServer("127.0.0.1", 0, Answering)
    report(port=tcp.__server__.getsockname()[1])
    tcp.listen()


def frame(status=0, files=(), message=None):
    builder = protocol.BytesBuilder(status)
    for name, data in files:
        builder.add_file(name, data)
    if message is not None:
        builder.set_message(message)
    return builder.bytes()


def client(port, scenario):
    tcp = TPClient("127.0.0.1", port, Reporting)
    sock = tcp.get_client()
    threading.Thread(target=tcp.listen, daemon=True).start()
    if scenario == "messages":
        protocol.send(sock, frame(0, message=b"Hello"))
        protocol.send(sock, frame(127, message="caf\u00e9".encode()))
        protocol.send(sock, frame(5))
    elif scenario == "files":
        protocol.send(sock, frame(1, [("a.txt", b"hi"), ("empty", b""), ("b.bin", pattern(100_000, 1))], b"three"))
    elif scenario == "large":
        protocol.send(sock, frame(0, [("large.bin", pattern(32 << 20, 2))], b"large"))
    elif scenario == "pings":
        ping = Ping(sock, 0.05)
        ping.start()
        time.sleep(1)
        ping.stop()
        time.sleep(0.2)
    else:
        sys.exit(f"no scenario {scenario}")
    sock.shutdown(1)
    # The other side closes once it has read everything.
    while tcp.get_client() is not None:
        time.sleep(0.01)


# A test that hangs must fail: after two minutes this says where, and exits.
faulthandler.dump_traceback_later(120, exit=True)

if sys.argv[1] == "server":
    server()
else:
    client(int(sys.argv[2]), sys.argv[3])
