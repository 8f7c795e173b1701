"""Replies and opinions of them: what holds, what cannot change, what is forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from databases import KINDS, address
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from heed.store import members, projects, replies
from heed.store.database import Store
from heed.store.items import Added
from heed.types import Judged, Opinion, Prompt, Reply


def some(count: int) -> list[Reply]:
    return [Reply(f"r{at}", 0, Prompt.of(f"q{at}"), f"a{at}", "dpo") for at in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_opinion_holds_and_none_is_changed(kind: str, tmp_path: Path) -> None:
    store = Store.open(address(kind, tmp_path))
    with store.write() as session:
        project = projects.create(session, "served").id
        replies.add(session, project, some(4))
        ann, bob = (replies.who_says(session, name).id for name in ("ann", "bob"))
        first = replies.find(session, project, "r1", 0)
        assert first is not None
        assert first.reply == some(4)[1]
        assert replies.say(session, first.id, ann, desirable=True)
        assert not replies.say(session, first.id, ann, desirable=True)  # said already
        assert replies.say(session, first.id, ann, desirable=False)
        assert replies.say(session, first.id, bob, desirable=True)
        assert replies.find(session, project, "r1", 1) is None
    with store.read() as session:
        (found,) = replies.judged(session, project)
        said = [(one.text, one.annotator, one.desirable, one.source) for one in found.unpaired]
        assert said == [("a1", "ann", False, "people"), ("a1", "bob", True, "people")]
    for change in ("UPDATE opinion SET desirable = NOT desirable", "DELETE FROM opinion",
                   "UPDATE reply SET body = 'other'"):  # fmt: skip
        with pytest.raises(DBAPIError, match="never change"), store.write() as session:
            session.execute(text(change))
    with store.write() as session:
        replies.forget(session, project, 1)
        left = [at for at in range(4) if replies.find(session, project, f"r{at}", 0)]
        assert left == [1, 3]  # the last one, and the one that is spoken of
    store.close()


def test_who_is_no_person_has_no_opinion(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "feedback.db")
    with store.write() as session:
        members.enrol(session, "judge", source="judge")
        with pytest.raises(ValueError, match="source 'judge'"):
            replies.who_says(session, "judge")
        with pytest.raises(ValueError, match="NUL"):
            replies.add(
                session, projects.create(session, "p").id, [Reply("r", 0, Prompt.of("q"), "\0")]
            )
    store.close()


def test_a_store_of_the_first_schema_is_upgraded(tmp_path: Path) -> None:
    """As it was left by the Heed before this one: its two tables less."""
    path = tmp_path / "feedback.db"
    store = Store.open(path)
    with store.write() as session:
        members.enrol(session, "ann")
    store.close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE opinion"))
        connection.execute(text("DROP TABLE reply"))
        connection.execute(text("UPDATE heed_schema SET version_num = '0001'"))
    engine.dispose()
    store = Store.open(path)
    with store.write() as session:
        replies.add(session, projects.create(session, "p").id, some(1))
        assert [member.name for member in members.listing(session)] == ["ann"]
    store.close()


def by(*words: tuple[str, bool]) -> tuple[Opinion, ...]:
    return tuple(Opinion(name, good, "people", f"{name} said") for name, good in words)


@pytest.mark.parametrize("kind", KINDS)
def test_opinions_of_another_store_are_taken_in_once(kind: str, tmp_path: Path) -> None:
    """Also where a part of them is here; what is otherwise here is refused, and nothing added."""
    store = Store.open(address(kind, tmp_path))
    one, two, three, _ = some(4)
    given = [
        Judged(one, by(("ann", True), ("bob", False), ("ann", False))),
        Judged(two, by(("bob", True))),
    ]
    with store.write() as session:
        project = projects.create(session, "served").id
        elsewhere = projects.create(session, "elsewhere").id
        replies.add(session, project, [three, one])
        assert replies.take_in(session, project, given) == Added(4, 0)
        assert replies.take_in(session, project, [*given, *given]) == Added(0, 4)
        more = Judged(two, by(("bob", True), ("bob", False)))
        assert replies.take_in(session, project, [more]) == Added(1, 0)
        assert replies.judged(session, project) == [given[0], more]
    for wrong, where, why in (
        (Judged(two, by(("bob", False))), project, "another opinion"),
        (Judged(replace(two, text="b"), ()), project, "another content"),
        (Judged(two, ()), elsewhere, "another project"),
        (Judged(two, (Opinion("bob", True, "judge"),)), project, "source 'people'"),
    ):
        with pytest.raises(ValueError, match=why), store.write() as session:
            replies.take_in(session, where, [Judged(some(4)[3], by(("cy", True))), wrong])
    with store.read() as session:
        assert replies.judged(session, project) == [given[0], more]
        assert members.find(session, "cy") is None
    store.close()
