"""Jobs shared by several servers: none lost, none done twice, whatever becomes of the servers."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from heed.errors import UserError
from heed.sampling import endpoint
from heed.sampling.endpoint import Passing
from heed.sampling.fleet import DROPPED, Fleet


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT", 0.002)


def gave_up(server: int, failure: Passing, tries: int) -> str:
    return f"server {server}: {failure} after {tries}"


def fleet(count: int = 2, **more: Any) -> Fleet:
    return Fleet(count, **{"concurrency": 4, "retries": 3, **more})


def test_who_has_the_fewest_under_way_is_asked() -> None:
    """A server that takes as long as ten jobs of the other one gets about a tenth of them."""
    changed, quick, begun = threading.Condition(), 0, -1
    last = 56  # from here on nobody waits: there may be no ten jobs left

    def work(job: int, server: int) -> tuple[int, int]:
        nonlocal quick, begun
        with changed:
            if server:
                begun = quick
                changed.notify_all()
                changed.wait_for(lambda: quick >= min(begun + 10, last), 10)
                begun = -1
            else:
                changed.wait_for(lambda: quick >= last or 0 <= begun > quick - 10, 10)
                quick += 1
                changed.notify_all()
        return job, server

    done = fleet(concurrency=1).run(range(66), work, gave_up)
    assert [job for job, _ in done] == list(range(66))
    assert 2 <= sum(server for _, server in done) <= 14


def test_no_server_has_more_at_a_time_than_it_may() -> None:
    under_way, most, lock = Counter[int](), Counter[int](), threading.Lock()

    def work(job: int, server: int) -> int:
        with lock:
            under_way[server] += 1
            most[server] = max(most[server], under_way[server])
        time.sleep(0.002)
        with lock:
            under_way[server] -= 1
        return job

    assert fleet(3, concurrency=2).run(range(40), work, gave_up) == list(range(40))
    assert dict(most) == {0: 2, 1: 2, 2: 2}


@pytest.mark.parametrize("seed", range(5))
def test_whatever_fails_each_job_is_done_once(seed: int) -> None:
    """Servers that die, come back without being ready, time out late and say nonsense."""
    draws, lock = random.Random(seed), threading.Lock()
    ready, done = [False] * 3, Counter[int]()

    def prepare(server: int) -> None:
        with lock:
            chance = draws.random()
        if chance < 0.3:
            raise Passing("no weights yet", gone=True)
        ready[server] = True

    def lost(server: int) -> None:
        ready[server] = False

    def work(job: int, server: int) -> int:
        assert ready[server] or fleet_.places[server].era
        with lock:
            chance, pause = draws.random(), draws.random() * 0.003
        time.sleep(pause)
        if chance < 0.1:
            raise Passing("died", gone=True)
        if chance < 0.2:
            raise Passing("nonsense")
        if chance < 0.25:
            raise Passing("busy", wait=0.005)
        with lock:
            done[job] += 1
        return job * job

    fleet_ = fleet(3, retries=20, ready=ready.__getitem__, prepare=prepare, lost=lost)
    jobs = list(range(150))
    assert fleet_.run(jobs, work, gave_up) == [job * job for job in jobs]
    assert done == Counter(jobs)
    assert sum(place.done for place in fleet_.places) == 150
    assert all(place.busy == 0 for place in fleet_.places)


def test_the_dead_get_nothing_until_they_are_back_and_then_one_job_first() -> None:
    """Whose first job after that goes well gets as many as before."""
    dead, asked, under_way = threading.Event(), [], Counter[int]()
    dead.set()

    def work(job: int, server: int) -> int:
        if server == 1:
            if dead.is_set():
                raise Passing("died", gone=True)
            under_way[server] += 1
            asked.append(under_way[server])
            time.sleep(0.003)
            under_way[server] -= 1
        else:
            time.sleep(0.003)
        if job == 10:
            dead.clear()
        return job

    fleet_ = fleet(retries=50)
    assert fleet_.run(range(200), work, gave_up) == list(range(200))
    assert len(asked) > 20
    assert asked[0] == 1
    assert max(asked) > 1
    assert fleet_.places[1].drops == 0


def test_a_server_is_made_ready_before_it_is_asked_and_again_after_it_was_lost() -> None:
    ready, prepared, died = [False], [], threading.Event()

    def prepare(server: int) -> None:
        prepared.append(server)
        ready[server] = True

    def work(job: int, server: int) -> int:
        if job == 3 and not died.is_set():
            died.set()
            raise Passing("died", gone=True)
        return job

    fleet_ = fleet(
        1,
        ready=ready.__getitem__,
        prepare=prepare,
        lost=lambda server: ready.__setitem__(server, False),
    )
    assert fleet_.run(range(9), work, gave_up) == list(range(9))
    assert prepared == [0, 0]
    assert fleet_.run(range(9), work, gave_up) == list(range(9))
    assert prepared == [0, 0]


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (lambda: Passing("died", gone=True), "died after 4"),
        (lambda: Passing("nonsense"), "nonsense after 4"),
        (lambda: Passing("busy", wait=1000.0), "busy after"),
    ],
)
def test_it_comes_to_an_end(failure: Callable[[], Passing], said: str) -> None:
    def work(job: int, server: int) -> int:
        raise failure()

    with pytest.raises(UserError, match=said):
        fleet().run(range(1 if "non" in said else 2), work, gave_up)


def test_servers_that_are_never_ready_are_an_error() -> None:
    def prepare(server: int) -> None:
        raise Passing("no weights", gone=True)

    with pytest.raises(UserError, match="no weights after 4"):
        fleet(ready=lambda _: False, prepare=prepare).run([1], lambda job, _: job, gave_up)


def test_who_says_nonsense_all_the_time_is_dropped() -> None:
    asked = Counter[int]()

    def work(job: int, server: int) -> int:
        asked[server] += 1
        time.sleep(0.001)
        if server == 0:
            raise Passing("nonsense")
        return job

    fleet_ = fleet(retries=40)
    assert fleet_.run(range(300), work, gave_up) == list(range(300))
    assert DROPPED <= asked[0] < 60
    assert fleet_.places[0].drops > 0


def test_an_error_of_ones_own_ends_all() -> None:
    def work(job: int, server: int) -> int:
        raise ZeroDivisionError(job)

    with pytest.raises(ZeroDivisionError):
        fleet().run(range(9), work, gave_up)
