"""Writes the reference parts of ``documentation/`` from the code; the rest of those files is written by hand.

Run it by ``make reference``. A part stands between ``<!-- reference: NAME -->`` and ``<!-- end -->``.
"""  # noqa: INP001 - a script's folder

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

from amanat.domain.model import Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.retention_guards import RefusalReason
from amanat.domain.units import format_duration
from amanat.faces.cli.main import cli
from amanat.observability import metrics
from amanat.settings import policies
from amanat.settings.service import PREFIX, ServiceSettings

FOLDER = Path(__file__).parents[1] / "documentation"
_PART = re.compile(r"(<!-- reference: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FEW = 2
_ROOT = "The file itself"


def rendered() -> dict[Path, str]:
    """Every file that has generated parts, with what they should be now."""
    return {
        path: _PART.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}", text)
        for path in sorted(FOLDER.glob("*.md"))
        if _PART.search(text := path.read_text(encoding="utf-8"))
    }


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def code(words: Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words)


# the policy file


def policy_keys() -> str:
    """A section for each mapping of the policy file, in the order of a reader who goes down the file."""
    schema = policies.schema()
    return "\n".join(_section("", schema, schema["$defs"])).rstrip() + "\n"


def _section(path: str, node: Mapping[str, Any], models: Mapping[str, Any]) -> Iterator[str]:
    required = node.get("required", ())
    yield f"### {f'`{path}`' if path else _ROOT}\n"
    yield f"{node['description']}{_choice(node)}\n"
    yield table(
        ("key", "value", "default", "meaning"),
        (
            (f"`{key}`", _value(value), _default(value, needed=key in required), value["description"])
            for key, value in node["properties"].items()
        ),
    )
    yield ""
    below: dict[str, list[str]] = {}
    for key, value in node["properties"].items():
        name, model = _model(value)
        if model:
            below.setdefault(model, []).append(".".join(filter(None, (path, key, name))))
    for model, paths in below.items():
        yield from _section(_title(path, paths), models[model], models)


def _title(path: str, paths: list[str]) -> str:
    """Of what is the same below several keys of ``path``."""
    return "`, `".join(paths) if len(paths) <= _FEW else f"{path}.KEY.{paths[0].rpartition('.')[2]}"


def _choice(node: Mapping[str, Any]) -> str:
    """What the schema says of keys together."""
    for word, keyword in (("Exactly one", "oneOf"), ("At least one", "anyOf")):
        if choices := node.get(keyword):
            return f" {word} of {code(choice['required'][0] for choice in choices)} is needed."
    return " At least one of the keys is needed." if node.get("minProperties") else ""


def _model(value: Mapping[str, Any]) -> tuple[str, str]:
    """(``NAME`` if the key holds named mappings, ``N`` for a list; the model of a mapping in it); else empty."""
    inner = next(iter(value.get("patternProperties", {}).values()), value.get("additionalProperties"))
    nested = inner if isinstance(inner, Mapping) and "$ref" in inner else None
    if "items" in value:
        return "N", _reference(value["items"])
    return ("NAME" if nested else ""), _reference(nested or value)


def _reference(value: Mapping[str, Any]) -> str:
    forms = (value, *value.get("oneOf", ()))
    return next((form["$ref"].rsplit("/", 1)[-1] for form in forms if "$ref" in form), "")


def _value(value: Mapping[str, Any]) -> str:
    if "oneOf" in value:
        return " or ".join(_value(form) for form in value["oneOf"])
    if "$ref" in value or _model(value)[0] == "NAME":
        return "mapping" if "$ref" in value else "mappings by name"
    if "const" in value:
        return f"`{_yaml(value['const'])}`"
    if "enum" in value:
        return " or ".join(f"`{choice}`" for choice in value["enum"])
    if isinstance(value["type"], list):
        return " or ".join(_KINDS[kind]({}) for kind in value["type"])
    return _KINDS[value["type"]](value)


def _list(value: Mapping[str, Any]) -> str:
    """Plain text is what most lists hold."""
    item = value["items"]
    if "oneOf" in item:
        return f"list; each {_value(item)}"
    return "list of mappings" if "$ref" in item else "list of text"


_KINDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "array": _list,
    "boolean": lambda _: "`true` or `false`",
    "integer": lambda value: f"{value['minimum']} to {value['maximum']}",
    "number": lambda _: "number",
    "object": lambda _: "mapping",
    "string": lambda value: f"text, such as {code(value['examples'])}" if "examples" in value else "text",
}


def _default(value: Mapping[str, Any], *, needed: bool) -> str:
    if needed:
        return "**required**"
    return f"`{_yaml(value['default'])}`" if "default" in value else ""


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def keywords() -> str:
    """Of ``connection``."""
    connection = policies.schema()["$defs"]["DatabaseModel"]["properties"]["connection"]
    return f"{code(connection['propertyNames']['enum'])}\n"


# the settings of the service


def settings() -> str:
    rows = (
        (f"`{PREFIX}{name.upper()}`", _setting_default(field), field.description or "")
        for name, field in ServiceSettings.model_fields.items()
    )
    return table(("variable", "default", "meaning"), rows) + "\n"


def _setting_default(field: FieldInfo) -> str:
    if field.default_factory:
        return ""
    default = field.default
    text = format_duration(default) if isinstance(default, timedelta) else str(default)
    return f"`{text}`" if text else ""


# the command line


def commands() -> str:
    root = typer.main.get_command(cli)
    return "\n".join(_command("amanat", root)).rstrip() + "\n"


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## `{name}`\n"
    yield f"```\n{_usage(name, command)}\n```\n"
    yield re.sub(r"\n*(Exit status:)", r"\n\n\1", command.help or "") + "\n"
    if command.params:
        yield table(("parameter", "default", "meaning"), map(_parameter, command.params))
        yield ""
    for child, inner in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {child}", inner)


def _usage(name: str, command: Any) -> str:
    words = [_word(item) for item in command.params if item.param_type_name == "argument"]
    options = ["[OPTIONS]"] if len(words) < len(command.params) else []
    alone = getattr(command, "invoke_without_command", False)
    inner = ["[COMMAND …]" if alone else "COMMAND …"] if hasattr(command, "commands") else []
    return " ".join([name, *options, *inner, *words])


def _word(argument: Any) -> str:
    word = argument.metavar or argument.name.upper()
    return word if argument.required else f"[{word}]"


def _parameter(item: Any) -> tuple[str, str, str]:
    flag = item.param_type_name == "argument" or item.is_flag
    names = [_word(item)] if item.param_type_name == "argument" else item.opts
    value = "" if flag else f" {item.metavar or item.name.upper()}"
    return ", ".join(f"`{name}{value}`" for name in names), _parameter_default(item), item.help or ""


def _parameter_default(item: Any) -> str:
    if item.required:
        return "**required**"
    if isinstance(item.show_default, str):
        return item.show_default
    return "" if item.default in (None, "", False) else f"`{getattr(item.default, 'value', item.default)}`"


# metrics


def metric_families() -> str:
    rows = (
        (f"`amanat_{name}`", "counter" if name.endswith("_total") else "gauge", code(labels), text)
        for name, (text, labels) in metrics.FAMILIES.items()
    )
    return table(("metric", "type", "labels", "meaning"), rows) + "\n"


def label_values() -> str:
    found: dict[str, Iterable[StrEnum]] = {
        "stage": Stage,
        "outcome": Outcome,
        "reason": RefusalReason,
        "proof": [*ProofLevel, SnapshotState.DAMAGED, SnapshotState.MISSING],
    }
    return table(("label", "values"), ((f"`{label}`", code(values)) for label, values in found.items())) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "policies": policy_keys,
    "keywords": keywords,
    "settings": settings,
    "commands": commands,
    "metrics": metric_families,
    "labels": label_values,
}


def main() -> None:
    for path, text in rendered().items():
        changed = path.read_text(encoding="utf-8") != text
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(FOLDER.parent)}: {'written' if changed else 'current'}\n")


if __name__ == "__main__":
    main()
