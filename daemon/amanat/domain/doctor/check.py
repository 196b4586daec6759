"""A named check: how it went, what was found, what to do about it. ``documentation/doctor.md`` has them all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from amanat.domain.errors import AmanatError, InterruptedRunError


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Name(StrEnum):
    """Every check there is, in the order in which they are told."""

    REGISTER = "register"
    CHAIN = "chain"
    STORE = "store"
    PERMISSIONS = "permissions"
    STAGING = "staging"
    SCHEDULER = "scheduler"
    CONFIGURATION = "configuration"
    CLOCK = "clock"
    METRICS_PORT = "metrics-port"
    WATCHDOG = "watchdog"
    SECRETS = "secrets"
    SOURCE = "source"
    CLIENT = "client"
    COMPRESSION = "compression"
    ACCESS = "access"
    FILE_SYSTEM = "file-system"
    DRILL_DATABASE = "drill-database"
    ARCHIVES = "archives"
    ROLLBACK = "rollback"
    SPACE = "space"
    OVERLAP = "overlap"
    LAST_SUCCESS = "last-success"
    LAST_PROOF = "last-proof"
    LAST_PRUNE = "last-prune"
    LAST_DRILL = "last-drill"
    DRILL_LIMITS = "drill-limits"
    LAST_REREADING = "last-rereading"
    KEEP_RULES = "keep-rules"
    SUMMER_TIME = "summer-time"


@dataclass(frozen=True, kw_only=True)
class Check:
    """``found``, ``remedy``: a line each; no remedy where it is ok. ``subject``: what it is about."""

    name: Name
    level: Level = Level.OK
    found: str
    remedy: str = ""
    subject: str = ""

    @classmethod
    def warn(cls, name: Name, found: str, remedy: str) -> "Check":
        return cls(name=name, level=Level.WARN, found=found, remedy=remedy)

    @classmethod
    def fail(cls, name: Name, found: str, remedy: str) -> "Check":
        return cls(name=name, level=Level.FAIL, found=found, remedy=remedy)

    @property
    def ok(self) -> bool:
        """Whether things work; a warning does not stop anything."""
        return self.level is not Level.FAIL


def asked(name: Name, question: Callable[[], str]) -> Check:
    """``question``: says what it found, or raises what is wrong. That somebody wants it to stop is raised on."""
    try:
        return Check(name=name, found=question())
    except InterruptedRunError:
        raise
    except AmanatError as exc:
        return Check.fail(name, exc.message, exc.hint)


def about(subject: str, checks: Iterable[Check]) -> list[Check]:
    return [replace(check, subject=subject) for check in checks]


def grouped(checks: Iterable[Check]) -> list[Check]:
    """By subject, in the order in which subjects and checks first come."""
    by_subject: dict[str, list[Check]] = {}
    for check in checks:
        by_subject.setdefault(check.subject, []).append(check)
    return [check for group in by_subject.values() for check in group]


def of_database(database: str, by_policy: Mapping[str, list[Check]]) -> list[Check]:
    """What holds whatever the policy is told once, of the database; the rest of the policy it is about."""
    first = next(iter(by_policy.values()), [])
    common = [check for check in first if all(check in checks for checks in by_policy.values())]
    own = {f"{database}/{policy}": checks for policy, checks in by_policy.items()}
    return [
        *about(database, common),
        *(
            each
            for subject, checks in own.items()
            for each in about(subject, checks)
            if _plain(each) not in common
        ),
    ]


def _plain(check: Check) -> Check:
    return replace(check, subject="")
