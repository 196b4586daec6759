"""A wheel built from a clean tree, in an empty environment: the command and the demo work."""

import os
import re
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.cli import free_port

PROJECT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("AMANAT_TEST_CACHE", PROJECT / ".cache")) / "wheels"

pytestmark = pytest.mark.slow


def run(*argv, **options):
    return subprocess.run(
        [str(part) for part in argv], check=True, capture_output=True, text=True, **options
    ).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from what version control knows (and from changes not yet committed), nothing else."""
    tree = tmp_path_factory.mktemp("tree")
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=PROJECT).split("\0")
    for name in filter(None, names):
        if (PROJECT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((PROJECT / name).read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tree / "dist", cwd=tree)
    (built,) = (tree / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel and what it asks for; the packages come from a cache after the first time."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=True)
    pip = (folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    offline = ("install", "--quiet", "--no-index", "--find-links", CACHE, wheel)
    if subprocess.run([*pip, *offline], check=False, capture_output=True).returncode:
        versions = tmp_path_factory.mktemp("lock") / "versions.txt"
        locked = re.findall(r"^[\w.-]+==[^ ]+", (PROJECT / "requirements.lock").read_text(), re.MULTILINE)
        versions.write_text("\n".join(locked))
        run(*pip, "download", "--quiet", "--dest", CACHE, "--constraint", versions, wheel)
        (CACHE / wheel.name).unlink()
        run(*pip, *offline)
    return folder / "bin" / "amanat"


def test_it_holds_what_is_not_code(wheel):
    folder = PROJECT / "daemon"
    with zipfile.ZipFile(wheel) as archive:
        assert {str(path.relative_to(folder)) for path in folder.rglob("*.sql")} <= set(archive.namelist())


def test_it_says_its_version_and_its_help(installed, tmp_path):
    assert run(installed, "--version", cwd=tmp_path).startswith("amanat ")
    assert "snapshot" in run(installed, "--help", cwd=tmp_path)


def test_the_demo_shows_a_proven_snapshot_and_goes_on_until_ctrl_c(installed, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    env = {**os.environ, "AMANAT_HTTP": address, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [installed, "demo"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        shown = ""
        for line in demo.stdout:
            shown += line
            if "goes on until Ctrl-C" in line:
                break
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate(timeout=20)
    assert demo.returncode == 0, shown + rest
    assert "proven snapshot" in shown and "| scheduler |" in shown
    assert f"http://{address}/status" in shown and f"http://{address}/metrics" in shown
    assert list((tmp_path / "database-backups" / "demo").glob("*.manifest.json"))
