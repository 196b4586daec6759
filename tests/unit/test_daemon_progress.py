"""What the daemon tells of a long run: an event now and then, for each database."""

import pytest

from amanat.domain.events import Event
from amanat.faces.cli import progress
from amanat.host import clock
from amanat.ports import Progress


def test_each_database_is_told_of_every_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Event, dict[str, object]]] = []
    tell = progress.logged(lambda event, /, **fields: told.append((event, fields)))
    for second in range(12):
        monkeypatch.setattr(clock, "monotonic", lambda second=second: float(second))
        tell({"database": "app", "policy": "nightly"}, Progress(bytes_done=second * 1000, table="users"))
        if second >= 6:
            tell({"database": "other", "policy": "nightly"}, Progress(bytes_done=1))

    assert {event for event, _ in told} == {Event.RUN_PROGRESS}
    assert [fields["bytes_done"] for _, fields in told if fields["database"] == "app"] == [5000, 10000]
    assert [fields["table"] for _, fields in told if fields["database"] == "other"] == [""]
