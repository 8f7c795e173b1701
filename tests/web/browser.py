"""A real server and a real Chromium, for tests of the pages.

Open the browser in a fixture of the module, not of the session: while Playwright's synchronous
interface is open, nothing else in its thread can run an event loop.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from needs import missing
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from heed.store import access
from heed.store.database import Store
from heed.store.members import Role
from heed.web.app import create_app

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True,
}  # fmt: skip
PATIENCE = 10.0
PROJECT = "capitals"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    path = shutil.which("chromium")
    if path is None:
        missing("browser", "there is no chromium on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Thread:
    """A server in a thread of this process, to be stopped and started again at its address."""

    def __init__(self, app: FastAPI) -> None:
        self.app, self.port = app, 0
        self._stop = _nothing

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start; connections are taken at once."""
        sock = _listening(self.port)
        self.port = int(sock.getsockname()[1])
        config = uvicorn.Config(
            self.app, log_level="error", access_log=False, ws="none", timeout_graceful_shutdown=2
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join(PATIENCE)
            sock.close()
            self._stop = _nothing

        self._stop = stop

    def kill(self) -> None:
        """Stop taking requests."""
        self._stop()


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The app on a free port of loopback, in a thread; its address."""
    server = Thread(app)
    server.start()
    try:
        yield server.address
    finally:
        server.kill()


class Process:
    """A server of its own process, to be killed in the middle and started again at its address."""

    def __init__(self, store: Path, project: str) -> None:
        self.store, self.project = store, project
        sock = _listening(0)
        self.port = int(sock.getsockname()[1])
        sock.close()
        self.running: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [sys.executable, __file__, str(self.store), self.project, str(self.port)]
        paths = {"PYTHONPATH": str(Path(__file__).parents[1])}
        self.running = subprocess.Popen(command, env={**os.environ, **paths})
        end = time.monotonic() + 3 * PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=PATIENCE).close()
                return
            except OSError:
                if self.running.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """Kill -9."""
        if self.running is not None:
            self.running.send_signal(signal.SIGKILL)
            self.running.wait()


def invitation(store: Store, role: Role = "annotator") -> str:
    """A path that lets one newcomer in."""
    with store.write() as session:
        return f"/join/{access.invite(session, role)}"


@contextmanager
def page_of(
    browser: Browser, address: str, *, allow: Sequence[str] = (), **options: Any
) -> Iterator[Page]:
    """A page in a browser of its own, which ends well only if nothing went wrong in it.

    Errors in the console (violations of the Content-Security-Policy are such) and exceptions that
    nobody caught fail the test, but for those that match an expression in `allow`.
    """
    context = browser.new_context(base_url=address, **{**DESKTOP, **options})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    wrong: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            wrong.append(f"{message.type}: {message.text}")

    context.on("console", heard)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    try:
        yield page
        unexpected = [
            text for text in wrong if not any(re.search(pattern, text) for pattern in allow)
        ]
        assert not unexpected, unexpected
    finally:
        context.close()


@contextmanager
def visiting(
    browser: Browser, site: Store | FastAPI, *, allow: Sequence[str] = (), **options: Any
) -> Iterator[Page]:
    """A page of `page_of` at a server of its own; a store is served with accounts."""
    app = site if isinstance(site, FastAPI) else create_app(site, PROJECT, accounts=True)
    with serving(app) as address, page_of(browser, address, allow=allow, **options) as page:
        yield page


def join(page: Page, path: str, name: str) -> None:
    """From the invitation to the first comparison, by keyboard."""
    page.goto(path)
    page.wait_for_selector("#name:focus")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.wait_for_url("**/guidelines?first=1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/label")
    page.wait_for_selector("#task", state="visible")


def nameless_controls(page: Page) -> list[str]:
    """Roles of the controls that a screen reader finds no name for."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    controls = {
        "button", "link", "radio", "checkbox", "textbox", "combobox", "radiogroup",
        "progressbar", "dialog", "region", "navigation", "DisclosureTriangle",
    }  # fmt: skip
    return [
        str(node["role"]["value"])
        for node in nodes
        if not node.get("ignored")
        and node.get("role", {}).get("value") in controls
        and not node.get("name", {}).get("value", "").strip()
    ]


def wider_than_window(page: Page) -> int:
    """By how many pixels the page must be scrolled sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def _nothing() -> None:
    """Nothing runs, nothing to stop."""


def _listening(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    sock.listen(128)
    return sock


def _main(store: str, project: str, port: str) -> None:
    app = create_app(Store.open(Path(store)), project, accounts=True)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", access_log=False)


if __name__ == "__main__":
    _main(*sys.argv[1:])
