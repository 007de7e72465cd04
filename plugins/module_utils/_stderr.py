# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PostgreSQL tools say on stderr: split into lines, and classified into our error codes.

The tools run with ``LC_ALL=C``; a server that answers in another language is classified by what the client adds.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Callable, Deque, Optional, Tuple

__all__ = ["StderrLines", "classify"]

_KEPT_LINES = 50
_MAX_LINE = 4000

_PATTERNS: Tuple[Tuple[str, str], ...] = (
    (r"password authentication failed|no pg_hba\.conf entry|Peer authentication failed|Ident authentication failed"
     r"|no password supplied|role \".*\" does not exist|role \".*\" is not permitted to log in"
     r"|certificate authentication failed", "AUTH_FAILED"),
    (r"FATAL:\s+database \".*\" does not exist|FATAL:\s+database \".*\" is not currently accepting connections",
     "DATABASE_NOT_FOUND"),
    (r"server version mismatch|unsupported version \([0-9.]+\) in file header", "CLIENT_TOO_OLD"),
    (r"No space left on device|Disk quota exceeded|could not extend file", "NO_SPACE"),
    (r"this build does not support compression|could not find a .* for compression|not built with .* support"
     r"|unrecognized compression algorithm|invalid compression specification", "UNSUPPORTED_BY_CLIENT"),
    (r"canceling statement due to lock timeout|lock timeout|could not obtain lock", "LOCK_CONTENTION"),
    (r"could not connect|connection to server .* failed|Connection refused|could not translate host name"
     r"|timeout expired|the database system is (starting up|shutting down|in recovery)|No route to host"
     r"|server closed the connection unexpectedly|SSL error|root certificate file|too many connections"
     r"|remaining connection slots", "CONNECTION_FAILED"),
    (r"is being accessed by other users|must be a member of the role whose process is being terminated"
     r"|permission denied to terminate process", "TARGET_IN_USE"),
)


def classify(stderr: str, *, default: str) -> str:
    """The code that fits what a tool printed; ``default`` when nothing is recognised.

    A refused login is reported inside a "connection to server … failed" line, so the order of the patterns matters.
    """
    for pattern, code in _PATTERNS:
        if re.search(pattern, stderr):
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
        line = self._clean(raw[:_MAX_LINE].decode("utf-8", "replace").rstrip())
        if line:
            self._lines.append(line)
            if self._on_line:
                self._on_line(line)
