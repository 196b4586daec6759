"""The fault list's rows about the policy file (see test_fault_list.py): no command and no daemon starts with such a one.

What each message says of every single key is looked at in ``tests/unit/test_policies.py``.
"""

import pytest

from tests.support.faults import hashes, run_count
from tests.support.scene import POLICIES, amanat, taken

__all__ = ["amanat", "taken"]
pytestmark = pytest.mark.fault

BOMB = "version: 1\na: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, after in zip("abcdefg", "bcdefgh", strict=True)
)


def line_of(text, part):
    return text[: text.index(part)].count("\n") + 1


def changed(old, new, marker=None):
    """The good file with one change, and the line on which it stands."""
    assert old in POLICIES
    text = POLICIES.replace(old, new)
    return text.encode(), line_of(text, marker or new)


FAULTS = {
    "empty": (b"", 1, "the file is empty"),
    "only comments": (b"# nothing yet\n", 1, "the file is empty"),
    "a list": (b"- version: 1\n- databases\n", 1, "holds a list, not a mapping"),
    "duplicate key": (
        *changed("path: app.sqlite", "path: app.sqlite\n    path: b.sqlite", "path: b"),
        "stands twice",
    ),
    "unknown key": (*changed("purpose: required", "purposes: required"), "unknown key (did you mean 'purpose'?)"),
    "bad cron": (*changed("15 2 * * *", "15 26 * * *"), "policies.nightly.schedule.cron"),
    "unknown zone": (*changed("timezone: UTC", "timezone: Asia/Bakuu"), "policies.nightly.schedule.timezone"),
    "negative keep": (*changed("last: 10", "last: -1"), "policies.nightly.keep.last: must be at least 1"),
    "no rule at all": (*changed("keep: {last: 10}", "keep: {}"), "has no rule that keeps anything"),
    "YAML bomb": (BOMB.encode(), 6, "more than"),
    "an alias of itself": (b"version: 1\ndatabases: &d {app: *d}\n", 2, "contains itself"),
    "tab": (b"version: 1\ndatabases:\n\tapp: {}\n", 3, "a tab is used for indentation"),
    "not UTF-8": (b"version: 1\ndatabases: {\xe7: {}}\n", 2, "not UTF-8"),
    "two documents": (b"version: 1\n---\nversion: 1\n", 2, "a second document"),
}


def refused(amanat, said):
    """By the check, by the daemon at its start and by a snapshot; nothing is run and nothing is changed."""
    before = hashes(amanat.store)
    for command in (["config", "check"], ["daemon"], ["snapshot", "app", "--policy=nightly"]):
        message, arrow, hint = amanat.fails(2, *command).rpartition("→ ")
        assert said in message, command
        assert arrow
        assert hint.strip()
    assert hashes(amanat.store) == before
    amanat.policies(POLICIES)
    assert run_count(amanat, "failed") == 0
    assert run_count(amanat, "succeeded") == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_policy_file_that_cannot_be_used(amanat, fault):
    content, line, said = FAULTS[fault]
    amanat.file.write_bytes(content)
    message = amanat.fails(2, "config", "check")
    (told,) = [row for row in message.splitlines() if said in row]
    assert f"{amanat.file}:{line}: " in told
    refused(amanat, said)


def test_no_policy_file(amanat):
    amanat.file.unlink()
    refused(amanat, str(amanat.file))


def test_all_faults_of_a_file_are_told_at_once(amanat):
    text = POLICIES.replace("last: 10", "last: -1").replace("15 2 * * *", "15 26 * * *").replace("path:", "paht:")
    amanat.policies(text)
    said = amanat.fails(2, "config", "check")
    assert [f"policies.yaml:{line_of(text, part)}: " in said for part in ("paht", "15 26", "last: -1")] == [
        True
    ] * 3
