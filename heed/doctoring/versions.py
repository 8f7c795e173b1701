"""Which versions are installed, which Heed needs, and what its extras are short of."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import TYPE_CHECKING

from heed import __version__
from heed.doctoring.check import Check, Level

if TYPE_CHECKING:
    from packaging.requirements import Requirement

GROUP, EXTRAS = "Versions", "Extras"
OLDEST = (3, 11)
"""Python, as `requires-python` says."""
KNOWN_BAD: Mapping[str, tuple[str, str]] = {}
"""Package -> (versions, why they do not do), where the minimum alone does not say it."""
FOR: Mapping[str, str] = {
    "postgres": "labels in PostgreSQL",
    "tracking": "TensorBoard, W&B and trackio",
    "encoder": "encoders as reward models, with real weights",
    "docs": "building the documentation",
}
"""What an extra is for."""
HIDDEN = ("dev",)
"""Extras that only who works on Heed wants."""
TOOLS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "browser": (
        ("chromium", "chromium-browser", "google-chrome", "chrome"),
        "tests of the pages, nothing else",
        "apt install chromium",
    ),
    "git": (("git",), "the commit in a run's provenance", "apt install git"),
}
"""Programs: their names, what for, and how they are had."""
Installed = Callable[[str], str | None]


def installed(name: str) -> str | None:
    """A package's version; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def versions(
    requires: list[str] | None = None,
    have: Installed = installed,
    known_bad: Mapping[str, tuple[str, str]] = KNOWN_BAD,
) -> Iterator[Check]:
    """Python, Heed and everything that Heed cannot do without."""
    yield _python()
    yield Check(GROUP, "heed", "fine", __version__, value=__version__)
    needed = _requirements(requires)
    if needed is None:
        yield Check(
            GROUP, "heed's requirements", "note",
            "cannot be read: Heed or the package `packaging` is not installed by pip",
            "pip install heed",
        )  # fmt: skip
        return
    for each in needed:
        if each.marker is None or each.marker.evaluate({"extra": ""}):
            yield _package(each, have(each.name), known_bad)


def extras(requires: list[str] | None = None, have: Installed = installed) -> Iterator[Check]:
    """Optional packages and programs: what each is for, and how it is had."""
    found: dict[str, list[Requirement]] = {}
    names = _extras_of_heed(requires)
    for each in _requirements(requires) or []:
        for name in names:
            marker = each.marker
            wanted = marker is not None and marker.evaluate({"extra": name})
            if wanted and marker is not None and not marker.evaluate({"extra": ""}):
                found.setdefault(name, []).append(each)
    for name, needs in found.items():
        lacking = [each.name for each in needs if have(each.name) is None]
        yield _optional(name, FOR.get(name, ""), lacking, f"pip install 'heed[{name}]'")
    lacking = [] if have("lm_eval") else ["lm_eval"]
    yield _optional("lm_eval", "tasks of lm-eval in evaluations", lacking, "pip install lm_eval")
    for name, (programs, why, how) in TOOLS.items():
        there = any(shutil.which(program) for program in programs)
        yield _optional(name, why, [] if there else [programs[0]], how)


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        return Check(
            GROUP, "python", "broken", f"{version}, and {wanted} is the oldest that does",
            f"install Python {wanted} or newer", version,
        )  # fmt: skip
    return Check(GROUP, "python", "fine", f"{version} ({sys.executable})", value=version)


def _package(
    need: Requirement, version: str | None, known_bad: Mapping[str, tuple[str, str]]
) -> Check:
    how = f"pip install '{need.name}{need.specifier}'"
    if version is None:
        return Check(GROUP, need.name, "broken", "is not installed", how)
    if not need.specifier.contains(version, prereleases=True):
        says = f"{version}, and Heed needs {need.specifier}"
        return Check(GROUP, need.name, "broken", says, how, version)
    if need.name in known_bad:
        from packaging.specifiers import SpecifierSet

        bad, why = known_bad[need.name]
        if SpecifierSet(bad).contains(version, prereleases=True):
            return Check(GROUP, need.name, "note", f"{version}: {why}", how, version)
    return Check(GROUP, need.name, "fine", version, value=version)


def _optional(name: str, why: str, lacking: list[str], how: str) -> Check:
    reason = f" (for {why})" if why else ""
    level: Level = "missing" if lacking else "fine"
    says = f"not there: {', '.join(lacking)}{reason}" if lacking else f"there{reason}"
    return Check(EXTRAS, name, level, says, how if lacking else "", not lacking)


def _requirements(given: list[str] | None) -> list[Requirement] | None:
    try:
        from packaging.requirements import Requirement

        texts = metadata.requires("heed") if given is None else given
    except (ImportError, metadata.PackageNotFoundError):
        return None
    return [Requirement(text) for text in texts or []]


def _extras_of_heed(given: list[str] | None) -> list[str]:
    if given is not None:
        import re

        return sorted({name for text in given for name in re.findall(r"extra == ['\"](\w+)", text)})
    try:
        names = metadata.metadata("heed").get_all("Provides-Extra") or []
    except metadata.PackageNotFoundError:
        return []
    return [name for name in names if name not in HIDDEN]
