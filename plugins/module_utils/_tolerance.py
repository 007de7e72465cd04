# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of a restore: the short list of those that are harmless, each with its reason; any other ends it.

An exit status says neither: ``pg_restore`` ends with 1 for a setting that an older server does not know, and for a
table that is missing.
"""

from __future__ import annotations

import re
from typing import Iterable, Iterator, List, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._stderr import classify

__all__ = ["Tolerance", "without_unknown_settings"]

# Settings that newer pg_dump writes at the head of a plain dump, and the server version that first knows them.
_SETTINGS_SINCE = {
    b"transaction_timeout": 170000,
    b"default_table_access_method": 120000,
    b"idle_in_transaction_session_timeout": 90600,
    b"row_security": 90500,
}
_HEAD_BYTES = 4096
_HARMLESS: Tuple[Tuple[str, str], ...] = (
    (
        # Of any other setting it may be a function that could not be made because of it.
        'unrecognized configuration parameter "({0})"'.format("|".join(name.decode() for name in _SETTINGS_SINCE)),
        "a setting of the dump that this older server does not know",
    ),
    ("must be owner of extension plpgsql", "a comment on an extension that every server has already"),
)


class Tolerance:
    """Judges each line as it comes: harmless ones are counted, the first other error raises ``BackupError``."""

    def __init__(self) -> None:
        self.tolerated: List[str] = []

    def __call__(self, line: str) -> None:
        if not re.match(r"^(pg_restore|psql).*(error|ERROR|FATAL):", line):
            return
        for pattern, reason in _HARMLESS:
            if re.search(pattern, line):
                self.tolerated.append("{0} ({1})".format(line, reason))
                return
        raise BackupError(classify(line, default="RESTORE_FAILED"), line)


def without_unknown_settings(chunks: Iterable[bytes], *, server_version_num: int) -> Iterator[bytes]:
    """A plain dump without the ``SET`` lines at its head that the server does not know.

    ``psql`` stops at the first error, and these would be the first.
    """
    unknown = [name for name, since in _SETTINGS_SINCE.items() if server_version_num < since]
    head = b""
    rest = iter(chunks)
    for chunk in rest:
        head += chunk
        if len(head) >= _HEAD_BYTES:
            break
    for name in unknown:
        head = re.sub(rb"(?m)^SET " + name + rb" = [^\n]*;\n", b"", head[:_HEAD_BYTES]) + head[_HEAD_BYTES:]
    yield head
    yield from rest
