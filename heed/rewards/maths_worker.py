"""The process behind `MathsScore`: [right, said] in, true or false out, a JSON line each."""

from __future__ import annotations

import json
import logging
import sys

from math_verify import parse, verify


def equal(right: str, said: str) -> bool:
    """Whether the last expression in `said` equals `right`, whatever way either is written."""
    # No time limits of math-verify's own: its signals do not stop what runs in C.
    gold = parse(right, parsing_timeout=None)
    return bool(verify(gold, parse(said, parsing_timeout=None), timeout_seconds=None))


def main() -> None:
    """Serve until standard input ends."""
    logging.disable()  # what cannot be parsed is wrong, and no news
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        right, said = json.loads(line)
        sys.stdout.write(json.dumps(equal(right, said)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
