"""Serving the app in this process until Ctrl-C: the socket, the address, the browser."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import webbrowser

import uvicorn
from fastapi import FastAPI

from heed.errors import UserError

TRIES = 100


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def address(sock: socket.socket, host: str) -> str:
    """What to type into a browser; all addresses of the machine are shown as its name."""
    name = socket.gethostname() if host in {"", "0.0.0.0", "::"} else host
    port = sock.getsockname()[1]
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that already takes connections, so that a browser may come before the server.

    Raises UserError where the host is not ours or the port is taken, naming the next free one.
    """
    try:
        return _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            free = _next_free(host, port)
            hint = f"Give a free one: --port {free}." if free else "Give another with --port."
            raise UserError(f"Port {port} of {host} is taken by another program. {hint}") from error
        reason = error.strerror or str(error)
        raise UserError(
            f"Cannot listen on {host}, port {port}: {reason}. Give another --host or --port."
        ) from error


def serve(
    app: FastAPI,
    sock: socket.socket,
    *,
    visit: str = "",
    proxied: bool = False,
    deadline: int = 5,
) -> None:
    """Serve until Ctrl-C; requests under way have `deadline` seconds to finish. `visit` opens in a
    browser, on whose command line everyone on this machine can read it: no secret may be in it.
    Only where `proxied` is X-Forwarded-For believed (of a proxy on this machine): else whoever
    sends it could evade the limits an address has.

    Requests are not logged: addresses of invitations hold their tokens.
    """
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, ws="none", server_header=False,
        proxy_headers=proxied, timeout_graceful_shutdown=deadline,
    )  # fmt: skip
    if visit:
        # Browsers of the terminal hold on until they are closed.
        threading.Thread(target=webbrowser.open, args=(visit,), daemon=True).start()
    try:
        uvicorn.Server(config).run(sockets=[sock])
    except KeyboardInterrupt:
        pass  # uvicorn raises it again after it has shut down
    finally:
        sock.close()


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(place)
        sock.listen(2048)
    except BaseException:
        sock.close()
        raise
    return sock


def _next_free(host: str, port: int) -> int | None:
    for candidate in range(port + 1, min(port + TRIES, 65_536)):
        try:
            _bind(host, candidate).close()
        except OSError:
            continue
        return candidate
    return None
