"""Memory that is not needed any more goes back to the system."""

import ctypes
import gc


def give_back() -> None:
    """After work that took much: glibc keeps what each thread has freed for itself (malloc_trim(3))."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
