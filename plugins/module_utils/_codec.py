# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed files as streams of clear bytes: told by content, ended by the format's own end mark."""

from __future__ import annotations

import bz2
import lzma
import os
import shutil
import zlib
from typing import Callable, Dict, Iterator, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    PopenProcess,
    StreamBroken,
    ToolTimeout,
)

__all__ = ["compression_of", "decoded", "file_chunks"]

_CHUNK = 1 << 20
_MAGIC: Tuple[Tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
)
# What the standard library cannot decode is left to the program of that name.
_PROGRAMS = ("zstd", "lz4")


def compression_of(path: str) -> str:
    """``gzip``, ``zstd``, ``lz4``, ``xz``, ``bzip2`` or ``none``, by the file's first bytes."""
    with open(path, "rb") as file:
        head = file.read(8)
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "none")


def file_chunks(path: str) -> Iterator[bytes]:
    """A file's bytes in pieces of 1 MiB."""
    with open(path, "rb") as file:
        yield from iter(lambda: file.read(_CHUNK), b"")


def decoded(path: str) -> Iterator[bytes]:
    """The clear content of a file. Raises ``VERIFY_FAILED`` when its compression ends too early or is damaged."""
    compression = compression_of(path)
    if compression == "none":
        return file_chunks(path)
    if compression in _PROGRAMS:
        return _by_program(path, compression)
    return _by_library(path, compression)


def _by_library(path: str, compression: str) -> Iterator[bytes]:
    """Members may follow each other, as gzip, xz and bzip2 allow; what is no member at the end is damage."""
    makers: Dict[str, Callable[[], object]] = {
        "gzip": lambda: zlib.decompressobj(31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lzma.LZMADecompressor,
    }
    decoder: Optional[object] = None
    try:
        for chunk in file_chunks(path):
            rest = chunk
            while rest:
                decoder = decoder or makers[compression]()
                clear = decoder.decompress(rest)  # type: ignore[attr-defined]
                if clear:
                    yield clear
                rest = decoder.unused_data  # type: ignore[attr-defined]
                if decoder.eof:  # type: ignore[attr-defined]
                    decoder = None
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise _damaged(path, compression, str(error)) from error
    if decoder is not None:
        raise _damaged(path, compression, "it ends too early")


def _by_program(path: str, program: str) -> Iterator[bytes]:
    found = shutil.which(program)
    if not found:
        raise BackupError(
            "UNSUPPORTED_BY_CLIENT",
            "{0} is compressed, and there is no {1} program to read it".format(os.path.basename(path), program),
            hint="Install {0} on the managed host.".format(program),
        )
    # By "-c -- path" a name that begins with a dash stays a name.
    process = PopenProcess([found, "-dc", "--", os.path.abspath(path)], env=dict(os.environ), stdin=False)
    message = b""
    try:
        for stream, chunk in process.frames(None):
            if stream == 1:
                yield chunk
            else:
                message = (message + chunk)[-500:]
        status = process.wait()
    except (StreamBroken, ToolTimeout) as error:
        raise _damaged(path, program, str(error)) from error
    finally:
        process.close()
    if status != 0:
        raise _damaged(path, program, message.decode("utf-8", "replace").strip())


def _damaged(path: str, compression: str, why: str) -> BackupError:
    return BackupError("VERIFY_FAILED", "{0} is not whole {1} data: {2}".format(
        os.path.basename(path), compression, why))
