"""What the gate decides: it is closed for each reason it knows, with a remedy, and for nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.gate import PASSING, Candidate, Holder, Live, Reason, Verdict, Wanted, judge, locked_away
from amanat.domain.model import Facts, ProofLevel, Run, Scope, SnapshotState, Stage
from amanat.domain.policy import Database, SqliteSource
from tests.support.snapshots import snapshot

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MIGRATED = [{"framework": "laravel", "table": "migrations", "count": 2, "name": "create_users", "batch": "1"}]
EXTRA = {"server": {"system_identifier": "7301", "database": "atis"}, "migrations": MIGRATED}
RUN = Run(
    id="r1", stage=Stage.SNAPSHOT, database="atis", policy="nightly", by="scheduler", started_at=NOW - MINUTE
)


def facts(extra: Mapping[str, object]) -> Facts:
    return Facts(engine_version="15.6", source_bytes=100, tables=("users",), extra=extra)


def candidate(age: timedelta = MINUTE, **said: object) -> Candidate:
    return Candidate(snapshot=snapshot(NOW - age, **said), facts=facts(EXTRA))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the gate is asked about; all is well."""

    candidates: tuple[Candidate, ...] = field(default_factory=lambda: (candidate(),))
    live: Live = field(
        default_factory=lambda: Live(
            identity={"system_identifier": "7301", "database": "atis"},
            migrations=MIGRATED,
            source_bytes=1000,
            free_bytes=2000,
            holders=(),
        )
    )
    running: tuple[Run, ...] = ()
    wanted: Wanted = field(
        default_factory=lambda: Wanted(
            database=Database(name="atis", environment="production", source=SqliteSource(path=Path("a.sqlite"))),
            max_age=HOUR,
        )
    )

    @property
    def verdict(self) -> Verdict:
        return judge(iter(self.candidates), self.live, self.running, self.wanted, NOW)


def of_snapshot(**said: object) -> Callable[[Scene], Scene]:
    def change(scene: Scene) -> Scene:
        (one,) = scene.candidates
        return replace(scene, candidates=(replace(one, snapshot=replace(one.snapshot, **said)),))

    return change


def of_facts(**extra: object) -> Callable[[Scene], Scene]:
    def change(scene: Scene) -> Scene:
        (one,) = scene.candidates
        return replace(scene, candidates=(replace(one, facts=facts({**EXTRA, **extra})),))

    return change


def of_live(**said: object) -> Callable[[Scene], Scene]:
    return lambda scene: replace(scene, live=replace(scene.live, **said))


def of_wanted(**said: object) -> Callable[[Scene], Scene]:
    return lambda scene: replace(scene, wanted=replace(scene.wanted, **said))


def of_candidate(**said: object) -> Callable[[Scene], Scene]:
    return lambda scene: replace(scene, candidates=(replace(scene.candidates[0], **said),))


DEFECTS: list[tuple[Reason, Callable[[Scene], Scene], str]] = [
    (Reason.DAMAGED, of_snapshot(state=SnapshotState.MISSING), "its files are missing"),
    (Reason.DAMAGED, of_candidate(problem="it is damaged: its bytes"), "it is damaged: its bytes"),
    (Reason.DAMAGED, of_candidate(facts=None, problem="manifest x cannot be read"), "cannot be read"),
    (Reason.NOT_PROVEN, of_snapshot(proof=ProofLevel.STORED), "level stored, not readable"),
    (Reason.NOT_PROVEN, of_wanted(level=ProofLevel.RESTORED), "level readable, not restored"),
    (Reason.PART, of_snapshot(scope=Scope(tables=("users",))), "tables: users"),
    (Reason.PART, of_snapshot(scope=Scope(exclude_data=("sessions",))), "without rows of sessions"),
    (Reason.OLD, of_snapshot(taken_at=NOW - HOUR - MINUTE), "1h1m old, more than 1h"),
    (Reason.OLD, of_snapshot(taken_at=NOW + HOUR), "1h ahead of the clock"),
    (Reason.MIGRATED, of_live(migrations=[{**MIGRATED[0], "name": "add_phone", "count": 3}]), "add_phone"),
    (Reason.MIGRATED, of_live(migrations=[]), "is now at none"),
    (Reason.MIGRATED, of_facts(migrations=[]), "at the migration none"),
    (Reason.MIGRATED, of_facts(migrations=None), "does not say which migrations"),
    (Reason.OTHER_DATABASE, of_live(identity={"system_identifier": "9"}), "its system identifier is 7301"),
    (Reason.OTHER_DATABASE, of_live(identity={"database": "other"}), "its database is atis, here it is other"),
    (Reason.OTHER_ENVIRONMENT, of_snapshot(environment="staging"), "environment staging, not production"),
    (Reason.RUNNING, lambda scene: replace(scene, running=(RUN,)), "snapshot of atis has been running since"),
    (
        Reason.RUNNING,
        lambda scene: replace(scene, running=(replace(RUN, stage=Stage.DRILL),)),
        "a drill of atis has been running since 2026-03-01T11:59:00Z (r1)",
    ),
    (Reason.LOCKS, of_live(holders=(Holder(key="1", description="session 7"),)), "would wait for session 7"),
    (Reason.LOCKS, of_live(holders=(Holder(key="1", description="session 7", ours=True),)), "session 7"),
    (Reason.ROOM, of_live(free_bytes=1099), "1.1 KiB are free"),
]
NO_SNAPSHOT = (Reason.NO_SNAPSHOT, lambda scene: replace(scene, candidates=()), "there is no snapshot of atis")


