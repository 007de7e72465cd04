# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressing the files of a dump on this host: a stage between the dump's bytes and the file of the set."""

from __future__ import annotations

import os
import shutil
import zlib
from typing import Callable, Iterable, List, NamedTuple, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    PopenProcess,
    StreamBroken,
    ToolTimeout,
    pump,
)

__all__ = ["NO_PACKER", "Packer", "choose_packer", "pack_by_program", "zstd_program"]

# Below this a program takes longer to start than zlib to compress.
_SMALL = 256 * 1024

Write = Callable[[bytes], object]


class Packer(NamedTuple):
    """``pack(chunks, write)`` sends chunks on, compressed; ``suffix`` is what the file's name gets for it."""

    suffix: str
    pack: Callable[[Iterable[bytes], Write], None]


def zstd_program() -> Optional[str]:
    """The ``zstd`` program, None when it is not installed."""
    return shutil.which("zstd")


def choose_packer(size: int, level: int) -> Packer:
    """The packer for a file of ``size`` bytes: Zstandard of that level, but for small ones, which zlib does itself."""
    program = zstd_program()
    if size < _SMALL or program is None:
        return Packer(".gz", _gzip)
    argv = [program, "-q", "--ultra", "-{0}".format(level), "-c"]  # without --ultra 19 is the highest
    return Packer(".zst", lambda chunks, write: pack_by_program(argv, chunks, write))


def _as_it_is(chunks: Iterable[bytes], write: Write) -> None:
    for chunk in chunks:
        write(chunk)


NO_PACKER = Packer("", _as_it_is)


def _gzip(chunks: Iterable[bytes], write: Write) -> None:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for chunk in chunks:
        write(packer.compress(chunk))
    write(packer.flush())


def pack_by_program(argv: List[str], chunks: Iterable[bytes], write: Write) -> None:
    """Send ``chunks`` through a program of this host. Raises ``BACKUP_FAILED``."""
    name = os.path.basename(argv[0])
    complaints: List[bytes] = []
    process = PopenProcess(argv, env=dict(os.environ), stdin=True)
    try:
        status = pump(process, source=chunks, on_stdout=write, on_stderr=complaints.append, timeout=None)
    except (StreamBroken, ToolTimeout) as error:
        raise BackupError("BACKUP_FAILED", "{0}: {1}".format(name, error)) from error
    finally:
        process.kill()
        process.close()
    if status != 0:
        raise BackupError("BACKUP_FAILED", "{0} exited with status {1}: {2}".format(
            name, status, b"".join(complaints)[-500:].decode("utf-8", "replace").strip()))
