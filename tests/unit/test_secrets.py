"""Passwords are read from where the policy file says, and from nowhere that others can read."""

from pathlib import Path

import pytest

from amanat.domain.errors import ConfigurationError
from amanat.domain.policy import Secret
from amanat.settings import secrets


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("geheim\n")
    path.chmod(0o600)
    return path


def refusal(secret: Secret) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        secrets.read(secret)
    assert "geheim" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("content", "password"),
    [("geheim", "geheim"), ("geheim\n", "geheim"), ("geheim\r\n", "geheim"), (" ge heim \n", " ge heim ")],
)
def test_one_line_end_is_taken_off(password_file: Path, content: str, password: str) -> None:
    password_file.write_bytes(content.encode())
    assert secrets.read(Secret(kind="file", name=str(password_file))) == password


@pytest.mark.parametrize("content", ["", "\n", "geheim\nmore\n", "ge\0heim"])
def test_what_is_no_password(password_file: Path, content: str) -> None:
    password_file.write_text(content)
    error = refusal(Secret(kind="file", name=str(password_file)))
    assert "is empty or has more than one line" in error.message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_use_is_refused(password_file: Path, mode: int) -> None:
    password_file.chmod(mode)
    error = refusal(Secret(kind="file", name=str(password_file)))
    assert f"group or others may use it (mode {mode:04o})" in error.message
    assert error.hint == f"chmod 600 {password_file}"


def test_a_missing_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(Secret(kind="file", name=str(tmp_path / "absent"))).message


def test_a_folder_is_no_password(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert "Is a directory" in refusal(Secret(kind="file", name=str(folder))).message


def test_a_file_in_another_encoding(password_file: Path) -> None:
    password_file.write_bytes(b"geheim\xff")
    assert "is not UTF-8 text" in refusal(Secret(kind="file", name=str(password_file))).message


def test_credential(password_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(password_file.parent))
    assert secrets.read(Secret(kind="credential", name="password")) == "geheim"
    error = refusal(Secret(kind="credential", name="absent"))
    assert "LoadCredential=absent:" in error.hint


def test_credential_without_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    error = refusal(Secret(kind="credential", name="db"))
    assert error.message == "credential db: systemd handed over no credentials"


def test_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_SECRET", "geheim")
    assert secrets.read(Secret(kind="env", name="DB_SECRET")) == "geheim"
    monkeypatch.delenv("DB_SECRET")
    error = refusal(Secret(kind="env", name="DB_SECRET"))
    assert error.message == "environment variable DB_SECRET is not set"
