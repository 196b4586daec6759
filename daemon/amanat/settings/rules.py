"""What must hold between the keys of a policy file, and which of them do nothing where they stand.

Judged on the plain data, whatever its shape: so these errors are told together with those of single keys.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from amanat.domain.units import parse_duration
from amanat.settings.fields import shortest_interval
from amanat.settings.libpq import SECRET_REMEDY
from amanat.settings.models import KEEP_RULES
from amanat.settings.strict_yaml import KeyPath
from amanat.settings.words import did_you_mean

Finding = tuple[KeyPath, str]

_HIGHEST_OF_GZIP = 9
_DRILL_SERVERS = ("place", "connection", "service")
_PLACES = ("path", "connection", "service", "laravel")
_FITTING_PLACES = {"sqlite": ("path", "laravel"), "postgresql": ("connection", "service", "laravel")}
_FOR_POSTGRESQL = ("parallel", "globals", "drill_server")
_FOR_ROLLBACK = ("before_swap", "warm", "undo_window")
_IDLE = "does nothing: it is for PostgreSQL, and all databases of this policy are SQLite"
_IDLE_OF_A_PART = "does nothing: a rollback needs the whole database, and this policy's scope is a part of it"


def broken(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Every rule that the file breaks, by key path."""
    yield from _plain_values((), data)
    databases = _mapping(data, "databases")
    for name, database in databases.items():
        yield from _database(("databases", name), _as_mapping(database))
    yield from _documents(databases)
    for name, policy in _mapping(data, "policies").items():
        yield from _policy(("policies", name), _as_mapping(policy), databases)


