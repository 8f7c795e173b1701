"""Disputed items and who settled them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import FREE, MODELS, PROJECT, visitor_of

from heed.store import annotations as labels
from heed.store import projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Item, Prompt, Verdict
from heed.web.app import create_app

HOSTILE = "</textarea><script>alert(1)</script>"
ITEMS = [
    Item("plain", Prompt.of("Which?"), ("First.", "Second."), MODELS),
    Item("odd/id ?#100%&<b>", Prompt.of(HOSTILE), (HOSTILE, "**bold**")),
    Item("agreed", Prompt.of("Sure?"), ("Yes.", "No.")),
    Item("three", Prompt.of("A colour?"), ("red", "green", "blue")),
]


def said(item: str, who: str, verdict: Verdict, order: tuple[int, ...] = (0, 1)) -> Annotation:
    return Annotation(item, who, verdict, seconds=5.0, source="people", order=order)


@pytest.fixture
def disputed(new_store: Callable[..., Store]) -> Store:
    store = new_store(ProjectSettings(per_item=3), ITEMS)
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(
            session,
            project.id,
            [
                said("plain", "Ada", 2, (1, 0)),
                said("plain", "Bea", "both_bad"),
                said("odd/id ?#100%&<b>", "Ada", 1),
                said("odd/id ?#100%&<b>", "Bea", 8),
                said("agreed", "Ada", 1),
                said("agreed", "Bea", 8, (1, 0)),
                said("three", "Ada", (1, 2, 2), (2, 0, 1)),
                said("three", "Bea", (1, 2, 3), (0, 1, 2)),
            ],
        )
    return store


@pytest.fixture
def site(disputed: Store) -> FastAPI:
    return create_app(disputed, PROJECT, accounts=True, limits=FREE)


@pytest.fixture
def reviewer(site: FastAPI) -> Iterator[TestClient]:
    with visitor_of(site, "reviewer", "Rita") as client:
        yield client


def rulings(store: Store) -> list[Annotation]:
    with store.read() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        found = labels.read_all(session, project.id, history=True)
    return [each for each in found if each.source == "adjudication"]


def forms(page: str) -> list[str]:
    return re.findall(r'action="(/owner/disputed/[^"]+)"', page)


def test_disputes_are_shown_in_the_items_own_order(reviewer: TestClient) -> None:
    page = reviewer.get("/owner/disputed").text
    assert len(forms(page)) == 3
    assert "Sure?" not in page
    assert "B clearly better" in page  # Ada saw them the other way round
    assert "both bad" in page
    assert "C &gt; A = B" in page
    assert "A &gt; B &gt; C" in page
    assert "<script>alert" not in page
    assert "<strong>bold</strong>" in page


def test_a_ruling_is_recorded_with_who_gave_it(
    site: FastAPI, disputed: Store, reviewer: TestClient
) -> None:
    body = {"verdict": "3", "comment": "The first one is right."}
    done = reviewer.post("/owner/disputed/plain/adjudicate", data=body)
    assert (done.status_code, done.headers["location"]) == (303, "/owner/disputed")
    ruling = rulings(disputed)[0]
    assert (ruling.item, ruling.annotator) == ("plain", "Rita (adjudication #3)")
    assert (ruling.verdict, ruling.order, ruling.comment) == (3, (0, 1), body["comment"])
    assert (ruling.guideline, ruling.revision) == ("1", 0)
    page = reviewer.get("/owner/disputed").text
    assert "Settled" in page
    assert "Rita (adjudication #3)" in page
    assert "the adjudication stands in place of the votes" in page
    reviewer.post("/owner/disputed/plain/adjudicate", data={"verdict": "both_bad"})
    assert [(each.verdict, each.revision) for each in rulings(disputed)] == [
        (3, 0),
        ("both_bad", 1),
    ]
    # A ruling is no label: what the overview counts stays as it was.
    with visitor_of(site, "owner", "Olga") as owner:
        assert "Rita" not in owner.get("/owner/annotators").text
        assert "8 of 12 labels are in" in owner.get("/owner").text


def test_a_reviewer_with_a_long_name_can_rule(site: FastAPI, disputed: Store) -> None:
    with visitor_of(site, "reviewer", "r" * 100) as reviewer:
        done = reviewer.post("/owner/disputed/plain/adjudicate", data={"verdict": "3"})
    assert done.status_code == 303
    assert [len(each.annotator) for each in rulings(disputed)] == [100]


def test_every_form_leads_to_its_item(disputed: Store, reviewer: TestClient) -> None:
    for action in forms(reviewer.get("/owner/disputed").text):
        sent = {"rank": ["1", "3", "3"]} if "three" in action else {"verdict": "8"}
        assert reviewer.post(action, data=sent).status_code == 303
    assert {each.item: each.verdict for each in rulings(disputed)} == {
        "plain": 8, "odd/id ?#100%&<b>": 8, "three": (1, 2, 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("item", "sent"),
    [
        ("plain", {}),
        ("plain", {"verdict": "9"}),
        ("plain", {"verdict": "' OR 1=1 --"}),
        ("plain", {"verdict": "3", "comment": "a\0b"}),
        ("plain", {"rank": ["1", "2", "3"]}),
        ("three", {"verdict": "3"}),
        ("three", {}),
        ("three", {"rank": ["", "", ""]}),
        ("three", {"verdict": "ranking"}),
        ("three", {"verdict": "ranking", "rank": ["1", "", "2"]}),
        ("three", {"verdict": "3", "rank": ["1", "2", "3"]}),
        ("plain", {"verdict": "ranking"}),
        ("three", {"rank": ["1", "x", "2"]}),
        ("no such item", {"verdict": "3"}),
    ],
)
def test_wrong_rulings_are_refused(
    disputed: Store, reviewer: TestClient, item: str, sent: dict[str, str | list[str]]
) -> None:
    answer = reviewer.post(f"/owner/disputed/{item}/adjudicate", data=sent)
    assert answer.status_code == 422
    assert rulings(disputed) == []


@pytest.mark.parametrize("verdict", ["tie", "both_bad", "cannot_tell"])
def test_three_answers_may_be_ruled_without_ranks(
    disputed: Store, reviewer: TestClient, verdict: str
) -> None:
    sent = {"verdict": verdict, "rank": ["", "", ""]}
    assert reviewer.post("/owner/disputed/three/adjudicate", data=sent).status_code == 303
    assert [each.verdict for each in rulings(disputed)] == [verdict]


def test_nothing_is_chosen_before_the_reviewer_chooses(reviewer: TestClient) -> None:
    page = reviewer.get("/owner/disputed").text
    assert not re.search(r"\s(checked|selected)\b", page)
    radios = re.findall(r'<input type="radio"[^>]*>', page)
    assert len(radios) == 2 * 11 + 4
    assert all(" required" in radio for radio in radios)
    selects = re.findall(r"<select([^>]*)>\s*<option([^>]*)>", page)
    assert selects == [(' name="rank" required', ' value=""')] * 3
    assert "all bad" in page


def test_a_gold_item_shows_its_known_answer(new_store: Callable[..., Store]) -> None:
    gold = Item("gold", Prompt.of("2 + 2?"), ("5", "4"), known=7)
    store = new_store(ProjectSettings(), [gold, *ITEMS])
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(session, project.id, [said("gold", "Ada", 1), said("gold", "Bea", 8)])
    with visitor_of(create_app(store, PROJECT, accounts=True), "reviewer", "Rita") as client:
        page = client.get("/owner/disputed").text
    assert "Its known answer: B clearly better." in page


def test_more_than_twenty_are_turned_through(new_store: Callable[..., Store]) -> None:
    given = [Item(f"n{at:02}", Prompt.of(f"{at}?"), ("this", "that")) for at in range(45)]
    store = new_store(ProjectSettings(per_item=2), given)
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        votes = [said(item.id, who, v) for item in given for who, v in (("Ada", 1), ("Bea", 8))]
        labels.add(session, project.id, votes)
    with visitor_of(create_app(store, PROJECT, accounts=True), "reviewer", "Rita") as client:
        path, seen = "/owner/disputed", []
        while path:
            page = client.get(path).text
            seen.append(re.findall(r"disputed/(n\d+)/", page))
            link = re.search(r'rel="next" href="([^"]+)"', page)
            path = f"/owner/disputed{html.unescape(link[1])}" if link else ""
        assert [len(part) for part in seen] == [20, 20, 5]
        assert sorted(chain.from_iterable(seen)) == [item.id for item in given]
        sent = {"verdict": "2", "from": "40", "settled": "0"}
        done = client.post("/owner/disputed/n44/adjudicate", data=sent)
        assert done.headers["location"] == "/owner/disputed?from=40&settled=0"
        assert "41 to 44 of 44" in client.get(done.headers["location"]).text
        assert "41 to 44 of 44" in client.get("/owner/disputed?from=9999").text
        assert client.get("/owner/disputed?from=-1").status_code == 422


def test_annotators_cannot_rule(site: FastAPI, disputed: Store) -> None:
    with visitor_of(site, "annotator", "Cleo") as cleo:
        answer = cleo.post("/owner/disputed/plain/adjudicate", data={"verdict": "3"})
    assert answer.status_code == 403
    assert rulings(disputed) == []


def test_a_member_with_a_reviewers_name_cannot_be_ruled_for(
    site: FastAPI, disputed: Store, reviewer: TestClient
) -> None:
    with visitor_of(site, "annotator", "Rita (adjudication #3)"):
        answer = reviewer.post("/owner/disputed/plain/adjudicate", data={"verdict": "3"})
    assert answer.status_code == 422
    assert rulings(disputed) == []
