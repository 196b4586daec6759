"""What the doctor asks of a PostgreSQL server and role before a dump is tried."""

from collections.abc import Iterator

from amanat.domain.doctor import Check, Name, asked
from amanat.domain.errors import ToolError
from amanat.domain.policy import CodecName
from amanat.domain.scope import select
from amanat.engines.postgresql import access, catalog
from amanat.engines.postgresql.clients import Client, Places, client_for_server, clients_from
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.dumping import codec
from amanat.ports.engine import Order
from amanat.ports.run import Control


def examine(server: Session, order: Order, places: Places, control: Control) -> Iterator[Check]:
    try:
        client = client_for_server(places, server.server_major, control)
    except ToolError as exc:
        yield Check.fail(Name.CLIENT, exc.message, exc.hint)
        yield Check.fail(Name.COMPRESSION, "not asked: there is no client that fits", exc.hint)
    else:
        found = f"pg_dump {client.version} in {client.folder} reads the server, PostgreSQL {server.server_version}"
        yield Check(name=Name.CLIENT, found=found)
        yield _compression(order, client, places, control)
    yield asked(Name.ACCESS, lambda: _access(server, order))


def _compression(order: Order, client: Client, places: Places, control: Control) -> Check:
    readers = clients_from(places, client, control)

    def chosen() -> str:
        return codec.choose(order.compression, client, readers, order.scratch, control).algorithm.name.lower()

    found = asked(Name.COMPRESSION, chosen)
    if order.compression.codec is not CodecName.AUTO or client.major < codec.FIRST_WITH_ZSTD:
        return found
    if lacking := codec.lacking_zstd(client, readers, order.scratch, control):
        text = f"{found.found}, which is slower and larger than zstd: {lacking}"
        return Check.warn(Name.COMPRESSION, text, "install clients with zstd, or say codec: gzip if it is meant")
    return found


def _access(server: Session, order: Order) -> str:
    known = catalog.read(server)
    selection = select(order.scope, known.tables)
    access.require_readable(known, order.scope, selection)
    return f"role {known.role} may read all of {len(selection.kept)} tables"
