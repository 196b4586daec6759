"""Every check of the doctor is explained, and who asks it is told as the code has it."""

from amanat.domain.doctor import Name
from amanat.services import checks
from tests.support.documents import ROOT, rows

DOCUMENT = ROOT / "documentation" / "doctor.md"
OF_THE_DAEMON = {Name.SCHEDULER, Name.CONFIGURATION}


def test_every_check_is_explained_in_the_order_of_the_code() -> None:
    lines = rows(DOCUMENT, "check")
    assert [line[0].strip("`") for line in lines] == list(Name)
    assert all(line[1] and line[3] and line[4] for line in lines)


def test_who_asks_it_is_told() -> None:
    needs = (*checks.of_host(None), *checks.of_plan(None, None))
    readiness = {need.name for need in needs if need.readiness} | OF_THE_DAEMON
    runs = {need.name for need in needs if need.run}
    askers = {Name(line[0].strip("`")): set(filter(None, line[2].split(", "))) for line in rows(DOCUMENT, "check")}
    assert {name for name, asked in askers.items() if "readiness" in asked} == readiness
    assert {name for name, asked in askers.items() if "run" in asked} == runs
