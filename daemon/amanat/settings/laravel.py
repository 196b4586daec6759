"""Where a Laravel application keeps its database, by its ``.env`` and Laravel's stock config/database.php.

Sources: laravel/framework 11 and 12: config/database.php, ConfigurationUrlParser.php, SQLiteConnector.php,
PostgresConnector.php. Names of database and user, whose defaults differ by version, must be said in ``.env``.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from amanat.domain.errors import ConfigurationError, SourceError
from amanat.domain.policy import PostgresqlSource, SqliteSource
from amanat.settings import dotenv

Options = dict[str, str | None]

_DRIVER_ALIASES = {"postgres": "pgsql", "postgresql": "pgsql", "sqlite3": "sqlite"}
_LIBPQ = {
    "host": "host",
    "port": "port",
    "database": "dbname",
    "username": "user",
    "sslmode": "sslmode",
    "sslcert": "sslcert",
    "sslkey": "sslkey",
    "sslrootcert": "sslrootcert",
}


def resolve(
    folder: Path, connection: str | None = None, *, client: Path | None = None
) -> tuple[SqliteSource | PostgresqlSource, str]:
    """The source and the application's environment (APP_ENV), for DB_CONNECTION or for ``connection``.

    Only ``.env`` counts, unlike in Laravel, where variables of the process win: the daemon's are not the
    application's. SourceError: no folder or ``.env``; ConfigurationError: nothing that can be backed up.
    """
    values = _read(folder)
    options = _options(values, connection)
    environment = dotenv.env(values, "APP_ENV", "production") or "production"
    match options["driver"]:
        case "sqlite":
            return SqliteSource(path=_sqlite_path(folder, options)), environment
        case "pgsql":
            return _postgresql(folder, options, client), environment
        case driver:
            raise ConfigurationError(
                f"{folder / '.env'}: the connection '{driver}' is not supported",
                hint="Amanat backs up sqlite and pgsql; laravel_connection may name such a one",
            )


def _read(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise SourceError(
            f"{folder}: there is no such folder", hint="laravel: names the folder that holds artisan and .env"
        )
    path = folder / ".env"
    try:
        return dotenv.parse(path.read_bytes().decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: not UTF-8 at offset {exc.start}", hint="save it as UTF-8") from exc
    except OSError as exc:
        raise SourceError(
            f"{path} cannot be read: {exc.strerror}", hint="the user of amanat must be able to read it"
        ) from exc


def _options(values: Mapping[str, str], connection: str | None) -> Options:
    """Laravel's connection array; a URL wins over single variables, its query over the rest of it."""
    options: Options = {
        "driver": connection or dotenv.env(values, "DB_CONNECTION", "sqlite"),
        "database": dotenv.env(values, "DB_DATABASE", None),
        "database_given": "1" if "DB_DATABASE" in values else None,
        "host": dotenv.env(values, "DB_HOST", "127.0.0.1"),
        "port": dotenv.env(values, "DB_PORT", "5432"),
        "username": dotenv.env(values, "DB_USERNAME", None),
        "password": dotenv.env(values, "DB_PASSWORD", None),
        "sslmode": dotenv.env(values, "DB_SSLMODE", "prefer"),
    }
    url = dotenv.env(values, "DB_URL") or dotenv.env(values, "DATABASE_URL")
    return {**options, **_from_url(url)} if url else options


def _from_url(url: str) -> Options:
    parts, port = _split(re.sub(r"^(sqlite3?):///", r"\1://null/", url))
    scheme = parts.scheme
    options: Options = {
        "driver": _DRIVER_ALIASES.get(scheme, scheme),
        "database": unquote(parts.path[1:]) or None,
        "host": unquote(_host(parts)) or None,
        "port": str(port) if port else None,
        "username": _decoded(parts.username),
        "password": _decoded(parts.password),
    }
    given = {key: value for key, value in options.items() if value is not None}
    return {**given, **dict(parse_qsl(unquote(parts.query), keep_blank_values=True))}


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        if parts.scheme and parts.netloc:
            return parts, parts.port
    except ValueError:
        pass
    raise ConfigurationError(
        "DB_URL is not a URL such as pgsql://user:password@host:5432/database",
        hint="percent-encode special characters of the password",
    )


def _host(parts: SplitResult) -> str:
    """With its case: percent-encoded socket folders have it; ``hostname`` would lower it."""
    host = parts.netloc.rpartition("@")[2]
    return re.sub(r":\d*$", "", host).strip("[]")


def _decoded(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def _sqlite_path(folder: Path, options: Options) -> Path:
    """An absolute path as it is, a relative one below the folder (``base_path``), none: the stock file."""
    database = options["database"]
    if not database:
        if options["database_given"]:
            raise _unset(folder, "DB_DATABASE is empty", "remove the line for database/database.sqlite")
        return folder / "database" / "database.sqlite"
    if database == ":memory:" or database.startswith("file:") or "mode=memory" in database:
        raise ConfigurationError(
            f"{folder / '.env'}: DB_DATABASE is {database}, not a database file",
            hint="a database in memory cannot be backed up; name a file",
        )
    return folder / database


def _postgresql(folder: Path, options: Options, client: Path | None) -> PostgresqlSource:
    if not options["database"]:
        raise _unset(folder, "DB_DATABASE is not set", "say the database's name there")
    if options["username"] is None:
        raise _unset(folder, "DB_USERNAME is not set", "say the role's name there")
    parameters = {keyword: options[key] for key, keyword in _LIBPQ.items() if options.get(key)}
    return PostgresqlSource(
        parameters={keyword: str(value) for keyword, value in parameters.items()},
        password=options["password"] or None,
        client=client,
    )


def _unset(folder: Path, reason: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"{folder / '.env'}: {reason}", hint=hint)
