"""Who runs this command, and whose folders it works in."""

import os
import pwd
from pathlib import Path

from amanat.domain.errors import ConfigurationError


def os_user() -> str:
    """The person's login name: behind sudo, the one who called sudo; a bare uid where no name exists."""
    if caller := os.environ.get("SUDO_USER"):
        return caller
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def require_own(*folders: Path) -> None:
    """ConfigurationError where root would leave files there that the service's own user cannot read."""
    for folder in folders:
        if os.geteuid() == 0 and folder.is_dir() and folder.stat().st_uid != 0:
            owner = folder.owner()
            raise ConfigurationError(
                f"{folder} belongs to {owner}, and this is root",
                hint=f"run it as {owner}: sudo -u {owner} amanat …",
            )
