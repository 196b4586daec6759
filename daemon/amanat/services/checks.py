"""Named checks of the host's fitness, each with what to do; readiness is all of them."""

from collections.abc import Callable
from dataclasses import dataclass

from amanat.domain.errors import AmanatError
from amanat.ports import Ports


@dataclass(frozen=True, kw_only=True)
class Check:
    """``detail`` says what was found; ``hint`` what to do, empty when it is ok."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def host_checks(ports: Ports) -> list[Check]:
    """Register and store, asked now."""
    return [
        _asked("register", ports.register.check, "can be read and written"),
        _asked("store", ports.store.require, "is there and can be written"),
    ]


def _asked(name: str, question: Callable[[], None], fine: str) -> Check:
    try:
        question()
    except AmanatError as exc:
        return Check(name=name, ok=False, detail=exc.message, hint=exc.hint)
    return Check(name=name, ok=True, detail=fine)
