"""Names by example: what is safe, and how templates become file names."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any

import pytest

from amanat.domain.errors import ConfigurationError, ExitCode
from amanat.domain.naming import check_name, counts_wanted, fields, name_of_application, numbered, render, slug
from amanat.domain.policy import MANUAL

TAKEN = datetime(2025, 10, 3, 2, 15, 9, tzinfo=timezone(timedelta(hours=4)))


def rendered(template: str, **said: Any) -> str:
    values: dict[str, Any] = {
        "environment": "production",
        "database": "atis",
        "policy": "nightly",
        "name": "nightly",
        "taken_at": TAKEN,
        "counts": {"institutions": 359},
        "version": "2.1.0",
    }
    return render(template, **{**values, **said})


@pytest.mark.parametrize(
    "name",
    [
        "pre_release",
        "before 2.1.0",
        "a",
        "Məktəb şöbəsi",
        "резервная копия",
        "备份",
        "नमूना",
        "v1.2-rc3+build@host=a,b(c)",
        "it's #1 100% & more; {x} [y] ~ $z !",
        "x" * 100,
        "ə" * 75,
    ],
)
def test_names_that_are_safe_in_a_file_name_are_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "is empty"),
        ("a/b", "holds '/'"),
        ("a\\b", r"holds '\\'"),
        ("..", "dot"),
        ("a..b", "two dots"),
        (".hidden", "starts with a dot"),
        ("-rf", "dash"),
        (" a", "starts or ends with a space"),
        ("a ", "starts or ends with a space"),
        ("a\0b", r"holds '\x00'"),
        ("a\nb", r"holds '\n'"),
        ("a\x7fb", r"holds '\x7f'"),
        ("a\u202eb", r"holds '\u202e'"),
        ("a\u200bb", r"holds '\u200b'"),
        ("a\u00a0b", r"holds '\xa0'"),
        ("a\u2028b", r"holds '\u2028'"),
        ("a\udcffb", r"holds '\udcff'"),
        *((f"a{char}b", f"holds {char!r}") for char in '<>:"|?*'),
        ("x" * 300, "is longer than 100 characters or 150 bytes"),
        ("备" * 51, "is longer than 100 characters or 150 bytes"),
    ],
)
def test_unsafe_names_are_refused_with_the_fault_and_a_remedy(name: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_name(name)
    assert fault in caught.value.message
    assert caught.value.message.startswith("snapshot name ")
    assert "letters of any script" in caught.value.hint
    assert caught.value.exit_code is ExitCode.USAGE


def test_two_ways_to_write_a_letter_are_one_name() -> None:
    assert check_name("Cafe\u0301") == check_name("Caf\u00e9") == "Caf\u00e9"
    assert rendered("{version}{name}", version="Cafe", name="\u0301") == "Caf\u00e9"


def test_the_default_template() -> None:
    assert rendered(MANUAL.file_name) == "database_backup_20251002T221509Z_nightly"
    assert fields(MANUAL.file_name) == {"timestamp", "name"}


def test_the_example_of_the_first_user() -> None:
    template = "{environment}_{count.institutions}institutions_{date}"
    assert rendered(template, taken_at=datetime(2025, 10, 3, tzinfo=UTC)) == "production_359institutions_20251003"
    assert counts_wanted(template) == ("institutions",)


def test_every_field() -> None:
    template = "{environment} {database} {policy} {name} {timestamp} {date} {version} {count.institutions}"
    assert rendered(template, name="pre release") == (
        "production atis nightly pre release 20251002T221509Z 20251002 2.1.0 359"
    )


def test_dots_around_a_field_are_no_double_dot() -> None:
    assert rendered("a.{name}.b") == "a.nightly.b"


def test_counts_are_asked_for_once_and_in_order() -> None:
    template = "{count.b}_{count.public.a}_{count.b}_{date}"
    assert counts_wanted(template) == ("b", "public.a")
    assert rendered(template, counts={"b": 0, "public.a": 12}) == "0_12_0_20251002"


def test_braces_in_a_value_are_not_read_again() -> None:
    assert rendered("{name}_{date}", name="{version}") == "{version}_20251002"


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{timestmap}", "did you mean {timestamp}?"),
        ("{Name}", "did you mean {name}?"),
        ("{counts.institutions}", "{count.TABLE}"),
        ("{count.}", "{count.TABLE}"),
        ("{name.__class__}", "{name}"),
        ("{name!r}", "did you mean {name}?"),
        ("{}", "known fields: {environment}"),
        ("{xyz}", "known fields: {environment}"),
    ],
)
def test_unknown_fields_are_refused_with_a_suggestion(template: str, hint: str) -> None:
    for call in (fields, counts_wanted, rendered):
        with pytest.raises(ConfigurationError, match="unknown field") as caught:
            call(template)
        assert hint in caught.value.hint


@pytest.mark.parametrize("template", ["{name", "name}", "{{name}}", "{na{me}}"])
def test_lone_braces_are_refused(template: str) -> None:
    with pytest.raises(ConfigurationError):
        fields(template)


@pytest.mark.parametrize("template", ["", "a/{name}", "{name}\n", "../{name}", "{name}\0", ".{name}", "-{date}"])
def test_an_unsafe_template_is_refused_before_anything_runs(template: str) -> None:
    with pytest.raises(ConfigurationError, match="file name"):
        fields(template)


@pytest.mark.parametrize(
    ("template", "said", "hint"),
    [
        ("{version}_{date}", {"version": ""}, "AMANAT_APP_VERSION"),
        ("{name}", {"name": ""}, "--name"),
        ("{count.users}", {}, "take the field out"),
    ],
)
def test_a_value_that_is_not_known_is_refused(template: str, said: dict[str, str], hint: str) -> None:
    with pytest.raises(ConfigurationError, match="which is not known") as caught:
        rendered(template, **said)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{version}", {"version": "feature/x"}),
        ("{name}", {"name": "../../etc/passwd"}),
        ("{name}{version}", {"name": "a.", "version": ".b"}),
        ("{name}", {"name": "-rf"}),
        (" {name}", {}),
        ("", {}),
        ("{name}{name}{name}", {"name": "x" * 67}),
    ],
)
def test_an_unsafe_result_is_refused(template: str, said: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="file name"):
        rendered(template, **said)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        rendered("{date}", taken_at=TAKEN.replace(tzinfo=None))


def test_numbers_tell_files_of_one_name_apart() -> None:
    assert [numbered("nightly", number) for number in (1, 2, 3)] == ["nightly", "nightly_2", "nightly_3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("database.sqlite", "database-sqlite"),
        ("/var/www/My Café.sqlite", "var-www-my-cafe-sqlite"),
        ("--x--", "x"),
        ("备份", "database"),
        ("a" * 59 + "--b", "a" * 59),
    ],
)
def test_a_database_name_from_any_text(text: str, expected: str) -> None:
    assert slug(text) == expected


@pytest.mark.parametrize(
    ("folder", "begin"),
    [
        ("/var/www/atis/backend", "atis-backend-sqlite-"),
        ("/srv/My Café/Backend v2", "my-cafe-backend-v2-sqlite-"),
        ("/backend", "backend-sqlite-"),
        ("/", "database-sqlite-"),
        ("/备份/后端", "database-sqlite-"),
        ("/" + "a" * 44 + "/backend", "a" * 44 + "-sqlite-"),
        ("/" + "a" * 255 + "/" + "b" * 255, "a" * 45 + "-sqlite-"),
    ],
)
def test_an_application_is_named_after_its_folders(folder: str, begin: str) -> None:
    name = name_of_application(PurePosixPath(folder), "sqlite")
    assert re.fullmatch(re.escape(begin) + "[0-9a-f]{6}", name)
    assert len(name) <= 63, "so that a policy file may say it too"


def test_applications_in_folders_of_one_name_are_told_apart() -> None:
    folders = [
        "/a/backend",
        "/b/backend",
        "/x/a/backend",
        "/y/a/backend",
        "/备份/后端",
        "/后端/备份",
        "/a-backend",
    ]
    names = {name_of_application(PurePosixPath(folder), "postgresql") for folder in folders}
    assert len(names) == len(folders)
    assert name_of_application(PurePosixPath("/a/backend"), "postgresql") in names
