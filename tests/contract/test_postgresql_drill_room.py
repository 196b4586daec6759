"""A drill asks for room where the server's data folder is on this host, and only there."""

import socket
import threading
from contextlib import closing, contextmanager

import pytest

from amanat.domain.errors import RefusedError, SpaceError
from amanat.domain.model import Facts
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.engines.postgresql import PostgresqlRehearser
from amanat.engines.postgresql.connection import session, target
from amanat.engines.postgresql.rehearsing.database import require_room
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from tests.support.postgres_server import Workspace

HUGE = Facts(engine_version="15.0", source_bytes=2**60, tables=())


@contextmanager
def tunnel(port):
    """A port that leads to another one, as ``ssh -L`` makes it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def lead() -> None:
            here, _ = listening.accept()
            there = socket.create_connection(("127.0.0.1", port))
            back = threading.Thread(target=pump, args=(there, here))
            back.start()
            pump(here, there)
            back.join()
            here.close()
            there.close()

        leading = threading.Thread(target=lead)
        leading.start()
        yield listening.getsockname()[1]
        leading.join()


def pump(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def by_tcp(postgres_tcp):
    role = postgres_tcp.role("SUPERUSER PASSWORD 'p'")
    return {**postgres_tcp.server.tcp_conninfo("postgres", role), "sslmode": "disable"}


def asked_for_room(parameters, password, scratch):
    with session(target(parameters, password, scratch), RunControl()) as asked:
        require_room(asked, HUGE)


def test_a_server_of_this_host_is_asked(postgres, by_tcp, tmp_path):
    for parameters, password in ((postgres.database(), None), (by_tcp, "p")):
        with pytest.raises(SpaceError, match="to restore it takes about"):
            asked_for_room(parameters, password, tmp_path)


def test_a_server_behind_a_tunnel_is_not_though_both_say_localhost(by_tcp, tmp_path):
    with tunnel(int(by_tcp["port"])) as port:
        asked_for_room({**by_tcp, "port": str(port)}, "p", tmp_path)


@pytest.fixture
def standby():
    workspace = Workspace()
    try:
        yield workspace.standby(15)
    finally:
        workspace.close()


def test_a_standby_takes_no_drill_and_the_doctor_says_so(standby, tmp_path):
    place = Place(run="0123456789ab", folder=tmp_path, scratch=tmp_path, is_dead=lambda _: False)
    source = PostgresqlSource(parameters=standby.conninfo("postgres"))
    rehearser = PostgresqlRehearser(source, None, where=DrillPlace.OWN, extra_client_folders=(standby.bin,))
    with pytest.raises(RefusedError, match="is a standby"):
        rehearser.examine(place, RunControl())
