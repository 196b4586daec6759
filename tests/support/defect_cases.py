"""Each planted defect: how it gets there, and the words by which it is told.

Which command tells it, and how it ends, stands in documentation/proof.md alone: the test reads that table.
"""

from dataclasses import dataclass

from tests.support import defects
from tests.support.defects import (
    Plant,
    both,
    change_archive,
    change_register,
    change_sqlite,
    cover_tracks,
    edit_manifest,
    left_out,
    redefined,
    taken_anew,
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """``proof``: what ``verify`` and ``drill`` say; ``register``: what ``register verify`` does.

    In them ``{file}`` is the newer artefact's name, ``{older}`` the other's path in the store.
    """

    plant: Plant
    proof: tuple[str, ...] = ()
    register: tuple[str, ...] = ()


def covered(*plants: Plant, proof: tuple[str, ...] = ()) -> Case:
    return Case(plant=both(*plants, cover_tracks), proof=proof)


_NOT_WRITTEN = ("{file} is not what was written: SHA-256 ", "…, expected ")
_EDITED = ("the manifest of {file} was edited since it was written",)
_NOT_KNOWN = "manifest edited: the manifest of app/{file} is not what the register knows: "
_FACTS = f"{_NOT_KNOWN}its SHA-256, so facts, proof, recipe or another part"
_FINGERPRINT = "manifest 'app/{file}.manifest.json' cannot be read: facts.description.fingerprint is not that of"
ARTEFACT = {
    "a bit of the artefact flipped": Case(plant=defects.flip_a_bit, proof=_NOT_WRITTEN),
    "the artefact truncated": Case(plant=defects.truncate, proof=_NOT_WRITTEN),
    "the artefact swapped with another night's": Case(plant=defects.swap, proof=_NOT_WRITTEN),
    "artefact and manifest swapped with another night's": Case(
        plant=defects.swap_with_manifest,
        proof=("{file}.manifest.json names another artefact",),
        register=("manifest unreadable: ", "{file}.manifest.json names another artefact"),
    ),
}
# No engine is asked: on one of them is on both.
MANIFEST = {
    "the artefact's digest in the manifest edited": Case(
        plant=edit_manifest(defects.edit_digest),
        proof=("the manifest of {file} and the register disagree on its SHA-256: ", "… and ", "…"),
        register=(f"{_NOT_KNOWN}sha256 (expected ", ", found "),
    ),
    "the digest of a table's rows in the manifest edited": Case(
        plant=edit_manifest(defects.edit_digest_of_rows), proof=_EDITED, register=(_FACTS,)
    ),
    "the manifest's lines that restore edited": Case(
        plant=edit_manifest(defects.edit_recipe), proof=_EDITED, register=(_FACTS,)
    ),
    "an object taken out of the manifest's facts": Case(
        plant=edit_manifest(defects.edit_description),
        proof=(_FINGERPRINT,),
        register=(f"manifest unreadable: {_FINGERPRINT}",),
    ),
}
SQLITE = {
    "*covered*: a table's rows removed": covered(
        change_sqlite("DELETE FROM surveys"),
        proof=("rows of surveys: expected 500 rows with sha256:", ", found 0 rows with sha256:"),
    ),
    "*covered*: the artefact swapped with another night's": covered(
        defects.swap, proof=("rows of surveys: expected 500 rows with sha256:", ", found 500 rows with sha256:")
    ),
    "*covered*: the digest of a table's rows edited": covered(
        edit_manifest(defects.edit_digest_of_rows),
        proof=("rows of surveys: expected 500 rows with sha256:0000000000", ", found 500 rows with sha256:"),
    ),
    "*covered*: a table missing": covered(
        change_sqlite("DROP TABLE surveys"), proof=("{file} is not a readable", "tables are missing: surveys")
    ),
    "*covered*: an index missing": covered(
        change_sqlite("DROP INDEX surveys_owner"), proof=("index surveys.surveys_owner: missing",)
    ),
    "*covered*: a sequence behind": covered(
        change_sqlite("UPDATE sqlite_sequence SET seq = 100 WHERE name = 'users'"),
        proof=("value of sequence users: expected 501 as the next, found 101",),
    ),
    "*covered*: a reference broken": covered(
        change_sqlite("UPDATE surveys SET owner = 9999 WHERE id = 3"),
        proof=("{file} is not a readable", "it has 1 broken references, at snapshot time there were 0"),
    ),
    "*covered*: a row changed, of a policy whose proof is `readable`": covered(
        taken_anew(policy="lax"), change_sqlite("UPDATE surveys SET title = 'forged' WHERE id = 3")
    ),
}
POSTGRESQL = {
    "*covered*: a table's rows removed": covered(
        defects.no_rows("surveys"),
        proof=("rows of public.surveys: expected 500 rows with sha256:", ", found 0 rows with sha256:"),
    ),
    "*covered*: a table's rows removed, which others refer to": covered(
        defects.no_rows("users"),
        proof=('table "surveys" violates foreign key', 'Key (owner)=(1) is not present in table "users"'),
    ),
    "*covered*: a table's rows left out of the archive's contents": covered(
        change_archive("TABLE DATA", "surveys", left_out), proof=("{file} lacks rows of public.surveys",)
    ),
    "*covered*: the artefact swapped with another night's": covered(
        defects.swap,
        proof=("rows of public.surveys: expected 500 rows with sha256:", ", found 500 rows with sha256:"),
    ),
    "*covered*: the digest of a table's rows edited": covered(
        edit_manifest(defects.edit_digest_of_rows),
        proof=("rows of public.surveys: expected 500 rows with sha256:000000", ", found 500 rows with sha256:"),
    ),
    "*covered*: a table missing": covered(
        change_archive("TABLE DATA", "notes", left_out),
        change_archive("TABLE", "notes", left_out),
        proof=("{file} lacks tables public.notes",),
    ),
    "*covered*: an index missing": covered(
        change_archive("INDEX", "users_name", left_out), proof=("index public.users.users_name: missing",)
    ),
    "*covered*: a sequence behind": covered(
        change_archive("SEQUENCE SET", "users_id_seq", redefined(b"500, true", b"100, true")),
        proof=("value of sequence public.users_id_seq: expected 501 as the next, found 101",),
    ),
    "*covered*: a constraint not valid": covered(
        change_archive("FK CONSTRAINT", "surveys surveys_owner", redefined(b");", b") NOT VALID;")),
        proof=(
            "constraint public.surveys.surveys_owner: expected 'FOREIGN KEY (owner) REFERENCES public.users(id)'",
            ", found 'FOREIGN KEY (owner) REFERENCES public.users(id) NOT VALID'",
        ),
    ),
    "an extension of another version on the server": Case(
        plant=taken_anew(
            before="DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm VERSION '1.3'",
            after="DROP EXTENSION pg_trgm; CREATE EXTENSION pg_trgm",
        ),
        proof=("extension pg_trgm: expected '1.3 in public', found '1.6 in public'",),
    ),
    "a collation of another version on the server": Case(
        plant=taken_anew(
            before="UPDATE pg_collation SET collversion = '0.9' WHERE collname = 'words'",
            after="ALTER COLLATION words REFRESH VERSION",
        ),
        proof=("version of collation public.words: expected 0.9, found 1",),
    ),
    "a collation of which the server knows no version any more": Case(
        plant=taken_anew(
            before="UPDATE pg_database SET datcollversion = '2.28' WHERE datname = current_database()",
            after="UPDATE pg_database SET datcollversion = NULL WHERE datname = current_database()",
        ),
        proof=("version of collation database: expected 2.28, found none",),
    ),
}
_OF_OLDER = "WHERE path = (SELECT min(path) FROM snapshots)"
REGISTER = {
    "an entry edited": Case(
        plant=change_register("UPDATE entries SET by = 'nobody' WHERE sequence = 2"),
        register=("edited: entry 2 does not give the hash that it had",),
    ),
    "an entry edited, and the chain made anew from there": Case(
        plant=both(change_register("UPDATE entries SET by = 'nobody' WHERE sequence = 1"), defects.chain_anew),
        register=("edited: entry 2 is not the one that the manifest of app/{file} knows",),
    ),
    "an entry removed": Case(
        plant=change_register("DELETE FROM entries WHERE sequence = 2"),
        register=("removed: entry 2 is not there",),
    ),
    "entries reordered": Case(
        plant=change_register(
            "UPDATE entries SET sequence = 99 WHERE sequence = 2",
            "UPDATE entries SET sequence = 2 WHERE sequence = 3",
            "UPDATE entries SET sequence = 3 WHERE sequence = 99",
        ),
        register=("reordered: what stands at 2 was written as entry 3",),
    ),
    "the tail of the entries cut": Case(
        plant=change_register("DELETE FROM entries WHERE sequence = 4"),
        register=("tail cut: the register ends at entry 3, and there was an entry 4",),
    ),
    "the tail cut, and SQLite's counter set back": Case(
        plant=change_register(
            "DELETE FROM entries WHERE sequence > 1", "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'entries'"
        ),
        register=("tail cut: the register ends at entry 1, but the manifest of app/{file} knows entry 2",),
    ),
    "the newest entry cut, the counter and what it told of set back": Case(
        plant=change_register(
            "DELETE FROM entries WHERE sequence = 4",
            "DELETE FROM holds WHERE id = 2",
            "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'entries'",
        )
    ),
    "the proof in a snapshot's row edited": Case(
        plant=change_register(f"UPDATE snapshots SET proof = 'stored' {_OF_OLDER}"),
        register=(
            "row edited: the row of snapshot ",
            " is not as entry 2 says: proof (expected ",
            ", found stored)",
        ),
    ),
    "the digest in a snapshot's row edited": Case(
        plant=change_register("UPDATE snapshots SET sha256 = printf('%064d', 0)"),
        proof=(
            "the manifest of {file} and the register disagree on its SHA-256: ",
            "… and 0000000000000000…",
        ),
        register=(
            "row edited: the row of snapshot ",
            " is not as entry 4 says: sha256 (expected ",
            ", found 0000",
        ),
    ),
    "the row of a snapshot removed": Case(
        plant=change_register(f"DELETE FROM snapshots {_OF_OLDER}"),
        register=("row removed: entries tell of snapshot ", "not registered: {older} has a manifest, and no row"),
    ),
    "a hold removed": Case(
        plant=change_register("DELETE FROM holds WHERE id = 2"),
        register=("row edited: the row of snapshot {id} is not as entry 4 says: a hold",),
    ),
}
