"""The store as a folder: commit with the manifest last, no path leaves it, strangers are told apart."""

import errno
import itertools
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from amanat.domain.errors import IntegrityError, SpaceError, StoreError
from amanat.domain.manifest import Manifest, decode, encode
from amanat.domain.model import Facts, Scope
from amanat.host import files
from amanat.host.control import RunControl
from amanat.store.local import LocalStore
from tests.support.snapshots import snapshot

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
FACTS = Facts(engine_version="3.40.1", source_bytes=3, tables=("users",), counts={"users": 1}, extra={"a": [1]})


@pytest.fixture
def store(tmp_path):
    made = LocalStore(tmp_path / "store")
    made.root.mkdir(mode=0o700)
    made.require()
    return made


def manifest(path="atis/a.sqlite", **said):
    return Manifest(
        snapshot=snapshot(T, path=path, source_bytes=3, scope=Scope(tables=("users",)), **said),
        facts=FACTS,
        tools={"sqlite": "3.40.1"},
        recipe=("cp a b",),
    )


def commit(store, made=None):
    made = made or manifest()
    assert store.is_free(made.snapshot.path)
    with store.staging("run1") as folder:
        (folder / "artefact").write_bytes(b"abc")
        digest = store.commit(made, folder / "artefact", {})
    return replace(made, snapshot=replace(made.snapshot, manifest_sha256=digest))


def test_a_manifest_survives_the_way_to_disk_and_back(store):
    made = commit(store)
    assert store.read_manifest("atis/a.sqlite") == made
    read = decode(json.loads(json.dumps(encode(made))), "atis/a.dump.manifest.json")
    assert replace(made, snapshot=replace(made.snapshot, manifest_sha256=None)) == read
    names = sorted(item.name for item in (store.root / "atis").iterdir())
    assert names == ["a.sqlite", "a.sqlite.manifest.json"]


def test_modes_are_private_whatever_the_umask_is(store):
    before = os.umask(0)
    try:
        commit(store)
    finally:
        os.umask(before)
    modes = {item.name: stat.S_IMODE(item.stat().st_mode) for item in (store.root / "atis").iterdir()}
    assert modes["a.sqlite.manifest.json"] == 0o600
    assert stat.S_IMODE((store.root / "atis").stat().st_mode) == 0o700


def test_staging_goes_with_all_that_is_in_it(store):
    with pytest.raises(ZeroDivisionError), store.staging("run1") as folder:
        (folder / "half").write_bytes(b"x")
        raise ZeroDivisionError
    assert store.staged_runs() == []


def test_a_path_is_taken_by_a_file_or_a_manifest_or_a_dangling_link(store):
    commit(store)
    assert not store.is_free("atis/a.sqlite")
    assert store.is_free("atis/b.sqlite")
    (store.root / "atis" / "b.sqlite.manifest.json").touch()
    (store.root / "atis" / "c.sqlite").symlink_to("nowhere")
    assert not store.is_free("atis/b.sqlite")
    assert not store.is_free("atis/c.sqlite")


@pytest.mark.parametrize("good_syncs", [0, 1])
def test_a_commit_that_fails_takes_its_files_back(store, monkeypatch, good_syncs):
    """Before and after the manifest is in place."""
    syncs = itertools.count()
    sync = files.sync

    def failing(path):
        if path == store.root / "atis" and next(syncs) == good_syncs:
            raise OSError(28, "No space left on device")
        sync(path)

    monkeypatch.setattr(files, "sync", failing)
    with pytest.raises(SpaceError, match="cannot be put into place"):
        commit(store)
    assert list((store.root / "atis").iterdir()) == []


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "atis/../../x", "a/b/c", "x", "", "atis/.."])
def test_no_path_leaves_the_store(store, path):
    with pytest.raises(StoreError):
        store.path(path)


