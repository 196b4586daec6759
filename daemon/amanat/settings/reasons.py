"""Pydantic's findings in our words: what is expected, the remedy, never the value (it may be a secret)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from amanat.settings.strict_yaml import KeyPath
from amanat.settings.words import did_you_mean

_SHAPES = {
    "missing": "is required",
    "string_type": "must be text; put it in quotes",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping of keys and values",
    "model_type": "must be a mapping of keys and values",
}
_REASONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "value_error": lambda context: str(context["error"]),
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "too_short": lambda context: f"must hold at least {context['min_length']}",
    "literal_error": lambda context: f"must be {context['expected'].replace('True', 'true')}",
}


def translate(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[KeyPath, str]]:
    """(key path, reason) of everything that pydantic found in data given to ``model``.

    Parts such as ``[key]`` are no keys: they say which of several forms a value was taken for.
    """
    for details in error.errors(include_url=False):
        path = tuple(part for part in details["loc"] if not str(part).startswith("["))
        yield path, _reason(details, path, model)


def _reason(details: ErrorDetails, path: KeyPath, model: type[BaseModel]) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(path, model)
    if kind in _REASONS:
        return _REASONS[kind](context)
    return _SHAPES.get(kind, details["msg"])


def _unknown(path: KeyPath, model: type[BaseModel]) -> str:
    key = str(path[-1])
    known = _keys_at(model, path[:-1])
    meant = did_you_mean(key, known) or f"; known here are {', '.join(known)}"
    return f"unknown key{meant}"


def _keys_at(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the model at ``path`` below ``model`` knows."""
    kind: Any = model
    for part in path:
        kind = _step(kind, part)
    fields = kind.model_fields if _is_model(kind) else {}
    return [field.alias or name for name, field in fields.items()]


def _step(kind: Any, part: str | int) -> Any:
    if not _is_model(kind):
        return _inner(get_args(kind)[-1])
    by_key = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return _inner(by_key[str(part)])


def _inner(annotation: Any) -> Any:
    """``X`` of ``X | None`` and of annotations; of ``list[str] | Model``, the model."""
    if get_origin(annotation) in (dict, list) or _is_model(annotation):
        return annotation
    kinds = [_inner(kind) for kind in get_args(annotation)]
    containers = (kind for kind in kinds if get_origin(kind) in (dict, list))
    return next((kind for kind in kinds if _is_model(kind)), next(containers, annotation))


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
