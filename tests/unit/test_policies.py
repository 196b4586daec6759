"""The policy file: what it means, and what is said about each way of getting it wrong."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from amanat.domain.errors import ConfigurationError, ExitCode
from amanat.domain.model import EngineName, ProofLevel, Scope
from amanat.domain.policy import (
    Anchor,
    CodecName,
    Compression,
    Configuration,
    KeepRules,
    LaravelSource,
    Policy,
    PostgresqlSource,
    Retry,
    Schedule,
    Secret,
    SqliteSource,
)
from amanat.settings import model_parts, models, policies, proof_models, rollback_models
from amanat.settings.fields import shortest_interval

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config/examples").glob("*.yaml"))
VALID = """\
version: 1
databases:
  app: {engine: sqlite, environment: local, path: app.sqlite}
  db:
    engine: postgresql
    environment: production
    connection: {host: /run/postgresql, port: 5432, dbname: app}
policies:
  nightly:
    databases: [app, db]
    schedule: {cron: "15 2 * * *"}
    keep: {last: 3}
"""


def load(folder: Path, text: str) -> Configuration:
    path = folder / "policies.yaml"
    path.write_text(text)
    return policies.load(path)


def faults(folder: Path, text: str) -> list[str]:
    """The lines of the error, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "amanat config check" in caught.value.hint
    return caught.value.message.replace(f"{folder}/", "").splitlines()


def with_database(body: str) -> str:
    return f"version: 1\ndatabases:\n  db: {body}\npolicies: {{}}\n"


def with_policy(body: str) -> str:
    """The policy stands on line 4."""
    database = "databases: {app: {engine: sqlite, environment: local, path: a}}"
    return f"version: 1\n{database}\npolicies:\n  p: {body}\n"


def with_keys(keys: str) -> str:
    return with_policy(f"{{databases: [app], on_demand: true, keep: {{last: 1}}, {keys}}}")


def with_schedule(keys: str) -> str:
    return with_policy(f"{{databases: [app], keep: {{last: 1}}, schedule: {{{keys}}}}}")


def test_a_policy_gets_the_defaults_of_the_domain(tmp_path: Path) -> None:
    configuration = load(tmp_path, VALID)
    assert configuration.policies["nightly"] == Policy(
        name="nightly",
        databases=("app", "db"),
        schedule=Schedule(cron="15 2 * * *", timezone="UTC"),
        keep=KeepRules(last=3),
    )


def test_databases_know_where_they_are(tmp_path: Path) -> None:
    databases = load(tmp_path, VALID).databases
    assert databases["app"].source == SqliteSource(path=tmp_path / "app.sqlite")
    assert databases["app"].engine is EngineName.SQLITE
    assert databases["db"].source == PostgresqlSource(
        parameters={"host": "/run/postgresql", "port": "5432", "dbname": "app"}
    )
    assert databases["db"].environment == "production"


def test_an_anchor_and_the_path_of_its_program(tmp_path: Path) -> None:
    assert load(tmp_path, VALID).anchor is None
    plain = load(tmp_path, VALID + "anchor: {command: [logger, a b]}\n").anchor
    assert plain == Anchor(command=("logger", "a b"), timeout=timedelta(seconds=30))
    ours = load(tmp_path, VALID + "anchor: {command: [tools/anchor.sh], timeout: 5s}\n").anchor
    assert ours == Anchor(command=(str(tmp_path / "tools/anchor.sh"),), timeout=timedelta(seconds=5))


@pytest.mark.parametrize("wrong", ["{}", "{command: []}", "{command: logger}", "{command: [a], timeout: 0s}"])
def test_an_anchor_that_is_wrong(tmp_path: Path, wrong: str) -> None:
    assert all("anchor" in line for line in faults(tmp_path, f"{VALID}anchor: {wrong}\n"))


def test_a_dump_that_never_stands_back(tmp_path: Path) -> None:
    policy = load(tmp_path, with_keys("yield_after: off")).policies["p"]
    assert policy.yield_after is None