def told(scene: Scene) -> list[Reason]:
    return [refusal.reason for refusal in scene.verdict.refusals]


def test_it_is_open_when_all_is_well():
    scene = Scene()
    assert scene.verdict == Verdict(snapshot=scene.candidates[0].snapshot, refusals=())
    assert scene.verdict.is_open


@pytest.mark.parametrize(("reason", "defect", "words"), [*DEFECTS, NO_SNAPSHOT])
def test_it_is_closed_for_each_reason_it_knows(reason, defect, words):
    (refusal,) = defect(Scene()).verdict.refusals
    assert refusal.reason is reason
    assert words in refusal.message
    assert refusal.hint


def test_no_reason_is_left_out():
    assert {reason for reason, *_ in (*DEFECTS, NO_SNAPSHOT)} == set(Reason)


@given(st.lists(st.sampled_from(DEFECTS), unique_by=lambda defect: defect[0]))
def test_it_is_open_if_and_only_if_nothing_is_wrong(defects):
    """And else it names all that is; of a damaged snapshot nothing more is asked."""
    scene, expected = Scene(), {reason for reason, *_ in defects}
    for _, defect, _ in defects:
        scene = defect(scene)
    if Reason.DAMAGED in expected:
        expected &= {Reason.DAMAGED, Reason.RUNNING, Reason.LOCKS, Reason.ROOM}
    if Reason.RUNNING in expected and all(holder.ours for holder in scene.live.holders):
        expected -= {Reason.LOCKS}
    verdict = scene.verdict
    assert set(told(scene)) == expected
    assert verdict.is_open is not bool(expected)
    assert verdict.may_pass is (expected <= PASSING)
    assert (verdict.snapshot is None) is bool(expected - PASSING - {Reason.ROOM})


@pytest.mark.parametrize(
    "harmless",
    [
        of_snapshot(taken_at=NOW - HOUR),
        of_snapshot(taken_at=NOW),
        of_snapshot(policy="pre-release", held=("kept",)),
        of_wanted(level=ProofLevel.STORED),
        of_facts(server={"encoding": "UTF8"}),
        of_live(identity={}),
        of_live(identity={"path": "/elsewhere"}),
        of_live(free_bytes=None),
        of_live(free_bytes=1100),
        lambda scene: of_live(migrations=[])(of_facts(migrations=None)(scene)),
    ],
)
def test_it_is_closed_for_nothing_else(harmless):
    assert harmless(Scene()).verdict.is_open


def test_a_sqlite_file_elsewhere_is_another_database():
    scene = of_live(identity={"path": "/b.sqlite"})(of_facts(path="/a.sqlite", server=None)(Scene()))
    assert told(scene) == [Reason.OTHER_DATABASE]


def test_an_older_snapshot_that_serves_is_taken_and_the_newest_says_why_else():
    part, serves = candidate(scope=Scope(tables=("users",))), candidate(2 * MINUTE)
    assert Scene(candidates=(part, serves)).verdict.snapshot == serves.snapshot
    old = candidate(2 * HOUR)
    assert told(Scene(candidates=(part, old))) == [Reason.PART]


def test_no_more_is_read_than_the_first_that_serves():
    def candidates():
        yield candidate()
        raise AssertionError

    scene = Scene()
    assert judge(candidates(), scene.live, (), scene.wanted, NOW).is_open


def test_the_sessions_of_a_dump_are_told_by_its_run():
    theirs, ours = Holder(key="1", description="theirs"), Holder(key="2", description="ours", ours=True)
    scene = of_live(holders=(theirs, ours))(Scene(running=(RUN,)))
    assert [refusal.reason for refusal in scene.verdict.refusals] == [Reason.RUNNING, Reason.LOCKS]
    assert "theirs" in scene.verdict.refusals[1].message


def test_what_is_locked_away_is_closed_for_that_alone():
    scene = Scene(live=locked_away([Holder(key="1", description="a process")]))
    assert told(scene) == [Reason.LOCKS]
    assert scene.verdict.may_pass


def test_a_hint_asks_for_the_policy_that_was_asked_for():
    scene = of_wanted(policy="pre-release")(Scene(candidates=()))
    (refusal,) = scene.verdict.refusals
    assert "under policy pre-release" in refusal.message
    assert "--policy=pre-release" in refusal.hint
