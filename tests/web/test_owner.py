"""The owner's pages: numbers worked out by hand, who may see what, invitations, guidelines."""

from __future__ import annotations

import asyncio
import html
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import FREE, MODELS, PROJECT, right_answer, visitor_of

from heed.feedback.beside import beside
from heed.feedback.importing import import_file
from heed.stats.intervals import Estimate
from heed.store import annotations as labels
from heed.store import members, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings
from heed.types import Annotation, Item, Prompt, Verdict
from heed.web.access import Visit
from heed.web.app import create_app
from heed.web.figures import Figures, crowd_reports
from heed.web.routes.owner import agreement_means

ITEMS = [
    Item(f"i{at}", Prompt.of(f"Question {at}?"), (f"First {at}.", f"Second {at}."), MODELS)
    for at in range(1, 7)
]
GOLD = Item("gold", Prompt.of("2 + 2?"), ("4", "5"), MODELS, known=1)
A_LEFT, B_LEFT = (0, 1), (1, 0)


def said(item: str, who: str, verdict: Verdict, order: tuple[int, ...] = A_LEFT) -> Annotation:
    """A label; Ada takes 10 seconds for each, Bea 20, the judge one."""
    seconds = {"Ada": 10.0, "Bea": 20.0}.get(who, 1.0)
    source = "judge" if who == "judge" else "people"
    return Annotation(item, who, verdict, seconds=seconds, source=source, order=order)


# Of i1..i4 and the gold item Ada prefers A, A, A, neither, A and Bea A, B, A, B, B.
PEOPLE = [
    *(said(item, "Ada", 2) for item in ("i1", "i2", "i3", "gold")),
    said("i4", "Ada", "tie"),
    said("i1", "Bea", 7, B_LEFT),
    said("i2", "Bea", 7),
    said("i3", "Bea", 8, B_LEFT),
    said("i4", "Bea", 1, B_LEFT),
    said("gold", "Bea", 6),
]
JUDGE = [said("i1", "judge", 2), said("i2", "judge", 2), said("i4", "judge", 7)]


@pytest.fixture
def labelled(new_store: Callable[..., Store]) -> Store:
    store = new_store(
        ProjectSettings(per_item=2, pay_per_hour=36.0, currency="EUR"), [*ITEMS, GOLD]
    )
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(session, project.id, [*PEOPLE, *JUDGE])
    return store


@pytest.fixture
def site(labelled: Store) -> FastAPI:
    return create_app(labelled, PROJECT, accounts=True, limits=FREE)


@pytest.fixture
def owner(site: FastAPI) -> Iterator[TestClient]:
    with visitor_of(site, "owner", "Olga") as client:
        yield client


