"""Collection of garbage, which waits while a command is imported.

Almost nothing that an import creates becomes garbage, but a collection looks at all of it: several times during the
imports, later in every full collection of a long command, and twice more when the process ends.
"""

import gc


def pause_collection() -> None:
    """Collect no garbage until `resume_collection`."""
    gc.disable()


def resume_collection() -> None:
    """Collect garbage again, but not among the objects that are there now."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def skip_last_collections() -> None:
    """Leave the memory to the operating system when the process ends. Files must have been closed before."""
    gc.freeze()
