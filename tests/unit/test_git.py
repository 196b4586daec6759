"""Which commit a folder is at, as git itself would say."""

import subprocess

import pytest

from amanat.host.git import commit_of


def git(folder, *words):
    said = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-c", "init.defaultBranch=main", *words]
    return subprocess.run(said, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "application"
    folder.mkdir()
    git(folder, "init")
    git(folder, "commit", "--allow-empty", "-m", "one")
    return folder


def test_a_branch_packed_or_not_and_no_branch_at_all(repository):
    first = git(repository, "rev-parse", "HEAD")
    assert commit_of(repository) == first
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    assert commit_of(repository) == first
    git(repository, "commit", "--allow-empty", "-m", "two")
    second = git(repository, "rev-parse", "HEAD")
    assert commit_of(repository) == second != first
    git(repository, "checkout", "--detach", first)
    assert commit_of(repository) == first


def test_a_folder_within_a_worktree(repository, tmp_path):
    git(repository, "worktree", "add", "-b", "feature/x", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "--allow-empty", "-m", "elsewhere")
    inner = tmp_path / "other" / "backend"
    inner.mkdir()
    assert commit_of(inner) == git(inner, "rev-parse", "HEAD") != commit_of(repository)
    git(repository, "pack-refs", "--all")
    assert commit_of(inner) == git(inner, "rev-parse", "HEAD")


def test_nothing_to_be_known(tmp_path):
    assert commit_of(tmp_path) is None
    assert commit_of(tmp_path / "gone") is None
    git(tmp_path, "init")
    assert commit_of(tmp_path) is None


@pytest.mark.parametrize(
    "head", [b"", b"\xff", b"ref: ../../etc/passwd", b"ref: HEAD", b"ref: /etc/hostname", b"x"]
)
def test_what_is_no_head(repository, head):
    (repository / ".git/HEAD").write_bytes(head)
    assert commit_of(repository) is None