def test_gzip_does_not_fit_sqlite(tmp_path: Path) -> None:
    found = faults(tmp_path, with_keys("compression: {codec: gzip}"))
    assert found == [
        "policies.yaml:4: policies.p.compression.codec: gzip does not fit 'app', which is SQLite; say zstd or auto"
    ]


IDLE = """\
version: 1
databases:
  app: {engine: sqlite, environment: local, path: app.sqlite}
  site: {environment: local, laravel: site, laravel_connection: sqlite}
  other: {environment: local, laravel: other}
  db: {engine: postgresql, environment: local, service: db}
policies:
  p:
    databases: [app, site]
    on_demand: true
    keep: {last: 1}
    parallel: 2
    yield_after: off
    globals: true
    compression: {codec: zstd, level: 9}
"""


def test_keys_that_do_nothing_for_sqlite_are_said(tmp_path: Path) -> None:
    said = [line.replace(f"{tmp_path}/", "") for line in load(tmp_path, IDLE).warnings]
    assert said == [
        f"policies.yaml:{line}: policies.p.{key}: does nothing: it is for PostgreSQL, and all databases of this"
        " policy are SQLite"
        for line, key in ((12, "parallel"), (14, "globals"))
    ]


@pytest.mark.parametrize("databases", ["[app, db]", "[app, other]"])
def test_nothing_is_said_of_keys_that_may_do_something(tmp_path: Path, databases: str) -> None:
    assert not load(tmp_path, IDLE.replace("[app, site]", databases)).warnings


def test_nothing_is_said_of_keys_that_are_not_there(tmp_path: Path) -> None:
    assert not load(tmp_path, VALID.replace("[app, db]", "[app]")).warnings


def test_every_key_of_a_policy_arrives(tmp_path: Path) -> None:
    policy = load(
        tmp_path,
        with_policy("""
    databases: [app]
    schedule: {cron: "0 9-17 * * mon-fri", timezone: Asia/Baku, catch_up: 12h, jitter: 5m}
    purpose: required
    scope: {tables: [users, "survey*"], exclude: [survey_drafts], exclude_data: [app.sessions]}
    file_name: "{environment}_{count.users}users_{date}"
    proof: stored
    keep: {last: 1, hourly: 2, daily: 3, weekly: 4, monthly: 5, yearly: 6, within: 90d, max_bytes: 10GiB}
    timeout: 2h
    retry: {attempts: 3, backoff: 30s}
    yield_after: 2s
    compression: {codec: zstd, level: 19}
    parallel: 4
    globals: false
"""),
    ).policies["p"]
    assert policy == Policy(
        name="p",
        databases=("app",),
        schedule=Schedule(
            cron="0 9-17 * * mon-fri",
            timezone="Asia/Baku",
            catch_up=timedelta(hours=12),
            jitter=timedelta(minutes=5),
        ),
        purpose_required=True,
        scope=Scope(tables=("users", "survey*"), exclude=("survey_drafts",), exclude_data=("app.sessions",)),
        file_name="{environment}_{count.users}users_{date}",
        proof=ProofLevel.STORED,
        keep=KeepRules(
            last=1,
            hourly=2,
            daily=3,
            weekly=4,
            monthly=5,
            yearly=6,
            within=timedelta(days=90),
            max_bytes=10 * 1024**3,
        ),
        timeout=timedelta(hours=2),
        retry=Retry(attempts=3, backoff=timedelta(seconds=30)),
        yield_after=timedelta(seconds=2),
        compression=Compression(codec=CodecName.ZSTD, level=19),
        parallel=4,
        globals=False,
    )


