# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One dump into a partial set: how it is written, where it streams, and the proof that it can be read."""

from __future__ import annotations

import io
import os
import time
from typing import Iterable, NamedTuple, Optional, Sequence

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import (
    FORMAT_SWITCH,
    Fingerprint,
    identify,
    scan,
    scan_staged,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import read_toc
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import PartialSet
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    DUMP_CUSTOM,
    DUMP_FOLDER,
    DUMP_PLAIN,
    DUMP_TAR,
    PLAIN_SUFFIXES,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._pg_commands import (
    Compression,
    compression_switch,
    dump_args,
)

__all__ = ["DumpPlan", "Dumped", "plan_dump", "require_compression", "write_dump"]

_ZSTD_SINCE = 16


class DumpPlan(NamedTuple):
    """How a database will be dumped, every ``auto`` settled. ``encoding`` is the database's own."""

    format: str
    compression: Compression
    jobs: int
    encoding: str


class Dumped(NamedTuple):
    """A dump that lies in the partial set. ``fingerprint`` is None when it was not read back."""

    plan: DumpPlan
    transport: str
    fingerprint: Optional[Fingerprint]
    dump_seconds: float
    verify_seconds: float


def plan_dump(
    executor: PgExecutor, options: BackupOptions, *, database_bytes: Optional[int], encoding: str
) -> DumpPlan:
    """Settle format, compression and jobs by what this client and this place can do."""
    chosen = options.format
    if chosen == "directory":
        room = executor.staging_room()
        if room is not None and database_bytes is not None and room < database_bytes:
            executor.log.add_warning(
                "the container has room for {0} bytes, and the database holds {1}: it is streamed in the custom "
                "format, which restores without parallel jobs".format(room, database_bytes)
            )
            chosen = "custom"
    compression = options.compression or _automatic(executor, chosen)
    return DumpPlan(chosen, compression, options.jobs if chosen == "directory" else 1, encoding)


def write_dump(
    executor: PgExecutor, partial: PartialSet, database: str, plan: DumpPlan, options: BackupOptions
) -> Dumped:
    """Dump ``database`` into the partial set, and read the dump back when ``verify`` asks for it.

    Sizes and checksums are taken on the way. Raises ``BackupError``; the partial set is the caller's to discard.
    """
    scanned = options.verify in ("archive", "restore")
    if plan.format == "directory":
        return _write_folder(executor, partial, database, plan, options, scanned=scanned)
    name = {
        "custom": DUMP_CUSTOM,
        "tar": DUMP_TAR,
        "plain": DUMP_PLAIN + PLAIN_SUFFIXES[plan.compression.method],
    }[plan.format]
    with partial.open(name) as file:
        result = executor.run(
            "pg_dump", _args(executor, plan, options, output=None), database=database,
            on_stdout=file.write, announce=True,
        )
    fingerprint, seconds = None, 0.0
    if scanned:
        started = time.monotonic()
        fingerprint = scan(executor, identify(os.path.join(partial.path, name)), checksummed=True)
        seconds = time.monotonic() - started
    return Dumped(plan, executor.transport, fingerprint, result.seconds, seconds)


def _write_folder(
    executor: PgExecutor, partial: PartialSet, database: str, plan: DumpPlan, options: BackupOptions, *, scanned: bool
) -> Dumped:
    path = os.path.join(partial.path, DUMP_FOLDER)

    def receive(name: str, chunks: Iterable[bytes]) -> None:
        with partial.open("{0}/{1}".format(DUMP_FOLDER, name)) as file:
            for chunk in chunks:
                file.write(chunk)

    fingerprint, seconds = None, 0.0
    with executor.writable(path, receive) as place:
        result = executor.run(
            "pg_dump", _args(executor, plan, options, output=place), database=database, announce=True
        )
        if scanned:
            started = time.monotonic()
            head = executor.read_bytes(place + "/toc.dat")
            toc = read_toc(io.BytesIO(head), len(head))
            fingerprint = scan_staged(executor, place, toc)
            seconds = time.monotonic() - started
    staged = place != path
    if not staged:
        partial.adopt(DUMP_FOLDER)
    return Dumped(plan, "staged" if staged else executor.transport, fingerprint, result.seconds, seconds)


def _args(executor: PgExecutor, plan: DumpPlan, options: BackupOptions, *, output: Optional[str]) -> Sequence[str]:
    switch = [] if plan.format == "tar" else compression_switch(plan.compression, client_major=executor.client.major)
    return dump_args(
        format_switch=FORMAT_SWITCH[plan.format],
        compression=switch,
        jobs=plan.jobs,
        encoding=plan.encoding,
        output=output,
        filters=options.filters,
        lock_wait_seconds=options.lock_wait_timeout,
        extra_args=options.extra_args,
    )


def _automatic(executor: PgExecutor, chosen: str) -> Compression:
    """Zstd inside pg_dump where the client has it, else gzip. A plain dump stays readable by what every host has."""
    if chosen == "tar":
        return Compression("none")
    if chosen != "plain" and _supports(executor, Compression("zstd")) is None:
        return Compression("zstd", 3)
    return Compression("gzip")


def require_compression(executor: PgExecutor, compression: Optional[Compression]) -> None:
    """Raises ``UNSUPPORTED_BY_CLIENT`` for a compression that was spelled out and that this client does not have."""
    if compression is None or compression.method in ("none", "gzip"):
        return
    refusal = _supports(executor, compression)
    if refusal is not None:
        raise BackupError(
            "UNSUPPORTED_BY_CLIENT",
            "this pg_dump ({0}) cannot compress with {1}: {2}".format(
                executor.client.version, compression.method, refusal),
            hint="Use compression=auto or gzip, or install a client that was built with {0}.".format(
                compression.method),
        )


def _supports(executor: PgExecutor, compression: Compression) -> Optional[str]:
    """None when this build of pg_dump has the method, else what it says. A version number does not tell.

    pg_dump checks its compression before it connects, so it is asked with a host that cannot be.
    """
    if executor.client.major < _ZSTD_SINCE:
        return "it is older than version {0}".format(_ZSTD_SINCE)
    result = executor.run(
        "pg_dump", ["-w", "-h", "/nonexistent", "-F", "c", "-Z", str(compression)], check=False, timeout=60.0,
        on_stdout=lambda _chunk: None,
    )
    refusals = [line for line in result.stderr.splitlines() if "compression" in line]
    return refusals[0] if refusals else None
