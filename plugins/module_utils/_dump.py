# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One dump into a partial set: how it is written, where it streams, and the proof that it can be read."""

from __future__ import annotations

import os
import shutil
import time
from typing import Callable, Iterable, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import (
    FORMAT_SWITCH,
    Fingerprint,
    identify,
    scan,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_members import is_data
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import PartialSet
from ansible_collections.pgfleet.backup.plugins.module_utils._compression import ZSTD_LEVEL, settle_compression
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    DUMP_CUSTOM,
    DUMP_FOLDER,
    DUMP_PLAIN,
    DUMP_TAR,
    PLAIN_SUFFIXES,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._packer import NO_PACKER, choose_packer
from ansible_collections.pgfleet.backup.plugins.module_utils._pg_commands import (
    Compression,
    compression_switch,
    dump_args,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._progress import UNKNOWN, Expected
from ansible_collections.pgfleet.backup.plugins.module_utils._sealed_dump import write_sealed
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet

__all__ = ["DumpPlan", "Dumped", "plan_dump", "write_dump"]


class DumpPlan(NamedTuple):
    """How a database will be dumped, every ``auto`` settled.

    ``packed``: the files are compressed on this host. ``encoding`` is the database's own.
    """

    format: str
    compression: Compression
    packed: bool
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
    executor: PgExecutor, options: BackupOptions, *, database_bytes: Optional[int], encoding: str, room: Optional[int]
) -> DumpPlan:
    """Settle format, compression and jobs by what this client and this place can do.

    ``room`` is what :meth:`PgExecutor.staging` says, None for what is not staged.
    """
    chosen = options.format
    if room is not None and database_bytes is not None and room < database_bytes:
        executor.log.add_warning(
            "the container has room for {0} bytes, and the database holds {1}: it is streamed in the custom "
            "format, which restores without parallel jobs".format(room, database_bytes)
        )
        chosen = "custom"
    # Files that are compressed here are first written as they are, into the container or beside the set.
    room_here = not executor.writes_here or (
        shutil.disk_usage(options.backup_dir).free >= (database_bytes or 0)
    )
    compression, packed = settle_compression(executor, chosen, options.compression, room_here=room_here)
    return DumpPlan(chosen, compression, packed, options.jobs if chosen == "directory" else 1, encoding)


def write_dump(
    executor: PgExecutor, partial: PartialSet, database: str, plan: DumpPlan, options: BackupOptions, *,
    before: Optional[BackupSet] = None,
) -> Dumped:
    """Dump ``database`` into the partial set, and read the dump back when ``verify`` asks for it.

    Sizes and checksums are taken on the way. ``before`` is an earlier set of the same, by which one may guess how much
    there is to do. Raises ``BackupError``; the partial set is the caller's to discard.
    """
    progress = executor.log.progress
    if plan.format == "directory":
        name = DUMP_FOLDER
        dump_seconds = _write_folder(executor, partial, database, plan, options, before)
    else:
        name = {
            "custom": DUMP_CUSTOM,
            "tar": DUMP_TAR,
            "plain": DUMP_PLAIN + PLAIN_SUFFIXES[plan.compression.method],
        }[plan.format]
        if options.encryption:
            return Dumped(plan, *write_sealed(
                executor, partial, database, _args(executor, plan, options, output=None), options, name=name,
                kind=plan.format, compression=plan.compression.method, expected=_expected(plan, before),
            ))
        with partial.open(name) as file, executor.bulk_output() as transport:
            executor.transport = transport
            with progress.step(
                "dumping", database, measure=lambda: (file.size, None), expected=_expected(plan, before)
            ):
                dump_seconds = executor.run(
                    "pg_dump", _args(executor, plan, options, output=None), database=database,
                    on_stdout=file.write, announce=True,
                ).seconds
    fingerprint, seconds = None, 0.0
    if options.verify in ("archive", "restore"):
        started = time.monotonic()
        took = before.manifest["timings"].get("verify_seconds") if before else None
        with progress.step("verifying", database, expected=Expected(seconds=took)):
            fingerprint = scan(executor, identify(os.path.join(partial.path, name)), checksummed=True)
        seconds = time.monotonic() - started
    return Dumped(plan, executor.transport, fingerprint, dump_seconds, seconds)


def _write_folder(
    executor: PgExecutor, partial: PartialSet, database: str, plan: DumpPlan, options: BackupOptions,
    before: Optional[BackupSet],
) -> float:
    """pg_dump → files → compression where it is ours → checksum → the set; the seconds it took."""
    path = os.path.join(partial.path, DUMP_FOLDER)

    level = plan.compression.level or ZSTD_LEVEL

    def receive(name: str, size: int, chunks: Iterable[bytes]) -> None:
        packer = choose_packer(size, level) if plan.packed and is_data(name) else NO_PACKER
        with partial.open("{0}/{1}{2}".format(DUMP_FOLDER, name, packer.suffix)) as file:
            packer.pack(executor.log.progress.count(chunks), file.write)

    started = time.monotonic()
    own = executor.writes_here and not plan.packed
    progress = executor.log.progress
    with progress.step("storing", database), executor.writable(path, None if own else receive) as place, progress.step(
        "dumping", database, measure=_so_far(executor, place, plan), expected=_expected(plan, before)
    ):
        executor.run("pg_dump", _args(executor, plan, options, output=place), database=database, announce=True)
    if own:
        partial.adopt(DUMP_FOLDER)
    return time.monotonic() - started


def _so_far(executor: PgExecutor, place: str, plan: DumpPlan) -> Callable[[], Tuple[Optional[int], Optional[int]]]:
    """What pg_dump has written. It makes a table's file when it begins with it."""
    def look() -> Tuple[Optional[int], Optional[int]]:
        files = executor.written(place)
        if files is None:
            return None, None
        begun = sum(_is_of_table(name) for name, _size in files)
        return sum(size for _name, size in files), max(0, begun - plan.jobs)

    return look


def _expected(plan: DumpPlan, before: Optional[BackupSet]) -> Expected:
    """What the dump before came to. What is compressed only afterwards is larger while it is dumped."""
    if before is None:
        return UNKNOWN
    dump = [entry for entry in before.manifest["files"] if entry["path"].startswith(DUMP_FOLDER)]
    alike = before.format == plan.format and before.manifest["compression"] == str(plan.compression)
    return Expected(
        bytes=sum(entry["size"] for entry in dump) if alike and not plan.packed else None,
        tables=sum(_is_of_table(entry["path"]) for entry in dump) or None,
        seconds=before.manifest["timings"].get("dump_seconds"),
    )


def _is_of_table(path: str) -> bool:
    """Whether a file of a directory archive, compressed or not, holds the rows of a table."""
    name = os.path.basename(path)
    return ".dat" in name and name[0].isdigit()


def _args(executor: PgExecutor, plan: DumpPlan, options: BackupOptions, *, output: Optional[str]) -> Sequence[str]:
    inside = Compression("none") if plan.packed else plan.compression
    switch = [] if plan.format == "tar" else compression_switch(inside, client_major=executor.client.major)
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
