"""Tables that an extension made and its users fill: their rows, and only those that the extension asks for, are kept."""

import secrets
import subprocess
from pathlib import Path

import pytest

from tests.support import archives

MEMBERS = """
CREATE TABLE settings (name text PRIMARY KEY, value text, shipped boolean NOT NULL DEFAULT false);
CREATE TABLE fixed (id int);
CREATE SEQUENCE numbers;
INSERT INTO settings VALUES ('shipped', 'by the extension', true);
INSERT INTO fixed VALUES (1);
SELECT pg_catalog.pg_extension_config_dump('settings', 'WHERE NOT shipped');
SELECT pg_catalog.pg_extension_config_dump('numbers', '');
"""
SETTINGS = "SELECT name, value, shipped FROM settings ORDER BY name"


@pytest.fixture
def extension(postgres_matrix):
    """An extension of that server, for as long as the test lasts."""
    name = f"amanat_test_{secrets.token_hex(4)}"
    asked = subprocess.run([postgres_matrix.bin / "pg_config", "--sharedir"], capture_output=True, check=True)
    folder = Path(asked.stdout.decode().strip()) / "extension"
    files = {folder / f"{name}.control": "default_version = '1'\n", folder / f"{name}--1.sql": MEMBERS}
    for path, text in files.items():
        path.write_text(text)
        path.chmod(0o644)
    yield name
    for path in files:
        path.unlink()


def test_rows_of_configuration_tables_come_back(postgres_matrix, extension, tmp_path):
    where = postgres_matrix.database(
        sql=f"CREATE EXTENSION {extension}; INSERT INTO settings VALUES (E'ours\\t\\\\', E'line\\nfeed');"
        "INSERT INTO fixed VALUES (2); SELECT setval('numbers', 42)"
    )
    archive = archives.rewritten(archives.dump(postgres_matrix, where), tmp_path / "a.dump")
    assert {data.entry.name: data.rows for data in archive.tables} == {"settings": 1}
    copy = postgres_matrix.database()
    archives.restore(postgres_matrix, tmp_path / "a.dump", copy)
    for sql in (SETTINGS, "SELECT last_value FROM numbers"):
        assert postgres_matrix.psql(sql, copy["dbname"]) == postgres_matrix.psql(sql, where["dbname"])
    assert postgres_matrix.psql("SELECT id FROM fixed", copy["dbname"]) == "1"
    assert archives.script(postgres_matrix, copy) == archives.script(postgres_matrix, where)
