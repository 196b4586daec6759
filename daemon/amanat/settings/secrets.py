"""Reads a password from where the policy file says it is; the value never enters a message."""

import os
import stat
from pathlib import Path

from amanat.domain.errors import ConfigurationError
from amanat.domain.policy import Secret


def read(secret: Secret) -> str:
    """The secret without one trailing newline; ConfigurationError with the remedy when it is not there."""
    match secret.kind:
        case "credential":
            text = _credential(secret.name)
        case "file":
            text = _private_file(Path(secret.name))
        case _:
            text = _variable(secret.name)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text or "\0" in text:
        raise ConfigurationError(
            f"the password in {secret.kind} {secret.name} is empty or has more than one line",
            hint="it must hold nothing but the password",
        )
    return text


def _credential(name: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    hint = f"add LoadCredential={name}:/path/to/it to the unit (systemd.exec(5)), and reload it"
    if not folder:
        raise ConfigurationError(f"credential {name}: systemd handed over no credentials", hint=hint)
    return _text(Path(folder) / name, hint)


def _private_file(path: Path) -> str:
    hint = "it holds the password alone; make it readable for the daemon's user only"
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise ConfigurationError(f"password file {path}: {exc.strerror}", hint=hint) from exc
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"password file {path}: group or others may use it (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {path}",
        )
    return _text(path, hint)


def _text(path: Path, hint: str) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}", hint=hint) from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path} is not UTF-8 text", hint=hint) from exc


def _variable(name: str) -> str:
    if name not in os.environ:
        raise ConfigurationError(
            f"environment variable {name} is not set", hint=f"set {name} for the daemon, or use a credential"
        )
    return os.environ[name]
