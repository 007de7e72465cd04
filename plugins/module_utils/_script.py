# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
r"""A dump as the SQL script that ``psql`` reads: what is adapted of it, and the proof that all of it came.

Only its head is ever changed: the settings, and the DROP statements of ``--clean``. It ends where the first object is
made, so neither data nor a function's body can be mistaken for anything. A plain dump's own protection is replaced as
well, which is told by its random key.
"""

from __future__ import annotations

import re
import secrets
from typing import Callable, Container, Iterable, Iterator, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._sql import name_parts

__all__ = ["ALL_SETTINGS", "Attached", "adapted", "complete", "protected"]

# Settings that newer pg_dump writes at the head of a dump, and the server version that first knows them.
_SETTINGS_SINCE = {
    "transaction_timeout": 170000,
    "default_table_access_method": 120000,
    "idle_in_transaction_session_timeout": 90600,
    "row_security": 90500,
}
ALL_SETTINGS = tuple(_SETTINGS_SINCE)
# Views with a rule of their own are made empty first, in order to be dropped.
_BODY = re.compile(rb"(?m)^(?:-- (?:Data for )?Name: |-- TOC entry |COPY |INSERT |CREATE (?!OR REPLACE VIEW ))")
_IDENT = rb'(?:"(?:[^"]|"")+"|[^\s".;]+)'
_NAME = _IDENT + rb"(?:\." + _IDENT + rb")*"
_DROP_INDEX = re.compile(rb"(?m)^DROP INDEX (?:IF EXISTS )?(" + _NAME + rb");\n")
_DROP_CONSTRAINT = re.compile(
    rb"(?m)^ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(" + _NAME + rb") DROP CONSTRAINT (?:IF EXISTS )?(" + _IDENT + rb");\n"
)
_LOCK_TIMEOUT = re.compile(rb"(?m)^SET lock_timeout = 0;$")
# More than the few lines that pg_restore writes after its last COMMIT.
_TAIL_BYTES = 1024
_TAIL = re.compile(
    rb"\nCOMMIT;\n\n--\n-- PostgreSQL database dump complete\n--\n\n(?:\\unrestrict [A-Za-z0-9]+\n\n)?\Z"
)
# What may stand in front of pg_dump's own protection: comments and blank lines.
_IN_FRONT = re.compile(rb"(?:[ \t\r]*(?:--[^\n]*)?\n)*")
_RESTRICT = re.compile(rb"\\restrict ([A-Za-z0-9]+)[ \t\r]*\n")
_MAX_LINE = 1024


class Attached(NamedTuple):
    """Indexes of partitions that belong to an index of the partitioned table, and go with that.

    ``indexes`` holds ``(schema, index)``, ``constraints`` ``(schema, table, constraint)``.
    """

    indexes: Container[Tuple[str, ...]] = ()
    constraints: Container[Tuple[str, ...]] = ()


def adapted(
    chunks: Iterable[bytes], *, server_version_num: int, left_out: Callable[[str], None],
    lock_seconds: Optional[int] = None, before_data: Iterable[str] = (),
    attached: Attached = Attached(),  # noqa: B008  # nothing of it can be changed
) -> Iterator[bytes]:
    """A script without the settings that the server does not know: ``psql`` stops at the first error.

    ``left_out`` is told the name of each. ``lock_seconds`` bounds its waiting for locks, which a dump resets. What is
    ``attached`` is not dropped by itself, which PostgreSQL refuses. ``before_data`` are statements of our own, for
    when all is dropped and nothing is made yet.
    """
    unknown = [name.encode("ascii") for name, since in _SETTINGS_SINCE.items() if server_version_num < since]

    def adapt(head: bytes) -> bytes:
        for name in unknown:
            head, count = re.subn(rb"(?m)^SET " + name + rb" = [^\n]*;\n", b"", head)
            if count:
                left_out(name.decode("ascii"))
        if lock_seconds is not None:
            head = _LOCK_TIMEOUT.sub(b"SET lock_timeout = '%ds';" % lock_seconds, head)
        head = _DROP_INDEX.sub(lambda found: _unless(found, attached.indexes), head)
        return _DROP_CONSTRAINT.sub(lambda found: _unless(found, attached.constraints), head)

    pending = b""
    rest = iter(chunks)
    for chunk in rest:
        pending += chunk
        body = _BODY.search(pending, 0, pending.rfind(b"\n") + 1)  # half a line does not say what it is
        cut = body.start() if body else pending.rfind(b";\n") + 2
        if cut >= 2:
            yield adapt(pending[:cut])
            pending = pending[cut:]
        if body:
            yield "".join(statement + "\n" for statement in before_data).encode("utf-8", "surrogateescape")
            yield pending
            yield from rest
            return
    yield adapt(pending)


def protected(chunks: Iterable[bytes], *, restrict: bool) -> Iterator[bytes]:
    r"""A plain dump under a protection of ours in the place of its own, the key of which whoever wrote it knows.

    ``restrict``: psql knows ``\\restrict``. Where it does not, the dump is merely freed of what psql would fail at.
    """
    if restrict:
        yield b"\\restrict %s\n" % secrets.token_hex(32).encode("ascii")
    source = iter(chunks)
    pending = b""
    while True:  # once for each dump in the file
        front = _IN_FRONT.match(pending)
        start = front.end() if front else 0
        yield pending[:start]
        pending = pending[start:]
        if b"\n" not in pending and len(pending) < _MAX_LINE:
            chunk = next(source, None)
            if chunk is None:
                yield pending
                return
            pending += chunk
            continue
        found = _RESTRICT.match(pending)
        if found is None:
            yield pending
            yield from source
            return
        end = b"\n\\unrestrict %s\n" % found.group(1)
        pending = pending[found.end():]
        while end not in pending:
            cut = max(0, len(pending) - len(end))
            yield pending[:cut]
            chunk = next(source, None)
            if chunk is None:
                yield (pending[cut:] + b"\n").replace(end, b"\n")
                return
            pending = pending[cut:] + chunk
        body, _end, pending = pending.partition(end)
        yield body + b"\n"


def complete(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The script of ``pg_restore --single-transaction``, whose COMMIT is let through only when all of it has come.

    ``chunks`` must raise if its tool fails. Raises ``RESTORE_FAILED`` when it does not end as it should.
    """
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) > 2 * _TAIL_BYTES:
            yield held[:-_TAIL_BYTES]
            held = held[-_TAIL_BYTES:]
    if not _TAIL.search(held):
        raise BackupError("RESTORE_FAILED", "pg_restore ended well, and its output breaks off before the end")
    yield held


def _unless(found: re.Match[bytes], attached: Container[Tuple[str, ...]]) -> bytes:
    """The statement, or nothing when what it drops is attached."""
    names = tuple(
        part for group in found.groups() for part in name_parts(group.decode("utf-8", "surrogateescape"))
    )
    return b"" if names in attached else found.group(0)
