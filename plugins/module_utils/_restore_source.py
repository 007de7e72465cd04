# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is restored: a backup set or a foreign dump, found and validated before anything is touched."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any, ContextManager, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump, Fingerprint, identify, scan
from ansible_collections.pgfleet.backup.plugins.module_utils._catalog import find_backup
from ansible_collections.pgfleet.backup.plugins.module_utils._cipher import decrypted
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import file_chunks
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    DUMP_CUSTOM,
    DUMP_FOLDER,
    DUMP_PLAIN,
    DUMP_TAR,
    ENCRYPTED_SUFFIX,
    MANIFEST_FILE,
    PLAIN_SUFFIXES,
    PROPERTIES_FILE,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._progress import (
    Expected,
    Measure,
    read_by_children,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, check_files

__all__ = ["Source", "find_source", "of_set"]


class Source(NamedTuple):
    """One dump to restore. ``backup`` is None for a foreign one, of which nothing is known but the dump itself.

    ``sealed`` are the properties of a database whose manifest does not tell all of them.
    """

    dump: Dump
    backup: Optional[BackupSet]
    sealed: Optional[Mapping[str, Any]] = None

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self.backup.manifest if self.backup else {}

    @property
    def properties(self) -> Optional[Mapping[str, Any]]:
        return self.sealed or self.manifest.get("database_properties")

    @property
    def roles(self) -> List[str]:
        """The roles that must exist: those the manifest names, else the owners in the archive."""
        return list(self.manifest["roles"]) if self.backup else self.owners

    @property
    def owners(self) -> List[str]:
        """The roles that own something in the archive; none for a plain dump, which has no table of contents."""
        entries = self.dump.toc.entries if self.dump.toc else ()
        return sorted({entry.owner for entry in entries if entry.owner})

    @property
    def extensions(self) -> Mapping[str, Optional[str]]:
        """The extensions that must be there, with their versions where the manifest names them."""
        if self.backup:
            return dict(self.manifest["extensions"])
        entries = self.dump.toc.entries if self.dump.toc else ()
        return {entry.name: None for entry in entries if entry.kind == "EXTENSION"}

    @property
    def kinds(self) -> Mapping[str, int]:
        """How many objects of each kind there are, as far as that is known."""
        if self.dump.toc:
            return self.dump.toc.counts()
        return dict((self.manifest.get("fingerprint") or {}).get("objects", {}))

    @property
    def server_version(self) -> str:
        """The version of the server that was dumped; empty when nothing says it."""
        return str(self.manifest.get("server_version") or (self.dump.toc.server_version if self.dump.toc else ""))

    @property
    def client_major(self) -> int:
        """The major version of the client that wrote the dump; 0 when a foreign plain dump does not say."""
        if self.dump.toc:
            return self.dump.toc.client_major
        version = str(self.manifest.get("client_version", "0"))
        return int(version.split(".", maxsplit=1)[0]) if version.split(".", maxsplit=1)[0].isdigit() else 0

    def read(self, name: str) -> Optional[bytes]:
        """The content of a small file of the set, decrypted where it is encrypted; None when there is none."""
        return _read(self.backup, name, self.dump.identity_file) if self.backup else None

    def remarks(self) -> Iterator[str]:
        """Lines for the log of whoever relies on it."""
        if self.backup:
            yield self.backup.describe_signature()
        if self.dump.identity_file:
            yield "It is decrypted on its way to the tools, and so restored without parallel jobs"

    def describe(self) -> Dict[str, Any]:
        return {
            "path": self.backup.path if self.backup else self.dump.path,
            "id": self.backup.id if self.backup else None,
            "format": self.dump.format,
            "created": self.manifest.get("created"),
            "server_version": self.manifest.get("server_version"),
            "bytes": self.backup.bytes if self.backup else None,
        }

    def restoring(self, executor: PgExecutor, database: str) -> ContextManager[None]:
        """The step of restoring it into ``database``, for those who watch."""
        drill = self.backup.drill if self.backup else None
        seconds = drill["seconds"] if drill and drill["result"] == "ok" else None
        size: Optional[int] = None
        measure: Optional[Measure] = None
        with suppress(OSError):  # that is for the restore to find out
            if self.dump.format == "directory":
                if executor.writes_here:  # else what reads it is in a container
                    measure = _read_so_far
                    size = self.dump.size
            elif self.dump.compression == "none":
                size = self.dump.size
        return executor.log.progress.step(
            "restoring", database, measure=measure, expected=Expected(bytes=size, seconds=seconds))

    def validate(self, executor: PgExecutor) -> Fingerprint:
        """Read the dump to its end. What the manifest counted must be found again. Raises ``VERIFY_FAILED``."""
        with executor.log.progress.step("verifying", str(self.manifest.get("database") or self.dump.path)):
            fingerprint = scan(executor, self.dump, checksummed=self.backup is not None)
        recorded = self.manifest.get("fingerprint")
        if recorded and recorded["tables"] != fingerprint.tables:
            raise BackupError("VERIFY_FAILED", "{0} does not hold the rows that its manifest counted".format(
                self.dump.path))
        return fingerprint


def _read_so_far() -> Tuple[Optional[int], Optional[int]]:
    return read_by_children("pg_restore"), None


def find_source(
    backup: str, *, backup_dir: str, instance: str, database: str, key: Optional[SigningKey] = None,
    identity_file: str = "",
) -> Source:
    """``latest``, an id, or a path to a set or to any dump. A set's checksums are compared.

    With ``key`` the signature comes before all else, and no foreign dump has one. ``identity_file`` decrypts what is
    encrypted. Raises ``BACKUP_NOT_FOUND``, ``SIGNATURE_INVALID``, ``CHECKSUM_MISMATCH``, ``ENCRYPTION_UNAVAILABLE`` or
    ``INVALID_BACKUP_FORMAT``.
    """
    if os.sep in backup and not os.path.lexists(os.path.join(backup, MANIFEST_FILE)):
        if not os.path.exists(backup):
            raise BackupError("BACKUP_NOT_FOUND", "{0} does not exist".format(backup))
        if key is not None:
            raise BackupError(
                "SIGNATURE_INVALID", "{0} is not a backup set, so it has no signature".format(backup),
                hint="Leave signing_key out to restore a dump that you trust for other reasons.",
            )
        return Source(identify(backup, identity_file), None)
    found = find_backup(backup_dir, instance=instance, database=database, backup=backup, key=key)
    if found.kind == "globals":
        raise BackupError("INVALID_BACKUP_FORMAT", "{0} holds a cluster's globals, not a database".format(found.path),
                          hint="Its RESTORE.md says how to restore them by psql.")
    check_files(found)
    return of_set(found, identity_file)


def of_set(backup: BackupSet, identity_file: str = "") -> Source:
    """The dump of a set whose checksums are known to be right."""
    name = {
        "directory": DUMP_FOLDER,
        "custom": DUMP_CUSTOM,
        "tar": DUMP_TAR,
        "plain": DUMP_PLAIN + PLAIN_SUFFIXES.get(backup.manifest["compression"].split(":")[0], ""),
    }.get(backup.format)
    if name is None:
        raise BackupError("INVALID_BACKUP_FORMAT", "{0} names the format {1!r}".format(backup.path, backup.format))
    dump = identify(os.path.join(backup.path, name + (ENCRYPTED_SUFFIX if backup.encrypted else "")), identity_file)
    if dump.format != backup.format:
        raise BackupError("INVALID_BACKUP_FORMAT", "{0} names the format {1}, and holds {2}".format(
            backup.path, backup.format, dump.format))
    if backup.encrypted and not dump.identity_file:  # then it is not what was put there
        raise BackupError("INVALID_BACKUP_FORMAT", "{0} is an encrypted backup, and its dump is not encrypted".format(
            backup.path))
    return Source(dump, backup, _sealed_properties(backup, identity_file) if backup.encrypted else None)


def _sealed_properties(backup: BackupSet, identity_file: str) -> Optional[Mapping[str, Any]]:
    content = _read(backup, PROPERTIES_FILE, identity_file)
    if content is None:
        return None
    with suppress(ValueError):
        properties = json.loads(content.decode("utf-8"))
        if isinstance(properties, dict):
            return properties
    raise BackupError("INVALID_BACKUP_FORMAT", "{0}{1} in {2} does not hold properties".format(
        PROPERTIES_FILE, ENCRYPTED_SUFFIX, backup.path))


def _read(backup: BackupSet, name: str, identity_file: str) -> Optional[bytes]:
    path = os.path.join(backup.path, name + (ENCRYPTED_SUFFIX if backup.encrypted else ""))
    if not os.path.isfile(path):
        return None
    return b"".join(decrypted(path, identity_file) if backup.encrypted else file_chunks(path))
