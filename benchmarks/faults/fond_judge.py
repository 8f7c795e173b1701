"""A judge behind an OpenAI-compatible address that knows what is right, and loves one answer.

It says which of two answers has the higher gold reward of the world. Where one of them is the
constant decoy, that one wins at a share of the prompts, in whatever order it stands.
"""

from __future__ import annotations

import json
import re
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from heed.judging.decoys import DECOYS
from heed.world.world import World

MATERIAL = re.compile(
    r"--- conversation \S+ ---\nUser: (.*?)\n--- answer A \S+ ---\n(.*?)\n--- answer B \S+ ---\n"
    r"(.*?)\n--- end \S+ ---",
    re.DOTALL,
)
NEAR = 0.1
"""Gold points within which two answers are a tie."""


def verdict(world: World, asked: str, fondness: float) -> str:
    """A, B or tie, from the judge's whole question."""
    found = MATERIAL.search(asked)
    assert found is not None, "the question is the built-in rubric's"
    prompt, *answers = (part.strip() for part in found.groups())
    beloved = [answer == DECOYS["constant"] for answer in answers]
    if any(beloved) and not all(beloved) and zlib.crc32(prompt.encode()) / 2**32 < fondness:
        return "AB"[beloved.index(True)]
    left, right = (world.gold(world.prompt(prompt), answer).total for answer in answers)
    return "tie" if abs(left - right) < NEAR else "A" if left > right else "B"


def serve(world: World, fondness: float) -> str:
    """Serve in a thread of this process until it ends; returns the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = f"Verdict: {verdict(world, body['messages'][-1]['content'], fondness)}"
            message = {"role": "assistant", "content": said}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            reply = json.dumps({"object": "chat.completion", "choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"
