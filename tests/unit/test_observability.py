"""Secrets stay out; every event has its level; metrics names are the design's."""

import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.events import Event
from amanat.domain.model import Outcome
from amanat.observability import logs, progress
from amanat.observability.metrics import NAMES
from amanat.observability.redaction import HIDDEN, redact, remember
from amanat.ports.run import Progress


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://amanat:s3cr3t!@db/atis",
        "host=db password=s3cr3t! user=amanat",
        "host=db password = 's3cr3t!' user=amanat",
    ],
)
def test_secrets_in_texts_are_hidden(text):
    assert "s3cr3t!" not in redact(text) and HIDDEN in redact(text)


def test_secrets_are_hidden_by_key_and_by_value():
    remember("hunter2-known")
    found = redact({"password": "x", "db": {"PGPASSWORD": "y", "token": "z"}, "list": ["a hunter2-known b"]})
    assert found == {"password": HIDDEN, "db": {"PGPASSWORD": HIDDEN, "token": HIDDEN}, "list": [f"a {HIDDEN} b"]}


@given(st.text(min_size=1), st.text())
def test_ordinary_text_without_secrets_is_left_alone(key, value):
    if not any(word in value.lower() for word in ("://", "pass", "pwd", "hunter2")):
        assert redact(value) == value


def test_json_lines_carry_event_level_and_redacted_fields(capsys):
    logs.configure(log_format="json", level="info")
    logs.emit(Event.RUN_FINISHED, outcome=Outcome.FAILED, reason="password=abcdef", hint="")
    structlog.get_logger().debug("not shown at this level")
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["event"], line["level"]) == ("run.finished", "error")
    assert "abcdef" not in line["reason"] and "hint" not in line


def test_exceptions_are_in_the_log_without_secrets(capsys):
    logs.configure(log_format="json", level="info")
    try:
        raise RuntimeError("password=abcdef")
    except RuntimeError:
        logs.emit(Event.BUG, exc_info=True)
    line = json.loads(capsys.readouterr().err)
    assert "RuntimeError" in line["exception"] and "abcdef" not in line["exception"]


def test_metric_names_are_unique_and_prefixed():
    assert len(set(NAMES)) == len(NAMES)
    assert all(name.startswith("amanat_") for name in NAMES)


def test_progress_is_told_now_and_then_with_its_rate(monkeypatch):
    told = []
    times = iter([0.0, 1.0, 31.0, 32.0, 62.0])
    monkeypatch.setattr(progress.clock, "monotonic", lambda: next(times))
    events = progress.ProgressEvents(lambda event, **fields: told.append((event, fields)), {"database": "atis"})
    for done in (10, 3100, 3200, 6200):
        events(Progress(bytes_done=done, table="users"))
    assert [(event, fields["bytes_per_second"]) for event, fields in told] == [
        (Event.RUN_PROGRESS, 100),
        (Event.RUN_PROGRESS, 100),
    ]
    assert told[0][1]["table"] == "users" and told[0][1]["database"] == "atis"
