"""What stands aside is told in the order in which it was, and what is gone cannot be held."""

from datetime import UTC, datetime, timedelta

import pytest

from amanat.domain.aside import Aside, AsideKind
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import NotFoundError
from amanat.register.register import Register

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def register(tmp_path):
    opened = Register(tmp_path)
    yield opened
    opened.close()


def aside(name, since=T):
    return Aside(
        run="r",
        database="app",
        environment="production",
        place="database app",
        kind=AsideKind.BEFORE,
        name=name,
        snapshot=None,
        size_bytes=1,
        since=since,
        until=since + DAY,
    )


def entry(kind):
    return Entry(at=T, by="aysel", kind=kind, database="app")


def test_the_last_comes_first_whatever_the_clock_said(register):
    first, second = aside("first", since=T + DAY), aside("second")
    for each in (first, second):
        register.asides.add(each, entry(EntryKind.ROLLBACK))
    assert register.asides.all("app") == [second, first]


def test_what_is_gone_is_not_held_and_no_entry_says_so(register):
    with pytest.raises(NotFoundError, match="not kept any more"):
        register.asides.hold(aside("first"), "evidence", entry(EntryKind.HOLD))
    assert list(register.entries()) == []
