"""What is kept can be held only while nobody is about to drop it."""

import pytest

from amanat.domain.errors import BusyError, NotFoundError
from amanat.host.control import RunControl
from amanat.services.beside import asides
from tests.support.workshop import workshop

__all__ = ["workshop"]


@pytest.mark.parametrize("change", [asides.hold, asides.release])
def test_it_waits_for_who_works_on_the_database(workshop, monkeypatch, change):
    monkeypatch.setattr(asides, "_HOLDING_SECONDS", 0.1)
    ports = workshop.app.ports
    with workshop.app.locks.database("app", RunControl(), wait=0), pytest.raises(BusyError):
        change(ports, "app", reason="x", by="aysel")
    with pytest.raises(NotFoundError):
        change(ports, "app", reason="x", by="aysel")
