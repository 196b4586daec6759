"""The rollback log: what it tells, and that text from users cannot break it."""

import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amanat import deferred
from amanat.domain.account import Account, in_short, parse
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import StoreError
from amanat.domain.events import Event
from amanat.domain.policy import Configuration
from amanat.register.register import Register
from amanat.services import document, rollback_log
from tests.support.workshop import workshop

__all__ = ["workshop"]

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
ACCOUNT = Account(
    origin="atis as it was at 2026-11-23 02:14:00 UTC",
    result="snapshot 1f2e of 2026-11-22 (restored)",
    steps=("php artisan down: exited with 0 in 1.2s", "ALTER DATABASE atis RENAME TO atis_before_1f2e"),
    changes=("column public.users.phone: removed",),
    checks=("equal to the facts of the snapshot", "select count(*) from users: 3, as expected"),
    lost=("table users: 3 rows then, 5 now",),
    warnings=("snapshot is 3h old",),
    seconds=12.345,
    outage_seconds=0.21,
    undo="amanat undo atis",
)
HOSTILE = [
    "a\n\n# heading", "```\n# out", "````", "~~~", "<script>x</script>", "<!-- ", "| a | b |", "a\r\n| x |", "# x", "1. x",
    "1) x", "- x", "+ x", "===", "---", "    code", "\tcode", "[x](y)", "![x](y)", "&lt;", "\\", "a\x1b[31mb", "a\u202eb",
    "a\u2028# b", "`", "***", "> q", ": x", "\ud800",
]  # fmt: skip


def entry(account=ACCOUNT, **said):
    detail = account.as_text() if isinstance(account, Account) else account
    values = {"at": T, "by": "aysel", "kind": EntryKind.ROLLBACK, "database": "atis", "environment": "production",
              "purpose": "release 2.1.0", "outcome": "succeeded", "snapshot": "1f2e", "run": "9a8b"}  # fmt: skip
    return Entry(**{**values, "detail": detail, **said})


def test_a_section_tells_who_why_what_was_executed_and_how_to_undo():
    assert (
        rollback_log.render([entry()]).partition("\n\n## ")[2]
        == """\
2026-11-23 02:15:00: rollback of atis

| | |
| --- | --- |
| Who | aysel |
| Why | release 2.1.0 |
| Environment | production |
| Outcome | succeeded |
| From | atis as it was at 2026-11-23 02:14:00 UTC |
| To | snapshot 1f2e of 2026-11-22 (restored) |
| Snapshot | 1f2e |
| Run | 9a8b |
| Took | 12.35s |
| Outage | 0.21s |
| To take it back | amanat undo atis |

Commands and SQL that were executed:

```text
php artisan down: exited with 0 in 1.2s
ALTER DATABASE atis RENAME TO atis_before_1f2e
```

Changed by it:

- column public.users.phone: removed

Checks:

- equal to the facts of the snapshot
- select count(\\*) from users: 3, as expected

Lost by it:

- table users: 3 rows then, 5 now

Warnings:

- snapshot is 3h old
"""
    )


def test_a_failure_and_an_outage_of_no_time():
    text = rollback_log.render(
        [entry(Account(failure="no room", outage_seconds=0, seconds=3700), outcome="failed")]
    )
    assert "| Failed because | no room |" in text
    assert "| Outage | 0.00s |" in text and "| Took | 1h1m |" in text
    assert "```" not in text and "Checks" not in text and "take it back" not in text


def test_a_hook_that_failed_after_the_swap_is_no_failure_of_it():
    text = rollback_log.render([entry(replace(ACCOUNT, failure="php exited with 1"))])
    assert "| After it | php exited with 1 |" in text
    assert "Failed because" not in text


@pytest.mark.parametrize(
    ("account", "outcome", "line"),
    [
        (ACCOUNT, "succeeded", f"{ACCOUNT.origin} → {ACCOUNT.result}"),
        (replace(ACCOUNT, failure="no room"), "failed", "no room"),
        (Account(result="new.sqlite", failure="no hook"), "succeeded", "new.sqlite; after it: no hook"),
        ("expired", "succeeded", "expired"),
        ("17", "", "17"),
    ],
)
def test_in_short(account, outcome, line):
    assert in_short(entry(account).detail, outcome) == line


@pytest.mark.parametrize(
    "detail", ["expired on 2026-11-24", "17", "[]", '{"steps": 5}', '{"seconds": NaN}', "[" * 100_000]
)
def test_a_detail_that_is_no_account_is_shown_as_text(detail):
    text = rollback_log.render([entry(detail, kind=EntryKind.DROP)])
    assert f"| To | {document.cell(detail)} |" in text


@pytest.mark.parametrize(
    "wrong",
    ["", "{", "7", '{"steps": 5}', '{"steps": [5]}', '{"undo": 5}', '{"seconds": "5"}', '{"seconds": -1}', '{"lost": null}',
     '{"outage_seconds": Infinity}'],
)  # fmt: skip
def test_what_is_no_account(wrong):
    with pytest.raises(ValueError):
        parse(wrong)


def test_an_account_comes_back_as_it_was_and_keys_of_later_releases_do_no_harm():
    assert parse(ACCOUNT.as_text()) == ACCOUNT
    assert parse('{"undo": "x", "colour": 5}') == Account(undo="x")


