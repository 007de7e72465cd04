# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed files as streams of clear bytes: told by content, ended by the format's own end mark."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import shutil
import zlib
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._process import (
    PopenProcess,
    StreamBroken,
    ToolTimeout,
    follow,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._tool_output import only_stdout

__all__ = [
    "MEMBER_SUFFIXES", "ProgramFailed", "compression_in", "compression_of", "decoded", "decoded_as", "decoded_stream",
    "file_chunks", "program_output", "reading",
]

_CHUNK = 1 << 20
_LAST = 8  # pieces of what a program says that are kept for a message
_MEMORY = 128 << 20  # what decoding may take: a file's head says how much it wants, and anybody may have written it
_MAGIC: Tuple[Tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
)
# How the name of a file in a directory archive ends; pg_restore knows its compression by nothing else.
MEMBER_SUFFIXES = {"none": "", "gzip": ".gz", "lz4": ".lz4", "zstd": ".zst"}
# What the standard library cannot decode is left to the program of that name.
_PROGRAMS: Dict[str, Tuple[str, ...]] = {"zstd": ("--memory={0}MB".format(_MEMORY >> 20),), "lz4": ()}


def compression_of(path: str) -> str:
    """``gzip``, ``zstd``, ``lz4``, ``xz``, ``bzip2`` or ``none``, by the file's first bytes."""
    with open(path, "rb") as file:
        return compression_in(file.read(8))


def compression_in(head: bytes) -> str:
    """The same of what begins with ``head``."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "none")


def file_chunks(path: str) -> Iterator[bytes]:
    """A file's bytes in pieces of 1 MiB."""
    with open(path, "rb") as file:
        yield from iter(lambda: file.read(_CHUNK), b"")


def decoded(path: str) -> Iterator[bytes]:
    """The clear content of a file. Raises ``VERIFY_FAILED`` when its compression ends too early or is damaged."""
    return decoded_as(path, compression_of(path))


def decoded_as(path: str, compression: str) -> Iterator[bytes]:
    """The same for a file whose compression is known: what is not compressed may begin like anything.

    Nothing is nothing, however compressed: pg_dump writes no frame of zstd or lz4 for an empty large object.
    """
    if compression == "none" or os.path.getsize(path) == 0:
        return file_chunks(path)
    if compression in _PROGRAMS:
        # By "-- path" a name that begins with a dash stays a name.
        return _by_program(path, compression, ["--", os.path.abspath(path)], None)
    return _by_library(file_chunks(path), path, compression)


def decoded_stream(chunks: Iterator[bytes], name: str, compression: str) -> Iterator[bytes]:
    """The same for what comes as a stream; ``name`` is for messages."""
    if compression == "none":
        return chunks
    if compression in _PROGRAMS:
        return _by_program(name, compression, [], chunks)
    return _by_library(chunks, name, compression)


def _by_library(chunks: Iterator[bytes], path: str, compression: str) -> Iterator[bytes]:
    """Members may follow each other, as gzip, xz and bzip2 allow; what is no member at the end is damage."""
    decoder: Optional[_Decoder] = None
    try:
        for chunk in chunks:
            rest = chunk
            while rest or (decoder is not None and not decoder.hungry):
                decoder = decoder or _DECODERS[compression]()
                clear = decoder.decode(rest)
                if clear:
                    yield clear
                rest = decoder.rest
                if decoder.eof:
                    decoder = None
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        if "memory" in str(error).lower():
            raise _too_demanding(path, compression) from error
        raise _damaged(path, compression, str(error)) from error
    if decoder is not None:
        raise _damaged(path, compression, "it ends too early")


class _Decoder:
    """One member, given out in pieces of at most ``_CHUNK`` bytes, however far it expands.

    ``rest`` is what is to be given to ``decode`` next, ``hungry`` whether that needs more of the file.
    """

    def __init__(self, codec: Any) -> None:
        self._codec = codec
        self.rest = b""
        self.hungry = True

    @property
    def eof(self) -> bool:
        return bool(self._codec.eof)

    def decode(self, data: bytes) -> bytes:
        clear: bytes = self._codec.decompress(data, _CHUNK)
        self.rest = self._codec.unused_data
        self.hungry = self.eof or self._codec.needs_input
        return clear


class _Gzip(_Decoder):
    """zlib hands back the input that did not fit, and may still hold output when it took all of it."""

    def decode(self, data: bytes) -> bytes:
        clear: bytes = self._codec.decompress(data, _CHUNK)
        self.rest = self._codec.unused_data or self._codec.unconsumed_tail
        self.hungry = self.eof or len(clear) < _CHUNK
        return clear


_DECODERS: Dict[str, Callable[[], _Decoder]] = {
    "gzip": lambda: _Gzip(zlib.decompressobj(31)),
    "bzip2": lambda: _Decoder(bz2.BZ2Decompressor()),
    "xz": lambda: _Decoder(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)),
}


class ProgramFailed(Exception):  # noqa: N818
    """A program did not come to a good end; the text is the last that it said."""


def program_output(argv: List[str], source: Optional[Iterable[bytes]] = None) -> Iterator[bytes]:
    """What a program prints, as it comes; ``source`` is fed to it. Raises ``ProgramFailed``, and OSError."""
    process = PopenProcess(argv, env=dict(os.environ), stdin=source is not None)
    complaints: Deque[bytes] = deque(maxlen=_LAST)
    try:
        status = yield from only_stdout(follow(process, source=source, timeout=None), complaints.append)
    except (StreamBroken, ToolTimeout) as error:
        raise ProgramFailed(str(error)) from error
    finally:
        process.kill()
        process.close()
    if status != 0:
        message = b"".join(complaints)[-500:].decode("utf-8", "replace").strip()
        raise ProgramFailed(message or "status {0}".format(status))


def _by_program(path: str, program: str, more: List[str], source: Optional[Iterator[bytes]]) -> Iterator[bytes]:
    found = shutil.which(program)
    if not found:
        raise BackupError(
            "UNSUPPORTED_BY_CLIENT",
            "{0} is compressed, and there is no {1} program to read it".format(os.path.basename(path), program),
            hint="Install {0} on the managed host.".format(program),
        )
    try:
        yield from program_output([found, "-dc", *_PROGRAMS[program], *more], source)
    except ProgramFailed as error:
        if "memory" in str(error):
            raise _too_demanding(path, program) from error
        raise _damaged(path, program, str(error)) from error


def _too_demanding(path: str, compression: str) -> BackupError:
    return BackupError(
        "UNSUPPORTED_BY_CLIENT",
        "{0} is {1} data that needs more than {2} MiB of memory to be read".format(
            os.path.basename(path), compression, _MEMORY >> 20),
        hint="Decompress it by hand where the memory is to spare, and restore what comes out.",
    )


def _damaged(path: str, compression: str, why: str) -> BackupError:
    return BackupError("VERIFY_FAILED", "{0} is not whole {1} data: {2}".format(
        os.path.basename(path), compression, why))


def reading(chunks: Iterator[bytes]) -> io.BufferedReader:
    """An iterator of chunks as a file to read from."""
    return io.BufferedReader(_ChunkFile(chunks))


class _ChunkFile(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
