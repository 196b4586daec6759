"""A run of all benchmarks on a few MB, so that they work on the day somebody wants to know."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import document, keeping, report
from benchmarks.run import Plan, run

pytestmark = [pytest.mark.slow, pytest.mark.pg]


@pytest.fixture
def folder() -> Iterator[Path]:
    """PostgreSQL's user may enter it, and its path is short."""
    made = Path(tempfile.mkdtemp(prefix="amanat-bench-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def test_a_run_measures_every_budget(folder) -> None:
    plan = Plan(
        folder=folder,
        postgresql_megabytes=1,
        sqlite_megabytes=1,
        fractions=(1.0,),
        rounds=1,
        quick_rounds=1,
        counts=(5,),
        decided=50,
        idle_seconds=0.2,
    )
    findings = run(plan)
    assert not [path for path in folder.rglob("*") if path.is_file()]
    assert [section.notes for section in findings.sections if section.notes] == []
    measured = {budget.what: budget.measured for budget in findings.budgets()}
    assert len(measured) == 19
    assert all(value is not None and value > 0 for value in measured.values()), measured
    ours = [series for section in findings.sections for series in section.series if "amanat" in series.name]
    assert len(ours) >= 10
    assert all(series.seconds > 0 and series.own_bytes > 10e6 for series in ours), ours
    assert len(document.drawn(findings)) == 9
    assert report.whole(keeping.decode(keeping.encode(findings))).count("MB") > 20
