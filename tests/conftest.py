"""Shared by all tests: shape checks in the maths, and no network."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

import jaxtyping

# Every shape annotation in the pure maths is checked while tests run, and only then.
jaxtyping.install_import_hook(["heed.ops", "heed.losses"], "beartype.beartype")
