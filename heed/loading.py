"""Loading large libraries."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Python's garbage collector rests within the block, and never looks at what was made in it.

    For imports: the million objects that come with torch, transformers and peft are there to stay,
    but the collector would go through all of them again and again while they are made (a quarter of
    the time that the import takes), and now and then for as long as the process lives.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was:
            gc.enable()
