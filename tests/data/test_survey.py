from __future__ import annotations

import json
from pathlib import Path

from heed.data.survey import describe, survey


def test_pairs_are_surveyed(tmp_path: Path) -> None:
    file = tmp_path / "prefs.jsonl"
    rows = [{"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "No."} for n in range(3)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, rows[0]]) + "{broken\n")
    found = survey([str(file)])
    assert found.formats == {str(file): "trl"}
    assert (found.rows, found.duplicates, len(found.comparisons)) == (5, 1, 3)
    assert found.comparisons[0].chosen == "Yes."
    assert found.comparisons[0].annotator == ""
    assert found.broken[0].place == f"{file}, line 5"
    assert describe(found)[0].startswith(f"{file}: 5 rows, read as 'trl'")
