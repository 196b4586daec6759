"""The .env parser gives what vlucas/phpdotenv gives; cases follow its own test suite and source."""

import pytest

from amanat.domain.errors import ConfigurationError
from amanat.settings import dotenv


def parse(text: str) -> dict[str, str]:
    return dotenv.parse(text, ".env")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b", "b"),
        ("  A=b  ", "b"),
        ("export A_NAME=b", None),
        ("A=", ""),
        ("A=   ", ""),
        ("A=b # comment", "b"),
        ("A=b#comment", "b"),
        ("A=#comment", ""),
        ("A= # comment", ""),
        ("A=b=c", "b=c"),
        ("A='b # c'", "b # c"),
        ('A="b # c" # d', "b # c"),
        (r"A='a\nb'", r"a\nb"),
        (r'A="a\nb\tc\rd\fe\vf"', "a\nb\tc\rd\fe\vf"),
        (r'A="say \"hi\" \\ \$x"', 'say "hi" \\ $x'),
        ('A="it\'s"', "it's"),
        ("A='say \"hi\"'", 'say "hi"'),
        (r"A=a\b", r"a\b"),
        ("A=it's", "it's"),
        ('A=say"hi"', 'say"hi"'),
        ("A=ə", "ə"),
        ("'A'=b", "b"),
        ('"A"=b', "b"),
        ("A=null", "null"),
        ("A='p@ss$word'", "p@ss$word"),
        ("A=p@ss$word", "p@ss$word"),
    ],
)
def test_values(line: str, value: str | None) -> None:
    assert parse(line).get("A") == value


def test_export_is_no_part_of_the_name() -> None:
    assert parse("export FOO=b\nexport\tBAR=c\nexport=d\nexporter=e") == {
        "FOO": "b",
        "BAR": "c",
        "export": "d",
        "exporter": "e",
    }


def test_comments_blank_lines_and_line_ends() -> None:
    assert parse("# A=1\n\n  # B=2\r\nC=3\rD=4\n") == {"C": "3", "D": "4"}


def test_double_quotes_span_lines() -> None:
    assert parse('A="one\ntwo # no comment\n  three"\nB=4\n') == {
        "A": "one\ntwo # no comment\n  three",
        "B": "4",
    }


def test_a_closing_quote_may_stand_alone() -> None:
    assert parse('A="one\n"\nB=2') == {"A": "one\n", "B": "2"}


def test_the_last_of_two_wins_and_a_bare_name_clears() -> None:
    assert parse("A=1\nA=2\nB=3\nB\n") == {"A": "2"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("B=x\nA=${B}", "x"),
        ("B=x\nA=${B}/y${B}", "x/yx"),
        ('B=x\nA="${B} y"', "x y"),
        ("B=x\nA='${B}'", "${B}"),
        (r'A="\${B}"', "${B}"),
        ("A=${UNKNOWN}", "${UNKNOWN}"),
        ("A=${B}\nB=later", "${B}"),
        ("B=${C}\nC=y\nA=${B}", "${C}"),
        ("C=y\nB=${C}\nA=${B}${C}", "yy"),
        ("B.c=x\nA=${B.c}", "x"),
        ("B=x\nA=$B", "$B"),
        ("B=x\nA=${B", "${B"),
    ],
)
def test_references_see_what_stands_above(text: str, value: str) -> None:
    assert parse(text)["A"] == value


def test_references_do_not_see_the_daemons_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMANAT_TEST_B", "x")
    assert parse("A=${AMANAT_TEST_B}")["A"] == "${AMANAT_TEST_B}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("OK=1\nDB_PASSWORD=geheim two\n", ".env:2: DB_PASSWORD: text after the value's end"),
        ('\nDB_PASSWORD="geheim" x\n', ".env:2: DB_PASSWORD: text after the value's end"),
        ("DB_PASSWORD='geheim\n", ".env:1: DB_PASSWORD: a quote is never closed"),
        ('\n\nDB_PASSWORD="geheim\nB=1\n', ".env:3: a double quote is never closed"),
        (r'DB_PASSWORD="geheim\q"', ".env:1: DB_PASSWORD: an unknown escape in double quotes"),
        ("=geheim", ".env:1: no variable name before '='"),
        ("DB-PASSWORD=geheim", ".env:1: no variable name before '='"),
        ("two words=geheim", ".env:1: no variable name before '='"),
        ('A="x\ny"\n=geheim', ".env:3: no variable name before '='"),
    ],
)
def test_errors_name_line_and_variable_but_no_value(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert caught.value.message.startswith(message)
    assert caught.value.hint
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("x", "x"),
        ("", ""),
        ("null", None),
        ("(NULL)", None),
        ("empty", ""),
        ("(empty)", ""),
        ("true", "1"),
        ("(True)", "1"),
        ("false", ""),
        ("'x'", "x"),
        ('"x"', "x"),
        ("'x\"", "'x\""),
    ],
)
def test_laravels_words(value: str, seen: str | None) -> None:
    assert dotenv.env({"A": value}, "A", "default") == seen


def test_a_default_is_for_what_is_absent() -> None:
    assert dotenv.env({}, "A", "default") == "default"
