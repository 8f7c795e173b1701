"""What some tests need beyond Python: a browser, a PostgreSQL server, an encoder, published data.

Where it is missing they are skipped and say so, unless HEED_REQUIRE names the browser, the server
or the encoder (as in CI): there a skip is a failure.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest


def missing(name: str, why: str) -> NoReturn:
    """Skip this test for want of `name`, or fail where that is required: "browser", "postgres" or
    "encoder".
    """
    if name in os.environ.get("HEED_REQUIRE", "").split():
        pytest.fail(f"HEED_REQUIRE names {name}, but {why}")
    pytest.skip(f"{name}: {why}")


def data_folder(variable: str, what: str) -> Path:
    """The folder that the environment names, of data too large to lie here; skips without it."""
    folder = os.environ.get(variable)
    if not folder:
        pytest.skip(f"{variable} does not name a folder of {what}")
    return Path(folder)
