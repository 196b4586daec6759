"""What pg_restore complains of, at which item, and what that means for us.

In a pass that goes on after errors, those where a part of a database leads out of itself are no failure.
"""

import re
import textwrap
from dataclasses import dataclass

from amanat.domain.errors import AmanatError, IntegrityError, ProofError, SourceError, SpaceError, ToolError
from amanat.engines.postgresql.connection import Target
from amanat.engines.postgresql.restoring.passes import Pass
from amanat.engines.postgresql.symptoms import Symptom, recognise
from amanat.host.process import Finished

_ITEM = re.compile(r"(?:.*pg_restore: )?from TOC entry \d+; \d+ \d+ (.*)")
_ERROR = re.compile(r"(?:.*pg_restore: )?error: (.*)")
_LINE = re.compile(r"pg_restore: ")
_OF_THE_LEADER = "a worker process died unexpectedly"  # that comes after the worker's own words
_WENT_ON = "errors ignored on restore"
_SHOWN = 600
_LEADS_OUT = re.compile(r"ERROR: .*(does not exist|violates foreign key constraint)")
_DAMAGED = re.compile(
    "could not (read from input|uncompress|decompress|find block)|magic string|unrecognized data block"
    "|unexpected (block ID|section code)|corrupt|too short|does not appear to be a valid archive"
)
# The archive's own rows and constraints do not go together: no server takes it whole.
_CONTRADICTS = re.compile(
    "ERROR: +(insert or update on table|new row for relation|(null|duplicate key|conflicting key) value "
    "|could not create (unique index|exclusion constraint)|check constraint .* is violated)"
)
_SYMPTOMS = (
    Symptom(
        pattern='role "[^"]*" does not exist',
        hint="make the roles first, from the snapshot's .globals.sql, or restore without owners and grants",
    ),
    Symptom(
        pattern="extension control file|extension .* is not available|could not access file",
        hint="install the extension's package on the server that is to take the restore",
    ),
    Symptom(
        pattern="No space left on device|Disk quota exceeded",
        hint="make room on the disk of the server that is to take the restore",
        is_full=True,
    ),
    Symptom(
        pattern="permission denied|must be (owner|member|superuser|able to SET ROLE)",
        hint="restore as a superuser, or as the database's owner without owners and grants",
    ),
    Symptom(pattern="unrecognized configuration parameter", hint="use the pg_restore of the server's own version"),
)


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """``item``: such as ``TABLE DATA users owner``. ``said``: on one line."""

    item: str
    said: str

    def __str__(self) -> str:
        return f"at {self.item}: {self.said}" if self.item else self.said


class Complaints:
    """Of one pass. ``hear`` is called in a thread of its own, line by line."""

    def __init__(self) -> None:
        self._item = ""
        self._of: list[tuple[str, list[str]]] = []
        self._goes_on = False

    def hear(self, line: str) -> None:
        if match := _ITEM.match(line):
            self._item = match[1]
        elif match := _ERROR.match(line):
            self._of.append((self._item, [match[1]]))
            self._goes_on = True
        elif _LINE.match(line):
            self._goes_on = False
        elif self._goes_on and sum(map(len, self._of[-1][1])) < _SHOWN:
            self._of[-1][1].append(line)

    def all(self) -> list[Complaint]:
        """Those of the items; what the leader of the jobs says of its workers only if they said nothing."""
        found = [Complaint(item=item, said=_shortened(" ".join(lines))) for item, lines in self._of]
        return [one for one in found if _OF_THE_LEADER not in one.said] or found


def judged(finished: Finished, done: Pass, complaints: list[Complaint], target: Target) -> tuple[str, ...]:
    """What was left out, as warnings; raises what the pass failed of."""
    if finished.returncode == 0:
        return ()
    grave = [one for one in complaints if done.strict or not _LEADS_OUT.search(one.said)]
    if grave or finished.returncode != 1 or _WENT_ON not in finished.stderr:
        raise _failure(finished, grave or complaints, target)
    first = {one.item: one for one in reversed(complaints)}  # what cannot be made cannot get an owner either
    return tuple(f"left out, for it leads out of what the snapshot holds: {one}" for one in first.values())


def _failure(finished: Finished, complaints: list[Complaint], target: Target) -> AmanatError:
    said = str(complaints[0]) if complaints else _shortened(finished.stderr[-_SHOWN:])
    what = f"restore into {target.label}: pg_restore {finished.how}: {said}".rstrip(": ")
    if finished.returncode < 0 or _OF_THE_LEADER in said:
        return ToolError(what, hint="see the kernel's log: out of memory?")
    if "unsupported version" in said:
        return ToolError(what, hint="install a client as new as the pg_dump that made the archive")
    if "ERROR:" not in said and _DAMAGED.search(said):
        return IntegrityError(what, hint="restore another snapshot; `amanat verify` tells which are whole")
    if _CONTRADICTS.search(said):
        return ProofError(what, hint="rows were lost or changed, or were never right: restore another snapshot")
    if symptom := next((one for one in _SYMPTOMS if one.fits(said, None)), None) or recognise(said):
        kind = SpaceError if symptom.is_full else SourceError
        return kind(what, hint=symptom.hint, transient=symptom.transient)
    return SourceError(what, hint="see the server's log; what was restored so far is worth nothing")


def _shortened(text: str) -> str:
    return textwrap.shorten(text, _SHOWN, placeholder=" …")
