"""Which entries of an archive some of its tables take with them."""

from amanat.archive import DataState, Entry, Section
from amanat.engines.postgresql.restoring import part

SCHEMA, TYPE, USERS, ORDERS, USERS_KEY, OWNED, INDEX, VIEW, ROWS, OTHERS_ROWS, COMMENT = range(1, 12)


def entry(number, kind, *dependencies):
    return Entry(
        dump_id=number,
        has_data=False,
        catalog=0,
        oid=0,
        name=f"{kind} {number}",
        kind=kind,
        section=Section.PRE_DATA,
        definition=b"",
        drop=None,
        copy=None,
        schema=None,
        tablespace=None,
        access_method=None,
        relkind="",
        owner=None,
        dependencies=dependencies,
        data_state=DataState.NONE,
        data_offset=0,
    )


SHOP = (
    entry(SCHEMA, "SCHEMA"),
    entry(TYPE, "TYPE", SCHEMA),
    entry(USERS, "TABLE", SCHEMA),
    entry(ORDERS, "TABLE", SCHEMA, TYPE),
    entry(USERS_KEY, "CONSTRAINT", USERS),
    entry(OWNED, "FK CONSTRAINT", ORDERS, USERS, USERS_KEY),
    entry(INDEX, "INDEX", ORDERS),
    entry(VIEW, "VIEW", ORDERS, USERS),
    entry(ROWS, "TABLE DATA", ORDERS),
    entry(OTHERS_ROWS, "TABLE DATA", USERS),
    entry(COMMENT, "COMMENT", INDEX),
)


def kept(entries, *tables):
    found = part.of(entries, tables)
    return set(found.kept), [entry.dump_id for entry in found.leading_out]


def test_a_table_comes_with_its_type_and_what_hangs_on_it_and_not_with_a_view():
    assert kept(SHOP, ORDERS) == ({SCHEMA, TYPE, ORDERS, INDEX, ROWS, COMMENT}, [OWNED])


def test_a_foreign_key_comes_when_both_its_ends_do():
    whole = {entry.dump_id for entry in SHOP}
    assert kept(SHOP, ORDERS, USERS) == (whole - {VIEW}, [])


def test_what_is_referred_to_does_not_bring_who_refers_to_it():
    assert kept(SHOP, USERS) == ({SCHEMA, USERS, USERS_KEY, OTHERS_ROWS}, [OWNED])


def test_a_table_that_another_needs_comes_without_its_rows():
    heirs = (*SHOP, entry(20, "TABLE", USERS), entry(21, "TABLE DATA", 20))
    assert kept(heirs, 20) == ({SCHEMA, USERS, 20, 21}, [])


def test_partitions_know_all_that_is_above_them():
    attached = (entry(30, "TABLE ATTACH", 3, 2), entry(31, "TABLE ATTACH", 2, 1))
    assert part.ancestors(attached) == {3: (2, 1), 2: (1,)}


def test_entries_that_go_round_in_circles_end():
    circle = (entry(1, "TABLE", 2), entry(2, "FUNCTION", 1))
    assert kept(circle, 1) == ({1, 2}, [])
