# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading files of a managed host in pieces, through whatever connection Ansible has to it, become included.

One command reads one batch of pieces, so little is in memory, and what was read stays read when the connection breaks.
"""

from __future__ import annotations

import re
import secrets
import shlex
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = ["BLOCK", "Execute", "Piece", "RemoteFiles"]

BLOCK = 8 * 1024 * 1024  # bytes that one piece has at most
_LIMIT = 64 * 1024 * 1024  # of a file that is read as a whole

# A command and what its standard input gets; back come its exit status, output and error output.
Execute = Callable[[str, bytes], Tuple[int, bytes, bytes]]

_GONE = 66
_FORBIDDEN = 77
# Parameters: the folder, the mark that encloses the output, then a name and a number of a block for each piece. Neither
# a link nor a FIFO is opened. What a connection, a login shell or sudo adds to the output stays outside the marks.
_SCRIPT = """\
[ -d "$1" ] || exit 66
cd -- "$1" || exit 77
mark=$2
shift 2
printf %s "$mark"
while [ $# -gt 0 ]; do
    if [ -h "./$1" ] || [ ! -f "./$1" ]; then echo "$1: not a regular file" >&2; exit 66; fi
    [ -r "./$1" ] || exit 77
    dd if="./$1" bs=8388608 skip="$2" count=1 iflag=fullblock || exit
    shift 2
done
printf %s "$mark"
"""
# With any input at all, Ansible asks for no terminal, which would alter what is read. Nothing reads it.
_INPUT = b"\n"

_AGAIN = "Run the task again: it goes on where this one stopped."
_READABLE = "See whether the file can be read on the host, by the user that the task becomes there."


class Piece(NamedTuple):
    """Block number ``block`` of the file ``name`` (relative to a folder), which must be ``length`` bytes long."""

    name: str
    block: int
    length: int


class RemoteFiles:
    """The files of one managed host. All methods raise BackupError."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    def read(self, folder: str, pieces: Sequence[Piece]) -> bytes:
        """The content of ``pieces``, one after the other.

        Raises CHECKSUM_MISMATCH for files that are shorter or longer than they must be, and what :meth:`_run` does.
        """
        content = self._run(folder, [(piece.name, piece.block) for piece in pieces])
        wanted = sum(piece.length for piece in pieces)
        if len(content) != wanted:
            names = ", ".join(sorted({piece.name for piece in pieces})[:5])
            raise BackupError("CHECKSUM_MISMATCH", "{0}: {1} bytes instead of {2} in {3}".format(
                folder, len(content), wanted, names
            ))
        return content

    def read_whole(self, folder: str, name: str) -> Optional[bytes]:
        """The content of the file ``name`` of unknown, moderate size; None when there is none.

        Raises INVALID_BACKUP_FORMAT for one that is too large, and what :meth:`_run` does.
        """
        content = b""
        while len(content) % BLOCK == 0:
            try:
                more = self._run(folder, [(name, len(content) // BLOCK)])
            except BackupError as error:
                if error.code == "BACKUP_NOT_FOUND":
                    return None
                raise
            content += more
            if not more:
                break
            if len(content) > _LIMIT:
                raise BackupError("INVALID_BACKUP_FORMAT", "{0}/{1} is larger than {2} MiB".format(
                    folder, name, _LIMIT // 1024 ** 2))
        return content

    def _run(self, folder: str, pieces: Sequence[Tuple[str, int]]) -> bytes:
        """What the pieces (names and numbers of blocks) hold, however long.

        Raises BACKUP_NOT_FOUND when one is not there, BACKUP_DIR_UNUSABLE when it cannot be read, and
        CONNECTION_FAILED when the answer did not arrive as a whole.
        """
        mark = secrets.token_hex(16).encode()
        arguments: List[str] = [folder, mark.decode()]
        for name, block in pieces:
            arguments += [name, str(block)]
        command = ["/bin/sh", "-c", _SCRIPT, "pgfleet", *arguments]
        status, output, errors = self._execute(" ".join(map(shlex.quote, command)), _INPUT)
        where = "{0} ({1})".format(folder, ", ".join(sorted({name for name, _block in pieces})[:5]))
        said = _last_line(errors)
        if status == _GONE:
            raise BackupError("BACKUP_NOT_FOUND", "{0} is not there: {1}".format(where, said), retryable=True)
        if status in (1, _FORBIDDEN):  # 1 is dd's
            raise BackupError("BACKUP_DIR_UNUSABLE", "{0} cannot be read: {1}".format(where, said), hint=_READABLE)
        start, end = output.find(mark) + len(mark), output.rfind(mark)
        if status != 0 or end < start:
            raise BackupError("CONNECTION_FAILED", "reading {0} ended early, with {1}: {2}".format(
                where, status, said), hint=_AGAIN)
        return output[start:end]


def _last_line(text: bytes) -> str:
    """What was said last on the error output, less dd's statistics."""
    lines = text.decode("utf-8", "replace").strip().splitlines()
    lines = [line for line in lines if not re.match(r"\d+(\+\d+ records (in|out)| bytes )", line)]
    return lines[-1] if lines else "no message"
