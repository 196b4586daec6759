"""Any text gives the canonical JSON of RFC 8785, and any single change of a chain is found where it is."""

import json

from hypothesis import given
from hypothesis import strategies as st

from amanat.domain import chain
from amanat.domain.chain import BreakKind, Head

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROWS = st.dictionaries(TEXTS, TEXTS | st.integers(-(2**53) + 1, 2**53 - 1), max_size=6)
ENTRIES = st.fixed_dictionaries(
    {"detail": TEXTS, "run": st.none() | TEXTS, "size_bytes": st.none() | st.integers()}
)
SHORT = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def literal(text):
    """Section 3.2.2.2, character by character."""
    return '"' + "".join(SHORT.get(c) or (f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def code_units(text):
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2)]


@given(ROWS)
def test_canonical_is_the_rule_word_for_word(row):
    members = [
        f"{literal(k)}:{literal(row[k]) if isinstance(row[k], str) else row[k]}"
        for k in sorted(row, key=code_units)
    ]
    text = "{" + ",".join(members) + "}"
    assert chain.canonical(row).decode() == text
    assert json.loads(text) == row


@st.composite
def chains(draw, smallest):
    entries, after = [], None
    for sequence, row in enumerate(draw(st.lists(ENTRIES, min_size=smallest, max_size=6)), start=1):
        entries.append(chain.link(row, after=after, sequence=sequence))
        after = Head(sequence=sequence, hash=entries[-1]["hash"])
    return entries


@given(chains(0))
def test_what_was_linked_holds(entries):
    assert chain.walk(entries).broken is None


@given(chains(1), st.data())
def test_one_value_changed_is_found_there(entries, data):
    number = data.draw(st.integers(0, len(entries) - 1))
    key = data.draw(st.sampled_from(["detail", "run", "size_bytes", "previous", "hash"]))
    value = data.draw(st.none() | TEXTS)
    if value == entries[number][key]:
        return
    entries[number] = {**entries[number], key: value}
    found = chain.walk(entries).broken
    assert found.sequence == number + 1
    assert found.kind is BreakKind.EDITED


@given(chains(2), st.data())
def test_one_that_was_removed_but_the_last_is_found(entries, data):
    number = data.draw(st.integers(0, len(entries) - 2))
    del entries[number]
    found = chain.walk(entries).broken
    assert (found.kind, found.sequence) == (BreakKind.REMOVED, number + 1)


@given(chains(2), st.data())
def test_two_that_changed_places_are_found(entries, data):
    one, other = sorted(data.draw(st.sets(st.integers(0, len(entries) - 1), min_size=2, max_size=2)))
    entries[one], entries[other] = (
        {**entries[other], "sequence": one + 1},
        {**entries[one], "sequence": other + 1},
    )
    found = chain.walk(entries).broken
    assert (found.kind, found.sequence) == (BreakKind.REORDERED, one + 1)
