"""What several models of the policy file are made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from amanat.settings.fields import Credential, Cron, Duration, Text, Variable, Zone


def exactly_one(*keys: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [key]} for key in keys]}


def at_least_one(*keys: str) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SecretModel(Strict):
    """Where the password is: a systemd credential, a file or an environment variable."""

    model_config = ConfigDict(json_schema_extra=exactly_one("credential", "file", "env"))

    credential: Credential | None = Field(
        default=None, description="Name of a systemd credential (LoadCredential=) of the daemon's unit."
    )
    file: Text | None = Field(
        default=None, description="A file that holds nothing but the password; only its owner may read it."
    )
    env: Variable | None = Field(default=None, description="An environment variable of the daemon.")


class ScheduleModel(Strict):
    """When a policy comes due by itself."""

    cron: Cron = Field(description="Five cron fields: minute, hour, day of month, month, day of week.")
    timezone: Zone = Field(default="UTC", description="The IANA time zone that the cron fields speak of.")
    catch_up: Duration = Field(
        default="0s", description="How old a missed instant may be and still be made good at the next start."
    )
    jitter: Duration = Field(default="0s", description="A run starts at random up to this much after its instant.")
