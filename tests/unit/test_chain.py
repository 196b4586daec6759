"""The hash chain: canonical JSON as RFC 8785 has it, and what a walk says of each way to break it."""

import hashlib
from dataclasses import replace

import pytest

from amanat.domain import chain
from amanat.domain.chain import GENESIS, BreakKind, Head


def linked(*details, after=None):
    entries = []
    for detail in details:
        sequence = after.sequence + 1 if after else 1
        entries.append(chain.link({"detail": detail, "snapshot": None}, after=after, sequence=sequence))
        after = Head(sequence=sequence, hash=entries[-1]["hash"])
    return entries


def broken(entries):
    found = chain.walk(entries).broken
    return found and (found.kind, found.sequence)


def test_the_text_of_the_rfc():
    """Section 3.2.2: input and output of its example."""
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"
    assert chain.canonical({"string": text}) == '{"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'.encode()


def test_the_order_of_keys_of_the_rfc():
    """Section 3.2.3: by UTF-16 code units, so that an emoji comes before U+FB33."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    text = chain.canonical(dict.fromkeys(keys, "")).decode()
    assert text == '{"\\r":"","1":"","\u0080":"","ö":"","€":"","\U0001f600":"","\ufb33":""}'


def test_integers_that_a_double_holds_are_numbers_and_others_are_text():
    """RFC 7493, 2.2."""
    values = {"a": 2**53 - 1, "b": 2**53, "c": -(2**53), "d": 0}
    assert (
        chain.canonical(values) == b'{"a":9007199254740991,"b":"9007199254740992","c":"-9007199254740992","d":0}'
    )


def test_half_a_character_has_no_canonical_form():
    with pytest.raises(UnicodeEncodeError):
        chain.canonical({"a": "\ud800"})


def test_an_entry_is_hashed_without_what_is_null():
    (first,) = linked("one")
    text = f'{{"detail":"one","previous":"{GENESIS}","sequence":1}}'
    assert first["hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert chain.digest({**first, "a later column": None}) == first["hash"]


def test_a_chain_that_holds():
    entries = linked("one", "two", "three")
    last = Head(sequence=3, hash=entries[-1]["hash"])
    assert chain.walk(entries) == chain.Walk(head=last)
    assert chain.walk([]) == chain.Walk(head=None)


def test_a_walk_goes_on_where_another_ended():
    entries = linked("one", "two", "three")
    first = Head(sequence=1, hash=entries[0]["hash"])
    assert chain.walk(entries[1:], after=first) == chain.walk(entries)
    other = replace(first, hash="f" * 64)
    assert chain.walk(entries[1:], after=other).broken.kind is BreakKind.EDITED


def test_an_edited_entry():
    entries = linked("one", "two", "three")
    entries[1] = {**entries[1], "detail": "TWO"}
    assert broken(entries) == (BreakKind.EDITED, 2)
    assert chain.walk(entries).head == Head(sequence=1, hash=entries[0]["hash"])


def test_an_entry_that_was_edited_and_hashed_anew():
    entries = linked("one", "two", "three")
    entries[1] = linked("one", "TWO")[1]
    assert broken(entries) == (BreakKind.EDITED, 2)


@pytest.mark.parametrize(("gone", "at"), [(0, 1), (1, 2)])
def test_a_removed_entry(gone, at):
    entries = linked("one", "two", "three")
    del entries[gone]
    assert broken(entries) == (BreakKind.REMOVED, at)


def test_several_removed_entries_are_named():
    entries = linked("one", "two", "three", "four")
    assert "entries 2 to 3 are not there" in chain.walk([entries[0], entries[3]]).broken.reason


def test_reordered_entries():
    entries = linked("one", "two", "three", "four")
    entries[1], entries[3] = {**entries[3], "sequence": 2}, {**entries[1], "sequence": 4}
    assert broken(entries) == (BreakKind.REORDERED, 2)
    assert "written as entry 4" in chain.walk(entries).broken.reason


def test_what_an_entry_repeats_of_its_snapshot():
    row = {"id": "a", "path": "app/a", "size_bytes": 5, "proof": "readable", "state": "present", "held": "[]"}
    entry = chain.about(row)
    assert (entry["path"], entry["size_bytes"], entry["sha256"]) == ("app/a", 5, None)
    assert chain.altered(row, entry) == ()
    assert chain.altered({**row, "size_bytes": 6, "proof": "restored"}, entry) == ("size_bytes", "proof")
    assert chain.altered({**row, "state": "pruned"}, entry) == ("state",)
    for edited in ({"held": '["audit"]'}, {"taken_at": "2026"}):
        (what,) = chain.altered({**row, **edited}, entry)
        assert "hold" in what


def test_a_deletion_that_its_entry_does_not_tell_of_is_an_edit():
    row = {"id": "a", "path": "app/a", "state": "present"}
    assert chain.altered({**row, "state": "pruning"}, chain.about(row)) == ("state",)


def test_heads_as_text():
    head = Head(sequence=57, hash="ab" * 32)
    assert Head.parse(str(head)) == head
    for text in ("", "57", "0:" + "a" * 64, "57:abc", f" {head}", f"{head}\n", "57:" + "A" * 64, "-1:" + "a" * 64):
        with pytest.raises(ValueError, match="SEQUENCE:HASH"):
            Head.parse(text)
