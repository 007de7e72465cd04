# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tool left when it ended: its status, its output within bounds, and the line that names the cause."""

from __future__ import annotations

from typing import Callable, List, NamedTuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["ToolResult", "bounded", "first_error", "ignore", "is_missing"]

_MAX_BYTES = 256 * 1024 * 1024


class ToolResult(NamedTuple):
    """A finished tool: its exit status, collected stdout (empty when it was streamed), last stderr lines, seconds."""

    status: int
    stdout: bytes
    stderr: str
    seconds: float


def ignore(_chunk: bytes) -> None:
    """For output that does not matter."""


def is_missing(text: str) -> bool:
    """Whether a container engine's message says that the program does not exist there."""
    return "executable file not found" in text or "no such file or directory" in text.lower()


def bounded(collected: List[bytes]) -> Callable[[bytes], None]:
    """Collect stdout up to a bound: endless output must not fill the memory."""
    size = 0

    def collect(chunk: bytes) -> None:
        nonlocal size
        size += len(chunk)
        if size > _MAX_BYTES:
            raise BackupError("INTERNAL_ERROR", "a tool printed more than {0} bytes".format(_MAX_BYTES))
        collected.append(chunk)

    return collect


def first_error(stderr: str) -> str:
    """The line that names the cause: the first with an error in it, else the last."""
    lines = stderr.splitlines()
    telling = [line for line in lines if "error:" in line or "ERROR:" in line or "FATAL:" in line]
    return (telling or lines[-1:] or ["no message"])[0]
