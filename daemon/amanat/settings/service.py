"""Settings of the service, from ``AMANAT_*`` variables or ``config/amanat.env``; flags win over both.

The file may hold variables of others (a password for ``env:``), but no unknown ``AMANAT_*``.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from amanat.domain.errors import ConfigurationError
from amanat.domain.units import parse_duration
from amanat.settings.words import did_you_mean

PREFIX = "AMANAT_"
ENV_FILE = Path("config/amanat.env")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")
_HIGHEST_PORT = 65535


def _default_state() -> Path:
    """systemd's StateDirectory= may name several folders, separated by colons (systemd.exec(5))."""
    return Path(os.environ.get("STATE_DIRECTORY", "").split(":")[0] or ".amanat")


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _address(text: str) -> str:
    if text.strip().lower() == "off":
        return "off"
    split_address(text.strip())
    return text.strip()


def _not_empty(path: Path) -> Path:
    if str(path) in ("", "."):
        raise ValueError("must name a path")
    return path


def split_address(text: str) -> tuple[str, int]:
    """``127.0.0.1:9847``, ``localhost:9847`` or ``[::1]:9847`` → host and port, else ValueError."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (colon and port.isascii() and port.isdigit() and 1 <= int(port[:9]) <= _HIGHEST_PORT):
        raise ValueError(f"{text!r} is not an address; write 127.0.0.1:9847, [::1]:9847 or off")
    if (bare != host and _is_ipv6(bare)) or (bare == host and _HOST_NAME.fullmatch(host)):
        return bare, int(port)
    raise ValueError(f"{text!r} has no usable host; write 127.0.0.1:9847, [::1]:9847 or off")


def _is_ipv6(host: str) -> bool:
    try:
        return ip_address(host).version == 6  # noqa: PLR2004
    except ValueError:
        return False


Word = BeforeValidator(_lower)
SomePath = Annotated[Path, AfterValidator(_not_empty)]


class ServiceSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    policies: SomePath = Field(default=Path("config/policies.yaml"), description="The policy file.")
    store: SomePath = Field(default=Path("database-backups"), description="The folder of the snapshots.")
    state: SomePath = Field(
        default_factory=_default_state,
        description="The folder of the register; by default systemd's state directory, else .amanat.",
    )
    http: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:9847", description="Where metrics and status are served: HOST:PORT or off."
    )
    log_format: Annotated[Literal["auto", "console", "json"], Word] = Field(
        default="auto", description="How log lines look; auto: json under systemd, else console."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Word] = Field(
        default="info", description="The least severe events that are logged."
    )
    max_concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="How many runs may go on at once."
    )
    app_version: str = Field(default="", description="The application's version, for file names.")
    shutdown_grace: Annotated[timedelta, BeforeValidator(_duration)] = Field(
        default=timedelta(seconds=60), description="How long a run may still take after SIGTERM, such as 60s."
    )

    @property
    def http_address(self) -> tuple[str, int] | None:
        """None: off."""
        return None if self.http == "off" else split_address(self.http)


def load(env_file: Path | None = ENV_FILE, **flags: object) -> ServiceSettings:
    """ConfigurationError that names each wrong variable. ``flags``: by field name; None: not given."""
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    set_variables = {name.upper() for name, value in os.environ.items() if value}
    file = {k: v for k, v in _file_values(env_file).items() if PREFIX + k.upper() not in set_variables}
    try:
        return ServiceSettings(**{**file, **given})
    except ValidationError as exc:
        lines = [_line(str(details["loc"][0]), details) for details in exc.errors(include_url=False)]
        raise ConfigurationError("\n".join(lines), hint=f"set it in the environment or in {env_file}") from exc


def _line(name: str, details: Mapping[str, Any]) -> str:
    return f"{PREFIX}{name.upper()}: {details['msg'].removeprefix('Value error, ')}"


def _file_values(path: Path | None) -> dict[str, Any]:
    """The settings of the file by field name; none when there is no file."""
    if path is None or not is_there(path):
        return {}
    variables = {name.upper(): value for name, value in _parsed(path).items()}
    known = {PREFIX + field.upper(): field for field in ServiceSettings.model_fields}
    for name in variables:
        if name.startswith(PREFIX) and name not in known:
            hint = f"known are {', '.join(known)}"
            raise ConfigurationError(f"{path}: {name}: unknown variable{did_you_mean(name, known)}", hint=hint)
    return {known[name]: value for name, value in variables.items() if name in known and value}


def is_there(path: Path) -> bool:
    """False also where we may not look: a working folder that is not ours has no settings for us."""
    try:
        return path.exists()
    except PermissionError:
        return False


def _parsed(path: Path) -> dict[str, str]:
    from amanat.settings import dotenv  # noqa: PLC0415 - under systemd there is no such file

    try:
        return dotenv.parse(path.read_bytes().decode("utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc}", hint="correct or remove it") from exc
