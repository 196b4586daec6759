"""What every engine and its prover promise (``ports.Engine``, ``ports.Prover``), whatever the database is.

Subclass ``EngineContract`` as ``Test…`` and give it a ``subject`` fixture: a ``Subject`` whose database
was filled with ``SEED``. Only the subject knows how to write to its database and how to restore.
"""

import contextlib
import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.doctor import Level, Name
from amanat.domain.errors import InterruptedRunError, ProofError, SourceError, TimeoutExceededError
from amanat.domain.model import Facts, Scope
from amanat.host.control import RunControl
from amanat.ports.engine import Artefact, Engine, Order, Prover
from amanat.ports.run import Progress

USERS, SURVEYS = 300, 40
SEED = (
    "CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL)",
    "CREATE TABLE surveys (id integer PRIMARY KEY, user_id integer NOT NULL REFERENCES users (id), title text)",
    "CREATE TABLE sessions (id integer PRIMARY KEY, user_id integer REFERENCES users (id), payload text)",
    "CREATE INDEX surveys_user ON surveys (user_id)",
    *(f"INSERT INTO users VALUES ({n}, 'user {n}, Şəfəq')" for n in range(USERS)),
    *(f"INSERT INTO surveys VALUES ({n}, {n}, 'survey {n}')" for n in range(SURVEYS)),
    *(f"INSERT INTO sessions VALUES ({n}, {n}, '{os.urandom(200).hex()}')" for n in range(USERS)),
)
WHOLE = {"users": USERS, "surveys": SURVEYS, "sessions": USERS}


class Subject(ABC):
    """One database with ``SEED`` in it, its engine, and stock tools that restore what the engine took."""

    suffix: str
    engine: Engine
    prover: Prover

    @abstractmethod
    def transaction(self, statements: Sequence[str]) -> None:
        """Run them and commit; safe to call from another thread while the engine works."""

    @abstractmethod
    def qualified(self, table: str) -> str:
        """The name that facts use for this table."""

    @abstractmethod
    def restored_rows(self, artefact: Artefact) -> Mapping[str, int]:
        """Restore with stock tools alone; rows of each table by its bare name."""

    @abstractmethod
    def engine_without_database(self) -> Engine:
        """An engine whose source does not exist."""

    @contextlib.contextmanager
    def writer(self) -> Iterator[None]:
        """While inside, somebody adds one user and one session in each of many small transactions; then undone."""
        done, failures = threading.Event(), list[Exception]()

        def write() -> None:
            number = USERS
            while not done.is_set():
                try:
                    self.transaction(user_and_session(number))
                except Exception as exc:  # noqa: BLE001 - raised again in the test's own thread
                    failures.append(exc)
                    return
                number += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.transaction([f"DELETE FROM {table} WHERE id >= {USERS}" for table in ("sessions", "users")])
        if failures:
            raise failures[0]


def user_and_session(number: int) -> list[str]:
    return [
        f"INSERT INTO users VALUES ({number}, 'late')",
        f"INSERT INTO sessions VALUES ({number}, {number}, 'late')",
    ]


def make_order(base: Path, scope: Scope = Scope(), **fields: object) -> Order:  # noqa: B008 - frozen
    """An order whose folders are made below ``base``, as the snapshot service makes them."""
    for name in ("staging", "scratch"):
        (base / name).mkdir(mode=0o700)
    return Order(folder=base / "staging", scratch=base / "scratch", scope=scope, **fields)


