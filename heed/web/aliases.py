"""The names that a member's votes and rulings stand under, apart from the member's own labels."""

from __future__ import annotations

import re

from heed.data.labels import ADJUDICATION
from heed.store.limits import NAME
from heed.store.members import Member

ARENA = "arena"
SOURCES = (ADJUDICATION, ARENA)
RESERVED = re.compile(rf"\((?:{'|'.join(SOURCES)}) #[0-9]+\)\s*$")


def alias(member: Member, source: str) -> str:
    """Such a name: the member's, shortened where it is long, and the number that tells it apart."""
    ending = f" ({source} #{member.id})"
    return member.name[: NAME - len(ending)] + ending


def reserved(name: str) -> bool:
    """Whether a name looks like an alias, which nobody may take: the real one could not vote."""
    return RESERVED.search(name) is not None
