"""A hub of our own: the few routes that making a repository and uploading a folder ask."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar


class Hub(ThreadingHTTPServer):
    """What was uploaded, who asked, and what it refuses."""

    daemon_threads = True

    def __init__(self, token: str, refuses: int, public: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Routes)
        self.token, self.refuses, self.public = token, refuses, public
        self.repositories: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def hub(token: str = "t0k3n", *, refuses: int = 0, public: bool = False) -> Iterator[Hub]:
    """A running hub; `refuses` is the status with which it answers a new repository, `public`
    whether the repository is there and everybody sees it.
    """
    server = Hub(token, refuses, public)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Routes(BaseHTTPRequestHandler):
    server: Hub
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _say(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        self.server.asked.append(path)
        if path == "/api/validate-yaml":
            return self._say({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self._say({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if "/preupload/" in path:
            files = [
                {"path": each["path"], "shouldIgnore": False,
                 "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular"}
                for each in json.loads(body)["files"]
            ]  # fmt: skip
            return self._say({"files": files})
        if path.endswith("/objects/batch"):
            return self._batch(json.loads(body))
        assert "/commit/" in path, f"there is no route {path}"
        return self._commit(body)

    def do_PUT(self) -> None:
        self.server.large[self.path.rpartition("/")[2]] = self._body()
        self._say({})

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        name = self.path.removeprefix("/api/models/")
        self._say({"id": name, "private": not self.server.public, "siblings": [], "tags": []})

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if self.server.public or name in self.server.repositories:
            return self._say({"error": "You already created this model repo"}, 409)
        if self.server.refuses:
            says = "You don't have the rights to create a model under this namespace"
            return self._say({"error": says}, self.server.refuses)
        self.server.repositories[name] = str(wanted.get("visibility"))
        return self._say({"url": f"{self.server.address}/{name}"})

    def _batch(self, wanted: dict[str, Any]) -> None:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.address}/large/{each['oid']}"}}}
            for each in wanted["objects"]
        ]
        self._say({"transfer": "basic", "objects": objects})

    def _commit(self, body: bytes) -> None:
        for line in body.splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "file":
                self.server.files[value["path"]] = base64.b64decode(value["content"])
            if row["key"] == "lfsFile":
                self.server.files[value["path"]] = self.server.large[value["oid"]]
        address = f"{self.server.address}/me/toy/commit/{'0' * 40}"
        self._say({"success": True, "commitOid": "0" * 40, "commitUrl": address})