def words(page: str) -> str:
    """What a page says, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def rows(page: str) -> dict[str, list[str]]:
    """The cells of every table row by its heading."""
    found = {}
    for row in re.findall(r"<tr.*?</tr>", page, re.DOTALL):
        cells = [words(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        found[cells[0]] = cells[1:]
    return found


def test_the_overview_has_true_numbers(owner: TestClient) -> None:
    page = owner.get("/owner").text
    text, table = words(page), rows(page)
    # 6 items x 2 labels are wanted, of which i1..i4 have both; gold items come on top.
    assert "8 of 12 labels are in, with about 75 s of work to go" in text
    assert "67% of 12 labels wanted" in text
    # 10 labels of 10 and 20 seconds; 4 more at 10 labels for 8 wanted ones make 5 of 15 seconds.
    assert table["Labels gold items and repeats included"] == ["10", "5", "15", "1"]
    assert table["Time"][0] == "2 min"  # 150 s
    assert table["Time"][1].startswith("75 s")
    assert table["Time"][3].startswith("15 s")
    assert table["Money"][0] == "1.50 EUR"
    assert table["Money"][1].startswith("0.750 EUR")
    assert table["Money"][2] == "2.25 EUR"
    assert table["Money"][3].startswith("0.150 EUR")
    # Both prefer an answer of i1, i2, i3 and gold, the same one of i1 and i3.
    assert table["Same preference two annotators who both prefer an answer"][0].startswith("50%")
    # The same of i1 and i3 out of five; the observed disagreement 3/5 is just what chance gives.
    assert table["Same verdict ties and “both bad” counted as verdicts"][0].startswith("40%")
    side = table["Krippendorff's α, side 0: as by chance, 1: always the same"][0]
    assert side.lstrip("−").startswith("0.00")
    assert table["Tie"][:1] == ["1"]
    assert table["Tie"][1].startswith("10%")
    assert table["Both bad"][0] == "0"
    # The judge and people: i1 2 of 2, i2 1 of 2, i4 1 of 2.
    assert table["judge"][:2] == ["3", "1"]
    assert table["judge"][3].startswith("67%")
    assert "Labels by grade: 1: 1, 2: 4, 3: 0, 4: 0, 5: 0, 6: 1, 7: 2, 8: 1" in html.unescape(page)
    assert "36.00 EUR" in text


def test_annotators_have_true_numbers(owner: TestClient) -> None:
    table = rows(owner.get("/owner/annotators").text)
    ada, bea, judge = (
        next(cells for name, cells in table.items() if name.startswith(who))
        for who in ("Ada", "Bea", "judge judge")
    )
    assert ada[:2] == ["5", "10 s"]
    assert bea[:2] == ["5", "20 s"]
    # Wilson's interval of one of one; Ada saw one order alone; the left of five, once.
    assert ada[2] == "100% 21 to 100%"
    assert bea[2] == "0% 0 to 79%"
    assert ada[3] == "–"
    assert bea[3] == "20% 4 to 62%"
    assert ada[4] == "–"
    assert judge[:2] == ["3", "1.0 s"]
    assert judge[2] == "–"


def test_flags_are_words_and_drop_nothing(new_store: Callable[..., Store]) -> None:
    given = [
        Item(f"n{at}", Prompt.of(f"Number {at}?"), (f"one {at}", f"two {at}")) for at in range(60)
    ]
    store = new_store(ProjectSettings(per_item=4), given)
    orders = [A_LEFT, B_LEFT]
    crowd = [
        said(f"n{at}", who, (2 if (order == A_LEFT) == (at % 3 > 0) else 7), order)
        for at in range(60)
        for who, order in (("Ada", orders[at % 2]), ("Bea", orders[at % 2 - 1]))
    ]
    crowd += [said(f"n{at}", "Lefty", 1, orders[at % 2]) for at in range(60)]
    crowd += [said(f"n{at}", "judge", 2 if at % 3 > 0 else 7) for at in range(60)]
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(session, project.id, crowd)
    with visitor_of(create_app(store, PROJECT, accounts=True), "owner", "Olga") as client:
        page = client.get("/owner/annotators").text
    assert "Nothing was dropped" in page
    flagged = re.findall(r'<tr class="flagged"><th scope="row">(\w+)', page)
    assert flagged == ["Lefty"]
    assert next(cells for name, cells in rows(page).items() if name.startswith("Lefty"))[0] == "60"


def test_reviewers_read_the_overview_but_see_no_models(site: FastAPI, owner: TestClient) -> None:
    with visitor_of(site, "reviewer", "Rita") as reviewer:
        assert reviewer.get("/owner").status_code == 200
        seen = reviewer.get("/owner/disputed").text
    assert "Second 2." in seen
    assert not any(model in seen for model in MODELS)
    assert all(model in owner.get("/owner/disputed").text for model in MODELS)


def test_figures_are_kept_until_a_label_comes(site: FastAPI, owner: TestClient) -> None:
    owner.get("/owner")
    kept = dict(site.state.figures._kept)
    owner.get("/owner")
    assert all(site.state.figures._kept[name] is kept[name] for name in kept)
    with visitor_of(site, "annotator", "Cleo") as cleo:
        assert cleo.post("/api/answers", json=right_answer(cleo)).status_code == 200
    assert "9 of 12 labels are in" in words(owner.get("/owner").text)


def test_a_part_of_older_data_is_not_kept_for_the_newer(site: FastAPI, owner: TestClient) -> None:
    """A label comes between reading the data and working out a part of their figures."""
    with site.state.site.store.read() as session:
        member = members.find(session, "Olga")
    assert member is not None
    visit = Visit(site.state.site, member, "")
    figures = Figures()
    older = asyncio.run(figures._read(visit))
    with visitor_of(site, "annotator", "Cleo") as cleo:
        assert cleo.post("/api/answers", json=right_answer(cleo)).status_code == 200
    asyncio.run(figures._read(visit))
    asyncio.run(figures._part(older, "reports", crowd_reports))
    names = [each.annotator for each in asyncio.run(figures.crowd(visit)).reports]
    assert names == ["Ada", "Bea", "Cleo", "judge"]


def test_an_empty_project_has_pages(new_store: Callable[..., Store]) -> None:
    app = create_app(new_store(given=[]), PROJECT, accounts=True)
    with visitor_of(app, "owner", "Olga") as client:
        pages = {
            path: client.get(path)
            for path in ("/owner", "/owner/annotators", "/owner/disputed", "/owner/export.jsonl")
        }
    assert {page.status_code for page in pages.values()} == {200}
    assert "No labels are wanted yet" in pages["/owner"].text
    assert "nan" not in words(pages["/owner"].text)


def test_pages_carry_no_inline_style_or_script(owner: TestClient) -> None:
    for path in ("", "/annotators", "/disputed", "/invites", "/guidelines"):
        page = owner.get(f"/owner{path}").text
        assert not re.search(r"\sstyle=|<style|<script(?![^>]*\ssrc=)|\son\w+=", page)


def test_the_export_holds_every_revision_and_reads_back(
    site: FastAPI, owner: TestClient, new_store: Callable[..., Store], tmp_path: Path
) -> None:
    with visitor_of(site, "annotator", "Cleo") as cleo:
        body = right_answer(cleo)
        cleo.post("/api/answers", json=body)
        cleo.post("/api/undo")
        cleo.post("/api/answers", json={**body, "key": "again", "verdict": 6})
    text = owner.get("/owner/export.jsonl").text
    lines = text.splitlines()
    found = {row["item"]["id"]: row["annotations"] for row in map(json.loads, lines)}
    assert set(found) == {item.id for item in [*ITEMS, GOLD]}
    assert sum(map(len, found.values())) == len(PEOPLE) + len(JUDGE) + 2
    cleos = [each for row in found.values() for each in row if each["annotator"] == "Cleo"]
    assert [(each["revision"], each["verdict"]) for each in cleos] == [(0, 3), (1, 6)]
    (tmp_path / "export.jsonl").write_text(text)
    report = import_file(new_store(given=[]), PROJECT, tmp_path / "export.jsonl")
    assert (report.items, report.annotations) == (len(lines), len(PEOPLE) + len(JUDGE) + 2)


def test_an_invitation_is_shown_once_and_lets_one_person_in(
    site: FastAPI, owner: TestClient
) -> None:
    made = owner.post("/owner/invites", data={"role": "reviewer", "name": "", "days": "3"})
    token = re.search(r"/join/([\w-]+)", made.text)
    assert token is not None
    later = owner.get("/owner/invites").text
    assert token[1] not in later
    assert "open until" in later
    with visitor_of(site, None, "") as guest:
        joined = guest.post(f"/join/{token[1]}", data={"name": "Rosa"})
        assert joined.status_code == 303
    assert "used by Rosa" in owner.get("/owner/invites").text


def test_nobody_is_invited_by_a_name_that_votes_stand_under(owner: TestClient) -> None:
    sent = {"role": "annotator", "name": "Ada  (arena #2)"}
    refused = owner.post("/owner/invites", data=sent)
    assert refused.status_code == 422
    assert "kept for votes and rulings" in refused.text


def test_invitations_can_be_revoked_and_people_signed_out(site: FastAPI, owner: TestClient) -> None:
    page = owner.post("/owner/invites", data={"role": "annotator", "name": "Ida <b>", "days": "1"})
    token = re.search(r"/join/([\w-]+)", page.text)
    number = re.search(r"/owner/invites/(\d+)/revoke", page.text)
    assert token is not None
    assert number is not None
    assert "Ida &lt;b&gt;" in page.text
    assert owner.post(f"/owner/invites/{number[1]}/revoke").status_code == 303
    assert owner.post(f"/owner/invites/{number[1]}/revoke").status_code == 409
    with visitor_of(site, None, "") as guest:
        assert guest.post(f"/join/{token[1]}", data={"name": "Ida"}).status_code == 410
    with visitor_of(site, "annotator", "Cleo") as cleo:
        assert cleo.get("/label").status_code == 200
        page = owner.get("/owner/invites")
        found = re.search(r'members/(\d+)/logout">(?:(?!</form>).)*Sign Cleo out', page.text, re.S)
        assert found is not None
        assert owner.post(f"/owner/members/{found[1]}/logout").status_code == 303
        assert cleo.get("/label").status_code == 401
    assert owner.post("/owner/invites", data={"role": "owner", "name": "a\0"}).status_code == 422
    for wrong in ({"role": "god"}, {"role": "owner", "days": "0"}, {"days": "3"}):
        assert owner.post("/owner/invites", data=wrong).status_code == 422


def test_without_accounts_there_is_nobody_to_invite(labelled: Store) -> None:
    app = create_app(labelled, PROJECT, accounts=False)
    with TestClient(app, base_url="http://localhost") as client:
        assert "no accounts" in client.get("/owner/invites").text
        csrf = {"X-CSRF-Token": app.state.site.secret}
        made = client.post("/owner/invites", data={"role": "owner"}, headers=csrf)
        assert made.status_code == 409


def test_guidelines_are_published_as_versions(owner: TestClient) -> None:
    hostile = "# New\n\nBe **kind**.\r\n\n<script>alert(1)</script>"
    shown = owner.post("/owner/guidelines", data={"text": hostile, "preview": "true"})
    assert "<strong>kind</strong>" in shown.text
    assert "<script>alert" not in shown.text
    assert "Version 1, in force" in words(owner.get("/owner/guidelines").text)
    done = owner.post("/owner/guidelines", data={"text": hostile})
    assert "Version 2 is in force" in done.text
    page = words(owner.get("/owner/guidelines").text)
    assert "Version 2, in force" in page
    assert "Version 1 " in page
    assert "Be kind ." in words(owner.get("/guidelines").text)
    assert owner.post("/owner/guidelines", data={"text": "  "}).status_code == 422
    assert owner.post("/owner/guidelines", data={"text": "a\0b"}).status_code == 422


def test_agreement_between_sources_by_hand() -> None:
    found = beside(JUDGE, PEOPLE)
    assert found.with_people.mean == pytest.approx(4 / 6)
    assert found.items == 3
    assert found.with_people.low < found.with_people.mean < found.with_people.high
    assert beside(JUDGE, []).items == 0


def test_rankings_show_which_place_won(new_store: Callable[..., Store]) -> None:
    three = Item("three", Prompt.of("A colour?"), ("red", "green", "blue"))
    store = new_store(ProjectSettings(per_item=3), [three])
    ranked = [
        said("three", "Ada", (2, 1, 3), (0, 1, 2)),
        said("three", "Bea", (3, 1, 2), (2, 1, 0)),
        said("three", "Cleo", (1, 1, 2), (0, 1, 2)),
    ]
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(session, project.id, ranked)
    with visitor_of(create_app(store, PROJECT, accounts=True), "owner", "Olga") as client:
        page = client.get("/owner").text
    # The second on the page won twice; two shared the first rank once.
    assert "Times ranked first by place: A: 0, B: 2, C: 0" in page
    assert "Labels by grade" not in page


def test_a_corrected_label_costs_its_time_once(new_store: Callable[..., Store]) -> None:
    """Answered after 30 s, corrected when the same clock stood at 40."""
    store = new_store(ProjectSettings(pay_per_hour=36.0), ITEMS[:2])
    first = replace(said("i1", "Ada", 2), seconds=30.0)
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(
            session, project.id, [first, replace(first, verdict=7, seconds=40.0, revision=1)]
        )
    with visitor_of(create_app(store, PROJECT, accounts=True), "owner", "Olga") as client:
        table = rows(client.get("/owner").text)
    assert [cell.split(" s")[0] for cell in table["Time"]] == ["40", "40", "80", "40"]
    assert table["Money"][0] == "0.400 USD"


def test_the_curve_counts_what_is_wanted(owner: TestClient) -> None:
    """Ten labels, two of them of a gold item."""
    page = owner.get("/owner").text
    assert re.search(r'aria-label="8 wanted labels between', page)


@pytest.mark.parametrize(
    ("low", "high", "meaning"),
    [
        (0.4, 0.5, "That is below published"),
        (0.5, 0.9, "The interval overlaps published"),
        (0.65, 0.75, "within the range of published"),
        (0.8, 0.9, "That is above published"),
        (math.nan, math.nan, "Too few items"),
    ],
)
def test_what_an_agreement_means(low: float, high: float, meaning: str) -> None:
    assert meaning in agreement_means(Estimate(0.7, low, high, 30))


@pytest.mark.slow
def test_ten_thousand_labels_show_in_two_seconds(new_store: Callable[..., Store]) -> None:
    given = [
        Item(f"n{at}", Prompt.of(f"{at}?"), ("word " * 80, "term " * 80)) for at in range(3334)
    ]
    store = new_store(ProjectSettings(per_item=3), given)
    crowd = [
        said(item.id, f"person {(7 * at + nth * 31) % 97}", 1 + (at * 5 + nth * 3) % 8)
        for at, item in enumerate(given)
        for nth in range(3)
    ]
    with store.write() as session:
        project = projects.find(session, PROJECT)
        assert project is not None
        labels.add(session, project.id, crowd)
    took = []
    for owner in ("Olga", "Oleg", "Otto"):
        with visitor_of(create_app(store, PROJECT, accounts=True), "owner", owner) as client:
            start = time.process_time()
            assert "All 10,002 labels are in" in client.get("/owner").text
            took.append(time.process_time() - start)
    assert min(took) < 2.0, (took, threading.enumerate())
