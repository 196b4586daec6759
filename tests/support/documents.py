"""The project's documents as tests see them: files, code blocks, tables."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def _tracked() -> tuple[Path, ...]:
    """What is or could be committed: nothing that git ignores."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(sorted({path for path in paths if path.is_file()}))


def files() -> Iterator[tuple[Path, str]]:
    """Every text file with its text."""
    for path in _tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            yield path, data.decode(errors="replace")


def documents() -> list[Path]:
    """Every Markdown file."""
    return [path for path in _tracked() if path.suffix == ".md"]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def marked(path: Path, mark: str) -> str:
    """The one code block behind ``<!-- mark -->``."""
    (text,) = re.findall(rf"^<!-- {mark} -->\n```\w+\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    return text


def rows(path: Path, first_title: str) -> list[list[str]]:
    """The cells of the table whose first column has this title."""
    lines = path.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first_title} |"))
    body = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        body.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return body
