"""Stand-in until merged."""

from collections.abc import Mapping

from amanat.domain.hooks import Moment
from amanat.domain.policy import Database
from amanat.ports import Ports
from amanat.ports.run import Control


def run(p: Ports, d: Database, m: Moment, e: Mapping[str, str], c: Control) -> tuple[str, ...]:
    del p, d, m, e, c
    return ()
