"""Who runs this command."""

import os
import pwd


def os_user() -> str:
    """The person's login name: behind sudo, the one who called sudo; a bare uid where no name exists."""
    if caller := os.environ.get("SUDO_USER"):
        return caller
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
