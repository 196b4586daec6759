"""The benchmarks' arithmetic, tables, plots and keeping; and that the documentation is what the findings say."""

import sqlite3
import time
from contextlib import closing
from xml.etree import ElementTree as ET

import pytest

from benchmarks import __main__ as command_line
from benchmarks import clients, document, keeping, plots, report
from benchmarks.figures import (
    Budget,
    Curve,
    Findings,
    Peer,
    Sample,
    Section,
    Series,
    Unit,
    Verdict,
    size_ratio,
    time_ratio,
)
from benchmarks.peers import Contender, compared
from benchmarks.processes import BenchmarkError, command, in_turn


def series(name: str, *seconds: float, size: int = 0) -> Series:
    return Series(name=name, samples=tuple(Sample(seconds=value, size_bytes=size) for value in seconds))


OURS, THEIRS = series("amanat, fast", 1.0, 9.0, 2.0, size=11), series("stock | old", 10.0, 8.0, 90.0, size=10)
FINDINGS = Findings(
    conditions={"machine": "2 cores"},
    sections=(
        Section(
            title="PostgreSQL: a snapshot",
            subject="a database of 1 MB",
            series=(OURS, THEIRS),
            budgets=(time_ratio("time", OURS, THEIRS, 0.28), size_ratio("size", OURS, THEIRS, 1.0)),
            notes=("it rained",),
        ),
    ),
    curves=(Curve(name="some-time", title="T", x_unit="MB", y_unit="s", lines={"a": ((1, 2.0), (2, 4.0))}),),
    peers=(
        Peer(name="borg", traits="a repository", series=series("borg", 3.0)),
        Peer(name="other", traits="unknown", series=None, reason="not installed"),
    ),
)
EVERY_PLACE = "".join(f"<!-- benchmark: {name} -->\nold\n<!-- end -->\n" for name in document._TABLES)


def test_a_series_is_judged_by_its_median_and_its_greatest_memory() -> None:
    found = Series(name="x", samples=tuple(Sample(seconds=s, own_bytes=int(s)) for s in (5.0, 1.0, 3.0)))
    assert (found.seconds, found.fastest, found.slowest, found.own_bytes) == (3.0, 1.0, 5.0, 5)


def test_ratios_are_of_medians_and_of_sizes() -> None:
    time, size = FINDINGS.sections[0].budgets
    assert (time.measured, size.measured) == (0.2, 1.1)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(0.9, Verdict.PASS), (1.0, Verdict.PASS), (1.0001, Verdict.OVER)],
)
def test_a_budget_is_met_up_to_its_limit(measured: float, verdict: Verdict) -> None:
    assert Budget(what="x", limit=1.0, unit=Unit.RATIO, measured=measured).verdict is verdict


def test_findings_name_what_is_over() -> None:
    assert [budget.what for budget in FINDINGS.over] == ["size"]


def test_a_section_may_be_measured_once_more_or_for_the_first_time() -> None:
    again = Section(title="PostgreSQL: a snapshot", subject="once more")
    curve = Curve(name=FINDINGS.curves[0].name, title="once more", x_unit="", y_unit="")
    new = Section(title="a rollback", subject="for the first time")
    found = FINDINGS.with_again([again, new], [curve])
    assert found.sections == (again, *FINDINGS.sections[1:], new)
    assert found.curves == (curve, *FINDINGS.curves[1:])


def test_findings_come_back_from_their_json() -> None:
    assert keeping.decode(keeping.encode(FINDINGS)) == FINDINGS


def test_durations_and_sizes_have_digits_that_mean_something() -> None:
    shown = [report.duration(seconds) for seconds in (0.0042, 0.213, 1.214, 61.04)]
    assert shown == ["4.2 ms", "213 ms", "1.21 s", "61.0 s"]
    assert [report.megabytes(size) for size in (1_260_000, 546e6)] == ["1.3 MB", "546 MB"]


def test_the_table_of_budgets_has_verdicts() -> None:
    assert report.budgets(FINDINGS)[1] == [
        ("time", "× 0.2", "≤ 0.28", "PASS"),
        ("size", "× 1.1", "≤ 1", "OVER"),
    ]


def test_a_column_without_figures_is_left_out() -> None:
    head, rows = report.measurements(FINDINGS.sections[0])
    assert head == ("how", "median", "from … to", "size")
    assert rows[0] == ("amanat, fast", "2.00 s", "1.00 s … 9.00 s", "0.0 MB")


def test_markdown_escapes_what_would_end_a_cell() -> None:
    lines = report.markdown(*report.measurements(FINDINGS.sections[0])).splitlines()
    assert lines[1] == "| --- | ---: | ---: | ---: |"
    assert lines[3].startswith(r"| stock \| old |")


def test_the_terminal_is_told_everything() -> None:
    text = report.whole(FINDINGS)
    for word in ("it rained", "OVER", "borg", "not run: not installed", "1 of 2 budgets are OVER"):
        assert word in text


def test_tables_replace_what_stands_in_their_place_and_nothing_else() -> None:
    text = document.rendered(f"before\n{EVERY_PLACE}after\n", FINDINGS)
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old\n" not in text.replace("stock", "")
    assert document.rendered(text, FINDINGS) == text


def test_a_table_without_a_place_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no place for .*peers"):
        document.rendered("<!-- benchmark: budgets -->\n<!-- end -->\n", FINDINGS)


