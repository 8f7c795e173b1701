"""llmfao's two files: votes, and the texts they are about."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from needs import data_folder

from heed.data.preferences import Gathering, read_preferences
from heed.errors import UserError

# Ten votes in the published form (CC-BY-4.0, github.com/dustalov/llmfao); the texts are shortened.
VOTES = """id,prompt,model_x,model_y,worker,winner,left,right
0,8,97,98,58,tie,Airoboros L2 70B,Weaver 12k
0,8,97,98,83,tie,Airoboros L2 70B,Weaver 12k
0,8,97,98,14,left,Airoboros L2 70B,Weaver 12k
0,8,97,98,116,right,Airoboros L2 70B,Weaver 12k
1,8,29,98,58,left,Falcon Instruct (40B),Weaver 12k
1,8,29,98,83,left,Falcon Instruct (40B),Weaver 12k
1,8,29,98,14,tie,Falcon Instruct (40B),Weaver 12k
2,8,98,5,58,right,Weaver 12k,Command
2,8,98,5,83,left,Weaver 12k,Command
2,8,98,5,14,left,Weaver 12k,Command
"""
ASK = "Argue for and against the use of kubernetes in the style of a haiku."
PAIRS = [
    {"id": id, "prompt": 8, "text": ASK, "type": "reflexion", "slug": "k8s", "note": None,
     "model_x": x, "result_x": f"text {x}", "model_y": y, "result_y": f"text {y}"}
    for id, x, y in ((0, 97, 98), (1, 29, 98), (2, 98, 5))
]  # fmt: skip


@pytest.fixture
def excerpt(tmp_path: Path) -> Path:
    (tmp_path / "pairs-crowd.jsonl").write_text("".join(f"{json.dumps(p)}\n" for p in PAIRS))
    (tmp_path / "crowd-comparisons.csv").write_text(VOTES)
    return tmp_path / "crowd-comparisons.csv"


def sides(found: Gathering) -> Counter[object]:
    return Counter(one.verdict for one in found.annotations)


def test_votes_are_joined_with_their_texts(excerpt: Path) -> None:
    name, found = read_preferences(excerpt)
    assert name == "llmfao"
    assert not found.errors
    assert sides(found) == {(1, 2): 5, (2, 1): 2, "tie": 3}
    second = found.items[1]
    assert (second.id, second.prompt.id, second.prompt.text) == ("1", "8", ASK)
    assert second.answers == ("text 29", "text 98")
    assert second.models == ("Falcon Instruct (40B)", "Weaver 12k")
    first = found.annotations[0]
    assert (first.annotator, first.source, first.order) == ("58", "people", (0, 1))


def test_texts_may_stand_elsewhere(excerpt: Path, tmp_path: Path) -> None:
    elsewhere = (tmp_path / "pairs-crowd.jsonl").rename(tmp_path / "texts.jsonl")
    with pytest.raises(UserError, match=r"pairs-crowd.jsonl exists. .*--companion"):
        read_preferences(excerpt)
    with pytest.raises(UserError, match=r"none of .*missing.jsonl exists"):
        read_preferences(excerpt, companions=[tmp_path / "missing.jsonl"])
    assert len(read_preferences(excerpt, companions=[elsewhere])[1].annotations) == 10


def test_votes_that_fit_nothing_are_named(excerpt: Path) -> None:
    broken = VOTES + "9,8,1,2,58,tie,A,B\n0,8,97,98,99,up,A,B\n0,8,97,98,,left,A,B\n"
    broken += "0,8,97,98,100,left,Another,Weaver 12k\n"
    excerpt.write_text(broken)
    with excerpt.with_name("pairs-crowd.jsonl").open("a") as file:
        file.write("{\n")
    _, found = read_preferences(excerpt)
    assert len(found.annotations) == 10
    whys = [(Path(row.place).name, row.why) for row in found.errors]
    assert [place for place, _ in whys] == [
        "pairs-crowd.jsonl, line 4",
        *(f"crowd-comparisons.csv, line {line}" for line in (12, 13, 14, 15)),
    ]
    assert "there is no pair '9'" in whys[1][1]
    assert "the winner is 'up'" in whys[2][1]
    assert "no name" in whys[3][1]
    assert "of the models" in whys[4][1]


def test_names_tell_which_side_was_left(excerpt: Path) -> None:
    """Heed's own exports name the models in the item's order, whichever way they were shown."""
    excerpt.write_text("id,prompt,model_x,model_y,worker,winner,left,right\n0,8,A,B,w,left,B,A\n")
    _, found = read_preferences(excerpt)
    (annotation,) = found.annotations
    assert annotation.order == (1, 0)
    assert annotation.ranks == (2, 1)
    assert found.items[0].models == ("A", "B")


def test_the_published_votes() -> None:
    folder = data_folder("HEED_LLMFAO_DATA", "the llmfao votes")
    _, found = read_preferences(folder / "crowd-comparisons.csv")
    assert not found.errors
    assert sides(found) == {(1, 2): 2911, (2, 1): 2549, "tie": 3471}
    assert len(found.annotations) == 8931
    assert len(found.items) == 2139
    assert len({model for item in found.items for model in item.models}) == 59
