"""Draws heed/rewards/pronouncing/stresses.txt.gz from a file of the CMU Pronouncing Dictionary.

python -m benchmarks.stresses path/to/cmudict.dict
"""

from __future__ import annotations

import gzip
import re
import sys
from collections import defaultdict
from pathlib import Path

from heed.files import new_file

TARGET = Path(__file__).parents[1] / "heed" / "rewards" / "pronouncing" / "stresses.txt.gz"


def main(dictionary: Path) -> None:
    """`word(2) P R AH0 N AW1 N S # comment` a line; the vowels end in their stress."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in dictionary.read_text(encoding="utf-8").splitlines():
        name, *phones = line.partition("#")[0].split() or [""]
        word = re.sub(r"\(\d+\)$", "", name)
        stressed = "".join(phone[-1] for phone in phones if phone[-1].isdigit())
        if re.fullmatch(r"[a-z']+", word) and stressed:
            found[word].add(stressed)
    groups: dict[str, list[str]] = defaultdict(list)
    for word, patterns in found.items():
        groups[" ".join(sorted(patterns))].append(word)
    lines = [f"{key}\t{' '.join(sorted(words))}\n" for key, words in sorted(groups.items())]
    with new_file(TARGET) as file:
        file.write(gzip.compress("".join(lines).encode("utf-8"), 9, mtime=0))
    print(f"{len(found)} words in {TARGET}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
