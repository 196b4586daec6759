"""A database beside the live one takes its name and its properties, in one transaction and within a second."""

import os
import signal
import threading
from dataclasses import replace

import psycopg
import pytest

from amanat.domain.errors import BusyError, SourceError
from amanat.engines.postgresql.swapping import swap as swapping
from amanat.host.control import RunControl
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_server import SETTINGS, Workspace
from tests.support.postgres_swap import ON_BOTH_ENDS, Pair, connected, major, pair, postgres, writing
from tests.support.rehearsal_place import place

__all__ = ["major", "pair", "place", "postgres"]


@pytest.fixture
def at_once(monkeypatch):
    """There is one attempt only."""
    monkeypatch.setattr(swapping, "_PAUSES", ())


@ON_BOTH_ENDS
def test_it_takes_the_name_and_undo_brings_the_other_back(pair):
    done = pair.swap()
    assert pair.content() == "-2" and pair.there() == [pair.name, pair.before] and pair.is_swapped()
    assert f'ALTER DATABASE "{pair.beside}" RENAME TO "{pair.name}"' in done.statements
    assert done.statements[-1] == "COMMIT" and done.warnings == () and 0 < done.seconds < 1
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        psycopg.connect(**{**pair.live, "dbname": pair.before})
    undone = f"{pair.name}_before_undo"
    pair.swap(pair.before, undone)
    assert pair.content() == "-1" and pair.there() == [pair.name, undone]
    pair.swap(undone, pair.before)
    assert pair.content() == "-2" and pair.there() == [pair.name, pair.before]


PROPERTIES = """
SELECT pg_get_userbyid(datdba), datconnlimit, datallowconn, datistemplate,
  shobj_description(d.oid, 'pg_database'),
  (SELECT string_agg(concat_ws(' ', a.grantee::regrole, a.privilege_type, a.is_grantable), ', ' ORDER BY a::text)
   FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a),
  (SELECT string_agg(concat_ws(' ', setrole::regrole, c), ', ' ORDER BY setrole::regrole::text, c)
   FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = '{}'
"""


@ON_BOTH_ENDS
def test_what_the_server_keeps_of_the_live_one_goes_over_and_back(pair):
    owner, reader = pair.postgres.role(), pair.postgres.role()
    pair.postgres.psql(f"""
        ALTER DATABASE "{pair.name}" OWNER TO {owner};
        ALTER DATABASE "{pair.name}" CONNECTION LIMIT 17 IS_TEMPLATE true;
        COMMENT ON DATABASE "{pair.name}" IS E'it''s \\\\ "live"';
        REVOKE ALL ON DATABASE "{pair.name}" FROM PUBLIC;
        GRANT CONNECT ON DATABASE "{pair.name}" TO {reader} WITH GRANT OPTION;
        GRANT TEMPORARY ON DATABASE "{pair.name}" TO {reader};
        ALTER DATABASE "{pair.name}" SET work_mem TO '7MB';
        ALTER DATABASE "{pair.name}" SET search_path TO "$user", 'Odd, "name"', public;
        ALTER DATABASE "{pair.name}" SET app.note TO E'a=b \\\\ ''c''';
        ALTER DATABASE "{pair.name}" SET "TimeZone" TO 'Asia/Baku';
        ALTER ROLE {reader} IN DATABASE "{pair.name}" SET search_path TO '';
        ALTER ROLE {reader} IN DATABASE "{pair.name}" SET log_min_duration_statement TO 5;
        ALTER DATABASE "{pair.beside}" SET random_page_cost TO 7;
        ALTER ROLE {reader} IN DATABASE "{pair.beside}" SET random_page_cost TO 7;
        REVOKE ALL ON DATABASE "{pair.beside}" FROM PUBLIC""")
    properties = pair.postgres.psql(PROPERTIES.format(pair.name))
    assert "Odd, " in properties and "17|t|t" in properties
    assert pair.swap().warnings == ()
    assert pair.postgres.psql(PROPERTIES.format(pair.name)) == properties
    assert "|17|f|f|" in pair.postgres.psql(PROPERTIES.format(pair.before))
    with connected(pair.live, user=reader) as connection:
        assert connection.execute("SHOW search_path").fetchone() == ('""',)
        assert connection.execute("SHOW app.note").fetchone() == ("a=b \\ 'c'",)


