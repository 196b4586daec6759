"""One tree of errors; each kind knows its exit code (design: the exit codes are an API).

A message names the thing and the reason, the hint names the remedy. Only kinds whose handling differs
get a class; ``transient`` is what retries look at.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the command line; ``documentation/exit-codes.md`` is checked against it."""

    DONE = 0
    BUG = 1
    USAGE = 2
    FAILED = 3
    REFUSED = 4
    NOT_FOUND = 5
    BUSY = 6
    INTEGRITY = 7
    HUNG_UP = 129
    INTERRUPTED = 130
    QUIT = 131
    TERMINATED = 143


class AmanatError(Exception):
    """Root of all errors that Amanat raises on purpose."""

    exit_code = ExitCode.FAILED
    kind = "failed"

    def __init__(self, message: str, *, hint: str = "", transient: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.transient = transient

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigurationError(AmanatError):
    """The configuration or the command line cannot be used as it is."""

    exit_code = ExitCode.USAGE
    kind = "configuration"


class SourceError(AmanatError):
    """The database cannot be read: missing, unreachable, refused, not a database."""

    kind = "source"


class ToolError(AmanatError):
    """A client tool is missing, does not fit, or failed."""

    kind = "tool"


class SwappedError(AmanatError):
    """Another database is live, as it was wanted, and what came after the swap failed."""

    kind = "swapped"


class StoreError(AmanatError):
    """The store cannot be written or read."""

    kind = "store"


class SpaceError(StoreError):
    """Too little free space for what is about to be written."""

    kind = "space"


class RegisterError(AmanatError):
    """The register cannot be opened, read or written."""

    kind = "register"


class ProofError(AmanatError):
    """A snapshot did not reach the proof asked for."""

    kind = "proof"


class DriftError(AmanatError):
    """A snapshot was restored on a server that is not what it was."""

    kind = "drift"


class AnswerError(AmanatError):
    """A question of the user's own to a restored database had another answer than expected, or none."""

    kind = "answer"


class TimeoutExceededError(AmanatError):
    """The run took longer than its policy allows, and was stopped."""

    kind = "timeout"


class InterruptedRunError(AmanatError):
    """The run was told to stop (SIGTERM, SIGINT)."""

    exit_code = ExitCode.TERMINATED
    kind = "interrupted"


class RefusedError(AmanatError):
    """A guard said no."""

    exit_code = ExitCode.REFUSED
    kind = "refused"


class OutputError(AmanatError):
    """What a command had to say could not be written."""

    kind = "output"


class NotFoundError(AmanatError):
    """No such database, policy or snapshot."""

    exit_code = ExitCode.NOT_FOUND
    kind = "not-found"


class BusyError(AmanatError):
    """Somebody else holds the lock past the wait."""

    exit_code = ExitCode.BUSY
    kind = "busy"


class YieldedError(AmanatError):
    """The run stood back, so that somebody else's work could go on."""

    exit_code = ExitCode.BUSY
    kind = "yielded"


class IntegrityError(AmanatError):
    """A snapshot or the register is not what it was."""

    exit_code = ExitCode.INTEGRITY
    kind = "integrity"
