"""Service settings: flags, then variables, then the file, then defaults; errors name the variable."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.errors import ConfigurationError
from amanat.settings import service


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AMANAT_") or name == "STATE_DIRECTORY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / "amanat.env"


def refusal(env_file: Path | None = None, **flags: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        service.load(env_file, **flags)
    assert caught.value.hint
    return caught.value


def test_defaults() -> None:
    settings = service.load()
    assert settings.policies == Path("config/policies.yaml")
    assert settings.store == Path("database-backups")
    assert settings.state == Path(".amanat")
    assert settings.http_address == ("127.0.0.1", 9847)
    assert (settings.log_format, settings.log_level) == ("auto", "info")
    assert settings.max_concurrency == 2
    assert settings.app_version == ""
    assert settings.shutdown_grace == timedelta(seconds=60)


def test_systemds_state_directory_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/amanat:/var/lib/other")
    assert service.load().state == Path("/var/lib/amanat")
    monkeypatch.setenv("AMANAT_STATE", "/srv/state")
    assert service.load().state == Path("/srv/state")


def test_every_variable_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "POLICIES": "/p.yaml",
        "STORE": "/store",
        "STATE": "/state",
        "HTTP": "off",
        "LOG_FORMAT": "JSON",
        "LOG_LEVEL": "Debug",
        "MAX_CONCURRENCY": "8",
        "APP_VERSION": "2.10",
        "SHUTDOWN_GRACE": "1m30s",
    }.items():
        monkeypatch.setenv(f"AMANAT_{name}", value)
    settings = service.load()
    assert (settings.policies, settings.store, settings.state) == (
        Path("/p.yaml"),
        Path("/store"),
        Path("/state"),
    )
    assert settings.http_address is None
    assert (settings.log_format, settings.log_level) == ("json", "debug")
    assert settings.max_concurrency == 8
    assert settings.app_version == "2.10"
    assert settings.shutdown_grace == timedelta(seconds=90)


def test_flags_win_over_variables_and_these_over_the_file(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text("AMANAT_STORE=/file\nAMANAT_STATE=/file\nAMANAT_POLICIES=/file\n")
    monkeypatch.setenv("AMANAT_STORE", "/variable")
    monkeypatch.setenv("AMANAT_STATE", "/variable")
    settings = service.load(env_file, state=Path("/flag"), store=None)
    assert (settings.state, settings.store, settings.policies) == (
        Path("/flag"),
        Path("/variable"),
        Path("/file"),
    )


def test_the_default_file_is_read_when_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/amanat.env").write_text('# comment\nAMANAT_HTTP="off"  # no port\n')
    assert service.load().http_address is None


def test_an_empty_value_is_no_value(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANAT_STORE", "")
    env_file.write_text("AMANAT_STORE=/file\nAMANAT_STATE=\n")
    settings = service.load(env_file)
    assert (settings.store, settings.state) == (Path("/file"), Path(".amanat"))


def test_others_may_have_variables_in_the_file(env_file: Path) -> None:
    env_file.write_text("REPORTING_PASSWORD=geheim\n")
    assert service.load(env_file).http_address


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("AMANAT_STROE=/x\n", "AMANAT_STROE: unknown variable (did you mean 'AMANAT_STORE'?)"),
        ("A=1\nAMANAT_STORE=a b\n", "amanat.env:2: AMANAT_STORE: text after the value's end"),
        ("AMANAT_STORE: /x\n", "amanat.env:1: no variable name before '='"),
    ],
)
def test_faults_of_the_file(env_file: Path, content: str, message: str) -> None:
    env_file.write_text(content)
    assert message in refusal(env_file).message


def test_a_file_that_is_no_text(env_file: Path) -> None:
    env_file.write_bytes(b"AMANAT_STORE=\xff")
    assert f"{env_file} cannot be read" in refusal(env_file).message


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9847", ("127.0.0.1", 9847)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("localhost:65535", ("localhost", 65535)),
        ("db-1.example.org:1", ("db-1.example.org", 1)),
        ("[::1]:9847", ("::1", 9847)),
        ("OFF", None),
    ],
)
def test_addresses(text: str, address: tuple[str, int] | None) -> None:
    assert service.load(http=text).http_address == address


@pytest.mark.parametrize(
    "text", ["9847", ":9847", "localhost", "localhost:", "localhost:0", "localhost:65536", "a b:80", "::1:80",
             "[::1]", "[::1:80", "[127.0.0.1]:80", "localhost:８０", "localhost:-1", "http://x:80", "x:" + "9" * 5000],
)  # fmt: skip
def test_what_is_no_address(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANAT_HTTP", text)
    error = refusal()
    assert error.message.startswith("AMANAT_HTTP: ")
    assert "write 127.0.0.1:9847, [::1]:9847 or off" in error.message


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANAT_MAX_CONCURRENCY", "65")
    monkeypatch.setenv("AMANAT_LOG_FORMAT", "xml")
    monkeypatch.setenv("AMANAT_LOG_LEVEL", "loud")
    monkeypatch.setenv("AMANAT_SHUTDOWN_GRACE", "soon")
    monkeypatch.setenv("AMANAT_STORE", ".")
    lines = dict(line.split(": ", 1) for line in refusal().message.splitlines())
    assert lines == {
        "AMANAT_MAX_CONCURRENCY": "Input should be less than or equal to 64",
        "AMANAT_LOG_FORMAT": "Input should be 'auto', 'console' or 'json'",
        "AMANAT_LOG_LEVEL": "Input should be 'debug', 'info', 'warning' or 'error'",
        "AMANAT_SHUTDOWN_GRACE": "'soon' is not a duration; write 90s, 5m, 12h, 30d, 8w or 1h30m",
        "AMANAT_STORE": "must name a path",
    }


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_concurrency_has_bounds(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANAT_MAX_CONCURRENCY", value)
    assert refusal().message.startswith("AMANAT_MAX_CONCURRENCY: ")
