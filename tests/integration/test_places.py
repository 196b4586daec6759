"""Which runs' leavings may be swept: those of dead ones, unless they stand there on purpose."""

from dataclasses import replace
from datetime import timedelta

import pytest

from amanat.domain.aside import Aside, AsideKind, Swap
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.model import Outcome, Run, Stage
from amanat.services.beside.site import place_of
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]

RUN = Run(
    id="dead00000000", stage=Stage.ROLLBACK, database="other", policy="nightly", by="x", started_at=T0, purpose="x"
)


def is_dead(ports, folder):
    return place_of(ports, "a11ce0000000", (folder, folder)).is_dead(RUN.id)


@pytest.fixture
def ports(workshop):
    ports = workshop.app.ports
    ports.register.start_run(RUN)
    ports.register.finish_run(replace(RUN, finished_at=T0, outcome=Outcome.FAILED))
    return ports


def test_what_is_kept_of_any_database_is_no_leaving(ports, tmp_path):
    """Two of them may be on one server, or be one."""
    assert is_dead(ports, tmp_path)
    aside = Aside(
        run=RUN.id,
        database=RUN.database,
        environment="",
        place="here",
        kind=AsideKind.WARM,
        name="other_amanat_dead00000000",
        snapshot=None,
        size_bytes=1,
        since=T0,
        until=T0 + timedelta(days=1),
    )
    entry = Entry(
        at=T0, by="x", kind=EntryKind.WARM, database="other", environment="", policy="nightly", run=RUN.id
    )
    ports.register.asides.add(aside, entry)
    assert not is_dead(ports, tmp_path)
    ports.register.asides.remove(aside, entry)
    assert is_dead(ports, tmp_path)


def test_what_a_swap_that_is_open_is_of_is_no_leaving(ports, tmp_path):
    swap = Swap(
        run=RUN.id,
        stage=RUN.stage,
        database=RUN.database,
        environment="local",
        place="here",
        policy=RUN.policy,
        incoming="other_amanat_dead00000000",
        outgoing="other_before_dead00000000",
        snapshot=None,
        by="x",
        purpose="x",
        at=T0,
        until=T0 + timedelta(days=1),
    )
    ports.register.asides.begin_swap(swap)
    assert not is_dead(ports, tmp_path)
    ports.register.asides.finish_swap(swap, None, None)
    assert is_dead(ports, tmp_path)
