"""A Laravel application's database is found as Laravel finds it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amanat.domain.errors import ConfigurationError, SourceError
from amanat.domain.policy import PostgresqlSource, SqliteSource
from amanat.settings import laravel

PGSQL = "DB_CONNECTION=pgsql\nDB_DATABASE=app\nDB_USERNAME=me\n"
Application = Callable[[str], Path]


@pytest.fixture
def application(tmp_path: Path) -> Application:
    def write(env: str) -> Path:
        (tmp_path / ".env").write_text(env)
        return tmp_path

    return write


def postgresql(folder: Path, connection: str | None = None) -> PostgresqlSource:
    source, _ = laravel.resolve(folder, connection)
    assert isinstance(source, PostgresqlSource)
    return source


@pytest.mark.parametrize(
    ("env", "path"),
    [
        ("", "BASE/database/database.sqlite"),
        ("DB_CONNECTION=sqlite", "BASE/database/database.sqlite"),
        ("DB_CONNECTION=sqlite\nDB_DATABASE=/srv/x.sqlite", "/srv/x.sqlite"),
        ("DB_CONNECTION=sqlite\nDB_DATABASE=database/x.sqlite", "BASE/database/x.sqlite"),
        ('D=/srv\nDB_DATABASE="${D}/my data.sqlite"', "/srv/my data.sqlite"),
        ("DB_URL=sqlite:///database/x.sqlite", "BASE/database/x.sqlite"),
        ("DB_URL=sqlite:////srv/x.sqlite", "/srv/x.sqlite"),
        ("DB_URL=sqlite3:////srv/my%20x.sqlite", "/srv/my x.sqlite"),
        ("DB_CONNECTION=pgsql\nDATABASE_URL=sqlite:////srv/x.sqlite", "/srv/x.sqlite"),
        ("DB_URL=\nDB_DATABASE=/srv/x.sqlite", "/srv/x.sqlite"),
    ],
)
def test_sqlite(application: Application, env: str, path: str) -> None:
    folder = application(env)
    source, _ = laravel.resolve(folder)
    assert source == SqliteSource(path=Path(path.replace("BASE", str(folder))))


def test_postgresql_by_single_variables(application: Application) -> None:
    source = postgresql(
        application(
            "DB_CONNECTION=pgsql\nDB_HOST=db.example.org\nDB_PORT=5433\nDB_DATABASE=app\n"
            "DB_USERNAME=me\nDB_PASSWORD='pa$$ #word'\nDB_SSLMODE=require\n"
        )
    )
    assert source.parameters == {
        "host": "db.example.org",
        "port": "5433",
        "dbname": "app",
        "user": "me",
        "sslmode": "require",
    }
    assert source.password == "pa$$ #word"
    assert "pa$$" not in repr(source)


def test_postgresql_defaults_are_laravels(application: Application) -> None:
    source = postgresql(application(PGSQL))
    assert source.parameters == {
        "host": "127.0.0.1",
        "port": "5432",
        "dbname": "app",
        "user": "me",
        "sslmode": "prefer",
    }
    assert source.password is None


def test_null_leaves_it_to_libpq(application: Application) -> None:
    source = postgresql(application(PGSQL + "DB_HOST=null\nDB_PORT=(null)\nDB_PASSWORD=null\n"))
    assert source.parameters == {"dbname": "app", "user": "me", "sslmode": "prefer"}
    assert source.password is None


@pytest.mark.parametrize("scheme", ["pgsql", "postgres", "postgresql"])
def test_a_url_wins_over_single_variables(application: Application, scheme: str) -> None:
    url = f"{scheme}://m%40e:p%3Ass%2Fw%25@db.example.org:5433/my%20app?sslmode=verify-full&sslrootcert=/r.crt"
    source = postgresql(application(f"DB_HOST=other\nDB_PASSWORD=other\nDB_URL={url}\n"))
    assert source.parameters == {
        "host": "db.example.org",
        "port": "5433",
        "dbname": "my app",
        "user": "m@e",
        "sslmode": "verify-full",
        "sslrootcert": "/r.crt",
    }
    assert source.password == "p:ss/w%"


def test_what_a_url_leaves_out_comes_from_single_variables(application: Application) -> None:
    source = postgresql(application(PGSQL + "DB_PASSWORD=p\nDB_URL=pgsql://db.example.org\n"))
    assert source.parameters["host"] == "db.example.org"
    assert source.parameters["dbname"] == "app"
    assert source.password == "p"


@pytest.mark.parametrize(
    ("host", "meant"),
    [("[::1]", "::1"), ("%2Fvar%2Frun%2FpostgreSQL", "/var/run/postgreSQL"), ("DB.local", "DB.local")],
)
def test_hosts_in_urls(application: Application, host: str, meant: str) -> None:
    source = postgresql(application(f"DB_URL=pgsql://me@{host}:5433/app\n"))
    assert (source.parameters["host"], source.parameters["port"]) == (meant, "5433")


def test_another_connection_than_the_default(application: Application) -> None:
    folder = application("DB_CONNECTION=sqlite\nDB_DATABASE=app\nDB_USERNAME=me\n")
    assert postgresql(folder, "pgsql").parameters["dbname"] == "app"


def test_client_folder_is_handed_on(application: Application) -> None:
    source, _ = laravel.resolve(application(PGSQL), client=Path("/opt/pg"))
    assert source == PostgresqlSource(
        parameters=source.parameters if isinstance(source, PostgresqlSource) else {}, client=Path("/opt/pg")
    )


@pytest.mark.parametrize(
    ("env", "environment"), [("APP_ENV=staging", "staging"), ("", "production"), ("APP_ENV=null", "production")]
)
def test_environment(application: Application, env: str, environment: str) -> None:
    assert laravel.resolve(application(env))[1] == environment


def test_the_daemons_environment_is_not_the_applications(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_DATABASE", "/other.sqlite")
    folder = application("DB_CONNECTION=sqlite\n")
    assert laravel.resolve(folder)[0] == SqliteSource(path=folder / "database/database.sqlite")


@pytest.mark.parametrize(
    ("env", "message", "hint"),
    [
        ("DB_CONNECTION=mysql", "the connection 'mysql' is not supported", "sqlite and pgsql"),
        ("DB_URL=mysql://u:geheim@h/d", "the connection 'mysql' is not supported", "sqlite and pgsql"),
        ("DB_DATABASE=:memory:", "DB_DATABASE is :memory:, not a database file", "name a file"),
        ("DB_DATABASE=file:x?mode=memory", "not a database file", "name a file"),
        ("DB_DATABASE=", "DB_DATABASE is empty", "remove the line"),
        ("DB_CONNECTION=pgsql\nDB_USERNAME=me", "DB_DATABASE is not set", "name there"),
        ("DB_CONNECTION=pgsql\nDB_DATABASE=a", "DB_USERNAME is not set", "name there"),
        ("DB_URL=geheim", "DB_URL is not a URL such as", "percent-encode"),
        ("DB_URL=pgsql://u:geheim@h:port/d", "DB_URL is not a URL such as", "percent-encode"),
        ("DB_URL=pgsql://u:geheim@[h/d", "DB_URL is not a URL such as", "percent-encode"),
        ("DB_PASSWORD=geheim two", ".env:1: DB_PASSWORD: text after the value's end", "double quotes"),
    ],
)
def test_what_cannot_be_backed_up_is_refused(application: Application, env: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        laravel.resolve(application(env))
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "geheim" not in str(caught.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such folder") as caught:
        laravel.resolve(tmp_path / "absent")
    assert "artisan" in caught.value.hint


def test_no_env_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"\.env cannot be read: No such file") as caught:
        laravel.resolve(tmp_path)
    assert "user of amanat" in caught.value.hint


def test_env_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"APP_NAME=\xe9\n")
    with pytest.raises(ConfigurationError, match="not UTF-8 at offset 9"):
        laravel.resolve(tmp_path)