def test_what_was_changed_since_stays_with_the_name(pair):
    """Undo brings back the rows, not what somebody has set for the database meanwhile; once more there is nothing to do."""
    pair.postgres.psql(f"""
        ALTER DATABASE "{pair.name}" SET work_mem TO '7MB';
        COMMENT ON DATABASE "{pair.name}" IS 'first'""")
    pair.swap()
    pair.postgres.psql(f"""
        ALTER DATABASE "{pair.name}" RESET work_mem;
        COMMENT ON DATABASE "{pair.name}" IS NULL;
        REVOKE ALL ON DATABASE "{pair.name}" FROM PUBLIC""")
    properties = pair.postgres.psql(PROPERTIES.format(pair.name))
    pair.swap(pair.before, pair.beside)
    assert pair.postgres.psql(PROPERTIES.format(pair.name)) == properties and pair.content() == "-1"
    again = pair.swap().statements
    assert pair.postgres.psql(PROPERTIES.format(pair.name)) == properties and pair.content() == "-2"
    assert [
        each.split('" ')[-1] for each in again if each.startswith(("ALTER", "GRANT", "REVOKE", "COMMENT"))
    ] == [
        "ALLOW_CONNECTIONS true",
        f'RENAME TO "{pair.before}"',
        f'RENAME TO "{pair.name}"',
        "ALLOW_CONNECTIONS false",
    ]


@ON_BOTH_ENDS
def test_a_live_writer_that_connects_again_at_once_is_kept_out_for_less_than_a_second(pair):
    with writing(pair.live, 4) as writers, connected(pair.live) as idle:
        idle.execute("BEGIN; SELECT count(*) FROM writes")
        done = pair.swap()
        with pytest.raises(psycopg.OperationalError, match="terminating connection"):
            idle.execute("SELECT 1")
    gaps = [writer.longest_gap() for writer in writers]
    print(
        f"PostgreSQL {pair.postgres.major}: told {done.seconds:.3f} s, gaps {', '.join(f'{g:.3f}' for g in gaps)}"
    )
    assert max(gaps) < 1 and done.seconds < 1
    assert pair.content() == "-2" and pair.postgres.psql("SELECT count(*) > 20 FROM writes", pair.name) == "t"


@ON_BOTH_ENDS
def test_a_plain_role_swaps_and_tells_the_settings_that_it_may_not_give(pair):
    role, owner = pair.plain_roles()
    pair.postgres.psql(f"""
        ALTER DATABASE "{pair.name}" SET work_mem TO '7MB';
        ALTER DATABASE "{pair.name}" SET log_min_duration_statement TO 7""")
    with connected(pair.live, user=pair.postgres.role()):
        (warning,) = pair.swap(server=pair.by(role)).warnings
    assert f'ALTER DATABASE "{pair.name}" SET "log_min_duration_statement" TO \'7\' (' in warning
    assert "permission denied" in warning
    properties = pair.postgres.psql(PROPERTIES.format(pair.name))
    assert properties.startswith(f"{owner}|-1|t|f|") and properties.endswith("|- work_mem=7MB")
    assert pair.content() == "-2"


@ON_BOTH_ENDS
def test_a_setting_that_a_plain_role_could_not_give_is_not_taken_from_the_database_that_has_it(pair):
    """Nobody has reset it: who may do so swaps back, and once more."""
    role, owner = pair.plain_roles()
    pair.postgres.psql(f"""
        ALTER DATABASE "{pair.name}" SET work_mem TO '7MB';
        ALTER DATABASE "{pair.name}" SET log_min_duration_statement TO 7;
        ALTER ROLE {owner} IN DATABASE "{pair.name}" SET log_min_duration_statement TO 8;
        COMMENT ON DATABASE "{pair.name}" IS 'first'""")
    properties = pair.postgres.psql(PROPERTIES.format(pair.name))
    assert pair.swap(server=pair.by(role)).warnings
    pair.postgres.psql(f'ALTER DATABASE "{pair.name}" RESET work_mem')
    assert pair.swap(pair.before, pair.beside).warnings == ()
    assert pair.postgres.psql(PROPERTIES.format(pair.name)) == properties.replace(", - work_mem=7MB", "")
    assert pair.swap().warnings == ()
    assert pair.postgres.psql(PROPERTIES.format(pair.name)) == properties.replace(", - work_mem=7MB", "")
    pair.postgres.psql(f'ALTER DATABASE "{pair.name}" RESET log_min_duration_statement')
    pair.swap(pair.before, pair.beside)
    assert "- log_min_duration_statement" not in pair.postgres.psql(PROPERTIES.format(pair.name))


