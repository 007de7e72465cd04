# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way to a tool, decompressed where the tool could not do it."""

from __future__ import annotations

import os
from typing import AbstractSet, Iterable, Iterator, List, NamedTuple

from ansible_collections.pgfleet.backup.plugins.module_utils._codec import MEMBER_SUFFIXES, decoded_as

__all__ = ["Outgoing", "outgoing"]


class Outgoing(NamedTuple):
    """One file: the name it gets, where it lies, and the compression that is taken off on the way (``none``)."""

    name: str
    path: str
    compression: str

    def chunks(self) -> Iterator[bytes]:
        """What arrives, in pieces. Raises ``VERIFY_FAILED`` for damaged compression, and OSError."""
        return decoded_as(self.path, self.compression)

    def size(self) -> int:
        """How many bytes arrive; what is compressed is read to its end for that."""
        if self.compression == "none":
            return os.path.getsize(self.path)
        return sum(len(chunk) for chunk in self.chunks())


def outgoing(path: str, *, unpack: AbstractSet[str] = frozenset()) -> List[Outgoing]:
    """The plain files directly in the folder ``path``, the largest first; those compressed as in ``unpack`` get clear.

    A dump's folder has no others. How a file is compressed is told by its name, as pg_restore tells it.
    """
    with os.scandir(path) as entries:
        found = [(entry.stat().st_size, entry.name) for entry in entries if entry.is_file(follow_symlinks=False)]
    return [_one(path, name, unpack) for _size, name in sorted(found, reverse=True)]


def _one(folder: str, name: str, unpack: Iterable[str]) -> Outgoing:
    path = os.path.join(folder, name)
    for method in unpack:
        suffix = MEMBER_SUFFIXES[method]
        if name.endswith(suffix):
            return Outgoing(name[: -len(suffix)], path, method)
    return Outgoing(name, path, "none")
