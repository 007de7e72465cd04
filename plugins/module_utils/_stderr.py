# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PostgreSQL tools say on stderr: split into lines, and classified into our error codes.

The tools run with ``LC_ALL=C``, and superusers have the server answer in English too. Where neither helps, psql's
verbose messages are told by their SQLSTATE, and others by what the client adds.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Callable, Deque, Optional, Tuple

__all__ = ["StderrLines", "classify"]

_KEPT_LINES = 50
_MAX_LINE = 4000

# A refused login is reported inside a "connection to server … failed" line, so the order matters.
_PATTERNS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    (
        "AUTH_FAILED",
        (
            "password authentication failed",
            r"no pg_hba\.conf entry|pg_hba\.conf rejects",
            r"\w+ authentication failed for user",
            "no password supplied",
            'FATAL: +role ".*" does not exist',
            'role ".*" is not permitted to log in',
            "FATAL: +permission denied for database",
        ),
    ),
    (
        "DATABASE_NOT_FOUND",
        ('FATAL: +database ".*" does not exist', 'FATAL: +database ".*" is not currently accepting connections'),
    ),
    ("POOLER_REFUSED", ("unsupported startup parameter",)),
    ("CLIENT_TOO_OLD", ("server version mismatch", r"unsupported version \([0-9.]+\) in file header")),
    ("NO_SPACE", ("No space left on device", "Disk quota exceeded", "could not extend file", r"\b53100: ")),
    (
        "UNSUPPORTED_BY_CLIENT",
        (
            "this build does not support compression",
            "unrecognized compression algorithm",
            "invalid compression specification",
        ),
    ),
    (
        "LOCK_CONTENTION",
        (
            "canceling statement due to lock timeout",
            # pg_dump's --lock-wait-timeout is a statement timeout while it locks its tables.
            r"canceling statement due to statement timeout[\s\S]*LOCK TABLE",
            "could not obtain lock",
            r"\b55P03: ",
        ),
    ),
    (
        "CONNECTION_FAILED",
        (
            "could not connect",
            "connection to server .* failed",
            "could not translate host name",
            "timeout expired",
            "the database system is (starting up|shutting down|in recovery)",
            "server closed the connection unexpectedly",
            r"\b57P0[123]: ",  # the server ended the session
            "too many connections|remaining connection slots",
        ),
    ),
    ("TARGET_EXISTS", ('database ".*" already exists', r"\b42P04: ")),
    (
        "TARGET_IN_USE",
        ("is being accessed by other users", "permission denied to terminate process", r"\b55006: "),
    ),
    ("INCOMPATIBLE_TARGET", ("because other objects depend on it", r"\b2BP01: ")),
)


def classify(stderr: str, *, default: str) -> str:
    """The code that fits what a tool printed; ``default`` when nothing is recognised."""
    for code, patterns in _PATTERNS:
        if any(re.search(pattern, stderr) for pattern in patterns):
            return code
    return default


class StderrLines:
    """Collects a tool's stderr by lines: the last ones are kept, each is handed to ``on_line`` as it comes."""

    def __init__(self, clean: Callable[[str], str], on_line: Optional[Callable[[str], None]] = None) -> None:
        self._clean = clean
        self._on_line = on_line
        self._pending = b""
        self._lines: Deque[str] = deque(maxlen=_KEPT_LINES)

    def feed(self, chunk: bytes) -> None:
        *complete, self._pending = (self._pending + chunk).split(b"\n")
        if len(self._pending) > _MAX_LINE:
            complete.append(self._pending)
            self._pending = b""
        for line in complete:
            self._take(line)

    def finish(self) -> str:
        """The kept lines as one text."""
        if self._pending:
            self._take(self._pending)
            self._pending = b""
        return "\n".join(self._lines)

    def _take(self, raw: bytes) -> None:
        line = self._clean(raw.decode("utf-8", "replace").rstrip())[:_MAX_LINE]
        if line:
            self._lines.append(line)
            if self._on_line:
                self._on_line(line)
