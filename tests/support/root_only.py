"""A pytest plugin for tests that need root: as root they run; elsewhere the report's last lines say so."""

import os

import pytest

_REASON = "needs root: it boots a systemd of its own, or mounts a file system"


@pytest.fixture(scope="session")
def root() -> None:
    """Whoever depends on it runs as root, and is never skipped there."""
    if os.geteuid() != 0:
        pytest.skip(_REASON)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(_REASON in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section("NOT RUN", red=True, bold=True)
        terminalreporter.write_line(
            f"{count} tests that boot a systemd or mount a file system need root; as root, none is skipped."
        )