def test_a_symlinked_folder_is_not_followed(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.sqlite").touch()
    (store.root / "atis").symlink_to(outside)
    with pytest.raises(StoreError, match="symlink"):
        store.delete("atis/precious.sqlite", ())
    assert (outside / "precious.sqlite").exists()


def test_deleting_a_symlink_removes_the_link_alone(store, tmp_path):
    target = tmp_path / "target"
    target.touch()
    (store.root / "atis").mkdir()
    (store.root / "atis" / "a.sqlite").symlink_to(target)
    store.delete("atis/a.sqlite", ())
    assert target.exists() and not (store.root / "atis" / "a.sqlite").is_symlink()


def test_the_survey_tells_manifests_from_other_files_by_name(store):
    commit(store)
    (store.root / "README.md").touch()
    (store.root / ".staging" / "run").mkdir(parents=True)
    (store.root / ".staging" / "run" / "half.sqlite").touch()
    (store.root / "atis" / "mine.txt").touch()
    (store.root / "atis" / "dangling").symlink_to("nowhere")
    (store.root / "atis" / "b.sqlite.manifest.json").write_text("{}")
    (store.root / "atis" / "old").mkdir()
    (store.root / "atis" / "old" / "c.sqlite.manifest.json").touch()
    (store.root / "loose.dump").touch()
    found = store.survey()
    assert found.marked == {"atis/a.sqlite", "atis/b.sqlite"}
    nested = "atis/old/c.sqlite.manifest.json"  # a copy of a folder: no place of ours
    assert found.present == {"atis/a.sqlite", "atis/mine.txt", "atis/dangling", nested, "loose.dump"}


def test_a_folder_that_is_not_ours_to_read_does_not_stop_the_survey(store, monkeypatch):
    """``lost+found`` lies at the top of a file system of its own, and belongs to root."""
    commit(store)
    (store.root / "lost+found").mkdir()
    scandir = os.scandir

    def refused(folder):
        if str(folder).endswith("lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)  # root may look everywhere
    assert store.survey().present == {"atis/a.sqlite"}


def test_units_are_what_the_store_holds(store):
    commit(store)
    commit(store, manifest("atis/b.sqlite"))
    commit(store, manifest("atis/c.sqlite"))
    (store.root / "atis" / "b.sqlite").unlink()
    (store.root / "atis" / "c.sqlite.manifest.json").unlink()
    (store.root / "atis" / "d.sqlite").mkdir()
    (store.root / "atis" / "d.sqlite.manifest.json").touch()
    assert store.units("atis") == {"atis/a.sqlite"}
    paths = (f"atis/{name}.sqlite" for name in "abcd")
    assert {path for path in paths if store.holds(path)} == store.units("atis")
    assert store.units("other") == frozenset()
    (store.root / "linked").symlink_to(store.root / "atis")
    with pytest.raises(StoreError, match="is a symlink"):
        store.units("linked")


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"taken_at": "yesterday"},
        {"engine": "oracle"},
        {"artefact": {"file": "../../etc/passwd", "size_bytes": 1, "sha256": "", "archive_version": ""}},
        {"companions": [{"file": "/x", "size_bytes": 1, "sha256": ""}]},
        {"facts": None},
    ],
)
def test_an_edited_manifest_is_an_integrity_error(store, change):
    commit(store)
    file = store.root / "atis" / "a.sqlite.manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(IntegrityError):
        store.read_manifest("atis/a.sqlite")


def test_a_manifest_moved_to_another_artefact_is_refused(store):
    commit(store)
    file = store.root / "atis" / "a.sqlite.manifest.json"
    file.rename(store.root / "atis" / "other.sqlite.manifest.json")
    with pytest.raises(IntegrityError, match="names another artefact"):
        store.read_manifest("atis/other.sqlite")


def test_a_missing_store_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(StoreError, match="is missing") as caught:
        LocalStore(tmp_path / "nowhere").require()
    assert "mkdir" in caught.value.hint


def test_handing_out_links_and_never_overwrites(store, tmp_path):
    commit(store)
    handed = store.hand_out("atis/a.sqlite", tmp_path)
    assert handed.stat().st_ino == store.path("atis/a.sqlite").stat().st_ino
    with pytest.raises(StoreError):
        store.hand_out("atis/a.sqlite", tmp_path)


def test_describe_and_reread_agree(store, tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"abc")
    size, digest = store.describe(file, RunControl())
    assert (size, digest[:8]) == (3, "ba7816bf")  # FIPS 180-2, appendix B.1
    assert store.reread(file, RunControl()) == digest
