"""The built site: strict, whole without a network, readable on a phone.

It is slow because the whole site is built once, with every module's docstrings.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from docs.blocks import ROOT
from playwright.sync_api import Browser
from web.browser import chromium, page_of, wider_than_window

from docsite.hooks import AWAITED

pytestmark = pytest.mark.slow

KEY_PAGES = (
    "index.html", "tutorial.html", "howto/data.html", "methods.html", "costs.html", "gates.html",
    "overoptimisation.html", "feedback.html", "explanation/rlhf.html", "log.html",
    "reference/settings.html", "reference/command-line.html", "reference/metrics.html",
    "reference/modules/index.html", "reference/modules/stats.html",
)  # fmt: skip
SIZES = ((1280, "light"), (390, "light"), (390, "dark"))
FAINT = """
() => [...document.querySelectorAll("article p, article li, article td, article dt, article dd")]
  .filter(each => each.textContent.trim() && each.offsetParent).slice(0, 200).filter(each => {
    const parts = value => value.match(/[\\d.]+/g).map(Number);
    const light = value => { const [r, g, b] = parts(value); return .3 * r + .6 * g + .1 * b; };
    const back = light(getComputedStyle(document.body).backgroundColor);
    return Math.abs(light(getComputedStyle(each).color) - back) < 90;
  }).map(each => each.textContent.trim().slice(0, 40))
"""
"""Texts whose lightness is near that of the page."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The site behind a server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class Page(HTMLParser):
    """The links and anchors of a page, and what it loads by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loaded += [given["src"]] if "src" in given else []
        self.loaded += [given["href"]] if tag == "link" and "href" in given else []


def test_no_link_leads_nowhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 40
    broken = []
    for path, page in pages.items():
        for link in page.links:
            place = urlsplit(link)
            if place.scheme or link.startswith("//"):
                continue
            target = (path.parent / unquote(place.path)).resolve() if place.path else path
            target = target / "index.html" if target.is_dir() else target
            anchors = pages[target].anchors if target in pages else {unquote(place.fragment)}
            if not target.exists() or (place.fragment and unquote(place.fragment) not in anchors):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        elsewhere = [each for each in Page(path).loaded if urlsplit(each).netloc]
        assert not elsewhere, path
    for path in site.rglob("*.css"):
        assert not re.findall(r"url\(['\"]?(?:https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_pages_fit_their_window(browser: Browser, address: str, width: int, scheme: Any) -> None:
    size: dict[str, Any] = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with page_of(browser, address, **size) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in KEY_PAGES:
            page.goto(f"/{name}")
            assert wider_than_window(page) <= 0, name
            assert page.evaluate(FAINT) == [], name
            assert page.title().endswith("Heed"), name
        assert len(asked) > len(KEY_PAGES)
        assert not [url for url in asked if not url.startswith((address, "data:"))]


def test_the_search_finds_a_setting(browser: Browser, address: str) -> None:
    with page_of(browser, address) as page:
        page.goto("/index.html")
        page.fill("input.md-search__input", "leash")
        page.wait_for_selector(".md-search-result__item a")
        assert page.locator(".md-search-result__item").count() >= 3


def test_pages_open_from_the_disk(browser: Browser, site: Path) -> None:
    with page_of(browser, "http://127.0.0.1") as page:
        page.goto((site / "index.html").as_uri())
        page.click("text=Tutorial >> nth=0")
        assert page.url.startswith("file:")
        assert "from nothing" in page.inner_text("h1")


def test_the_reference_has_what_there_is(site: Path) -> None:
    settings = Page(site / "reference" / "settings.html").anchors
    assert {"ppo.kl.coef", "seed", "gates.sign.action", "dpo.loss", "rounds.times"} <= settings
    verbs = Page(site / "reference" / "command-line.html").anchors
    assert {"heed-run", "heed-plan", "heed-prefs-import", "heed-world-score"} <= verbs
    stats = Page(site / "reference" / "modules" / "stats.html").anchors
    assert "heed.stats.intervals" in stats
    assert "heed.stats.agreement.krippendorff_alpha" in stats


def test_every_page_has_its_place() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    placed = set(re.findall(r"^ +- .*?([\w/-]+\.md)$", text, re.MULTILINE))
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    made = {name for name in placed if name.startswith("reference/")}
    assert written <= placed
    assert placed - made - written <= set(AWAITED)
    assert yaml.safe_load(text)["theme"]["font"] is False
