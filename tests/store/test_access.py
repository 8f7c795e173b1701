"""Members, invitations and sessions."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from heed.store import access, members
from heed.store.access import InviteRefused
from heed.store.database import Store
from heed.store.members import Member
from heed.store.schema import Base

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)


def everything(store: Store) -> str:
    """All that the database holds, as text."""
    with store.read() as session:
        rows = [session.execute(table.select()).all() for table in Base.metadata.sorted_tables]
    return str(rows)


def test_members(store: Store) -> None:
    with store.write() as session:
        ann = members.enrol(session, "Ann Ó Briain", "owner")
        judge = members.enrol(session, "a judge", source="judge")
        with pytest.raises(ValueError, match="taken"):
            members.enrol(session, "a judge")
    with store.read() as session:
        assert ann == Member(ann.id, "Ann Ó Briain", "owner", "people")
        assert members.get(session, judge.id) == judge == members.find(session, "a judge")
        assert members.listing(session) == [ann, judge]
        assert members.find(session, "nobody") is None
        with pytest.raises(ValueError, match="no member"):
            members.get(session, 99)


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "\x00"}, {"name": "x" * 101}, {"role": "king"}, {"source": "\ud800"}],
)
def test_members_that_are_no_good(store: Store, wrong: dict[str, Any]) -> None:
    with store.write() as session, pytest.raises(ValueError, match=r"name|role|source"):
        members.enrol(session, **{"name": "ann", **wrong})


def test_an_invitation_becomes_a_session(store: Store) -> None:
    with store.write() as session:
        token = access.invite(session, "reviewer", now=NOW)
        assert access.pending(session, token, NOW).role == "reviewer"
        member, key = access.redeem(session, token, " ann ", now=NOW)
    with store.read() as session:
        login = access.member_of(session, key, NOW)
        assert login is not None
        assert login.member == member == Member(member.id, "ann", "reviewer", "people")
        assert len(login.csrf) >= 32
        assert login.csrf not in key
        assert access.member_of(session, key, NOW + timedelta(days=31)) is None
        (invite,) = access.invites(session)
        assert (invite.used_by, invite.revoked) == ("ann", False)
    for secret in (token, key, login.csrf):
        assert secret not in everything(store)


def test_an_invitation_works_once(store: Store) -> None:
    with store.write() as session:
        token = access.invite(session, "annotator", now=NOW)
        access.redeem(session, token, "ann", now=NOW)
        with pytest.raises(InviteRefused, match="used"):
            access.redeem(session, token, "bob", now=NOW)
        assert [member.name for member in members.listing(session)] == ["ann"]


def test_an_invitation_redeemed_by_many_at_once_lets_one_in(store: Store) -> None:
    with store.write() as session:
        token = access.invite(session, "annotator")
    refused: list[str] = []

    def redeem(name: str) -> None:
        try:
            with store.write() as session:
                access.redeem(session, token, name)
        except InviteRefused:
            refused.append(name)

    threads = [threading.Thread(target=redeem, args=(f"{at}",)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as session:
        assert len(members.listing(session)) == 1
    assert len(refused) == 5


def test_invitations_that_are_refused(store: Store) -> None:
    with store.write() as session:
        old = access.invite(session, "annotator", days=2, now=NOW)
        withdrawn = access.invite(session, "annotator", now=NOW)
        newest = access.invites(session)[0]
        assert access.revoke_invite(session, newest.id, now=NOW)
        assert not access.revoke_invite(session, newest.id, now=NOW)
        assert not access.revoke_invite(session, 99)
        late = NOW + timedelta(days=2)
        for token, why in ((old, "expired"), (withdrawn, "withdrawn"), ("\ud800", "no such")):
            with pytest.raises(InviteRefused, match=why):
                access.pending(session, token, late)
            with pytest.raises(InviteRefused, match=why):
                access.redeem(session, token, "ann", now=late)
        assert members.listing(session) == []
        assert [each.revoked for each in access.invites(session)] == [True, False]


def test_a_used_invitation_cannot_be_withdrawn(store: Store) -> None:
    with store.write() as session:
        access.redeem(session, access.invite(session, "annotator"), "ann")
        assert not access.revoke_invite(session, access.invites(session)[0].id)


def test_a_taken_name_does_not_cost_the_invitation(store: Store) -> None:
    with store.write() as session:
        members.enrol(session, "ann")
        token = access.invite(session, "annotator")
        for name in ("ann", "", "  ", "x" * 101, "a\x00"):
            with pytest.raises(ValueError, match="name"):
                access.redeem(session, token, name)
        assert access.redeem(session, token, "bob")[0].name == "bob"


def test_an_invitation_by_name_lets_a_member_in_again(store: Store) -> None:
    with store.write() as session:
        ann = members.enrol(session, "ann", "owner")
        token = access.invite(session, "owner", name="ann")
        assert access.redeem(session, token, "somebody else")[0] == ann
        token = access.invite(session, "annotator", name="cleo")
        assert access.redeem(session, token, "dora")[0].name == "cleo"


@pytest.mark.parametrize("wrong", [{"role": "king"}, {"days": 0}, {"days": -1}, {"name": "\x00"}])
def test_invitations_that_make_no_sense(store: Store, wrong: dict[str, Any]) -> None:
    with store.write() as session, pytest.raises(ValueError, match=r"role|days|name"):
        access.invite(session, **{"role": "annotator", **wrong})


def test_logging_out(store: Store) -> None:
    with store.write() as session:
        ann = members.enrol(session, "ann")
        first, second, third = (access.log_in(session, ann.id) for _ in range(3))
        access.log_out(session, first)
        assert access.member_of(session, first) is None
        assert access.member_of(session, second) is not None
        access.log_out_member(session, ann.id)
        assert access.member_of(session, third) is None
        access.log_out(session, "forged")


@pytest.mark.parametrize("token", ["", "forged", "' OR 1=1 --", "\ud800", "\x00", "x" * 100_000])
def test_forged_sessions(store: Store, token: str) -> None:
    with store.write() as session:
        access.log_in(session, members.enrol(session, "ann").id)
        assert access.member_of(session, token) is None


def test_old_sessions_are_swept(store: Store) -> None:
    with store.write() as session:
        ann = members.enrol(session, "ann")
        access.log_in(session, ann.id, now=NOW)
        access.log_in(session, ann.id, now=NOW + timedelta(days=40))
        assert session.execute(text("SELECT count(*) FROM login")).scalar() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE member SET role = 'king'",
        "UPDATE member SET name = 'same'",
        "UPDATE invite SET used = created",
        "UPDATE invite SET role = 'king'",
        "DELETE FROM member",
    ],
)
def test_the_database_forbids(store: Store, statement: str) -> None:
    with store.write() as session:
        access.redeem(session, access.invite(session, "annotator"), "ann")
        access.invite(session, "annotator")
        members.enrol(session, "bob")
    with pytest.raises(DBAPIError, match=r"(?i)constraint"), store.write() as session:
        session.execute(text(statement))


def test_an_invitations_name_is_reserved(store: Store) -> None:
    """Nobody can take the name first and have the invited person come in as them."""
    with store.write() as session:
        token = access.invite(session, "annotator", name="Ada")
        stranger = access.invite(session, "annotator")
        with pytest.raises(ValueError, match="taken"):
            access.redeem(session, stranger, "Ada")
        ada, _ = access.redeem(session, token, "whatever")
        assert ada.name == "Ada"


def test_an_invitation_changes_no_role_and_lets_no_machine_in(store: Store) -> None:
    with store.write() as session:
        members.enrol(session, "Ada", "annotator")
        members.enrol(session, "judge", "annotator", "judge")
        with pytest.raises(ValueError, match="already"):
            access.invite(session, "owner", name="Ada")
        with pytest.raises(ValueError, match="already"):
            access.invite(session, "annotator", name="judge")
