# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders as tar streams, to and from a tool's standard streams: nothing is held in memory or written on the way."""

from __future__ import annotations

import os
import tarfile
from typing import Callable, Iterator, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import StderrLines

__all__ = ["TarReader", "tar_chunks"]

_CHUNK = 1 << 20


class TarReader:
    """Presents a tool's stdout as a file to read from; its stderr is kept apart."""

    def __init__(self, frames: Iterator[Tuple[int, bytes]], clean: Callable[[str], str]) -> None:
        self._frames = frames
        self._buffer = b""
        self._stderr = StderrLines(clean)

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, or fewer at the end."""
        parts = [self._buffer]
        length = len(self._buffer)
        while length < size:
            stream, chunk = next(self._frames, (0, b""))
            if not stream:
                break
            if stream == 1:
                parts.append(chunk)
                length += len(chunk)
            else:
                self._stderr.feed(chunk)
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]

    def drain(self) -> None:
        """Read to the end, past tar's padding."""
        while self.read(_CHUNK):
            pass

    def stderr(self) -> str:
        return self._stderr.finish()


def tar_chunks(path: str, *, name: str) -> Iterator[bytes]:
    """The tar stream of one file, or of one flat folder, under ``name``. Only regular files are packed."""
    if os.path.isdir(path):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        yield folder.tobuf(tarfile.GNU_FORMAT)
        for entry in sorted(os.scandir(path), key=lambda found: found.name):
            if entry.is_file(follow_symlinks=False):
                yield from _member(entry.path, "{0}/{1}".format(name, entry.name))
    else:
        yield from _member(path, name)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _member(path: str, name: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        info = tarfile.TarInfo(name)
        info.size, info.mode = os.fstat(file.fileno()).st_size, 0o600
        yield info.tobuf(tarfile.GNU_FORMAT)
        left = info.size
        while left:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise OSError("{0} became shorter while it was read".format(path))
            left -= len(chunk)
            yield chunk
    yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
