"""Databases at random: schemas, types, tables of every make and what hangs on them, as statements to be run in turn."""

from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from tests.support.random_drawing import Drawing
from tests.support.random_values import TEXT, TEXTS, Kind, quoted


@dataclass(kw_only=True)
class Column:
    name: str
    kind: Kind
    clause: str = ""
    nullable: bool = True
    written: bool = True  # by INSERT

    @property
    def identity(self) -> bool:
        return self.clause in _KEYS


@dataclass(kw_only=True)
class Table:
    name: str
    columns: list[Column] = field(default_factory=list)
    repeatable: bool = True
    inherited: bool = False


class Builder(Drawing):
    """Draws objects and writes their statements; later ones use earlier ones."""

    def __init__(self, draw: st.DrawFn, major: int) -> None:
        super().__init__(draw, major)
        self._sequences: list[str] = []
        self._tables: list[Table] = []

    def build(self) -> list[str]:
        for _ in range(self._number(2)):
            self._schema()
        for make in self._some([self._enum, self._domain, self._composite, self._sequence], 3):
            make()
        self._plain_table()
        for make in self._some([self._plain_table, self._plain_table, self._partitioned, self._inherited], 4):
            make()
        extras = [self._index, self._view, self._function, self._trigger, self._policy, self._comment, self._grant]
        for make in self._some([*extras, self._reference, self._large_object, self._altered, self._rewritten], 8):
            make()
        return self.statements

    # schemas, types, sequences

    def _schema(self) -> None:
        self._schemas.append(name := self._name())
        self._say(f"CREATE SCHEMA {name}")

    def _enum(self) -> None:
        labels = self._draw(
            st.lists(TEXTS.filter(bool).map(lambda t: t[:15]), min_size=1, max_size=4, unique=True)
        )
        name = self._qualified()
        self._say(f"CREATE TYPE {name} AS ENUM ({', '.join(map(quoted, labels))})")
        values = st.sampled_from(labels).map(lambda label: f"{quoted(label)}::{name}")
        self._kinds.append(Kind(sql=name, values=values))

    def _domain(self) -> None:
        base, name = self._kind(), self._qualified()
        self._say(
            f"CREATE DOMAIN {name} AS {base.sql} CONSTRAINT {self._name()} CHECK (VALUE IS DISTINCT FROM NULL OR true)"
        )
        values = base.values.map(lambda value: f"({value})::{name}")
        self._kinds.append(Kind(sql=name, values=values, sorted=base.sorted, scalar=base.scalar))

    def _composite(self) -> None:
        kinds = [self._kind() for _ in range(self._number(3, least=1))]
        name = self._qualified()
        self._say(f"CREATE TYPE {name} AS ({', '.join(f'{self._name()} {kind.sql}' for kind in kinds)})")
        values = st.tuples(*(kind.values | st.just("NULL") for kind in kinds)).map(
            lambda parts: f"ROW({', '.join(parts)})::{name}"
        )
        self._kinds.append(Kind(sql=name, values=values, sorted=all(kind.sorted for kind in kinds)))

    def _sequence(self) -> None:
        self._sequences.append(name := self._qualified())
        self._say(
            f"CREATE SEQUENCE {name} INCREMENT {self._one([1, -7, 1000])} MINVALUE -9000000000 MAXVALUE 9000000000 START 5 CYCLE"
        )
        if self._chance(2):
            self._say(
                f"SELECT setval({quoted(name)}, {self._one([-9000000000, 0, 8999999999])}, {self._one(['true', 'false'])})"
            )

    # tables

    def _plain_table(self) -> None:
        columns = [self._column() for _ in range(self._number(6))]
        if key := self._one([None, *_KEYS]):
            columns.append(Column(name=self._name(), kind=_COUNTED, clause=key, written=False))
        table = Table(name=self._qualified(), columns=columns)
        self._create(table, unlogged=self._chance(8))
        self._fill(table)

    def _create(self, table: Table, *, unlogged: bool = False, suffix: str = "") -> None:
        defined = ", ".join(f"{column.name} {column.kind.sql} {column.clause}" for column in table.columns)
        self._say(f"CREATE {'UNLOGGED ' if unlogged else ''}TABLE {table.name} ({defined}) {suffix}")
        self._tables.append(table)

    def _column(self) -> Column:
        column = Column(name=self._name(), kind=self._kind())
        match self._number(9):
            case 1:
                column.clause, column.nullable = "NOT NULL", False
            case 2:
                column.clause = f"DEFAULT {self._draw(column.kind.values)}"
            case 3:
                column.clause = f"CONSTRAINT {self._name()} CHECK (length({column.name}::text) >= 0)"
            case 4 if self._sequences:
                column.kind, column.clause = _COUNTED, f"DEFAULT nextval({quoted(self._one(self._sequences))})"
            case 5:
                column.kind, column.clause = TEXT, f'COLLATE "{self._one(["C", "POSIX"])}"'
            case 6:
                column.kind, column.written = _COUNTED, False
                column.clause = f"GENERATED ALWAYS AS ({self._number(1000)} * 2) {self._one(self._generated())}"
        return column

    def _generated(self) -> list[str]:
        return ["STORED"] if self._major < 18 else ["STORED", "VIRTUAL"]

    def _fill(self, table: Table) -> None:
        rows = self._number(6)
        written = [column for column in table.columns if column.written]
        if not written:
            self.statements.extend([f"INSERT INTO {table.name} DEFAULT VALUES"] * rows)
        elif rows:
            names = ", ".join(column.name for column in written)
            values = ", ".join(f"({', '.join(map(self._value, written))})" for _ in range(rows))
            self._say(f"INSERT INTO {table.name} ({names}) VALUES {values}")
            self._repeat(table, names)

    def _repeat(self, table: Table, names: str) -> None:
        """More rows, as long as they are not too long."""
        if table.repeatable and self._chance(4):
            few = f"(SELECT * FROM {table.name} t WHERE octet_length(t::text) < 10000)"
            self._say(
                f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {few} t, generate_series(1, {self._number(500)})"
            )

    def _value(self, column: Column) -> str:
        if column.nullable and self._chance(6):
            return "NULL"
        if column.clause.startswith("DEFAULT") and self._chance(3):
            return "DEFAULT"
        return self._draw(column.kind.values)

    def _partitioned(self) -> None:
        """By list, range or hash, with a default partition, and one that was made alone with its columns the other way round."""
        key = Column(
            name=self._name(),
            kind=Kind(sql="integer", values=st.integers(0, 9).map(str)),
            clause="NOT NULL",
            nullable=False,
        )
        other = Column(name=self._name(), kind=self._kind())
        how, bounds = self._one(_PARTITIONING)
        parent = Table(name=self._qualified(), columns=[key, other], repeatable=False)
        self._create(parent, suffix=f"PARTITION BY {how} ({key.name})")
        for bound in bounds[:-1]:
            self._say(f"CREATE TABLE {self._qualified()} PARTITION OF {parent.name} {bound}")
        late = Table(name=self._qualified(), columns=[other, key])
        self._create(late)
        self._tables.remove(late)
        self._say(f"ALTER TABLE {parent.name} ATTACH PARTITION {late.name} {bounds[-1]}")
        self._fill(parent)

    def _inherited(self) -> None:
        """Identity is not inherited, but that it may not be NULL."""
        if not (parents := [table for table in self._tables if table.repeatable]):
            return
        parent = self._one(parents)
        parent.inherited = True
        child = Table(name=self._qualified(), columns=[self._column()])
        self._create(child, suffix=f"INHERITS ({parent.name})")
        for column in parent.columns:
            child.columns.append(
                replace(column, clause="", nullable=False, written=True) if column.identity else column
            )
        self._fill(child)

    # what hangs on tables

    def _table(self) -> Table:
        return self._one(self._tables)

    def _index(self) -> None:
        table = self._table()
        if columns := [
            column.name for column in table.columns if column.kind.sorted and "VIRTUAL" not in column.clause
        ]:
            column = self._one(columns)
            method = self._one(
                [f"({column}) WHERE {column} IS NULL", f"(({column} IS NULL)) INCLUDE ({column}) WHERE false"]
            )
            self._say(f"CREATE INDEX {self._name()} ON {table.name} {method}")

    def _view(self) -> None:
        table = self._table()
        chosen = ", ".join(["1 AS one", *(column.name for column in table.columns)])
        kind, suffix = self._one([("VIEW", ""), ("MATERIALIZED VIEW", ""), ("MATERIALIZED VIEW", "WITH NO DATA")])
        self._say(f"CREATE {kind} {self._qualified()} AS SELECT {chosen} FROM {table.name} {suffix}")

    def _function(self) -> None:
        self._say(
            f"CREATE FUNCTION {self._qualified()}(int, text) RETURNS text LANGUAGE sql AS {quoted(f'SELECT {self._text()}::text')}"
        )

    def _trigger(self) -> None:
        table, function = self._table(), self._qualified()
        body = quoted(f"BEGIN RAISE EXCEPTION USING MESSAGE = {self._text()}; END")
        self._say(f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {body}")
        self._say(
            f"CREATE TRIGGER {self._name()} AFTER INSERT OR TRUNCATE ON {table.name} EXECUTE FUNCTION {function}()"
        )

    def _policy(self) -> None:
        table = self._table()
        self._say(
            f"CREATE POLICY {self._name()} ON {table.name} FOR SELECT TO PUBLIC USING ({self._text()} <> '')"
        )
        self._say(f"ALTER TABLE {table.name} {self._one(['ENABLE', 'FORCE'])} ROW LEVEL SECURITY")

    def _comment(self) -> None:
        table = self._table()
        self._say(f"COMMENT ON TABLE {table.name} IS {self._text()}")
        for column in table.columns[:1]:
            self._say(f"COMMENT ON COLUMN {table.name}.{column.name} IS {self._text()}")

    def _grant(self) -> None:
        self._say(f"GRANT SELECT ON {self._table().name} TO {self._one(['PUBLIC', 'pg_read_all_data'])}")

    def _reference(self) -> None:
        """A table with rows that point to another's key."""
        key, target = self._name(), self._qualified()
        self._say(f"CREATE TABLE {target} ({key} int PRIMARY KEY)")
        self._say(f"INSERT INTO {target} SELECT generate_series(1, 9)")
        column = f"{self._name()} int REFERENCES {target} ON DELETE CASCADE {self._one(['', 'DEFERRABLE INITIALLY DEFERRED'])}"
        self._say(f"CREATE TABLE {(table := self._qualified())} ({column})")
        self._say(f"INSERT INTO {table} VALUES (1), (NULL), (9)")

    def _altered(self) -> None:
        """Columns that went and columns that came later, which no stored row holds.

        Not of a table with heirs: pg_dump puts such a column elsewhere in theirs.
        """
        if not (tables := [table for table in self._tables if table.repeatable and not table.inherited]):
            return
        table = self._one(tables)
        gone, late = self._name(), self._name()
        kind = self._kind()
        value = self._draw(kind.values.filter(lambda value: len(value) < 500 and "repeat" not in value))
        self._say(f"ALTER TABLE {table.name} ADD {gone} int DEFAULT 7, ADD {late} {kind.sql} DEFAULT {value}")
        self._say(f"ALTER TABLE {table.name} DROP {gone}")

    def _rewritten(self) -> None:
        """Rows that moved, and rows that are gone."""
        table = self._table()
        for column in [column for column in table.columns if column.written and table.repeatable][:1]:
            self._say(f"UPDATE {table.name} SET {column.name} = {column.name} WHERE ctid::text LIKE '%1)'")
        self._say(f"DELETE FROM {table.name} WHERE ctid::text LIKE '%2)'")

    def _large_object(self) -> None:
        oid = self._one([0, 0, 4_000_000_000])
        data = self._one(["''", "'\\x00'", "decode(repeat('5c2e0a00', 300000), 'hex')"])
        self._say(
            f"SELECT lo_from_bytea({oid}, {data}) WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = {oid})"
        )


_COUNTED = Kind(sql="bigint", values=st.integers(-9, 9).map(str))
_KEYS = (
    "PRIMARY KEY GENERATED ALWAYS AS IDENTITY",
    "GENERATED BY DEFAULT AS IDENTITY (START 100 INCREMENT -3 MAXVALUE 100 MINVALUE -1000000 CYCLE)",
)
_PARTITIONING = (
    ("LIST", ["FOR VALUES IN (0, 1, 2)", "DEFAULT", "FOR VALUES IN (3)"]),
    ("RANGE", ["FOR VALUES FROM (MINVALUE) TO (2)", "DEFAULT", "FOR VALUES FROM (2) TO (5)"]),
    ("HASH", ["FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "FOR VALUES WITH (MODULUS 2, REMAINDER 1)"]),
)


@st.composite
def databases(draw: st.DrawFn, major: int) -> list[str]:
    return Builder(draw, major).build()
