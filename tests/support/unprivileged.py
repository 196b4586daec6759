"""Another user than root, for what a PostgreSQL server refuses to be started by."""

import os
import pwd
from pathlib import Path

_RIGHT = "+dac_override"


def around() -> tuple[str, ...]:
    """What a command is run by; nothing, where this is not root anyway.

    Python and the tree may lie in a home that is closed: so one right is kept, to pass every folder and file.
    """
    if os.geteuid() != 0:
        return ()
    account = _account()
    ids = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    return ("setpriv", *ids, f"--inh-caps={_RIGHT}", f"--ambient-caps={_RIGHT}")


def give(*paths: Path) -> None:
    """To that user, where this is root."""
    for path in paths:
        if os.geteuid() == 0:
            os.chown(path, _account().pw_uid, _account().pw_gid)


def working_below(folder: Path) -> list[int]:
    """Processes whose working directory is there, as that of a PostgreSQL server is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile, or is another user's
    return found


def _account() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")
