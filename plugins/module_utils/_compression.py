# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which compression a dump gets, and who does it: the best that this client, this host and a later restore can use."""

from __future__ import annotations

from typing import Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._packer import zstd_program
from ansible_collections.pgfleet.backup.plugins.module_utils._pg_commands import Compression

__all__ = ["ZSTD_LEVEL", "require_compression", "settle_compression", "unreadable"]

_NAMED_SINCE = 16
ZSTD_LEVEL = 3  # what zstd itself takes for the best trade
_BEST = Compression("zstd", ZSTD_LEVEL)


def settle_compression(
    executor: PgExecutor, chosen: str, wanted: Optional[Compression], *, room_here: bool
) -> Tuple[Compression, bool]:
    """The compression of a dump in the format ``chosen``, and whether it is done on this host, file by file.

    ``wanted`` None is ``auto``. Zstandard inside pg_dump where the client has it; else, for the directory format, by
    this host's ``zstd`` when there is ``room_here`` for the clear files; else gzip. A plain dump stays readable by what
    every host has.
    """
    if wanted is not None and wanted.method in ("none", "gzip"):
        return wanted, False
    if chosen == "tar":
        return Compression("none"), False
    if wanted is None and chosen == "plain":
        return Compression("gzip"), False
    best = wanted or _BEST
    refusal = _refusal(executor, best)
    if refusal is None:
        return best, False
    if chosen == "directory" and best.method == "zstd" and room_here and zstd_program():
        return best, True
    if wanted is not None:
        raise _unsupported(executor, wanted, refusal)
    if chosen == "directory" and not zstd_program():
        executor.log.add("With the zstd program on this host, backups of this server would be faster and smaller.")
    return Compression("gzip"), False


def require_compression(executor: PgExecutor, chosen: str, compression: Optional[Compression]) -> None:
    """Raises ``UNSUPPORTED_BY_CLIENT`` for a compression that was spelled out and that nobody here has."""
    if compression is not None:
        settle_compression(executor, chosen, compression, room_here=True)


def unreadable(executor: PgExecutor, method: str) -> bool:
    """Whether this executor's pg_restore cannot read files of that compression."""
    return method not in ("none", "gzip") and _refusal(executor, Compression(method)) is not None


def _unsupported(executor: PgExecutor, compression: Compression, refusal: str) -> BackupError:
    return BackupError(
        "UNSUPPORTED_BY_CLIENT",
        "this pg_dump ({0}) cannot compress with {1}: {2}".format(
            executor.client.version, compression.method, refusal),
        hint="Use compression=auto or gzip, or install a client that was built with {0}.".format(compression.method),
    )


def _refusal(executor: PgExecutor, compression: Compression) -> Optional[str]:
    """None when this build of pg_dump has the method, else what it says. A version number does not tell.

    pg_dump checks its compression before it connects, so it is asked with a host that cannot be.
    """
    if executor.client.major < _NAMED_SINCE:
        return "it is older than version {0}".format(_NAMED_SINCE)
    if compression.method not in executor.refusals:
        result = executor.run(
            "pg_dump", ["-w", "-h", "/nonexistent", "-F", "c", "-Z", str(compression)], check=False, timeout=60.0,
            on_stdout=lambda _chunk: None,
        )
        lines = [line for line in result.stderr.splitlines() if "compression" in line]
        executor.refusals[compression.method] = lines[0] if lines else None
    return executor.refusals[compression.method]