@ON_BOTH_ENDS
def test_a_session_that_the_role_may_not_end_is_named_and_nobody_is_ended(pair, at_once):
    role, owner = pair.plain_roles()
    with connected(pair.live, application_name="psql") as mighty, connected(pair.live, user=owner) as other:
        with pytest.raises(BusyError, match=rf"session {mighty.info.backend_pid} \(user postgres, psql\)"):
            pair.swap(server=pair.by(role))
        assert [each.execute("SELECT 1").fetchone() for each in (mighty, other)] == [(1,), (1,)]
    assert pair.is_unchanged()


@pytest.mark.slow
def test_who_has_a_database_locked_is_named(pair, at_once):
    """A copy of it, for one; the writers go on when the attempt is over."""
    with connected({**pair.live, "dbname": "postgres"}) as holder:
        holder.execute("BEGIN")
        holder.execute(f'COMMENT ON DATABASE "{pair.beside}" IS NULL')
        with (
            writing(pair.live, 1),
            pytest.raises(
                BusyError, match=rf"session {holder.info.backend_pid} \(user postgres\) in {pair.beside}"
            ),
        ):
            pair.swap()
    assert pair.is_unchanged()


@pytest.mark.slow
def test_a_session_that_does_not_end_is_named(pair, at_once):
    with connected(pair.live, application_name="stuck") as stuck:
        pid = stuck.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(BusyError, match=rf"session {pid} \(user postgres, stuck\) in {pair.name} "):
                pair.swap()
        finally:
            os.kill(pid, signal.SIGCONT)
    assert pair.is_unchanged()


@pytest.mark.slow
def test_who_is_in_the_way_for_a_moment_only_is_waited_for(pair):
    with connected({**pair.live, "dbname": "postgres"}) as holder:
        holder.execute("BEGIN")
        holder.execute(f'COMMENT ON DATABASE "{pair.name}" IS NULL')
        timer = threading.Timer(1.5, lambda: holder.execute("COMMIT"))
        timer.start()
        pair.swap()
        timer.join()
    assert pair.content() == "-2"


def test_a_name_that_is_taken_leaves_all_as_it_was(pair):
    pair.postgres.database(pair.before)
    with pytest.raises(SourceError, match="already exists"):
        pair.swap()
    assert pair.content() == "-1" and pair.there() == [pair.name, pair.beside, pair.before]
    assert not pair.is_swapped()


def test_a_prepared_transaction_is_named_before_anybody_is_ended(pair, at_once):
    with pair.left_over(), connected(pair.live) as other:
        with pytest.raises(BusyError, match=f"the prepared transaction left over of postgres in {pair.name}"):
            pair.swap()
        assert other.execute("SELECT 1").fetchone() == (1,)
    assert pair.is_unchanged()


@pytest.fixture(scope="module")
def publishing():
    """A server whose databases may be published and subscribed to."""
    workspace = Workspace(settings={**SETTINGS, "wal_level": "logical"})
    yield workspace
    workspace.close()


def test_what_cannot_go_over_is_told(publishing, place):
    postgres = Postgres(publishing.server(15))
    pair = Pair(postgres, place)
    postgres.psql("SET allow_in_place_tablespaces = on; CREATE TABLESPACE elsewhere LOCATION ''")
    postgres.psql(f'ALTER DATABASE "{pair.name}" SET TABLESPACE elsewhere')
    postgres.psql(
        f"""CREATE SUBSCRIPTION far CONNECTION 'host=127.0.0.1 port=1' PUBLICATION told WITH (connect = false);
        SELECT pg_create_logical_replication_slot('told', 'pgoutput');
        INSERT INTO pg_shseclabel SELECT oid, 'pg_database'::regclass, 'guard', 'it''s secret'
            FROM pg_database WHERE datname = '{pair.name}'""",
        pair.name,
    )
    told = []
    swapping.require(pair.server, None, replace(place, warn=told.append), RunControl())
    subscription, slot, tablespace, label = pair.swap().warnings
    assert told == [f"once it is swapped: {subscription}", f"once it is swapped: {slot}"]
    assert f"the subscription far stays with {pair.before}, " in subscription
    assert f"the logical replication slot told stays with {pair.before}: " in slot
    assert (
        f'was in elsewhere before; to move it while nobody is connected: ALTER DATABASE "{pair.name}" SET '
        in tablespace
    )
    assert f"""SECURITY LABEL FOR "guard" ON DATABASE "{pair.name}" IS 'it''s secret'""" in label
    (back,) = pair.swap(pair.before, pair.beside).warnings
    assert f"{pair.name} is in tablespace elsewhere, and was in pg_default before" in back