class Recording(RunControl):
    """A control that keeps every progress it is told."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        super().__init__(on_progress=self.told.append)


def stopped_after(checks: int, control: RunControl, stop: threading.Event) -> RunControl:
    """Make ``control`` see a stop at its n-th check: in the middle of the work, not before it."""
    seen, check = iter(range(checks)), control.check

    def counting() -> None:
        if next(seen, None) is None:
            stop.set()
        check()

    control.check = counting
    return control


class EngineContract:
    """The assertions; ``subject`` comes from the subclass."""

    @pytest.fixture
    def control(self) -> RunControl:
        return RunControl(timeout=timedelta(seconds=60))

    def test_the_size_of_the_source_is_known(self, subject, control, tmp_path):
        assert subject.engine.source_bytes(control, tmp_path) > USERS * 200

    def test_what_it_is_made_of_is_described_as_in_the_facts_and_the_next_change_shows(
        self, subject, control, tmp_path
    ):
        facts = subject.engine.take(make_order(tmp_path), control).facts
        described = subject.engine.described(tmp_path, control)
        assert described.compact == facts.description
        subject.transaction(["CREATE TABLE later (id integer PRIMARY KEY)"])
        changed = subject.engine.described(tmp_path, control)
        subject.transaction(["DROP TABLE later"])  # the subject serves other tests too
        assert changed.fingerprint != described.fingerprint
        assert [item.kind for item in {*changed.objects} - {*described.objects} if item.name == "later"]

    def test_what_it_needs_is_examined_and_nothing_is_written(self, subject, control, tmp_path):
        order = make_order(tmp_path)
        checks = {check.name: check for check in subject.engine.examine(order, control)}
        assert checks.keys() >= {Name.CLIENT, Name.COMPRESSION, Name.ACCESS}
        assert {name: check.level for name, check in checks.items()} == dict.fromkeys(checks, Level.OK)
        assert {check.remedy for check in checks.values()} == {check.subject for check in checks.values()} == {""}
        assert list(order.folder.iterdir()) == []

    def test_a_pattern_without_a_match_is_told_before_it_is_tried(self, subject, control, tmp_path):
        checks = subject.engine.examine(make_order(tmp_path, Scope(tables=("users", "servey*"))), control)
        (failed,) = (check for check in checks if not check.ok)
        assert failed.name is Name.ACCESS
        assert "servey*" in failed.found
        assert failed.remedy

    def test_a_whole_snapshot_restores_with_nothing_missing(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        assert set(artefact.facts.tables) == {subject.qualified(table) for table in WHOLE}
        assert dict(subject.restored_rows(artefact)) == WHOLE

    def test_the_order_folder_holds_the_artefact_and_its_companions_alone(self, subject, control, tmp_path):
        order = make_order(tmp_path)
        artefact = subject.engine.take(order, control)
        ours = {artefact.path, *artefact.companions.values()}
        assert set(order.folder.iterdir()) == ours
        assert artefact.path.suffix == subject.suffix
        assert {path.stat().st_mode & 0o777 for path in ours} == {0o600}

    def test_the_hash_is_that_of_the_artefact(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        assert artefact.sha256 == hashlib.sha256(artefact.path.read_bytes()).hexdigest()

    def test_facts_and_tools_say_where_it_came_from(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        assert artefact.facts.engine_version[0].isdigit()
        assert artefact.facts.source_bytes > 0
        assert artefact.tools

    @pytest.mark.parametrize(
        ("scope", "rows"),
        [
            (Scope(tables=("users", "surveys")), {"users": USERS, "surveys": SURVEYS}),
            (Scope(tables=("us*", "s?rveys")), {"users": USERS, "surveys": SURVEYS}),
            (Scope(exclude=("surveys",)), {"users": USERS, "sessions": USERS}),
            (Scope(exclude_data=("sess*",)), {**WHOLE, "sessions": 0}),
            (
                Scope(tables=("users", "sessions"), exclude_data=("sessions",)),
                {"users": USERS, "sessions": 0},
            ),
        ],
        ids=["names", "globs", "exclude", "exclude_data", "tables and exclude_data"],
    )
    def test_a_scope_is_taken_exactly(self, subject, control, tmp_path, scope, rows):
        artefact = subject.engine.take(make_order(tmp_path, scope), control)
        assert set(artefact.facts.tables) == {subject.qualified(table) for table in rows}
        subject.prover.prove_readable(artefact.path, artefact.facts, scope, control)
        assert dict(subject.restored_rows(artefact)) == rows

    @pytest.mark.parametrize("part", ["tables", "exclude", "exclude_data"])
    def test_a_pattern_without_a_match_fails_and_is_named(self, subject, control, tmp_path, part):
        order = make_order(tmp_path, Scope(**{part: ("users", "servey*")}))
        with pytest.raises(SourceError, match=r"servey\*") as failure:
            subject.engine.take(order, control)
        assert failure.value.hint
        assert list(order.folder.iterdir()) == []

    def test_counts_asked_for_are_facts(self, subject, control, tmp_path):
        order = make_order(tmp_path, counts=("users", subject.qualified("surveys")))
        counts = subject.engine.take(order, control).facts.counts
        assert dict(counts) == {"users": USERS, subject.qualified("surveys"): SURVEYS}

    def test_a_count_of_no_table_fails_and_is_named(self, subject, control, tmp_path):
        with pytest.raises(SourceError, match="institutions"):
            subject.engine.take(make_order(tmp_path, counts=("institutions",)), control)

    def test_a_snapshot_beside_a_writer_is_of_one_instant(self, subject, control, tmp_path):
        order = make_order(tmp_path, counts=("users", "sessions"))
        with subject.writer():
            artefact = subject.engine.take(order, control)
        rows = subject.restored_rows(artefact)
        assert rows["users"] == rows["sessions"] >= USERS
        assert dict(artefact.facts.counts) == {"users": rows["users"], "sessions": rows["sessions"]}
        subject.prover.prove_readable(artefact.path, artefact.facts, order.scope, control)

    def test_progress_is_told(self, subject, tmp_path):
        recording = Recording()
        artefact = subject.engine.take(make_order(tmp_path), recording)
        done = [progress.bytes_done for progress in recording.told]
        assert done == sorted(done)
        assert 0 < done[-1] <= max(artefact.path.stat().st_size, artefact.facts.source_bytes)

    def test_a_stop_ends_it(self, subject, tmp_path):
        stop = threading.Event()
        control = stopped_after(1, RunControl(stop=stop), stop)
        with pytest.raises(InterruptedRunError):
            subject.engine.take(make_order(tmp_path), control)

    def test_a_timeout_ends_it(self, subject, tmp_path):
        with pytest.raises(TimeoutExceededError):
            subject.engine.take(make_order(tmp_path), RunControl(timeout=timedelta(microseconds=1)))

    def test_no_database_is_a_clear_error(self, subject, control, tmp_path):
        engine, order = subject.engine_without_database(), make_order(tmp_path)
        for attempt in (
            lambda: engine.source_bytes(control, order.scratch),
            lambda: engine.examine(order, control),
            lambda: engine.live(order.scratch, control),
            lambda: engine.take(order, control),
        ):
            with pytest.raises(SourceError) as failure:
                attempt()
            assert failure.value.hint
        assert list(order.folder.iterdir()) == []

    def test_a_sound_artefact_is_readable_and_proving_leaves_no_file(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        before = set(artefact.path.parent.iterdir())
        subject.prover.prove_readable(artefact.path, artefact.facts, Scope(), control)
        assert set(artefact.path.parent.iterdir()) == before

    def test_a_sound_artefact_is_opened_and_something_else_is_not(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        before = set(artefact.path.parent.iterdir())
        assert any(char.isdigit() for char in subject.prover.examine(artefact.path, control))
        artefact.path.write_bytes(os.urandom(artefact.path.stat().st_size))
        with pytest.raises(ProofError, match=artefact.path.name) as failure:
            subject.prover.examine(artefact.path, control)
        assert failure.value.hint
        assert set(artefact.path.parent.iterdir()) == before

    @pytest.mark.parametrize("share", [0, 0.5, 0.98])
    def test_a_truncated_artefact_is_not_readable(self, subject, control, tmp_path, share):
        artefact = subject.engine.take(make_order(tmp_path), control)
        os.truncate(artefact.path, int(artefact.path.stat().st_size * share))
        with pytest.raises(ProofError, match=artefact.path.name):
            subject.prover.prove_readable(artefact.path, artefact.facts, Scope(), control)

    def test_a_missing_artefact_is_not_readable(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        artefact.path.unlink()
        with pytest.raises(ProofError):
            subject.prover.prove_readable(artefact.path, artefact.facts, Scope(), control)
        assert not artefact.path.exists()

    def test_something_else_is_not_readable(self, subject, control, tmp_path):
        artefact = subject.engine.take(make_order(tmp_path), control)
        artefact.path.write_bytes(os.urandom(artefact.path.stat().st_size))
        with pytest.raises(ProofError):
            subject.prover.prove_readable(artefact.path, artefact.facts, Scope(), control)

    def test_an_artefact_without_an_expected_table_is_refused(self, subject, control, tmp_path):
        partial = self._taken(subject, control, tmp_path / "partial", Scope(exclude=("surveys",)))
        whole = self._taken(subject, control, tmp_path / "whole", Scope())
        with pytest.raises(ProofError, match="surveys"):
            subject.prover.prove_readable(partial.path, whole.facts, Scope(), control)

    def test_the_recipe_checks_the_hash_and_names_the_file(self, subject, control, tmp_path):
        facts: Facts = subject.engine.take(make_order(tmp_path), control).facts
        recipe = "\n".join(subject.prover.recipe("kept for you.bin", facts))
        assert "sha256sum" in recipe
        assert "'kept for you.bin'" in recipe

    def test_facts_survive_json(self, subject, control, tmp_path):
        """They are proven again later from the manifest, where tuples became lists."""
        import json

        artefact = subject.engine.take(make_order(tmp_path), control)
        facts = replace(artefact.facts, extra=json.loads(json.dumps(artefact.facts.extra)))
        subject.prover.prove_readable(artefact.path, facts, Scope(), control)

    @staticmethod
    def _taken(subject, control, base: Path, scope: Scope) -> Artefact:
        base.mkdir()
        return subject.engine.take(make_order(base, scope), control)
