# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A door to the real engine that lists only some of its containers, as if nobody else were using it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from urllib.parse import quote

__all__ = ["NarrowEngine"]

LOCAL = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


class NarrowEngine:
    """A port of loopback that leads to the engine; what asks for the list of containers gets those with the label.

    ``url`` serves as ``docker_host`` or ``DOCKER_HOST``. Everything else passes untouched: a container that is not
    listed can be inspected by its name. ``requests`` are the beginnings of all that were made: ``POST /v1.41/exec/…``.
    """

    def __init__(self, label: str) -> None:
        self.requests: list[str] = []
        self._filter = f"filters={quote(json.dumps({'label': [label]}))}&".encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(LOCAL.partition("://")[2])
            answers = threading.Thread(target=_pass_on, args=(engine, client), daemon=True)
            answers.start()
            _pass_on(client, engine, self._narrowed)
            answers.join()

    def _narrowed(self, data: bytes) -> bytes:
        # Both clients send the head of a request at once, and wait for the answer before the next one.
        if data.startswith((b"GET ", b"POST ", b"DELETE ")):
            self.requests.append(data.split(b" HTTP/")[0].decode())
        head, mark, rest = data.partition(b"/containers/json?")
        return head + mark + self._filter + rest if mark and data.startswith(b"GET ") and b"\r\n" not in head else data


def _pass_on(
    source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes] = lambda data: data
) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(change(data))
    # One direction ends before the other: a tool's input before its output.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
