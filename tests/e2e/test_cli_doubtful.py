"""What `show` and `verify` say of a snapshot that is not what it was: before anybody restores it."""

import pytest

from tests.support.scene import staged

RECIPE = "To restore it by hand"


@pytest.fixture
def amanat(tmp_path):
    return staged(tmp_path)


@pytest.fixture
def taken(amanat):
    return amanat.json("snapshot", "app")


def test_a_sound_one_has_no_warning(amanat, taken):
    shown = amanat.json("show", taken["id"])
    assert (shown["problem"], shown["manifest"]) == ("", f"{taken['path']}.manifest.json")
    text = amanat.ok("show", taken["id"])
    assert "WARNING" not in text
    assert shown["manifest"] in text


def test_a_damaged_one_is_shown_with_a_warning_above_its_recipe(amanat, taken):
    (amanat.store / taken["path"]).write_bytes(b"")
    amanat.fails(7, "verify", taken["id"])
    warning, recipe = amanat.ok("show", taken["id"]).split(RECIPE)
    assert "\nWARNING: it is damaged: " in warning
    assert "is not what was written: SHA-256" in warning
    assert "target=" in recipe
    assert "is not what was written" in amanat.json("show", taken["id"])["problem"]


@pytest.mark.parametrize("known", [False, True], ids=["not yet noticed", "noticed"])
def test_one_whose_file_is_gone_is_shown_with_a_warning(amanat, taken, known):
    artefact = amanat.store / taken["path"]
    artefact.unlink()
    said = f"{artefact} is gone; its manifest {artefact.name}.manifest.json still lies there"
    if known:
        assert said in amanat.fails(7, "verify", taken["id"])
        assert said in amanat.fails(5, "verify", taken["id"])
    assert f"\nWARNING: {said}\n" in amanat.ok("show", taken["id"])
    assert amanat.json("show", taken["id"])["problem"] == said


def test_one_of_which_nothing_is_left(amanat, taken):
    artefact = amanat.store / taken["path"]
    artefact.unlink()
    artefact.with_name(f"{artefact.name}.manifest.json").unlink()
    said = f"{artefact} and its manifest are gone"
    assert said in amanat.fails(7, "verify", taken["id"])
    shown = amanat.ok("show", taken["id"])
    assert f"\nWARNING: {said}\n" in shown
    assert RECIPE not in shown


def test_one_whose_manifest_is_gone(amanat, taken):
    artefact = amanat.store / taken["path"]
    manifest = artefact.with_name(f"{artefact.name}.manifest.json")
    manifest.unlink()
    assert str(manifest) in amanat.fails(7, "show", taken["id"])
    amanat.ok("reconcile")
    assert f"\nWARNING: {manifest} is gone; {artefact.name} still lies there\n" in amanat.ok("show", taken["id"])
