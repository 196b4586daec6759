"""Which of the machine's PostgreSQL clients to use: found by folder, chosen by the server's version.

``pg_dump`` reads servers of its own major and older ones (PostgreSQL manual, pg_dump, Notes), and an archive
is read by the ``pg_restore`` of the same or a later major: hence the server's own major comes first.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import ToolError
from amanat.host import process
from amanat.ports.run import Control

ENVIRONMENT = {"LC_ALL": "C"}  # messages are read by machines here, and compared with the manual by people
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_WRAPPER = "pg_wrapper"  # Debian's: it chooses a version by rules of its own


@dataclass(frozen=True, kw_only=True)
class Client:
    """A folder with PostgreSQL's client programs; a beta has minor 0."""

    folder: Path
    major: int
    minor: int = 0

    @property
    def version(self) -> str:
        return f"{self.major}.{self.minor}"

    def tool(self, name: str) -> Path:
        return self.folder / name


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where to look: in ``override`` alone if it is set, else in ``extra`` and the usual folders."""

    override: Path | None = None
    extra: tuple[Path, ...] = ()

    def folders(self) -> tuple[Path, ...]:
        if self.override:
            return (self.override,)
        root = Path("/")
        usual = [folder for place in _PLACES for folder in sorted(root.glob(place.lstrip("/")))]
        path = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep) if part]
        return tuple(dict.fromkeys((*self.extra, *usual, *path)))


def client_for_server(places: Places, server_major: int, control: Control) -> Client:
    """The client whose ``pg_dump`` fits; an override is used as given, unless it is older than the server."""
    return choose(_found("pg_dump", places, control), server_major)


def newest_client(places: Places, control: Control) -> Client:
    """The client whose ``pg_restore`` reads the most archive versions."""
    clients = _found("pg_restore", places, control)
    if not clients:
        raise ToolError("there is no pg_restore on this machine", hint="install postgresql-client")
    return max(clients, key=_version)


def clients_from(places: Places, oldest: Client, control: Control) -> tuple[Client, ...]:
    """Those whose ``pg_restore`` reads what the ``pg_dump`` of ``oldest`` writes."""
    return tuple(client for client in _found("pg_restore", places, control) if client.major >= oldest.major)


def servers(places: Places, major: int, control: Control) -> tuple[Client, ...]:
    """Folders with a server of that major or a later one: the nearest major first, of each the newest.

    They are looked for in all folders: a folder of clients alone may be named as the database's.
    """
    everywhere = Places(extra=(*([places.override] if places.override else []), *places.extra))
    found = [each for each in _found("postgres", everywhere, control) if _is_there(each.tool("initdb"))]
    fitting = [each for each in found if each.major >= major]
    return tuple(sorted(fitting, key=lambda each: (each.major, -each.minor)))


def choose(clients: Iterable[Client], server_major: int) -> Client:
    """The newest of the server's own major, else of the nearest major above; ToolError if all are older."""
    known = tuple(clients)
    fitting = [client for client in known if client.major >= server_major]
    if not fitting:
        raise _none_fits(known, server_major)
    nearest = min(client.major for client in fitting)
    return max((client for client in fitting if client.major == nearest), key=_version)


def _version(client: Client) -> tuple[int, int]:
    return client.major, client.minor


def _none_fits(clients: Sequence[Client], server_major: int) -> ToolError:
    found = ", ".join(f"{client.version} in {client.folder}" for client in clients)
    reason = f"only pg_dump {found}, which is older" if clients else "no pg_dump on this machine"
    return ToolError(
        f"the server is PostgreSQL {server_major}, and there is {reason}",
        hint=f"install postgresql-client-{server_major}, or name the folder of a newer one as `client`",
    )


def _found(tool: str, places: Places, control: Control) -> tuple[Client, ...]:
    if places.override:
        return (_overriding(tool, places.override, control),)
    found = (_client(tool, folder, control) for folder in places.folders() if _is_there(folder / tool))
    return tuple(client for client in found if client)


def _overriding(tool: str, folder: Path, control: Control) -> Client:
    client = _client(tool, folder, control) if (folder / tool).exists() else None
    if client is None:
        raise ToolError(
            f"the configured client folder {folder} has no {tool} that works",
            hint="name the folder that holds it, such as /usr/lib/postgresql/17/bin, or leave `client` out",
        )
    return client


def _is_there(path: Path) -> bool:
    return os.access(path, os.X_OK) and path.is_file() and path.resolve().name != _WRAPPER


def _client(tool: str, folder: Path, control: Control) -> Client | None:
    """None where the program does not even tell its version, for lack of a library for instance."""
    asked = process.run([folder / tool, "--version"], control=control, env=ENVIRONMENT)
    version = _VERSION.search(asked.stdout)
    if asked.returncode or not version:
        return None
    return Client(folder=folder, major=int(version[1]), minor=int(version[2] or 0))
