"""A way to a server that breaks at one moment: a swap's COMMIT arrives there, and its answer never comes."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_COMMITTED_SECONDS = 0.5


class Cut:
    """``conninfo``: the way. ``comes_back``: the server can be reached by it again afterwards."""

    def __init__(self, conninfo: dict[str, str], *, comes_back: bool) -> None:
        self._server = f"{conninfo['host']}/.s.PGSQL.{conninfo['port']}"
        self._comes_back = comes_back
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._renames = threading.Event()
        self.happened = threading.Event()
        self._over = threading.Event()
        self.conninfo = {**conninfo, "host": "127.0.0.1", "port": str(self._listener.getsockname()[1])}

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.happened.is_set() and not (self._comes_back and self._over.wait(5)):
                    client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._ends += [client, server]
                threading.Thread(target=self._connect, args=(client, server), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def _connect(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            answering = threading.Thread(target=self._pass_on, args=(server, client, False))
            answering.start()
            self._pass_on(client, server, True)
            answering.join()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_asking: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if is_asking and b"RENAME TO" in data:
                    self._renames.set()
                if is_asking and self._renames.is_set() and b"COMMIT" in data and not self.happened.is_set():
                    self.happened.set()
                    target.sendall(data)
                    time.sleep(_COMMITTED_SECONDS)
                    self._cut()
                elif is_asking or self._over.is_set() or not self.happened.is_set():
                    target.sendall(data)
        for end in (source, target):
            _end(end)

    def _cut(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            _end(end)
        self._over.set()


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cut(conninfo: dict[str, str], *, comes_back: bool) -> Iterator[Cut]:
    way = Cut(conninfo, comes_back=comes_back)
    threading.Thread(target=way.serve, daemon=True).start()
    try:
        yield way
    finally:
        way.close()
