"""Checks of what lies on this host and who may use it: modes, file systems, metrics port, systemd's watchdog."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.doctor.check import Check, Name

_SHOWN = 3
_OTHERS_WRITE = 0o022
_OTHERS = 0o077
_WORLD = 0o007
_UNWATCHED = {"", "0", "infinity"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a file or folder stands there. ``mode``: its permission bits. ``device``: its file system."""

    mode: int
    device: int


@dataclass(frozen=True, kw_only=True)
class Listening:
    """What is at an address. ``store``: of the daemon that answers there. ``refusal``: why it cannot be had."""

    store: Path | None = None
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """The service as systemd has it. ``watchdog``: as ``systemctl show`` writes the time."""

    watchdog: str
    environment_files: tuple[Path, ...] = ()


def permissions(found: Mapping[Path, Standing]) -> Check:
    """Of folders and files that hold what the databases hold, or say so: they are for one user alone."""
    writable = [path for path, standing in found.items() if standing.mode & _OTHERS_WRITE]
    if writable:
        text = f"others may write: {_named(writable, found)}"
        return Check.fail(Name.PERMISSIONS, text, _tighten(writable[0]))
    if readable := [path for path, standing in found.items() if standing.mode & _OTHERS]:
        text = f"others may look in: {_named(readable, found)}"
        return Check.warn(Name.PERMISSIONS, text, _tighten(readable[0]))
    return Check(name=Name.PERMISSIONS, found=f"{len(found)} files and folders are for their owner alone")


def staging(root: Path, found: Mapping[Path, Standing]) -> Check:
    """``found``: the folders of the store, ``root`` among them. A rename leads through no mount point."""
    elsewhere = [path for path, standing in found.items() if standing.device != found[root].device]
    if elsewhere:
        names = ", ".join(str(path) for path in elsewhere[:_SHOWN])
        remedy = "mount the whole store as one, with nothing mounted or linked inside it"
        return Check.fail(Name.STAGING, f"not on the file system of {root}: {names}", remedy)
    return Check(name=Name.STAGING, found="the store and its staging folder are on one file system")


def passwords(found: Mapping[Path, Standing]) -> Check:
    """Of files that hold nothing but a password: a run refuses one that others may use."""
    open_to_others = [path for path, standing in found.items() if standing.mode & _OTHERS]
    if open_to_others:
        text = f"group or others may use {_named(open_to_others, found)}"
        return Check.fail(Name.SECRETS, text, f"chmod 600 {open_to_others[0]}")
    return Check(name=Name.SECRETS, found=_checked(found))


def environments(found: Mapping[Path, Standing]) -> Check:
    """Of files that may hold a password beside other settings; a group of theirs is usual."""
    open_to_all = [path for path, standing in found.items() if standing.mode & _WORLD]
    if open_to_all:
        text = f"everybody may use {_named(open_to_all, found)}"
        return Check.warn(Name.SECRETS, text, f"chmod o= {open_to_all[0]}")
    return Check(name=Name.SECRETS, found=_checked(found))


def metrics_port(address: str, listening: Listening | None, store: Path) -> Check:
    """``listening`` None: nothing is to be served."""
    if listening is None:
        return Check(name=Name.METRICS_PORT, found="off: no metrics are served")
    if listening.refusal:
        remedy = "choose another address with AMANAT_HTTP, or see what listens there: ss -ltnp"
        return Check.fail(Name.METRICS_PORT, f"{address} cannot be had: {listening.refusal}", remedy)
    if listening.store is None:
        return Check(name=Name.METRICS_PORT, found=f"{address} is free; no daemon serves there now")
    if listening.store.is_absolute() and listening.store != store:
        remedy = "give one of the two another AMANAT_HTTP"
        return Check.fail(Name.METRICS_PORT, f"the daemon of another store serves {address}", remedy)
    return Check(name=Name.METRICS_PORT, found=f"the daemon serves {address}")


def watchdog(unit: Unit | None) -> Check:
    if unit is None:
        return Check(name=Name.WATCHDOG, found="not under systemd")
    if unit.watchdog in _UNWATCHED:
        remedy = "set WatchdogSec=30 in the unit, as deploy/systemd/amanat.service does"
        return Check.warn(Name.WATCHDOG, "systemd would not notice a daemon that hangs", remedy)
    return Check(name=Name.WATCHDOG, found=f"systemd restarts a daemon that is silent for {unit.watchdog}")


def _named(paths: list[Path], found: Mapping[Path, Standing]) -> str:
    named = ", ".join(f"{path} ({found[path].mode:04o})" for path in paths[:_SHOWN])
    more = len(paths) - _SHOWN
    return f"{named} and {more} more" if more > 0 else named


def _tighten(path: Path) -> str:
    return f"chmod -R go= {path}"


def _checked(found: Mapping[Path, Standing]) -> str:
    return f"no one else may use {', '.join(map(str, found))}" if found else "there is no file with a secret"
