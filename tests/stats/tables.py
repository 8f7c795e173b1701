"""Textbook tables, and the llmfao votes where they are at hand."""

from __future__ import annotations

import csv

from needs import data_folder

_ = float("nan")
KRIPPENDORFF = [
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
]
"""Three coders, fifteen units: Krippendorff's textbook example of alpha with missing values."""

PATIENTS = """
111 1 1 1 1|333 4 3 3 4|112 2 1 2 2|222 3 1 2 1|222 3 2 2 2|222 3 3 2 2
122 2 1 1 1|333 3 4 3 3|222 2 2 2 3|232 2 2 2 3|444 4 4 4 4|222 3 3 4 3
111 1 1 1 1|222 3 2 1 2|121 1 1 1 1|111 2 1 1 1|111 1 1 1 1|111 1 1 1 1
222 2 2 2 1|222 1 3 2 2|222 2 2 2 2|222 2 2 2 1|222 3 2 2 2|221 2 2 2 2
111 1 1 1 1|111 1 1 1 1|232 2 2 2 2|111 1 1 1 1|111 1 1 1 1|112 1 1 2 1
111 1 1 1 1|333 3 2 3 3|111 1 1 1 1|222 2 2 2 2|222 3 2 3 2|433 4 3 4 3
221 2 2 3 2|232 3 2 3 3|333 3 4 3 2|111 1 1 1 1|111 1 1 1 1|121 2 1 1 1
232 2 2 2 2|121 1 1 1 1|222 2 2 2 2
"""
"""45 patients by five observers, the first of whom saw each three times: classes 1 to 4 as they
were given (Dawid & Skene 1979, table 1).
"""


def patients() -> list[tuple[int, int, int]]:
    """The votes of that table: patient, observer, class."""
    rows = PATIENTS.strip().replace("\n", "|").split("|")
    return [
        (patient, observer, int(label))
        for patient, row in enumerate(rows)
        for observer, labels in enumerate(row.split())
        for label in labels
    ]


def llmfao() -> list[dict[str, str]]:
    """The crowd's votes, rows of crowd-comparisons.csv; skips the test without them."""
    folder = data_folder("HEED_LLMFAO_DATA", "the llmfao votes")
    with (folder / "crowd-comparisons.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
