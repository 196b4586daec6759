"""Strict YAML: values, positions, and one clear refusal for whatever could mislead."""

import time
from pathlib import Path

import pytest

from amanat.domain.errors import ConfigurationError, ExitCode
from amanat.settings import strict_yaml


def parse(text: str) -> strict_yaml.Document:
    return strict_yaml.parse(text.encode(), "p.yaml")


def refusal(text: str | bytes) -> ConfigurationError:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigurationError) as caught:
        strict_yaml.parse(raw, "p.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("12:30", "12:30"),
        ("2025-01-01", "2025-01-01"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ('"12"', "12"),
        ("'true'", "true"),
        ("9" * 41, "9" * 41),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    found = parse(f"a: {text}").data["a"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_a_float() -> None:
    assert str(parse("a: .nan").data["a"]) == "nan"


def test_keys_are_text_whatever_they_look_like() -> None:
    assert parse("1: a\ntrue: b\n~: c").data == {"1": "a", "true": "b", "~": "c"}


def test_every_key_and_item_knows_its_place() -> None:
    document = parse("a:\n  b: [x, y]\n  c: {d: 1}\n")
    assert document.positions == {
        ("a",): (1, 1),
        ("a", "b"): (2, 3),
        ("a", "b", 0): (2, 7),
        ("a", "b", 1): (2, 10),
        ("a", "c"): (3, 3),
        ("a", "c", "d"): (3, 7),
    }
    assert document.locate(("a", "c", "missing")) == (3, 3)
    assert document.locate(("missing",)) == (1, 1)


def test_aliases_repeat_their_anchor() -> None:
    document = parse("a: &x {b: 1}\nc: *x\n")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
    assert document.locate(("c", "b")) == (2, 1)


def test_byte_order_mark_is_no_content() -> None:
    assert strict_yaml.parse(b"\xef\xbb\xbfa: 1", "p.yaml").data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: stands twice; it was first given on line 1"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "c.<<: merge keys are not supported"),
        ("a:\n  - !!python/object:os.system x\n", 2, "a.0: the tag !!python/object:os.system is not supported"),
        ("a: 1\n!!str b: 1\n", 2, ": the tag !!str is not supported"),
        ("a: ! b\n", 1, "a: the tag ! is not supported"),
    ],
)
def test_structural_problems_leave_the_rest_readable(text: str, line: int, reason: str) -> None:
    document = parse(text)
    message = strict_yaml.failure("p.yaml", document.problems, "h").message
    assert message.startswith(f"p.yaml:{line}: ")
    assert reason in message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "p.yaml:1: the file is empty", "version: 1"),
        ("# only a comment\n", "p.yaml:1: the file is empty", "version: 1"),
        ("~", "p.yaml:1: the file is empty", "version: 1"),
        ("- a\n- b\n", "p.yaml:1: the file holds a list, not a mapping", "version: 1"),
        ("text", "p.yaml:1: the file holds a single value, not a mapping", "version: 1"),
        ("a:\n\tb: 1\n", "p.yaml:2: column 1: a tab is used for indentation", "spaces only"),
        ("a: 1\n\tb: 2\n", "p.yaml:2: column 1: a tab is used for indentation", "spaces only"),
        ("a: >\n\ttext\n", "p.yaml:2: column 1: a tab is used for indentation", "spaces only"),
        ("a: 1\n---\nb: 1\n", "p.yaml:2: column 1: a second document begins", "one document"),
        ("a:\n  - *x\n", "p.yaml:2: column 5: the alias *x has no anchor", "&NAME"),
        ("a: &x\n  b: *x\n", "p.yaml:2: column 6: the alias *x contains itself", "remove"),
        ("? [a]\n: b\n", "p.yaml:1: column 3: a key must be plain text", "quotes"),
        ("a: {b: 1\n", "p.yaml:2: column 1: not YAML: ", "brackets"),
        ("a: b: c\n", "p.yaml:1: column 5: not YAML: mapping values are not allowed", "indentation"),
        ("a: 'x\n", "not YAML: found unexpected end of stream", "quotes"),
        ("a: @x\n", "p.yaml:1: column 4: not YAML: found character that cannot start any token", "quotes"),
        ("a: 1\nb: x\x00y\n", "p.yaml:2: column 5: a control character (U+0000)", "remove"),
        (b"a: 1\nb: \xff\n", "p.yaml:2: not UTF-8: byte 0xff at offset 8", "UTF-8"),
        ("a: 1".encode("utf-16"), "p.yaml:1: not UTF-8: byte 0xff at offset 0", "UTF-8"),
        (b"#" * (1024 * 1024 + 1), "p.yaml: larger than 1 MiB", "right file"),
    ],
)
def test_refusals_name_the_place_and_the_remedy(text: str | bytes, message: str, hint: str) -> None:
    error = refusal(text)
    assert message in error.message
    assert hint in error.hint
    assert error.exit_code is ExitCode.USAGE


def billion_laughs() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("bomb", "reason"),
    [
        (billion_laughs(), "more than 10000 values, counting those that aliases repeat"),
        ("a: &a [" + "x," * 5000 + "]\nb: [*a, *a]\n", "more than 10000 values"),
        ("a:\n" + "- x\n" * 200_000, "more than 10000 values"),
        ("a: " + "[" * 500_000, "nested deeper than 50 levels"),
        ("a: " + "{b: " * 200_000, "nested deeper than 50 levels"),
        ("- " * 300_000, "nested deeper than 50 levels"),
        ("? " * 300_000, "a key must be plain text"),
    ],
    ids=["laughs", "repeat", "long", "lists", "mappings", "dashes", "keys"],
)
def test_bombs_are_defused_within_a_second(bomb: str, reason: str) -> None:
    start = time.monotonic()
    error = refusal(bomb)
    assert time.monotonic() - start < 1
    assert reason in error.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file") as caught:
        strict_yaml.read(tmp_path / "absent.yaml")
    assert "--policies" in caught.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory") as caught:
        strict_yaml.read(tmp_path)
    assert "permissions" in caught.value.hint


def test_a_path_with_nul_is_refused_without_traceback() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        strict_yaml.read(Path("a\0b"))
