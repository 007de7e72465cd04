# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders as tar streams for a tool's standard input: nothing is held in memory or written on the way."""

from __future__ import annotations

import os
import tarfile
from typing import AbstractSet, Iterator

from ansible_collections.pgfleet.backup.plugins.module_utils._outgoing import Outgoing, outgoing

__all__ = ["tar_chunks"]


def tar_chunks(path: str, *, name: str, unpack: AbstractSet[str] = frozenset()) -> Iterator[bytes]:
    """The tar stream of one file, or of one flat folder, under ``name``. Only regular files are packed.

    Files in a folder whose compression is in ``unpack`` are packed clear.
    """
    if os.path.isdir(path):
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o700
        yield folder.tobuf(tarfile.GNU_FORMAT)
        for file in outgoing(path, unpack=unpack):
            yield from _member(file, "{0}/{1}".format(name, file.name))
    else:
        yield from _member(Outgoing(name, path, "none"), name)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def _member(file: Outgoing, name: str) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = file.size(), 0o600
    yield info.tobuf(tarfile.GNU_FORMAT)
    left = info.size
    for chunk in file.chunks():
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise OSError("{0} changed its size while it was read".format(file.path))
    yield b"\0" * (-info.size % tarfile.BLOCKSIZE)
