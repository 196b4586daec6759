"""Whatever stands in a policy file: a configuration or one clear error, nothing else, and soon."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amanat.domain.errors import ConfigurationError
from amanat.domain.policy import Configuration
from amanat.settings import dotenv, policies

CONFIG = Path(__file__).parents[2] / "config"
VALID = [path.read_text() for path in [CONFIG / "policies.yaml", *sorted((CONFIG / "examples").glob("*.yaml"))]]
FRAGMENTS = [
    "\t", "\n", "\n  ", ": ", "- ", "{", "}", "[", "]", "&a ", "*a", "<<: *a", "!!str ", "? ", "|", ">", "#", "'",
    '"', "\\", "%", "@", "---\n", "...\n", "~", "null", "-1", "1e999", "9" * 5000, ".nan", "0x", "on", "\0", "é",
    "\x85", "\u2028", "\U0001f4a9", "\ud7ff", "{x", "{count.}", "* * * * *", "L", "5#9", "/0", "Europe", "../x",
]  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
KEYS = st.one_of(
    st.sampled_from(
        [
            "version",
            "databases",
            "policies",
            "app",
            "engine",
            "environment",
            "path",
            "connection",
            "service",
            "laravel",
            "password",
            "client",
            "documents",
            "register",
            "schedule",
            "cron",
            "timezone",
            "catch_up",
            "jitter",
            "on_demand",
            "scope",
            "tables",
            "keep",
            "last",
            "within",
            "max_bytes",
            "proof",
            "retry",
            "attempts",
            "file_name",
            "globals",
            "hooks",
        ]
    ),
    st.text(max_size=5),
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
unhurried = settings(
    max_examples=150,
    deadline=timedelta(seconds=1),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policies.yaml"


def attempt(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    result = outcome(lambda: policies.load(file))
    if isinstance(result, ConfigurationError):
        assert result.message.startswith(str(file))
        assert result.hint
    else:
        assert isinstance(result, Configuration)


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except ConfigurationError as error:
        return error


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(VALID))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        text = text[:start] + draw(st.sampled_from(["", *FRAGMENTS])) + text[end:]
    return text


@given(raw=st.binary(max_size=300))
@unhurried
def test_any_bytes(file: Path, raw: bytes) -> None:
    attempt(file, raw)


@given(text=st.text(max_size=300))
@unhurried
def test_any_text(file: Path, text: str) -> None:
    attempt(file, text.encode())


@given(parts=st.lists(st.sampled_from(FRAGMENTS), max_size=40))
@unhurried
def test_any_heap_of_yaml_signs(file: Path, parts: list[str]) -> None:
    attempt(file, "".join(parts).encode())


@given(text=mutated())
@unhurried
def test_slips_of_the_finger_in_a_valid_file(file: Path, text: str) -> None:
    attempt(file, text.encode())


@given(tree=st.dictionaries(st.sampled_from(["version", "databases", "policies"]), TREES))
@unhurried
def test_any_data_of_any_shape(file: Path, tree: object) -> None:
    attempt(file, yaml.safe_dump(tree, allow_unicode=True).encode())


@given(text=st.text(alphabet=st.sampled_from("AB_=\"'\\$${} #\n\r\tx"), max_size=60))
@unhurried
def test_any_env_file(text: str) -> None:
    result = outcome(lambda: dotenv.parse(text, ".env"))
    if isinstance(result, ConfigurationError):
        assert result.message.startswith(".env:")
        assert result.hint
    else:
        assert isinstance(result, dict)
        assert all(isinstance(value, str) for value in result.values())
