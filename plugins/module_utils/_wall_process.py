# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tool in a container whose standard output does not pass the engine but a pipe that the host reads."""

from __future__ import annotations

import os
import select
import time
from typing import Generator, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    CHUNK,
    STDOUT,
    ToolProcess,
    ToolTimeout,
    remaining,
)

__all__ = ["WallProcess", "into_pipe"]

_GLANCE = 0.1  # how often the engine's side is looked at while the pipe is busy or silent
# $1: the pipe; the rest is the tool. All values travel as positional parameters.
_SCRIPT = 'p=$1; shift; exec "$@" >"$p"'


def into_pipe(pipe: str, argv: Sequence[str]) -> List[str]:
    """The command that runs ``argv`` with its standard output going to ``pipe``, inside the container."""
    return ["sh", "-c", _SCRIPT, "sh", pipe, *argv]


class WallProcess(ToolProcess):
    """``inner`` as the engine runs it, and ``pipe``, a descriptor of the pipe's reading end, which it takes over.

    The pipe has ended when its writers have, so an end is only believed together with the exit status.
    """

    def __init__(self, inner: ToolProcess, pipe: int) -> None:
        super().__init__(-1)
        self._inner = inner
        self._pipe = pipe
        self._piped = True  # until the pipe has ended

    def frames(self, deadline: Optional[float]) -> Iterator[Tuple[int, bytes]]:
        told = False  # whether the tool's own streams have ended
        while self._piped:
            left = remaining(deadline)
            if select.select([self._pipe], [], [], _GLANCE if left is None else min(_GLANCE, left))[0]:
                chunk = os.read(self._pipe, CHUNK)
                if chunk:
                    yield STDOUT, chunk
                else:
                    self._piped = False
            elif told:
                self._piped = False  # the tool ended without ever opening the pipe
            else:
                told = yield from self._glance()
        yield from self._inner.frames(deadline)

    def _glance(self) -> Generator[Tuple[int, bytes], None, bool]:
        """What the engine has to tell by now; whether that was all."""
        try:
            yield from self._inner.frames(time.monotonic() + 0.001)
        except ToolTimeout:
            return False
        return True

    def wait(self, deadline: Optional[float] = None) -> int:
        return self._inner.wait(deadline)

    def ended(self) -> bool:
        return self._inner.ended()

    def terminate(self) -> None:
        self._inner.terminate()

    def kill(self) -> None:
        self._inner.kill()

    def _write(self, data: memoryview) -> int:
        raise ValueError("the tool was started without stdin")

    def _end_input(self) -> None:
        """There is none."""

    def _release(self) -> None:
        os.close(self._pipe)
        self._inner.close()