def idle(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Every key that is allowed where it stands, and does nothing there; of a file that breaks no rule."""
    for name, policy in data["policies"].items():
        if all(_is_sqlite(data["databases"][database]) for database in policy["databases"]):
            for key in _FOR_POSTGRESQL:
                if key in policy:
                    yield ("policies", name, key), _IDLE
        if policy.get("scope", {}).keys() & {"tables", "exclude"}:
            yield from ((("policies", name, key), _IDLE_OF_A_PART) for key in _FOR_ROLLBACK if key in policy)


def _is_sqlite(database: Mapping[str, Any]) -> bool:
    """Where only an application's ``.env`` can tell, it may be either."""
    return "sqlite" in (database.get("engine"), database.get("laravel_connection"))


def _as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _as_mapping(data.get(key))


def _plain_values(path: KeyPath, value: object) -> Iterator[Finding]:
    """No empty values: ``scope:`` with its lines commented out must not silently mean everything."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _plain_values((*path, key), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _plain_values((*path, number), inner)
    elif value is None:
        yield path, "has no value; give one or remove the key"
    elif isinstance(value, str) and any(character < " " for character in value):
        yield path, "contains a control character or a line break"


def _database(path: KeyPath, database: Mapping[str, Any]) -> Iterator[Finding]:
    if not database:
        return
    given = [place for place in _PLACES if place in database]
    if len(given) != 1:
        yield path, f"needs exactly one of path, connection, service, laravel; it has {_listing(given)}"
    yield from _engine_fits(path, database, given)
    yield from _companion_keys(path, database)
    yield from _password(path, database)
    yield from _plain_dbname((*path, "connection"), database)
    yield from _hooks((*path, "hooks"), database.get("hooks"))
    if database.get("documents") == {}:
        yield (*path, "documents"), "is empty; say register or rollback_log, or remove the key"


def _hooks(path: KeyPath, hooks: object) -> Iterator[Finding]:
    if hooks == {}:
        yield path, "is empty; say when the commands run, or remove the key"
    for moment, commands in _as_mapping(hooks).items():
        for number, command in enumerate(commands if isinstance(commands, list) else ()):
            if isinstance(command, Mapping) and ("run" in command) == ("shell" in command):
                yield (*path, moment, number), "needs exactly one of run, shell"


def _documents(databases: Mapping[str, Any]) -> Iterator[Finding]:
    """Several databases may share a document, but each is rendered as a whole."""
    documents = {name: _mapping(_as_mapping(database), "documents") for name, database in databases.items()}
    registers = {str(each["register"]) for each in documents.values() if "register" in each}
    for name, each in documents.items():
        if each.get("rollback_log") in registers:
            yield ("databases", name, "documents", "rollback_log"), "is the file of a register; name another one"


def _engine_fits(path: KeyPath, database: Mapping[str, Any], given: list[str]) -> Iterator[Finding]:
    engine = database.get("engine")
    if engine is None and "engine" not in database and "laravel" not in database:
        yield path, "engine is required: sqlite or postgresql"
    if isinstance(engine, str) and engine in _FITTING_PLACES:
        for place in given:
            if place not in _FITTING_PLACES[engine]:
                yield (*path, place), f"does not fit engine {engine}; say {_either(_FITTING_PLACES[engine])}"


def _companion_keys(path: KeyPath, database: Mapping[str, Any]) -> Iterator[Finding]:
    if "laravel_connection" in database and "laravel" not in database:
        yield (*path, "laravel_connection"), "goes with laravel only"
    if "client" in database and database.get("engine") == "sqlite":
        yield (*path, "client"), "goes with PostgreSQL only"


def _password(path: KeyPath, database: Mapping[str, Any]) -> Iterator[Finding]:
    if "password" not in database:
        return
    password = database["password"]
    if not isinstance(password, Mapping):
        yield (*path, "password"), f"a password never stands in the policy file; {SECRET_REMEDY}"
    elif len(password) != 1:
        yield (*path, "password"), "needs exactly one of credential, file, env"
    if "laravel" in database:
        yield (*path, "password"), "the application's .env has it; remove this key"
    elif "path" in database:
        yield (*path, "password"), "goes with PostgreSQL only"


def _plain_dbname(path: KeyPath, database: Mapping[str, Any]) -> Iterator[Finding]:
    """libpq would expand a connection string in dbname, and with it a password."""
    name = _mapping(database, "connection").get("dbname")
    if isinstance(name, str) and ("=" in name or name.startswith(("postgres://", "postgresql://"))):
        yield (*path, "dbname"), "must be the name alone; give host, port and user their own keys"


def _policy(path: KeyPath, policy: Mapping[str, Any], databases: Mapping[str, Any]) -> Iterator[Finding]:
    if not policy:
        return
    if ("schedule" in policy) == ("on_demand" in policy):
        yield path, "needs exactly one of schedule, on_demand: true"
    yield from _known_databases(path, policy.get("databases"), databases)
    yield from _compression(path, policy, databases)
    yield from _keep(path, policy)
    for schedule_path, schedule in _schedules(path, policy):
        yield from _jitter(schedule_path, schedule)
    yield from _drills(path, policy)
    if "warm" in policy and policy.get("proof") != "restored":
        yield (*path, "warm"), "needs proof: restored; it keeps the database that was restored for that"
    if "scope" in policy and policy["scope"] == {}:
        yield (*path, "scope"), "is empty; say tables, exclude or exclude_data, or remove the key"


def _compression(path: KeyPath, policy: Mapping[str, Any], databases: Mapping[str, Any]) -> Iterator[Finding]:
    compression = _mapping(policy, "compression")
    codec, level = compression.get("codec", "auto"), compression.get("level")
    if level is not None and codec not in ("gzip", "zstd"):
        yield (*path, "compression", "level"), "goes with codec gzip or zstd only"
    if codec == "gzip" and isinstance(level, int) and level > _HIGHEST_OF_GZIP:
        yield (*path, "compression", "level"), f"must be at most {_HIGHEST_OF_GZIP} with gzip"
    for name in _strings(policy.get("databases")):
        if codec == "gzip" and _mapping(databases, name).get("engine") == "sqlite":
            yield (*path, "compression", "codec"), f"gzip does not fit '{name}', which is SQLite; say zstd or auto"


def _known_databases(path: KeyPath, names: object, databases: Mapping[str, Any]) -> Iterator[Finding]:
    for number, name in enumerate(names if isinstance(names, list) else ()):
        here = (*path, "databases", number)
        if not isinstance(name, str):
            continue
        if name not in databases:
            yield here, f"there is no database '{name}'{did_you_mean(name, databases)}"
        elif name in names[:number]:  # type: ignore[index]
            yield here, f"'{name}' is named twice"


def _keep(path: KeyPath, policy: Mapping[str, Any]) -> Iterator[Finding]:
    keep = policy.get("keep")
    if isinstance(keep, Mapping) and not any(rule in keep for rule in KEEP_RULES):
        yield (*path, "keep"), f"has no rule that keeps anything; say at least one of {', '.join(KEEP_RULES)}"


def _schedules(path: KeyPath, policy: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    yield (*path, "schedule"), _mapping(policy, "schedule")
    for key in ("drills", "verify"):
        yield (*path, key, "schedule"), _mapping(_mapping(policy, key), "schedule")


def _drills(path: KeyPath, policy: Mapping[str, Any]) -> Iterator[Finding]:
    drills, server = _mapping(policy, "drills"), policy.get("drill_server")
    if drills.get("newest", 1) == 0 and drills.get("sample", 1) == 0:
        yield (*path, "drills"), "drills nothing: newest and sample are both 0"
    if isinstance(server, Mapping) and server:
        given = [place for place in _DRILL_SERVERS if place in server]
        if len(given) != 1:
            yield (
                (*path, "drill_server"),
                f"needs exactly one of {', '.join(_DRILL_SERVERS)}; it has {_listing(given)}",
            )
        yield from _plain_dbname((*path, "drill_server", "connection"), server)


def _jitter(path: KeyPath, schedule: Mapping[str, Any]) -> Iterator[Finding]:
    """A later run must not overtake the next one. What is wrong with the parts is told elsewhere."""
    try:
        jitter = parse_duration(str(schedule.get("jitter", "0s")))
        interval = shortest_interval(str(schedule["cron"]), str(schedule.get("timezone", "UTC")))
    except (KeyError, ValueError):
        return
    if jitter and jitter >= interval:
        minutes = interval // timedelta(minutes=1)
        yield (*path, "jitter"), f"must be shorter than the shortest interval ({minutes}m)"


def _strings(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _listing(words: list[str]) -> str:
    return " and ".join(words) or "none"


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