def test_plots_are_small_files_of_xml_that_escape_names() -> None:
    drawn = document.drawn(FINDINGS)
    assert set(drawn) == {"postgresql-a-snapshot.svg", "some-time.svg"}
    for svg in drawn.values():
        ET.fromstring(svg)
        assert len(svg) < 60_000


def test_bars_are_as_long_as_the_times_are() -> None:
    root = ET.fromstring(plots.bars(FINDINGS.sections[0]))
    ours, theirs = (float(bar.attrib["width"]) for bar in root.iter("{http://www.w3.org/2000/svg}rect"))
    assert ours / theirs == pytest.approx(OURS.seconds / THEIRS.seconds, abs=0.001)


@pytest.mark.parametrize("log", [True, False])
def test_points_of_a_straight_line_are_on_a_straight_line(*, log: bool) -> None:
    lines = {"linear": tuple((x, x / 1000) for x in (100.0, 10_000.0, 100_000.0))}
    drawn = plots.curves(Curve(name="c", title="C", x_unit="n", y_unit="s", log=log, lines=lines))
    (line,) = ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert (y1 - y0) / (x1 - x0) == pytest.approx((y2 - y0) / (x2 - x0), abs=0.01)


def test_contestants_take_turns_and_every_second_round_goes_backwards() -> None:
    order: list[str] = []

    def go(name: str) -> Sample:
        order.append(name)
        return Sample(seconds=float(len(order)))

    found = in_turn({name: lambda name=name: go(name) for name in "abc"}, 3)
    assert "".join(order) == "abccbaabc"
    assert [sample.seconds for sample in found[0].samples] == [1.0, 6.0, 7.0]


def test_a_command_is_measured_with_its_children() -> None:
    taken = command("sh", "-c", "head -c 300000000 /dev/zero | tail -c 60000000 > /dev/null; sleep 0.2")
    assert taken.seconds > 0.2
    assert taken.cpu_seconds > 0.01
    assert taken.children_bytes > 50e6 > taken.own_bytes > 0


def test_a_command_that_fails_gives_no_figure() -> None:
    with pytest.raises(BenchmarkError, match="ended with 3: no disk"):
        command("sh", "-c", "echo no disk >&2; exit 3")


def test_a_program_that_is_not_there_gives_no_figure() -> None:
    with pytest.raises(BenchmarkError, match="cannot be started"):
        command("/no/such/program")


def test_a_client_tells_for_how_long_it_could_not_write(tmp_path) -> None:
    clients.prepare_sqlite(tmp_path / "app.sqlite")
    write = clients.of_sqlite(tmp_path / "app.sqlite")
    with closing(sqlite3.connect(tmp_path / "app.sqlite", isolation_level=None)) as other:
        with clients.writing(write, 2) as both:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(0.3)
            other.execute("ROLLBACK")
        (written,) = other.execute("SELECT count(*) FROM written").fetchone()
    assert all(client.longest_pause > 0.3 for client in both)
    assert written == sum(client.written for client in both)


def test_a_peer_that_cannot_run_is_named_with_its_reason_and_without_paths() -> None:
    def fail() -> None:
        raise BenchmarkError("first line\nERROR: /a/b is missing, file='/c/d'")

    goes = {"": lambda: Sample(seconds=1.0)}
    runs, cannot = compared(
        [Contender(name="a", traits="", goes=goes), Contender(name="b", traits="", goes=goes, require=fail)], 2
    )
    assert runs.series
    assert len(runs.series.samples) == 2
    assert (cannot.series, cannot.reason) == (None, "ERROR: … is missing, file='…")


@pytest.mark.parametrize(("limit", "status"), [(3.0, 0), (1.0, 1)])
def test_a_budget_that_is_over_shows_in_the_exit_status(limit, status, tmp_path, monkeypatch, capsys) -> None:
    budget = Budget(what="x", limit=limit, unit=Unit.SECONDS, measured=2.0)
    found = Findings(conditions={}, sections=(Section(title="t", subject="s", budgets=(budget,)),))
    monkeypatch.setattr(command_line, "run", lambda _: found)
    kept = tmp_path / "found.json"
    assert command_line.main(["run", f"--folder={tmp_path}", f"--json={kept}"]) == status
    assert keeping.load(kept) == found
    assert budget.verdict in capsys.readouterr().out


def test_a_comparison_that_does_not_work_is_no_verdict(tmp_path, monkeypatch, capsys) -> None:
    def fail(_: object) -> Findings:
        raise BenchmarkError("pg_dump ended with 1")

    monkeypatch.setattr(command_line, "run", fail)
    assert command_line.main(["run", f"--folder={tmp_path}"]) == 2
    assert "pg_dump ended with 1" in capsys.readouterr().err


def test_two_runs_do_not_measure_each_other(tmp_path) -> None:
    with (
        command_line._working(tmp_path),
        pytest.raises(BenchmarkError, match="another run"),
        command_line._working(tmp_path),
    ):
        pass


def test_the_documentation_shows_the_findings_beside_it() -> None:
    findings = keeping.load(document.MEASURED)
    text = document.TEXT.read_text()
    assert document.rendered(text, findings) == text, "run `make bench-document`"
    drawn = document.drawn(findings)
    assert {path.name: path.read_text() for path in document.PLOTS.glob("*.svg")} == drawn
    assert all(f"performance/{name}" in text for name in drawn)
