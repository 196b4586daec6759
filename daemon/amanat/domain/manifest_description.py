"""The part of a manifest that says what stood in the database: by kind, by what it belongs to, by name.

Nested like that, no name stands in it twice as often as it must: a database with thousands of tables has tens of
thousands of columns.
"""

from typing import Any

from amanat.domain.description import DatabaseObject, Description, in_order
from amanat.domain.manifest_reading import Fields


def encode(description: Description) -> dict[str, Any]:
    objects: dict[str, dict[str, dict[str, str]]] = {}
    for item in in_order(description.objects):
        objects.setdefault(item.kind, {}).setdefault(item.within, {})[item.name] = item.mark
    return {
        "dialect": description.dialect,
        "fingerprint": description.fingerprint,
        "objects": objects,
        "sequences": dict(description.sequences),
        "descending": list(description.descending),
        "collations": dict(description.collations),
    }


def decode(part: Fields) -> Description:
    """ValueError for what ``encode`` would not have written, a fingerprint of something else included."""
    description = Description(
        dialect=part.text("dialect"),
        objects=_objects(part.inner("objects")),
        sequences=part.integers_by_name("sequences"),
        descending=part.texts("descending"),
        collations=part.texts_by_name("collations"),
    ).compact
    if part.hexadecimal("fingerprint", 64) != description.fingerprint:
        raise ValueError("facts.description.fingerprint is not that of its objects")
    return description


def _objects(part: Fields) -> tuple[DatabaseObject, ...]:
    return tuple(
        DatabaseObject(kind=kind, within=within, name=name, definition=definition)
        for kind in part.names
        for within in part.inner(kind).names
        for name, definition in part.inner(kind).texts_by_name(within).items()
    )
