"""The hub's cache, what is said of being offline, and, asked for, whether the hub can be reached.

Whether there is a token is told, and never the token; of addresses no user or password.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from heed.doctoring.check import Check

GROUP = "Hub"
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY")
YES = ("1", "on", "yes", "true")
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
PATIENCE = 5.0
"""Seconds for the hub's answer, and for counting the cache."""
GB = 1e9
NO_ADDRESS = "an address that is none"


def hub(*, online: bool, environ: Mapping[str, str] = os.environ) -> Iterator[Check]:
    """All of it; goes online where `online` says so, and nowhere else."""
    yield cache(environ)
    offline = [name for name in OFFLINE if environ.get(name, "").lower() in YES]
    says = f"{', '.join(offline)}: nothing is downloaded" if offline else "models may be downloaded"
    yield Check(GROUP, "offline", "note" if offline else "fine", says, value=offline)
    has = token(environ)
    yield Check(
        GROUP, "token", "fine", "there is one" if has else "none (needed to push)", value=has
    )
    if proxies := [name for name in PROXIES if environ.get(name)]:
        yield Check(GROUP, "proxy", "fine", f"{', '.join(proxies)} set", value=proxies)
    if "HF_ENDPOINT" in environ:
        yield Check(GROUP, "endpoint", "note", plain(environ["HF_ENDPOINT"]))
    if online:
        yield reachable(environ)


def cache(environ: Mapping[str, str]) -> Check:
    """Where downloads lie and how much they take."""
    folder = cache_folder(environ)
    if not folder.is_dir():
        return Check(GROUP, "cache", "fine", f"{folder}, nothing in it yet", value=0)
    size, whole = _size(folder)
    amount = f"{size / GB:.1f} GB" + ("" if whole else " or more")
    if not os.access(folder, os.W_OK):
        return Check(
            GROUP, "cache", "note", f"{folder} ({amount}) cannot be written to",
            "set HF_HOME to a folder that can", size,
        )  # fmt: skip
    return Check(GROUP, "cache", "fine", f"{folder}, {amount}", value=size)


def cache_folder(environ: Mapping[str, str]) -> Path:
    """As huggingface_hub finds it."""
    home = environ.get("HF_HOME") or str(
        Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    )
    return Path(environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()


def token(environ: Mapping[str, str]) -> bool:
    """Whether there is one, in the environment or where `hf auth login` leaves it."""
    if any(environ.get(name) for name in TOKENS):
        return True
    home = environ.get("HF_HOME")
    place = Path(home) if home else cache_folder({**environ, "HF_HUB_CACHE": ""}).parent
    path = Path(environ.get("HF_TOKEN_PATH") or place / "token").expanduser()
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def reachable(environ: Mapping[str, str]) -> Check:
    """Ask the hub for its front door."""
    try:
        import httpx2
        from huggingface_hub import constants
    except ImportError as error:
        return Check(GROUP, "reachable", "note", f"cannot be asked: {error}")
    address = environ.get("HF_ENDPOINT") or constants.ENDPOINT
    began = time.monotonic()
    try:
        answer = httpx2.head(address, timeout=PATIENCE, follow_redirects=True)
    except Exception as error:  # an address or a proxy that is none raises whatever it likes,
        why = type(error).__name__  # with passwords in its words
        return Check(
            GROUP, "reachable", "note", f"{plain(address)} does not answer ({why})",
            "see to the network or the proxy, or work offline with a local model", False,
        )  # fmt: skip
    says = f"{plain(address)} answers ({answer.status_code}) in {time.monotonic() - began:.1f} s"
    return Check(GROUP, "reachable", "fine", says, value=True)


def plain(address: str) -> str:
    """An address without user, password and query."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return NO_ADDRESS
    # Without its scheme, a user would be read as one, and the password as a path.
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}" if parts.hostname else NO_ADDRESS


def _size(folder: Path) -> tuple[int, bool]:
    """Bytes in a folder, and whether all of it was counted in the time there is."""
    end, size = time.monotonic() + PATIENCE, 0
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if not path.is_symlink():
                try:
                    size += path.stat().st_size
                except OSError:
                    continue
        if time.monotonic() > end:
            return size, False
    return size, True