def read_blocks(text):
    """Headings, table rows, list items, code lines, other lines: as a reader of CommonMark tells lines apart."""
    found, fence = {"heading": [], "row": [], "item": [], "code": [], "other": []}, ""
    for line in re.split(r"\r\n|\n|\r", text):
        if fence:
            fence = "" if re.fullmatch(rf"`{{{len(fence)},}} *", line) else fence
            found["code"] += [line] if fence else []
        elif opening := re.match(r"`{3,}(?=text$)", line):
            fence = opening[0]
        else:
            kinds = {"#": "heading", "|": "row", "-": "item"}
            found[kinds.get(line[:1], "other")] += [line] if line else []
    assert not fence
    return found


def assert_intact(text, hostile):
    found = read_blocks(text)
    assert [line.split(":")[0] for line in found["heading"]] == ["# Rollback log", "## 2026-11-23 02"]
    assert len(found["row"]) == 2 + 11 and all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in found["row"])
    assert len(found["item"]) == 5
    assert found["other"] == [
        "Written by Amanat after each change; edits are overwritten. Newest first; times are UTC.",
        "Commands and SQL that were executed:", "Changed by it:", "Checks:", "Lost by it:", "Warnings:",
    ]  # fmt: skip
    for item in found["item"]:
        assert not re.match(r"- ([#>+=~`<|:*-]|\d+[.)]|    )", item), hostile
    shown = "\n".join((*found["heading"], *found["row"], *found["item"]))
    assert not re.search(r"(?<!\\)(\\\\)*[<`\[*]", shown), hostile


def of_hostile(text):
    account = replace(
        ACCOUNT, origin=f"x{text}", result=f"x{text}", undo=f"x{text}",
        steps=(text, "SELECT 1"), changes=(text,), checks=(text, "x"), lost=(text,), warnings=(text,),
    )  # fmt: skip
    return rollback_log.render([entry(account, by=f"x{text}", purpose=f"x{text}", environment="production")])


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_text(hostile):
    text = of_hostile(hostile)
    assert_intact(text, hostile)
    assert not {"\x1b", "\u202e", "\u2028", "\ud800"} & set(text)


@given(st.text())
def test_any_text_stays_text(hostile):
    assert_intact(of_hostile(hostile), hostile)


def test_code_is_shown_as_it_is():
    assert "```text\nSELECT '*' -- `a`\n    FROM \"b\"\n```" in rollback_log.render(
        [entry(Account(steps=("SELECT '*' -- `a`\r\n\tFROM \"b\"",)))]
    )
    assert "\n`````text\n````\n`````\n" in rollback_log.render([entry(Account(steps=("````",)))])


def test_nothing_so_far():
    assert "Nothing was restored" in rollback_log.render([])


def test_the_register_gives_those_kinds_and_databases_newest_first(tmp_path):
    with closing(Register(tmp_path)) as register:
        for number in range(3):
            register.append(entry("a snapshot", kind=EntryKind.SNAPSHOT))
            register.append(entry(f"rollback {number}"))
            register.append(entry("another's", database="other"))
            register.append(entry("a third's", database="third"))
        register.append(entry("undone", kind=EntryKind.UNDO))
        found = register.entries_of(["atis", "other"], rollback_log.KINDS)
        assert [each.detail for each in found] == [
            "undone", "another's", "rollback 2", "another's", "rollback 1", "another's", "rollback 0",
        ]  # fmt: skip
        plan = register._database.query(
            "EXPLAIN QUERY PLAN SELECT * FROM entries WHERE kind IN ('undo') AND database IN ('a') ORDER BY sequence DESC"
        )
        assert "entries_by_kind (kind=? AND database=?)" in str([tuple(row) for row in plan])


def test_one_log_of_several_databases_is_written_after_a_change(workshop, tmp_path):
    log = tmp_path / "ops" / "rollback-log.md"
    one = replace(workshop.database, rollback_log=log)
    other = replace(one, name="other", register_document=None)
    workshop.app.use(Configuration(databases={"app": one, "other": other}, policies={"nightly": workshop.policy}))
    register = workshop.app.ports.register
    for number, name in enumerate(["app", "other", "third"]):
        register.append(entry(database=name, at=T + timedelta(hours=number)))
    workshop.take()
    headings = re.findall(r"^## .*", log.read_text(), re.MULTILINE)
    assert headings == ["## 2026-11-23 03:15:00: rollback of other", "## 2026-11-23 02:15:00: rollback of app"]
    assert workshop.files()[0] in one.register_document.read_text()


def test_a_log_that_somebody_wrote_by_hand_is_left_as_it_is(workshop, tmp_path):
    log = tmp_path / "rollback-log.md"
    log.write_text("# Rollback log\n\nALTER TABLE users ADD COLUMN phone text;\n")
    by_hand = log.read_text()
    workshop.app.use(Configuration(databases={"app": replace(workshop.database, rollback_log=log)}))
    workshop.take()
    assert log.read_text() == by_hand
    (told,) = workshop.told(Event.DOCUMENT_FAILED)
    assert told["path"] == str(log) and "did not write" in told["reason"] and "move it away" in told["hint"]


@pytest.mark.parametrize("there", [None, "", "# Rollback log\n\nWritten by Amanat after each change.\n"])
def test_an_own_document_is_replaced(tmp_path, there):
    path = tmp_path / "log.md"
    if there is not None:
        path.write_text(there)
    deferred.write_document(path, "Written by Amanat: new")
    assert path.read_text() == "Written by Amanat: new"
    path.write_text("mine")
    with pytest.raises(StoreError):
        deferred.write_document(path, "Written by Amanat: new")
