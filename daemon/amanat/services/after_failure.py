"""Back to the snapshot that a migration relied on, when its command has failed."""

from amanat.domain.account import Account
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError
from amanat.domain.model import Snapshot
from amanat.ports import Ports
from amanat.services import rollback
from amanat.services.beside.exchange import Done
from amanat.services.migrate import Order
from amanat.services.rollback import Wanted
from amanat.services.runs import outcome_of


def roll_back(ports: Ports, order: Order, snapshot: Snapshot, failure: str) -> Done:
    """Within the migration's mark, so that nobody's run begins in between. Errors are in the register, too.

    ``failure``: of the command.
    """
    purpose = f"{order.request.purpose}: {failure}"
    told = _newest(ports, snapshot.database)
    try:
        prospect = rollback.look(ports, order.request.database, snapshot.id)
        wanted = Wanted(prospect=prospect, by=order.request.by, purpose=purpose, wait=order.request.wait)
        return rollback.rollback(ports, wanted)
    except AmanatError as exc:
        if _newest(ports, snapshot.database) == told:  # it did not come as far as to tell of itself
            _tell(ports, order, snapshot, purpose, exc)
        raise


def _newest(ports: Ports, database: str) -> Entry | None:
    return next(iter(ports.register.entries_of([database], [EntryKind.ROLLBACK])), None)


def _tell(ports: Ports, order: Order, snapshot: Snapshot, purpose: str, error: AmanatError) -> None:
    account = Account(result=f"{snapshot.database} is as the command left it", failure=error.message)
    ports.register.append(
        Entry.about(
            snapshot,
            EntryKind.ROLLBACK,
            at=ports.now(),
            by=order.request.by,
            outcome=outcome_of(error),
            purpose=purpose,
            detail=account.as_text(),
        )
    )
