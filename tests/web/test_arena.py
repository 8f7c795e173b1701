"""The arena: blind until the vote, votes recorded with their sides, models that fail or hang."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from visitors import FREE, PROJECT, visitor_of

from heed.errors import UserError
from heed.store import annotations as labels
from heed.store import items, members, projects
from heed.store.database import Store
from heed.types import Annotation, Completion, Item, Prompt, Sampler
from heed.web.app import create_app
from heed.web.arena import Arena, ArenaLimits, board

Come = Callable[..., TestClient]
NAMES = ("secret-policy", "hidden-base", "third-model")


@dataclass
class Fixed:
    """A sampler that says one thing, waits for its gate, and counts who is in it."""

    text: str
    gate: threading.Event = field(default_factory=threading.Event)
    inside: int = 0
    crowded: bool = False
    asked: list[Prompt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        self.inside += 1
        self.crowded = self.crowded or self.inside > 1
        self.asked += prompts
        self.gate.wait(20)
        self.inside -= 1
        return [Completion(prompt, self.text) for prompt in prompts for _ in range(n)]


@dataclass
class Failing:
    """A model that cannot."""

    error: Exception = field(default_factory=lambda: RuntimeError("out of memory at secret-policy"))

    def sample(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0) -> list[Completion]:
        raise self.error


@pytest.fixture
def models() -> dict[str, Fixed]:
    return {name: Fixed(f"I say **{place}**.") for place, name in enumerate(NAMES[:2])}


def site_of(
    store: Store, samplers: Mapping[str, Sampler], limits: ArenaLimits | None = None
) -> FastAPI:
    app = create_app(store, PROJECT, accounts=True, samplers=samplers, limits=FREE)
    app.state.arena = Arena(samplers, limits)
    return app


@pytest.fixture
def site(store: Store, models: dict[str, Fixed]) -> FastAPI:
    return site_of(store, models)


@pytest.fixture
def come(site: FastAPI) -> Iterator[Come]:
    opened: list[TestClient] = []

    def make(role: str = "annotator", name: str = "Cleo", app: FastAPI = site) -> TestClient:
        opened.append(visitor_of(app, role, name))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def votes(store: Store) -> tuple[list[Annotation], dict[str, Item]]:
    with store.read() as session:
        project = projects.find(session, "arena")
        if project is None:
            return [], {}
        asked = {item.id: item for item in items.read_all(session, project.id)}
        return labels.read_all(session, project.id), asked


def test_names_are_told_after_the_vote_and_not_before(come: Come, store: Store) -> None:
    client = come()
    page = client.get("/arena")
    asked = client.post("/api/arena", json={"prompt": "Who are you?"})
    assert asked.status_code == 200
    assert set(asked.json()) == {"id", "answers"}
    assert all(name not in page.text + asked.text for name in NAMES)
    assert votes(store) == ([], {})
    told = client.post(f"/api/arena/{asked.json()['id']}/vote", json={"verdict": "left"}).json()
    assert sorted(told["models"]) == sorted(NAMES[:2])
    # The name on the left belongs to the answer that was on the left.
    shown = [html.count("<strong>0</strong>") for html in asked.json()["answers"]]
    assert [told["models"][side] == NAMES[0] for side in (0, 1)] == [bool(n) for n in shown]


@pytest.mark.parametrize(
    ("verdict", "winner"), [("left", 0), ("right", 1), ("tie", None), ("both_bad", None)]
)
def test_a_vote_becomes_an_item_and_an_annotation(
    come: Come, store: Store, verdict: str, winner: int | None
) -> None:
    client = come()
    asked = client.post("/api/arena", json={"prompt": "Who are you?"}).json()
    told = client.post(f"/api/arena/{asked['id']}/vote", json={"verdict": verdict}).json()
    said, known = votes(store)
    assert [(each.annotator, each.source) for each in said] == [("Cleo (arena #1)", "arena")]
    item = known[said[0].item]
    assert item.prompt.text == "Who are you?"
    assert [item.models[place] for place in said[0].order] == told["models"]
    ranks = said[0].ranks
    if winner is not None:
        assert ranks is not None
        best = item.models[ranks.index(1)]
        assert best == told["models"][winner]
        assert item.answers[ranks.index(1)] == f"I say **{NAMES.index(best)}**."
    else:
        assert said[0].verdict == verdict
    assert said[0].seconds >= 0


def test_any_name_can_vote(store: Store, come: Come) -> None:
    for name in ("n" * 100, "bob"):
        client = come(name=name)
        id = client.post("/api/arena", json={"prompt": "Hi"}).json()["id"]
        vote = client.post(f"/api/arena/{id}/vote", json={"verdict": "left"})
        assert vote.status_code == 200
    long, bob = (each.annotator for each in votes(store)[0])
    assert long == "n" * 89 + " (arena #1)"
    assert bob == "bob (arena #3)"  # the second member is the first one's alias


def test_a_vote_whose_name_is_taken_is_refused_and_saves_nothing(
    store: Store, come: Come, caplog: pytest.LogCaptureFixture
) -> None:
    with store.write() as session:  # an import can still do what no invitation can
        members.enrol(session, "bob (arena #2)", source="import")
    client = come(name="bob")
    id = client.post("/api/arena", json={"prompt": "Hi"}).json()["id"]
    refused = client.post(f"/api/arena/{id}/vote", json={"verdict": "left"})
    assert (refused.status_code, refused.json()["error"]) == (409, "not_recorded")
    assert "is known as source" in caplog.text
    assert votes(store) == ([], {})


def test_the_arenas_project_is_not_labelled(store: Store) -> None:
    with pytest.raises(UserError, match="holds the arena's votes"):
        create_app(store, "arena", accounts=True)


def test_the_board_counts_votes_alone() -> None:
    known = {"i": Item("i", Prompt.of("Hi"), ("x", "y"))}  # imported, without models
    assert board([Annotation("i", "Ada", 1, source="people")], known).votes == 0


def test_models_and_sides_are_drawn_at_random(store: Store, come: Come) -> None:
    samplers = {name: Fixed(name) for name in NAMES}
    client = come(app=site_of(store, samplers), name="Dora")
    shown = set()
    # Six ordered pairs; that one is missing after 300 draws has a chance below 1e-22.
    for _ in range(300):
        answers = client.post("/api/arena", json={"prompt": "Hello"}).json()["answers"]
        shown.add(tuple(answers))
        if len(shown) == 6:
            break
    assert len(shown) == 6
    assert not any(model.crowded for model in samplers.values())


def test_one_vote_a_round_from_whoever_asked(come: Come, store: Store) -> None:
    client, other = come(), come(name="Dora")
    id = client.post("/api/arena", json={"prompt": "Hi"}).json()["id"]
    assert other.post(f"/api/arena/{id}/vote", json={"verdict": "left"}).status_code == 404
    assert client.post(f"/api/arena/{'0' * 24}/vote", json={"verdict": "left"}).status_code == 404
    assert client.post(f"/api/arena/{id}/vote", json={"verdict": "maybe"}).status_code == 422
    first = client.post(f"/api/arena/{id}/vote", json={"verdict": "left"})
    again = client.post(f"/api/arena/{id}/vote", json={"verdict": "left"})
    assert first.json() == again.json()
    changed = client.post(f"/api/arena/{id}/vote", json={"verdict": "right"})
    assert (changed.status_code, changed.json()["error"]) == (409, "voted")
    assert len(votes(store)[0]) == 1


def test_a_conversation_goes_on_from_the_answer_that_won(
    come: Come, models: dict[str, Fixed]
) -> None:
    client = come()
    asked = client.post("/api/arena", json={"prompt": "First?"}).json()
    early = client.post("/api/arena", json={"prompt": "And?", "after": asked["id"]})
    assert early.status_code == 409
    told = client.post(f"/api/arena/{asked['id']}/vote", json={"verdict": "right"}).json()
    after = client.post("/api/arena", json={"prompt": "And?", "after": asked["id"]})
    assert after.status_code == 200
    heard = [message.content for message in models[NAMES[0]].asked[-1].messages]
    assert heard == ["First?", models[told["models"][1]].text, "And?"]
    client.post(f"/api/arena/{after.json()['id']}/vote", json={"verdict": "both_bad"})
    over = client.post("/api/arena", json={"prompt": "So?", "after": after.json()["id"]})
    assert over.status_code == 409


def test_failing_and_slow_models_are_said_and_save_nothing(
    store: Store, come: Come, caplog: pytest.LogCaptureFixture
) -> None:
    failing = site_of(store, {"a": Failing(), "b": Fixed("Fine.")})
    answer = come(app=failing, name="Dora").post("/api/arena", json={"prompt": "Hi"})
    assert (answer.status_code, answer.json()["error"]) == (502, "model_failed")
    assert "memory" not in answer.text + caplog.text
    slow = Fixed("Late.")
    slow.gate.clear()
    late = site_of(store, {"a": slow, "b": Fixed("Fine.")}, ArenaLimits(seconds=0.2))
    answer = come(app=late, name="Emil").post("/api/arena", json={"prompt": "Hi"})
    assert (answer.status_code, answer.json()["error"]) == (504, "too_slow")
    slow.gate.set()
    assert votes(store) == ([], {})


def test_every_failure_is_logged_and_our_own_in_words(
    store: Store, come: Come, caplog: pytest.LogCaptureFixture
) -> None:
    failing = {name: Failing(UserError(f"the context of {name} holds 4")) for name in NAMES[:2]}
    answer = come(app=site_of(store, failing), name="Dora").post(
        "/api/arena", json={"prompt": "Hi"}
    )
    assert (answer.status_code, answer.json()["error"]) == (502, "cannot_answer")
    assert "Try a shorter prompt" in answer.json()["message"]
    assert not any(name in answer.text for name in NAMES)
    assert all(f"the context of {name} holds 4" in caplog.text for name in NAMES[:2])
    gc.collect()  # what asyncio says of exceptions that nobody read, it says when they go
    assert "never retrieved" not in caplog.text


def test_the_start_is_the_arena_where_nothing_is_to_compare(
    new_store: Callable[..., Store], models: dict[str, Fixed]
) -> None:
    for given, samplers, start in (
        ([], models, "/arena"),
        ([], {}, "/label"),
        (None, models, "/label"),
    ):
        app = create_app(
            new_store(given=given), PROJECT, accounts=True, samplers=samplers, limits=FREE
        )
        with visitor_of(app, None, "") as client:
            assert client.get("/").headers["location"] == start


def test_a_full_queue_is_busy_and_empties_again(store: Store, come: Come) -> None:
    slow = Fixed("Late.")
    slow.gate.clear()
    limits = ArenaLimits(seconds=0.2, waiting=1)
    app = site_of(store, {"a": slow, "b": Fixed("Fine.")}, limits)
    client = come(app=app, name="Dora")
    statuses = [client.post("/api/arena", json={"prompt": "Hi"}).status_code for _ in range(3)]
    # One is being answered, one waits (and is given up), the third finds no room.
    assert statuses == [504, 504, 503]
    slow.gate.set()
    deadline = threading.Event()
    while slow.inside and not deadline.wait(0.01):
        pass
    app.state.arena.limits = replace(limits, seconds=20.0)
    assert client.post("/api/arena", json={"prompt": "Hi"}).status_code == 200
    # What had been given up while it waited was never asked.
    assert len(slow.asked) == 2


@pytest.mark.parametrize(
    "body",
    [
        {}, {"prompt": ""}, {"prompt": "  \n"}, {"prompt": "x" * 8001}, {"prompt": "a\0b"},
        {"prompt": 7}, {"prompt": "Hi", "after": "../etc"}, {"prompt": "Hi", "models": ["a", "b"]},
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_prompts_are_refused(come: Come, body: dict[str, object]) -> None:
    assert come().post("/api/arena", json=body).status_code == 422


def test_hostile_prompts_and_answers_are_harmless(store: Store, come: Come) -> None:
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)> '; DROP TABLE item; -- {{7*7}}"
    samplers = {"a": Fixed(hostile), "b": Fixed("half \ud800 and nul \0")}
    app = site_of(store, samplers)
    client = come(app=app, name="Dora", role="owner")
    asked = client.post("/api/arena", json={"prompt": hostile}).json()
    shown = "".join(asked["answers"])
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown
    told = client.post(f"/api/arena/{asked['id']}/vote", json={"verdict": "tie"})
    assert told.status_code == 200
    item = next(iter(votes(store)[1].values()))
    assert item.prompt.text == hostile
    assert set(item.answers) == {hostile, "half \ufffd and nul \ufffd"}
    surrogate = client.post(
        "/api/arena", content=b'{"prompt": "\\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert surrogate.status_code == 422


def test_the_board_is_for_owners(come: Come) -> None:
    client = come()
    asked = client.post("/api/arena", json={"prompt": "Hi"}).json()
    client.post(f"/api/arena/{asked['id']}/vote", json={"verdict": "left"})
    assert "Board" not in client.get("/arena").text
    page = come("owner", "Olga").get("/arena").text
    assert all(name in page for name in NAMES[:2])
    # Elo with K 4 from 1000 each: the winner of the only vote gains 4 x (1 - 1/2).
    assert "1002" in page
    assert "998" in page


def test_enough_votes_make_ratings_with_intervals(store: Store, models: dict[str, Fixed]) -> None:
    prompt = Prompt.of("Hi")
    asked = [Item(f"i{at}", prompt, (f"x{at}", "y"), ("a", "b")) for at in range(40)]
    said = [
        Annotation(f"i{at}", f"P{at % 12} (arena)", (1, 2) if at % 4 else (2, 1), source="arena")
        for at in range(40)
    ]
    with store.write() as session:
        project = projects.create(session, "arena")
        items.add(session, project.id, asked)
        labels.add(session, project.id, said)
    app = create_app(store, PROJECT, accounts=True, samplers=models, limits=FREE)
    with visitor_of(app, "owner", "Olga") as client:
        page = client.get("/arena").text
    assert "Ratings of 2 models with intervals" in page
    assert "1095<small>" in page  # 1000 + 200 log10(3), since 30 of 40 were won


def test_long_prompts_and_forgotten_rounds_are_refused(store: Store, come: Come) -> None:
    samplers = {"a": Fixed("word " * 20), "b": Fixed("term " * 20)}
    limits = ArenaLimits(conversation=120, open_rounds=1)
    client = come(app=site_of(store, samplers, limits), name="Dora")
    first, second = (client.post("/api/arena", json={"prompt": "Hi"}).json() for _ in range(2))
    vote = {"verdict": "left"}
    assert client.post(f"/api/arena/{first['id']}/vote", json=vote).status_code == 404
    assert client.post(f"/api/arena/{second['id']}/vote", json=vote).status_code == 200
    long = client.post("/api/arena", json={"prompt": "And " * 10, "after": second["id"]})
    assert (long.status_code, long.json()["error"]) == (422, "too_long")


def test_without_two_models_there_is_no_arena(store: Store, come: Come) -> None:
    for number, samplers in enumerate(({}, {"only": Fixed("Me.")})):
        app = create_app(store, PROJECT, accounts=True, samplers=samplers, limits=FREE)
        client = come(app=app, name=f"Olga {number}", role="owner")
        page = client.get("/arena")
        assert page.status_code == 404
        assert "heed label --arena" in page.text
        assert '<a href="/label">Compare</a>' in page.text
        assert client.post("/api/arena", json={"prompt": "Hi"}).status_code == 404
    assert "Ask the owner" in come(app=app, name="Ada").get("/arena").text


def test_boards_by_hand() -> None:
    prompt = Prompt.of("Hi")
    known = {f"i{at}": Item(f"i{at}", prompt, ("x", "y"), ("a", "b")) for at in range(40)}
    said = [
        Annotation(f"i{at}", "Cleo", (1, 2) if at < 30 else (2, 1), source="arena")
        for at in range(40)
    ]
    few = board(said[:10], known)
    assert [standing.rating for standing in few.standings] == [None, None]
    assert "30 votes" in few.why
    only_won = board(said[:30], known)
    assert "only won" in only_won.why
    full = board(said, known)
    # 30 wins of 40 are odds of 3: 400 log10(3) = 190.8 points between the two, around 1000.
    best, worst = full.standings
    assert best.rating is not None
    assert worst.rating is not None
    assert (best.name, best.won, best.votes) == ("a", 0.75, 40)
    assert best.rating.rating - worst.rating.rating == pytest.approx(190.85, abs=0.01)
    assert best.rating.low < best.rating.rating < best.rating.high
    # The other way round on the page is the other way round in the verdict.
    turned = [Annotation(f"i{at}", "Cleo", (2, 1), source="arena", order=(1, 0)) for at in range(3)]
    assert board(turned, known).standings[0].name == "a"
