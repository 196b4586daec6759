"""The names of what happens. One event feeds the log line, and later the notice."""

from enum import StrEnum


class Event(StrEnum):
    """``subject.what-happened``; the level is in ``observability.logs``."""

    RUN_STARTED = "run.started"
    RUN_PROGRESS = "run.progress"
    RUN_FINISHED = "run.finished"
    RUN_RETRIED = "run.retried"
    RUN_WARNING = "run.warning"
    SNAPSHOT_COMMITTED = "snapshot.committed"
    SNAPSHOT_DAMAGED = "snapshot.damaged"
    SNAPSHOT_LOST = "snapshot.lost"
    SNAPSHOT_DELETED = "snapshot.deleted"
    RETENTION_REFUSED = "retention.refused"
    RECONCILE_ACTED = "reconcile.acted"
    FOREIGN_FOUND = "store.foreign-found"
    DOCUMENT_FAILED = "document.failed"
    SLOT_MISSED = "schedule.missed"
    SLOT_SKIPPED = "schedule.skipped"
    SCHEDULE_CHANGED = "schedule.changed"
    CLOCK_JUMPED = "clock.jumped"
    CONFIG_LOADED = "config.loaded"
    CONFIG_REJECTED = "config.rejected"
    DAEMON_STARTED = "daemon.started"
    DAEMON_READY = "daemon.ready"
    DAEMON_STOPPING = "daemon.stopping"
    DAEMON_STOPPED = "daemon.stopped"
    BUG = "bug"
