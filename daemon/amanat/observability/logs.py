"""Log lines: events by name, on stderr; console for people, JSON under systemd; secrets redacted."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

from amanat.domain.events import Event
from amanat.domain.model import Outcome
from amanat.observability.redaction import redact


@contextlib.contextmanager
def _without(package: str) -> Iterator[None]:
    """As if it were not installed."""
    hidden = {} if package in sys.modules else {package: None}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None is how Python marks what cannot be imported
    yield
    for name in hidden:
        del sys.modules[name]


with _without("rich"):  # structlog would take it along, for traces in colour: 4 MB of a daemon that shows none
    import structlog

_LEVELS = {
    Event.RUN_RETRIED: "warning",
    Event.RUN_WARNING: "warning",
    Event.SNAPSHOT_DAMAGED: "error",
    Event.SNAPSHOT_LOST: "error",
    Event.RETENTION_REFUSED: "warning",
    Event.FOREIGN_FOUND: "warning",
    Event.REGISTER_BROKEN: "error",
    Event.ANCHOR_FAILED: "warning",
    Event.DOCUMENT_FAILED: "error",
    Event.SLOT_MISSED: "warning",
    Event.SLOT_SKIPPED: "warning",
    Event.CLOCK_JUMPED: "warning",
    Event.CONFIG_REJECTED: "error",
    Event.BUG: "critical",
}
_OUTCOME_LEVELS = {
    Outcome.FAILED: "error",
    Outcome.INTERRUPTED: "warning",
    Outcome.YIELDED: "warning",
    Outcome.REFUSED: "warning",
}
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_NOISY = ("apscheduler", "uvicorn", "watchfiles", "asyncio")


def configure(*, log_format: str, level: str) -> None:
    """``log_format``: ``console``, ``json``, or ``auto``: JSON when systemd reads the stream."""
    json = log_format == "json" or (log_format == "auto" and "INVOCATION_ID" in os.environ)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _drop_empty,
        _redacted,
    ]
    renderer = _json() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    _adopt_libraries(shared, renderer)


def emit(event: Event, /, **fields: object) -> None:
    """Fulfils ``ports.Emit``."""
    level = _LEVELS.get(event, "info")
    if event is Event.RUN_FINISHED:
        level = _OUTCOME_LEVELS.get(fields.get("outcome"), "info")  # type: ignore[call-overload]
    getattr(structlog.get_logger(), level)(event.value, **fields)


def _json() -> Any:
    render = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    if not _journal_reads_stderr():
        return render

    def with_priority(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        """The prefix sets the line's priority in the journal, and is taken off there (sd-daemon(3))."""
        return f"<{_PRIORITIES.get(event['level'], 6)}>{render(logger, method, event)!s}"

    return with_priority


def _journal_reads_stderr() -> bool:
    """systemd.exec(5), JOURNAL_STREAM: device and inode of the stream that goes to the journal."""
    about = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{about.st_dev}:{about.st_ino}"


def _adopt_libraries(shared: list[Any], renderer: Any) -> None:
    """Warnings of the libraries get the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _drop_empty(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: value for key, value in event.items() if value not in ("", None)}


def _redacted(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return dict(redact(event))