@pytest.mark.parametrize(
    ("body", "source"),
    [
        (
            "{engine: postgresql, environment: e, service: main, password: {credential: c}, client: pg/bin}",
            PostgresqlSource(
                parameters={"service": "main"},
                password=Secret(kind="credential", name="c"),
                client=Path("BASE/pg/bin"),
            ),
        ),
        (
            "{engine: postgresql, environment: e, connection: {dbname: x}, password: {env: PASS}}",
            PostgresqlSource(parameters={"dbname": "x"}, password=Secret(kind="env", name="PASS")),
        ),
        (
            "{engine: postgresql, environment: e, connection: {dbname: x}, password: {file: secret}}",
            PostgresqlSource(parameters={"dbname": "x"}, password=Secret(kind="file", name="BASE/secret")),
        ),
        ("{environment: e, laravel: /var/www/app}", LaravelSource(folder=Path("/var/www/app"))),
        (
            "{environment: e, laravel: app, laravel_connection: pgsql, client: /opt/pg}",
            LaravelSource(folder=Path("BASE/app"), connection="pgsql", client=Path("/opt/pg")),
        ),
    ],
)
def test_sources(tmp_path: Path, body: str, source: Any) -> None:
    found = load(tmp_path, with_database(body)).databases["db"].source
    assert repr(found).replace(str(tmp_path), "BASE") == repr(source)
    if isinstance(source, PostgresqlSource):
        assert isinstance(found, PostgresqlSource)
        assert repr(found.password).replace(str(tmp_path), "BASE") == repr(source.password)


