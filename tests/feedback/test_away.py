"""A run that waits for people while its store is away: it says so, keeps trying, and goes on."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from cable import Cable
from databases import postgres_url
from labelling import item, label_all

from heed.errors import UserError
from heed.feedback import people
from heed.feedback.people import Page, PeopleSource, UnattendedPage
from heed.store import members, projects
from heed.store.database import Store
from heed.store.projects import ProjectSettings

ITEMS = [item(f"item {at}") for at in range(4)]


@pytest.fixture
def cable() -> Iterator[Cable]:
    with Cable(postgres_url()) as made:
        yield made


def label_everything(place: str) -> None:
    with closing(Store.open(place)) as store:
        with store.write() as session:
            made = projects.find(session, "run")
            assert made is not None
            ann = members.enrol(session, "ann").id
        label_all(store, made, [ann])


def test_it_is_waited_for(cable: Cable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "AWAY_SECONDS", 0.05)
    monkeypatch.setattr(people, "POLL_SECONDS", 0.05)
    said: list[str] = []
    shown: list[int] = []
    kept_alive = 0

    def hear(line: str) -> None:
        said.append(line)
        if "is away" in line:
            threading.Timer(0.5, cable.mend).start()

    class Served(UnattendedPage):
        def keep_alive(self) -> None:
            nonlocal kept_alive
            kept_alive += 1
            if kept_alive == 2:  # labels come in while the run cannot see them
                label_everything(cable.url)
                cable.cut()

    @contextmanager
    def desk(_: str, __: str) -> Iterator[Page]:
        yield Served("nowhere")

    source = PeopleSource(
        cable.url, "run", ProjectSettings(), "Be kind.", 1.0, desk, hear
    )  # fmt: skip
    began = time.monotonic()
    found = source.ask(ITEMS, shown.append)
    assert time.monotonic() - began > 0.5
    assert sorted(each.item for each in found) == [each.id for each in ITEMS]
    assert (shown[0], shown[-1], kept_alive) == (0, len(ITEMS), 2)
    assert said[0] == "Waiting for people to compare answers: nowhere"
    assert re.fullmatch(r"The store postgresql://postgres@127\S+ is away \(.+\)\. .*", said[1])
    assert said[2].startswith("The store is back after")
    assert len(said) == 3


def test_what_was_prepared_when_the_reply_was_lost_is_there_once(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "AWAY_SECONDS", 0.05)

    @contextmanager
    def desk(place: str, _: str) -> Iterator[Page]:
        label_everything(place)
        yield UnattendedPage("nowhere")

    said: list[str] = []
    source = PeopleSource(cable.url, "run", ProjectSettings(), "Be kind.", 1.0, desk, said.append)
    Store.open(cable.url).close()
    cable.losing = 1
    assert len(source.ask(ITEMS, lambda _: None)) == len(ITEMS)
    assert cable.lost == 1
    assert [line.split(" (")[0].split(" after")[0] for line in said][1:] != []
    assert "is back" in said[1]


def test_an_address_that_was_never_reached_is_an_error(cable: Cable) -> None:
    source = PeopleSource(
        cable.url, "run", ProjectSettings(), "", 1.0, people.nobody, lambda _: None
    )  # fmt: skip
    cable.cut()
    with pytest.raises(UserError, match="Cannot open the store"):
        source.ask(ITEMS, lambda _: None)
