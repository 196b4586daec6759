"""Where contract tests of PostgreSQL drills restore to: import the fixture ``place``."""

from pathlib import Path

import pytest

from amanat.ports.engine import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("folder", "scratch"):
        (tmp_path / name).mkdir()
    return Place(
        run="0123456789ab",
        folder=tmp_path / "folder",
        scratch=tmp_path / "scratch",
        is_dead=lambda run: run == "dead00000000",
    )