def test_paths_start_at_the_parent_of_a_config_folder(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    configuration = load(
        tmp_path / "config",
        with_database("{engine: sqlite, environment: e, path: a.sqlite, documents: {register: docs/register.md}}"),
    )
    assert configuration.databases["db"].source == SqliteSource(path=tmp_path / "a.sqlite")
    assert configuration.databases["db"].register_document == tmp_path / "docs/register.md"
    assert configuration.databases["db"].application is None


@pytest.mark.parametrize(
    "database",
    ["{engine: sqlite, environment: e, path: a, application: app}", "{environment: e, laravel: app}"],
)
def test_the_folder_of_the_application(tmp_path: Path, database: str) -> None:
    (tmp_path / "config").mkdir()
    configuration = load(tmp_path / "config", with_database(database))
    assert configuration.databases["db"].application == tmp_path / "app"


def test_paths_do_not_hang_on_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert policies.base_folder(Path("policies.yaml")) == tmp_path
    assert policies.base_folder(Path("config/policies.yaml")) == tmp_path


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
version: 2
databases:
  db:
    engine: oracle
    enviroment: local
    path: x
policies:
  nightly:
    databases: [dbb]
    schedule: {cron: "0 0 30 2 *", timezone: Asia/Bako}
    keep: {dialy: 7}
  nightly:
    keep: {}
"""
    assert faults(tmp_path, text) == [
        "policies.yaml:1: version: this release of Amanat reads version 1",
        "policies.yaml:3: databases.db.environment: is required",
        "policies.yaml:4: databases.db.engine: must be 'sqlite' or 'postgresql'",
        "policies.yaml:5: databases.db.enviroment: unknown key (did you mean 'environment'?)",
        "policies.yaml:9: policies.nightly.databases.0: there is no database 'dbb' (did you mean 'db'?)",
        "policies.yaml:10: policies.nightly.schedule.cron: '0 0 30 2 *' is no cron line: bad day-of-month",
        "policies.yaml:10: policies.nightly.schedule.timezone: 'Asia/Bako' is no IANA time zone (did you mean 'Asia/Baku'?); write one such as Asia/Baku or UTC",
        "policies.yaml:11: policies.nightly.keep: has no rule that keeps anything; say at least one of last, hourly, daily, weekly, monthly, yearly, within",
        "policies.yaml:11: policies.nightly.keep.dialy: unknown key (did you mean 'daily'?)",
        "policies.yaml:12: policies.nightly: stands twice; it was first given on line 8",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("version: 1\n", ":1: databases: is required"),
        ("databases: {}\npolicies: {}\n", ":1: databases: must hold at least 1"),
        ("databases: []\n", ":1: databases: must be a mapping of keys and values"),
        ("policies: {}\n", ":1: version: is required"),
        ("version: 1\npolices: {}\n", ":2: polices: unknown key (did you mean 'policies'?)"),
        ('version: "1"\n', ":1: version: must be a whole number"),
        ("version: true\n", ":1: version: must be a whole number"),
        ("databases: {a b: {}}\n", ":1: databases.a b: a name is 1 to 63 letters"),
        ("databases: {-a: {}}\n", ":1: databases.-a: a name is 1 to 63 letters"),
        (f"databases: {{{'a' * 64}: {{}}}}\n", "a name is 1 to 63 letters"),
        ("policies: {manual: {}}\n", ":1: policies.manual: is the built-in policy"),
        ("databases:\n  db:\n", ":2: databases.db: has no value; give one or remove the key"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, fault: str) -> None:
    assert any(fault in line for line in faults(tmp_path, text))


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("{engine: sqlite, path: a}", "db.environment: is required"),
        ("{engine: sqlite, path: a, environment: a b}", "db.environment: an environment is made of letters"),
        ("{engine: sqlite, path: a, environment: 3}", "db.environment: must be text; put it in quotes"),
        (
            "{engine: sqlite, environment: e}",
            "db: needs exactly one of path, connection, service, laravel; it has none",
        ),
        (
            "{engine: postgresql, environment: e, service: s, connection: {host: h}}",
            "it has connection and service",
        ),
        ("{environment: e, path: a}", "db: engine is required: sqlite or postgresql"),
        (
            "{engine: sqlite, environment: e, service: s}",
            "db.service: does not fit engine sqlite; say path or laravel",
        ),
        (
            "{engine: postgresql, environment: e, path: a}",
            "db.path: does not fit engine postgresql; say connection,",
        ),
        ('{engine: sqlite, environment: e, path: ""}', "db.path: must not be empty"),
        ('{engine: sqlite, environment: e, path: "a\\0b"}', "db.path: contains a control character"),
        (
            "{engine: sqlite, environment: e, path: a, password: {env: A}}",
            "db.password: goes with PostgreSQL only",
        ),
        ("{engine: sqlite, environment: e, path: a, client: b}", "db.client: goes with PostgreSQL only"),
        ("{environment: e, laravel: a, password: {env: A}}", "db.password: the application's .env has it"),
        (
            "{engine: sqlite, environment: e, path: a, laravel_connection: pgsql}",
            "db.laravel_connection: goes with laravel",
        ),
        (
            "{environment: e, laravel: a, laravel_connection: mysql}",
            "db.laravel_connection: must be 'pgsql' or 'sqlite'",
        ),
        (
            "{engine: postgresql, environment: e, connection: {hots: a}}",
            "db.connection.hots: is no connection keyword (did you mean 'host'?)",
        ),
        (
            "{engine: postgresql, environment: e, connection: {password: geheim}}",
            "db.connection.password: a secret never stands in the policy file; write password: {credential: NAME}",
        ),
        (
            "{engine: postgresql, environment: e, connection: {passfile: x}}",
            "db.connection.passfile: a secret never stands",
        ),
        ("{engine: postgresql, environment: e, connection: {}}", "db.connection: must hold at least 1"),
        (
            "{engine: postgresql, environment: e, connection: {keepalives: true}}",
            "db.connection.keepalives: must be text or a whole number",
        ),
        (
            "{engine: postgresql, environment: e, connection: {dbname: 'host=x password=geheim'}}",
            "db.connection.dbname: must be the name alone",
        ),
        (
            "{engine: postgresql, environment: e, connection: {dbname: 'postgresql://u:geheim@h/d'}}",
            "db.connection.dbname: must be the name alone",
        ),
        (
            "{engine: postgresql, environment: e, service: s, password: geheim}",
            "db.password: a password never stands in the policy file; write password: {credential: NAME}",
        ),
        (
            "{engine: postgresql, environment: e, service: s, password: {}}",
            "db.password: needs exactly one of credential, file, env",
        ),
        (
            "{engine: postgresql, environment: e, service: s, password: {env: A, file: b}}",
            "db.password: needs exactly one",
        ),
        (
            "{engine: postgresql, environment: e, service: s, password: {env: A-B}}",
            "db.password.env: a variable is made of letters",
        ),
        (
            "{engine: postgresql, environment: e, service: s, password: {credential: ../x}}",
            "db.password.credential: a credential is made of",
        ),
        ("{engine: sqlite, environment: e, path: a, documents: {}}", "db.documents: is empty; say register or"),
        (
            "{engine: sqlite, environment: e, path: a, documents: {rollback_log: b, register: b}}",
            "db.documents.rollback_log: is the file of a register",
        ),
    ],
)
def test_faults_of_a_database(tmp_path: Path, body: str, fault: str) -> None:
    found = faults(tmp_path, with_database(body))
    assert any(line.startswith("policies.yaml:3: databases.") and fault in line for line in found), found
    assert "geheim" not in "\n".join(found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (with_policy("[]"), "p: must be a mapping"),
        (with_policy("{on_demand: true, keep: {last: 1}}"), "p.databases: is required"),
        (with_policy("{databases: [], on_demand: true, keep: {last: 1}}"), "p.databases: must hold at least 1"),
        (with_policy("{databases: app, on_demand: true, keep: {last: 1}}"), "p.databases: must be a list"),
        (with_policy("{databases: [App], on_demand: true, keep: {last: 1}}"), "p.databases.0: there is no database 'App' (did you mean 'app'?)"),
        (with_policy("{databases: [app, app], on_demand: true, keep: {last: 1}}"), "p.databases.1: 'app' is named twice"),
        (with_policy("{databases: [app], keep: {last: 1}}"), "p: needs exactly one of schedule, on_demand: true"),
        (with_policy("{databases: [app], on_demand: false, keep: {last: 1}}"), "p.on_demand: must be true"),
        (with_policy("{databases: [app], on_demand: true}"), "p.keep: is required"),
        (with_policy("{databases: [app], on_demand: true, keep: {}}"), "p.keep: has no rule that keeps anything; say at least one of last,"),
        (with_policy("{databases: [app], on_demand: true, keep: {max_bytes: 1GiB}}"), "p.keep: has no rule that keeps anything"),
        (with_policy("{databases: [app], on_demand: true, keep: }"), "p.keep: has no value"),
        (with_policy("{databases: [app], on_demand: true, keep: {dialy: 1, last: 1}}"), "p.keep.dialy: unknown key (did you mean 'daily'?)"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: -1}}"), "p.keep.last: must be at least 1"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: 0}}"), "p.keep.last: must be at least 1"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: 1.5}}"), "p.keep.last: must be a whole number"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: '3'}}"), "p.keep.last: must be a whole number"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: true}}"), "p.keep.last: must be a whole number"),
        (with_policy("{databases: [app], on_demand: true, keep: {within: 90}}"), "p.keep.within: must be text"),
        (with_policy("{databases: [app], on_demand: true, keep: {within: 3 months}}"), "p.keep.within: '3 months' is not a duration; write 90s"),
        (with_policy("{databases: [app], on_demand: true, keep: {within: 0d}}"), "p.keep.within: must be more than zero"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: 1, max_bytes: 5}}"), "p.keep.max_bytes: must be a size in text, such as"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: 1, max_bytes: much}}"), "p.keep.max_bytes: 'much' is not a size"),
        (with_policy("{databases: [app], on_demand: true, keep: {last: 1, max_bytes: 0GB}}"), "p.keep.max_bytes: must be more than zero"),
        (with_schedule('cron: "* * * * * *"'), "p.schedule.cron: '* * * * * *' is not five fields: minute hour"),
        (with_schedule('cron: "@daily"'), "p.schedule.cron: '@daily' is not five fields"),
        (with_schedule('cron: "61 * * * *"'), "p.schedule.cron: '61 * * * *' is no cron line: bad minute"),
        (with_schedule('cron: "0 0 30 2 *"'), "p.schedule.cron: '0 0 30 2 *' is no cron line: bad day-of-month"),
        (with_schedule('cron: "0 0 * 2 mon#5"'), None),
        (with_schedule(f'cron: "{"9" * 150} * * * *"'), "is no cron line: bad minute"),
        (with_schedule('cron: "0 0 * * *", timezone: Asia/Bako'), "p.schedule.timezone: 'Asia/Bako' is no IANA time zone (did you mean 'Asia/Baku'?)"),
        (with_schedule('cron: "0 0 * * *", timezone: /etc/passwd'), "p.schedule.timezone: '/etc/passwd' is no IANA time zone"),
        (with_schedule('cron: "0 0 * * *", timezone: Europe'), "p.schedule.timezone: 'Europe' is no IANA time zone"),
        (with_schedule('cron: "0 0 * * *", timezone: ""'), "p.schedule.timezone: '' is no IANA time zone"),
        (with_schedule("timezone: UTC"), "p.schedule.cron: is required"),
        (with_schedule('cron: "0 0 * * *", catchup: 1h'), "p.schedule.catchup: unknown key (did you mean 'catch_up'?)"),
        (with_schedule('cron: "*/5 * * * *", jitter: 5m'), "p.schedule.jitter: must be shorter than the shortest interval (5m)"),
        (with_schedule('cron: "0 2,3 * * *", jitter: 2h'), "p.schedule.jitter: must be shorter than the shortest interval (60m)"),
        (with_schedule('cron: "0 0 * * *", jitter: soon'), "p.schedule.jitter: 'soon' is not a duration"),
        (with_keys("proof: proven"), "p.proof: must be 'stored', 'readable' or 'restored'"),
        (with_keys("purpose: yes"), "p.purpose: must be 'required' or 'optional'"),
        (with_keys("scope: {}"), "p.scope: is empty; say tables, exclude or exclude_data"),
        (with_keys("scope: "), "p.scope: has no value"),
        (with_keys("scope: {tables: []}"), "p.scope.tables: must hold at least 1"),
        (with_keys("scope: {tables: users}"), "p.scope.tables: must be a list"),
        (with_keys("scope: {tables: [' ']}"), "p.scope.tables.0: must not be empty"),
        (with_keys("scope: {tables: [7]}"), "p.scope.tables.0: must be text"),
        (with_keys('file_name: "{databse}"'), "p.file_name: file name '{databse}' has an unknown field {databse}; did you mean {database}?"),
        (with_keys('file_name: "a/{name}"'), "p.file_name: file name"),
        (with_keys('file_name: "{name"'), "p.file_name: file name '{name' has a lone brace"),
        (with_keys("timeout: 0s"), "p.timeout: must be more than zero"),
        (with_keys("retry: {attempts: 0}"), "p.retry.attempts: must be at least 1"),
        (with_keys("retry: {attempts: 21}"), "p.retry.attempts: must be at most 20"),
        (with_keys("globals: off"), "p.globals: must be true or false"),
        (with_keys("yield_after: never"), "p.yield_after: 'never' is not a duration"),
        (with_keys("parallel: 0"), "p.parallel: must be at least 1"),
        (with_keys("parallel: 17"), "p.parallel: must be at most 16"),
        (with_keys("compression: {codec: lz4}"), "p.compression.codec: must be 'auto', 'gzip', 'zstd' or 'none'"),
        (with_keys("compression: {codec: zstd, level: 23}"), "p.compression.level: must be at most 22"),
        (with_keys("compression: {codec: gzip, level: 10}"), "p.compression.level: must be at most 9 with gzip"),
        (with_keys("compression: {level: 3}"), "p.compression.level: goes with codec gzip or zstd only"),
        (with_keys("zzz: 5"), "p.zzz: unknown key; known here are databases, schedule, on_demand,"),
    ],
)  # fmt: skip
def test_faults_of_a_policy(tmp_path: Path, text: str, fault: str | None) -> None:
    if fault is None:
        assert load(tmp_path, text).policies["p"].schedule
        return
    found = faults(tmp_path, text)
    assert any(line.startswith("policies.yaml:4: policies.p") and fault in line for line in found), found


@pytest.mark.parametrize(
    ("cron", "timezone", "minutes"),
    [
        ("*/5 * * * *", "UTC", 5),
        ("0 1,4 * * *", "Asia/Baku", 180),
        ("15 2 * * *", "UTC", 1440),
        ("0 0 29 2 *", "UTC", 1461 * 1440),
        ("0 0 * * *", "Europe/Paris", 24 * 60),
    ],
)
def test_shortest_interval(cron: str, timezone: str, minutes: int) -> None:
    assert shortest_interval(cron, timezone) == timedelta(minutes=minutes)


@pytest.mark.parametrize("path", [ROOT / "config/policies.yaml", *EXAMPLES], ids=lambda path: path.name)
def test_shipped_files_load_and_fit_the_schema(path: Path) -> None:
    assert not policies.load(path).warnings
    assert policies.load(path).policies
    jsonschema.validate(yaml.safe_load(path.read_text()), policies.schema())


def test_the_examples_show_every_key() -> None:
    used = set[str]()
    for path in EXAMPLES:
        used |= keys_in(yaml.safe_load(path.read_text()))
    everything = [
        models.CompressionModel,
        models.DatabaseModel,
        models.KeepModel,
        models.PolicyModel,
        models.RetryModel,
        models.ScopeModel,
        model_parts.ScheduleModel,
        model_parts.SecretModel,
        proof_models.CheckModel,
        proof_models.DrillServerModel,
        proof_models.DrillsModel,
        proof_models.FactsModel,
        proof_models.RereadingModel,
        rollback_models.DocumentsModel,
        rollback_models.HookModel,
        rollback_models.HooksModel,
        rollback_models.WarmModel,
    ]
    known = {field.alias or name for model in everything for name, field in model.model_fields.items()}
    assert known - used == set()


def keys_in(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*(keys_in(inner) for inner in node))
    if isinstance(node, dict):
        return set(node) | set().union(*(keys_in(inner) for inner in node.values()))
    return set()


def test_the_demo_is_what_make_run_expects() -> None:
    configuration = policies.load(ROOT / "config/policies.yaml")
    assert configuration.databases["demo"].source == SqliteSource(path=ROOT / "demo/database.sqlite")
    assert configuration.policies["nightly"].keep == KeepRules(last=3, daily=7, weekly=4, monthly=12)
    assert configuration.policies["pre-release"].purpose_required


def test_the_schema_is_a_valid_and_current_file() -> None:
    jsonschema.Draft202012Validator.check_schema(policies.schema())
    written = json.loads((ROOT / "config/policies.schema.json").read_text())
    assert written == policies.schema(), "write it anew: amanat config schema > config/policies.schema.json"


@pytest.mark.parametrize(
    "text",
    [
        with_keys("zzz: 1"),
        with_keys("scope: "),
        with_keys("proof: proven"),
        with_policy("{databases: [app], keep: {last: 1}}"),
        with_policy("{databases: [app], on_demand: true, keep: {max_bytes: 1GiB}}"),
        with_database("{engine: sqlite, environment: e}"),
        with_database("{engine: postgresql, environment: e, connection: {hots: a}}"),
        "version: 1\ndatabases: {a b: {environment: e, laravel: x}}\npolicies: {}\n",
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), policies.schema())


def test_every_field_is_described_in_a_sentence() -> None:
    for name, definition in policies.schema()["$defs"].items():
        for key, field in definition["properties"].items():
            assert field.get("description", "").endswith("."), (name, key)
