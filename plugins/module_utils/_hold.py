# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tool that lives as long as we do: its stdin stays open, and however we end, it sees the end of it.

So others can tell by the tool, or by its session, whether we are still there, even when we were killed.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, List, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    STDOUT,
    StreamBroken,
    ToolProcess,
    ToolTimeout,
    remaining,
)

__all__ = ["READY", "Hold"]

READY = "ready"  # the line by which the tool says that it has done what it was told, and stays
_GLANCE = 0.25
_END_SECONDS = 10.0


class Hold:
    """A started tool, listened to in a thread. Whoever made it calls :meth:`let_go`, whatever happened."""

    def __init__(self, process: ToolProcess) -> None:
        """``process`` was started with stdin."""
        self._process = process
        self._output: List[bytes] = []
        self._errors: List[bytes] = []
        self._heard = threading.Event()
        self._abandoned = False
        self.status: Optional[int] = None
        """How the tool ended; None while it runs, and where that cannot be known."""
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def tell(self, text: bytes, timeout: Optional[float], check: Callable[[], None] = lambda: None) -> bool:
        """Send ``text``, and wait for the line :data:`READY`. False when the tool ended instead.

        ``check`` is called now and then, and may raise. Raises ToolTimeout.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        self._process.feed([text], end=False)
        while not self._heard.wait(min(_GLANCE, remaining(deadline) or _GLANCE)):
            check()
        return self._is_ready()

    @property
    def output(self) -> str:
        """What the tool has printed so far, without the last line."""
        text = b"".join(self._output).decode("utf-8", "replace")
        return text[: -len(READY) - 1] if self._is_ready() else text

    @property
    def errors(self) -> str:
        """What it has complained of."""
        return b"".join(self._errors).decode("utf-8", "replace")

    def let_go(self) -> None:
        """End its stdin, and with it the tool. One that does not end soon is no longer waited for."""
        self._process.feed([])
        self._thread.join(_END_SECONDS)
        self._abandoned = True
        self._process.kill()
        self._thread.join(2 * _GLANCE)
        self._process.close()

    def _listen(self) -> None:
        try:
            while not self._abandoned:
                try:
                    for stream, chunk in self._process.frames(time.monotonic() + _GLANCE):
                        (self._output if stream == STDOUT else self._errors).append(chunk)
                        if self._is_ready():
                            self._heard.set()
                    self.status = self._process.wait(time.monotonic() + _END_SECONDS)
                    return
                except ToolTimeout:
                    continue
        except (StreamBroken, OSError, ValueError):
            return  # how it ended is not known; what it was there for is over all the same
        finally:
            self._heard.set()

    def _is_ready(self) -> bool:
        return (b"\n" + b"".join(self._output)).endswith("\n{0}\n".format(READY).encode("ascii"))
