"""Features of PostgreSQL's tables and views beyond ``postgres_rich``, and for each what may be lost of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """``made``: SQL. ``lost``: SQL that a restored copy is spoilt with; ``told``: how what is told of that begins."""

    made: str
    lost: str
    told: tuple[str, ...]
    since: int = 14


TABLES = (
    Feature(
        "CREATE TABLE nothing (); COMMENT ON TABLE nothing IS 'has no column'",
        "COMMENT ON TABLE nothing IS 'x'",
        ("comment on table public.nothing: expected ",),
    ),
    Feature(
        """CREATE TABLE hashed (id int, name text) PARTITION BY HASH (id, lower(name));
        CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE hashed_1 (name text, gone int, id int); ALTER TABLE hashed_1 DROP gone;
        ALTER TABLE hashed ATTACH PARTITION hashed_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO hashed SELECT n, n::text FROM generate_series(1, 50) n""",
        "ALTER TABLE hashed DETACH PARTITION hashed_1",
        ("table public.hashed_1: expected ",),
    ),
    Feature(
        """CREATE TABLE years (at date DEFAULT '2020-01-01', n int NOT NULL) PARTITION BY RANGE (extract(year FROM at));
        CREATE TABLE years_1 PARTITION OF years (n DEFAULT 7, CHECK (n > 0)) FOR VALUES FROM (MINVALUE) TO (2020);
        CREATE TABLE years_2 PARTITION OF years DEFAULT PARTITION BY LIST (n);
        CREATE TABLE years_2_null PARTITION OF years_2 FOR VALUES IN (1, 2);
        CREATE TABLE years_past PARTITION OF years FOR VALUES FROM (3000) TO (MAXVALUE);
        ALTER TABLE years DETACH PARTITION years_past;
        CREATE INDEX years_n ON ONLY years (n); CREATE INDEX years_1_n ON years_1 (n);
        ALTER INDEX years_n ATTACH PARTITION years_1_n""",
        "ALTER TABLE years_1 ALTER n DROP DEFAULT; ALTER TABLE years DETACH PARTITION years_2",
        ("column public.years_1.n: expected ", "table public.years_2: expected "),
    ),
    Feature(
        """CREATE TABLE father (id int, eyes text, CHECK (id < 9) NO INHERIT); CREATE TABLE mother (eyes text, hair text);
        CREATE TABLE child (eyes text DEFAULT 'brown', toys int) INHERITS (mother, father);
        CREATE TABLE foundling (eyes text, hair text); ALTER TABLE foundling INHERIT mother""",
        "ALTER TABLE foundling NO INHERIT mother",
        ("table public.foundling: expected ", "column public.foundling."),
    ),
    Feature(
        """CREATE TABLE kept (id int PRIMARY KEY WITH (fillfactor = 60), body text COMPRESSION pglz, other int NOT NULL)
        WITH (toast.autovacuum_enabled = false, parallel_workers = 3);
        CREATE UNIQUE INDEX kept_other ON kept (other); CREATE INDEX kept_half ON kept ((id / 2)) WITH (fillfactor = 70);
        ALTER TABLE kept REPLICA IDENTITY USING INDEX kept_other, CLUSTER ON kept_pkey;
        ALTER INDEX kept_half ALTER COLUMN 1 SET STATISTICS 77; ALTER TABLE kept ALTER body SET (n_distinct_inherited = -0.5)""",
        """ALTER INDEX kept_pkey RESET (fillfactor); ALTER INDEX kept_half ALTER COLUMN 1 SET STATISTICS 5;
        ALTER TABLE kept REPLICA IDENTITY DEFAULT, ALTER body SET COMPRESSION default, ALTER body RESET (n_distinct_inherited)""",
        (
            "constraint public.kept.kept_pkey: expected ",
            "index public.kept.kept_half: expected ",
            "table public.kept: expected ",
            "column public.kept.body: expected ",
        ),
    ),
    Feature(
        """CREATE TABLE firm (a int, b int, UNIQUE (a, b)); CREATE TABLE loose (a int, b int,
            CONSTRAINT whole FOREIGN KEY (a, b) REFERENCES firm (a, b) MATCH FULL ON UPDATE SET DEFAULT ON DELETE SET NULL,
            CONSTRAINT apart EXCLUDE USING btree (a WITH =) WHERE (b > 0) DEFERRABLE INITIALLY DEFERRED);
        ALTER TABLE loose ADD CONSTRAINT unchecked FOREIGN KEY (a, b) REFERENCES firm (a, b) NOT VALID""",
        "ALTER TABLE loose VALIDATE CONSTRAINT unchecked; ALTER TABLE loose ALTER CONSTRAINT whole DEFERRABLE",
        ("constraint public.loose.unchecked: expected ", "constraint public.loose.whole: expected "),
    ),
    Feature(
        """CREATE TABLE values_of (a int[], b int4range, c nummultirange, d tsvector, e bit varying(9), f json, g inet,
            h interval, i uuid, j point, k money, l "char", m name, n jsonpath, o pg_lsn, p oid, q regclass, r time with time zone);
        INSERT INTO values_of VALUES ('[0:1]={1,NULL}', '[1,5)', '{[1,2),[3,4)}', 'a:1 b', '101', '{"a": 1}', '10.0.0.1/8',
            '1 mon -2 days', '00000000-0000-0000-0000-000000000001', '(1,2)', 1.5, 'x', 'n', '$.a', '0/1', 1, 'pg_class', '10:00+04')""",
        "UPDATE values_of SET c = '{[1,2)}'",
        ("rows of public.values_of: expected ",),
    ),
    Feature(
        "CREATE TABLE forced (owner name); ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY theirs ON forced FOR INSERT TO pg_monitor, pg_read_all_stats WITH CHECK (owner = current_user)",
        "ALTER TABLE forced NO FORCE ROW LEVEL SECURITY; ALTER POLICY theirs ON forced TO pg_monitor",
        ("table public.forced: expected ", "policy public.forced.theirs: expected "),
    ),
    Feature(
        """CREATE TABLE partly (a int, b int); CREATE TABLE firmly (a int, b int, PRIMARY KEY (a, b));
        ALTER TABLE partly ADD CONSTRAINT one FOREIGN KEY (a, b) REFERENCES firmly ON DELETE SET NULL (b)""",
        "ALTER TABLE partly DROP CONSTRAINT one, ADD CONSTRAINT one FOREIGN KEY (a, b) REFERENCES firmly",
        ("constraint public.partly.one: expected ",),
        15,
    ),
    Feature(
        "CREATE TABLE nulls (a int UNIQUE NULLS NOT DISTINCT)",
        "ALTER TABLE nulls DROP CONSTRAINT nulls_a_key, ADD UNIQUE (a)",
        ("constraint public.nulls.nulls_a_key: expected ",),
        15,
    ),
    Feature(
        """CREATE EXTENSION btree_gist; CREATE TABLE rooms (id int, during daterange, PRIMARY KEY (id, during WITHOUT OVERLAPS));
        CREATE TABLE stays (id int, during daterange, room int,
            CONSTRAINT within FOREIGN KEY (room, PERIOD during) REFERENCES rooms (id, PERIOD during))""",
        "ALTER TABLE stays DROP CONSTRAINT within",
        ("constraint public.stays.within: missing",),
        18,
    ),
    Feature(
        """CREATE TABLE modern (id int, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL, thrice int GENERATED ALWAYS AS (id * 3) STORED,
            CONSTRAINT hopeful CHECK (id > 0) NOT ENFORCED, CONSTRAINT own NOT NULL id NO INHERIT, late int);
        INSERT INTO modern (id) VALUES (1); ALTER TABLE modern ADD CONSTRAINT later NOT NULL late NOT VALID""",
        """ALTER TABLE modern ALTER twice SET EXPRESSION AS (id * 4), DROP CONSTRAINT hopeful, ADD CONSTRAINT hopeful CHECK (id > 0);
        UPDATE modern SET late = 1; ALTER TABLE modern VALIDATE CONSTRAINT later, ALTER CONSTRAINT own INHERIT""",
        (
            "column public.modern.twice: expected ",
            "constraint public.modern.hopeful: expected ",
            "column public.modern.late: expected ",
            "column public.modern.id: expected ",
            "rows of public.modern: expected ",
        ),
        18,
    ),
    Feature(
        "CREATE UNLOGGED TABLE swift (id int GENERATED ALWAYS AS IDENTITY); CREATE UNLOGGED SEQUENCE swiftly AS smallint CACHE 5",
        "ALTER SEQUENCE swiftly SET LOGGED; ALTER TABLE swift ALTER id SET GENERATED BY DEFAULT",
        ("sequence public.swiftly: expected ", "column public.swift.id: expected "),
        15,
    ),
    Feature(
        "CREATE SEQUENCE round AS smallint MINVALUE -3 MAXVALUE 3 CYCLE; CREATE TABLE rounds (n int); ALTER SEQUENCE round OWNED BY rounds.n",
        "ALTER SEQUENCE round OWNED BY NONE NO CYCLE",
        ("sequence public.round: expected ",),
    ),
)
VIEWS = (
    Feature(
        """CREATE MATERIALIZED VIEW stored WITH (fillfactor = 80) AS SELECT 1 AS one, 'x'::text AS two;
        CREATE UNIQUE INDEX stored_one ON stored (one); ALTER MATERIALIZED VIEW stored CLUSTER ON stored_one;
        ALTER MATERIALIZED VIEW stored ALTER one SET STATISTICS 9, ALTER two SET STORAGE PLAIN""",
        "ALTER MATERIALIZED VIEW stored SET WITHOUT CLUSTER; ALTER MATERIALIZED VIEW stored ALTER two SET STORAGE EXTENDED",
        ("materialized view public.stored: expected ", "column public.stored.two: expected "),
    ),
    Feature(
        """CREATE TABLE behind (id int, note text); CREATE VIEW before AS SELECT * FROM behind;
        CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER instead INSTEAD OF INSERT ON before FOR EACH ROW EXECUTE FUNCTION instead();
        CREATE TRIGGER seen AFTER UPDATE ON behind REFERENCING OLD TABLE AS was NEW TABLE AS "is" EXECUTE FUNCTION instead('a', 'it''s');
        CREATE TRIGGER emptied BEFORE TRUNCATE ON behind EXECUTE FUNCTION instead(); ALTER TABLE behind ENABLE ALWAYS TRIGGER emptied;
        CREATE RULE many AS ON UPDATE TO before WHERE NEW.id > 1 DO INSTEAD (INSERT INTO behind VALUES (NEW.id); DELETE FROM behind);
        CREATE RULE noted AS ON DELETE TO behind DO ALSO NOTIFY told; ALTER TABLE behind DISABLE RULE noted""",
        "ALTER TABLE behind ENABLE REPLICA TRIGGER emptied; ALTER TABLE behind ENABLE REPLICA RULE noted; DROP RULE many ON before; DROP TRIGGER instead ON before",
        (
            "trigger public.behind.emptied: expected ",
            "rule public.behind.noted: expected ",
            "rule public.before.many: missing",
            "trigger public.before.instead: missing",
        ),
    ),
    Feature(
        "CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 9",
        "CREATE OR REPLACE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 8",
        ("view public.counting: expected ",),
    ),
    Feature(
        "CREATE VIEW as_asker WITH (security_invoker) AS SELECT 1 AS one",
        "ALTER VIEW as_asker RESET (security_invoker)",
        ("view public.as_asker: expected ",),
        15,
    ),
)
