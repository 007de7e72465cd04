# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump that is encrypted on its way into a partial set, and proven beside that: nobody here need have the key."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Fingerprint, scan_stream
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_options import BackupOptions
from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import PartialSet
from ansible_collections.pgfleet.backup.plugins.module_utils._branch import Branch
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import decrypted
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import PROPERTIES_FILE, PROPERTIES_SCRIPT
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import to_json
from ansible_collections.pgfleet.backup.plugins.module_utils._packer import NO_PACKER, Packer
from ansible_collections.pgfleet.backup.plugins.module_utils._progress import Expected
from ansible_collections.pgfleet.backup.plugins.module_utils._properties import apply_statements

__all__ = ["keep_properties", "keep_text", "write_sealed"]


def _sealing(options: BackupOptions) -> Packer:
    """What the files of a set pass on their way to the disk."""
    return options.encryption.packer if options.encryption else NO_PACKER


def keep_text(partial: PartialSet, name: str, text: str, options: BackupOptions) -> None:
    """Add a small file that says more than everybody may know, encrypted where the set is."""
    sealing = _sealing(options)
    with partial.open(name + sealing.suffix) as file:
        sealing.pack([text.encode("utf-8", "surrogateescape")], file.write)


def keep_properties(partial: PartialSet, manifest: Mapping[str, Any], options: BackupOptions) -> Dict[str, Any]:
    """``manifest`` as everybody may read it: of an encrypted set without its database's comment and settings.

    Settings may hold an application's keys. All properties are then in files of their own, as data and as a script.
    """
    properties = manifest["database_properties"]
    if not options.encryption:
        return dict(manifest)
    script = "".join(statement + ";\n" for statement in apply_statements(manifest["database"], properties))
    keep_text(partial, PROPERTIES_FILE, to_json(properties).decode("utf-8"), options)
    keep_text(partial, PROPERTIES_SCRIPT, script, options)
    return dict(manifest, database_properties=dict(properties, comment=None, settings=[]))


def write_sealed(
    executor: PgExecutor, partial: PartialSet, database: str, args: Sequence[str], options: BackupOptions, *,
    name: str, kind: str, compression: str, expected: Expected,
) -> Tuple[str, Optional[Fingerprint], float, float]:
    """pg_dump → encryption → checksum → the set, and beside it the clear stream → the archive's proof.

    So the proof needs no key. Where there is one, what lies on the disk is decrypted and compared. Gives back the
    transport, what was counted, and the seconds of the dump and of what came after it. Raises what pg_dump, the
    encryption or the proof failed with, and ``VERIFY_FAILED``.
    """
    sealing, clear, progress = _sealing(options), hashlib.sha256(), executor.log.progress
    fingerprint: Optional[Fingerprint] = None
    with ExitStack() as stack:
        file = stack.enter_context(partial.open(name + sealing.suffix))
        executor.transport = stack.enter_context(executor.bulk_output())
        sealed = stack.enter_context(Branch(lambda chunks: sealing.pack(chunks, file.write)))
        proven: Optional[Branch[Fingerprint]] = None
        if options.verify in ("archive", "restore"):
            proven = stack.enter_context(Branch(lambda chunks: scan_stream(executor, kind, compression, chunks)))

        def hand_on(chunk: bytes) -> None:
            clear.update(chunk)
            sealed.write(chunk)
            if proven:
                proven.write(chunk)

        with progress.step("dumping", database, measure=lambda: (file.size, None), expected=expected):
            dump_seconds = executor.run(
                "pg_dump", args, database=database, on_stdout=hand_on, announce=True).seconds
        started = time.monotonic()
        with progress.step("verifying", database):
            sealed.finish()
            if proven:
                fingerprint = proven.finish()
    if options.identity_file:
        with progress.step("verifying", database):
            _prove_decryptable(executor, file.path, options.identity_file, clear.hexdigest())
    return executor.transport, fingerprint, dump_seconds, time.monotonic() - started


def _prove_decryptable(executor: PgExecutor, path: str, identity_file: str, digest: str) -> None:
    found = hashlib.sha256()
    for chunk in executor.log.progress.count(executor.in_time("decrypting the dump", decrypted(path, identity_file))):
        found.update(chunk)
    if found.hexdigest() != digest:
        raise BackupError("VERIFY_FAILED", "what was encrypted does not decrypt to what pg_dump wrote")
    executor.log.add("The encrypted dump was decrypted and compared with what pg_dump wrote")
