"""The page of a run as it goes: who sees it, and what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from report.live_run import Growing

from heed.web import watching
from heed.web.watching import PARTS, create_watch_app

TOKEN = "a-token-that-nobody-guesses"
HOSTILE = "</p><img src=x onerror=alert(1)><script>document.title='owned'</script>"


@pytest.fixture
def run(tmp_path: Path) -> Growing:
    run = Growing(tmp_path / "run")
    run.prepare()
    run.done("records")
    run.begin("ppo", iterations=40)
    for step in range(1, 4):
        run.log("ppo", step, proxy=float(step), kl=0.5)
    return run


def client_of(run: Growing, base: str = "http://127.0.0.1:8766", **more: bool) -> TestClient:
    app = create_watch_app(run.directory, TOKEN, loopback=more.get("loopback", True))
    return TestClient(app, base_url=base)


@pytest.fixture
def client(run: Growing, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    monkeypatch.setattr(watching, "REST", 0.0)
    return client_of(run)


def enter(client: TestClient) -> None:
    assert client.get(f"/enter/{TOKEN}").status_code == 200


def test_only_who_has_the_link_sees_it(run: Growing, client: TestClient) -> None:
    for path in ("/", "/api/frame"):
        answer = client.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 401
        assert "ppo" not in answer.text
        assert client.get(path, headers={"cookie": "heed_watch_x=1"}).status_code == 401
    assert client.get("/enter/wrong").status_code == 401
    assert client.get("/enter/").status_code == 404
    entered = client.get(f"/enter/{TOKEN}", follow_redirects=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in entered.headers["set-cookie"]
    page = client.get("/")
    assert page.status_code == 200
    assert TOKEN not in page.text
    other = client_of(run)
    other.cookies.set(next(iter(client.cookies)), "wrong")
    assert other.get("/").status_code == 401


def test_it_shows_the_run_and_what_is_new(run: Growing, client: TestClient) -> None:
    enter(client)
    page = client.get("/").text
    assert "Curves of ppo" in page
    assert "Proxy reward <b>3.00</b>" in page
    before = client.get("/api/frame").json()
    assert set(before) == set(PARTS)
    run.log("ppo", 4, proxy=9.0)
    run.find("ppo", "kl", "It is too far.", step=4, tripped=True)
    after = client.get("/api/frame").json()
    assert "<b>9.00</b>" in after["curves"]
    assert "Gate kl tripped in ppo at iteration 4" in after["gates"]
    assert after["state"] == before["state"]


def test_another_stage_is_a_link_away(run: Growing, client: TestClient) -> None:
    run.begin("sft")
    run.log("sft", 1, nll=3.0)
    enter(client)
    assert '<a href="/?stage=sft">' in client.get("/").text
    assert "Curves of sft" in client.get("/?stage=sft").text
    assert "Curves of sft" in client.get("/api/frame?stage=sft").json()["curves"]
    assert "records logged nothing to draw" in client.get("/?stage=records").text
    assert client.get("/?stage=<b>").status_code == 409


def test_texts_of_the_run_are_escaped(run: Growing, client: TestClient) -> None:
    run.draw("ppo", 3, HOSTILE, prompt=HOSTILE, family=HOSTILE)
    run.find("ppo", HOSTILE, HOSTILE, step=3, tripped=True)
    enter(client)
    for text in (client.get("/").text, *client.get("/api/frame").json().values()):
        assert "<img" not in text
        assert "<script>" not in text


def test_the_labelling_apps_armour_stands_around_it(run: Growing, client: TestClient) -> None:
    enter(client)
    page = client.get("/")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    assert " style=" not in page.text, "the policy forbids it"
    cross = client.get("/api/frame", headers={"sec-fetch-site": "cross-site"})
    assert cross.status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client_of(run, "http://lab.example", loopback=False).get("/").status_code == 401
    assert client.post("/").status_code == 405


def test_a_directory_of_no_run_is_told(run: Growing, client: TestClient) -> None:
    enter(client)
    (run.directory / "recipe.yaml").write_text("- a")
    answer = client.get("/api/frame")
    assert answer.status_code == 409
    assert "no recipe as heed run writes it" in answer.json()["message"]


def test_before_the_run_begins(tmp_path: Path) -> None:
    client = client_of(Growing(tmp_path / "later"))
    enter(client)
    assert "Not begun yet: nothing stands in" in client.get("/").text


def test_visitors_share_a_look(run: Growing, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(run)
    monkeypatch.setattr(watching, "REST", 1000.0)
    enter(client)
    client.get("/")
    run.log("ppo", 4, proxy=9.0)
    assert "<b>9.00</b>" not in client.get("/api/frame").json()["curves"]
