# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A door to the real engine that lists only some of its containers, as if nobody else were using it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from urllib.parse import quote

__all__ = ["NarrowEngine"]

LOCAL = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"


class NarrowEngine:
    """A port of loopback that leads to the engine; what asks for the list of containers gets those with the label.

    ``url`` serves as ``docker_host`` or ``DOCKER_HOST``. Everything else passes untouched: a container that is not
    listed can be inspected by its name.
    """

    def __init__(self, label: str) -> None:
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
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(LOCAL.partition("://")[2])
                threading.Thread(target=self._pass_on, args=(client, engine, True), daemon=True).start()
                threading.Thread(target=self._pass_on, args=(engine, client, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, requests: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                # Both clients send the head of a request at once, and wait for the answer before the next one.
                if requests and data.startswith(b"GET "):
                    head, mark, rest = data.partition(b"/containers/json?")
                    data = head + mark + self._filter + rest if mark and b"\r\n" not in head else data
                target.sendall(data)
        # One direction ends before the other: a tool's input before its output.
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
