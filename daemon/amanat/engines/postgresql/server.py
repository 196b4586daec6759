"""Which server it was, how it orders and encodes text, and how far its WAL was."""

from collections.abc import Mapping

from amanat.engines.postgresql.connection import Session

_DATABASE = """
SELECT pg_encoding_to_char(encoding), to_jsonb(d) FROM pg_database d WHERE datname = current_database()
"""
# pg_current_wal_lsn is an error in recovery; CASE asks only what applies.
_WAL = """
SELECT pg_is_in_recovery(),
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text
"""
_MAY_IDENTIFY = "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
_IDENTIFIER = "SELECT system_identifier::text FROM pg_control_system()"
# pg_dump sets the others that change how values are written (``setup_connection`` of ``pg_dump.c``).
_READING = """
SELECT name, setting FROM pg_settings
WHERE name IN ('TimeZone', 'bytea_output', 'lc_monetary', 'xmlbinary')
"""
_LOCALE = (
    "datcollate",
    "datctype",
    "datlocprovider",
    "datlocale",
    "daticulocale",
    "daticurules",
    "datcollversion",
)
READING = "rows_read_with"
"""Under it the facts have the settings that a digest of rows depends on: with them COPY sends them the same."""


def facts(asked: Session) -> dict[str, object]:
    """To be asked while the session has the settings of its role and database, as pg_dump has them."""
    encoding, database = asked.ask(_DATABASE)[0]
    in_recovery, position = asked.ask(_WAL)[0]
    return {
        "server": {
            **identity(asked),
            "encoding": encoding,
            "locale": {name: database[name] for name in _LOCALE if database.get(name) is not None},
            "in_recovery": in_recovery,
            "wal_position": position,
        },
        READING: dict(asked.ask(_READING)),
    }


def identity(asked: Session) -> Mapping[str, str]:
    """Which server and database; not everybody may know the first."""
    database = {"database": asked.database_name}
    if not asked.ask(_MAY_IDENTIFY)[0][0]:
        return database
    return {"system_identifier": asked.ask(_IDENTIFIER)[0][0], **database}
