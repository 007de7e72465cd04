# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One published backup set: reading it, judging it, checking its files, and adding verdicts to it.

It may come from anywhere, so no symbolic link in it is followed, and nothing it claims is believed unchecked.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import (
    DUMP_CUSTOM,
    DUMP_FOLDER,
    DUMP_PLAIN,
    DUMP_TAR,
    ENCRYPTED_SUFFIX,
    GLOBALS_FILE,
    MANIFEST_FILE,
    PLAIN_SUFFIXES,
    PROPERTIES_FILE,
    PROPERTIES_SCRIPT,
    RESTORE_FILE,
    VERIFICATION_FILE,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._lock import folder_lock
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import (
    LEVELS,
    check_manifest,
    check_verdict,
    parse_time,
    to_json,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._storage import hash_file, open_file, replace_file

__all__ = ["BackupSet", "adopt_verdicts", "append_verdict", "check_files", "check_signature", "file_fault", "read_set"]

_LIMIT = 64 * 1024 * 1024
# What somebody would read, run or restore by its name alone. Notes of one's own may lie beside.
_NAMES = (GLOBALS_FILE, PROPERTIES_FILE, PROPERTIES_SCRIPT, DUMP_CUSTOM, DUMP_TAR, *(
    DUMP_PLAIN + suffix for suffix in PLAIN_SUFFIXES.values()))
_MEANT_TO_BE_READ = (RESTORE_FILE, *_NAMES, *(name + ENCRYPTED_SUFFIX for name in _NAMES))


@dataclass(frozen=True, eq=False)
class BackupSet:
    """One set on the disk: the folder it lies in, its manifest, and the verdicts that were added later.

    ``key`` is the one it was read with, if any. ``fault`` says why that key does not vouch for it; then nothing that
    the manifest claims is to be trusted. With a key, ``verdicts`` are only those that the key signed.
    """

    path: str
    manifest: Mapping[str, Any]
    verdicts: Sequence[Mapping[str, Any]] = ()
    key: Optional[SigningKey] = None
    fault: str = ""

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    @property
    def instance(self) -> str:
        return str(self.manifest["instance"])

    @property
    def database(self) -> str:
        return str(self.manifest["database"])

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def sequence(self) -> int:
        return int(self.manifest["sequence"])

    @property
    def created(self) -> datetime:
        return parse_time(self.manifest["created"])

    @property
    def finished(self) -> datetime:
        return parse_time(self.manifest["finished"])

    @property
    def label(self) -> Optional[str]:
        label: Optional[str] = self.manifest["label"]
        return label

    @property
    def format(self) -> str:
        return str(self.manifest["format"])

    @property
    def encrypted(self) -> bool:
        """Whether its content can only be read with a key."""
        return bool(self.manifest.get("encryption"))

    @property
    def status(self) -> str:
        return str(self.manifest["status"])

    @property
    def bytes(self) -> int:
        """The size of all its files."""
        return sum(entry["size"] for entry in self.manifest["files"])

    @property
    def level(self) -> str:
        """The highest level that was ever passed."""
        return LEVELS[max((rank for rank, result in self._history() if result == "ok"), default=0)]

    @property
    def drill(self) -> Optional[Dict[str, Any]]:
        """What its last drill came to, if it ever had one."""
        for verdict in reversed(self.verdicts):
            if verdict["level"] == LEVELS[-1]:
                return {key: verdict.get(key) for key in ("at", "result", "seconds", "message")}
        return None

    @property
    def verified(self) -> bool:
        """Whether it is to be counted on: not suspicious, proven, no later proof failed, and the key vouches for it.

        A failure stands until the same proof, or a harder one, succeeds.
        """
        failed = 0
        for rank, result in self._history():
            if result == "failed":
                failed = max(failed, rank, 1)
            elif result == "ok" and rank >= failed:
                failed = 0
        return self.status == "ok" and self.level != LEVELS[0] and not failed and not self.fault

    def describe(self) -> Dict[str, Any]:
        """What results show of it."""
        valid = None if self.key is None else not self.fault
        return dict(
            self.manifest, path=self.path, verified=self.verified, signature_valid=valid, level=self.level,
            bytes=self.bytes, drill=self.drill,
        )

    def describe_signature(self) -> str:
        """One line for the log of whoever relies on it."""
        if self.key is not None:
            return "Signature of {0}: {1}".format(self.path, self.fault or "valid, by the key {0}".format(self.key.id))
        if self.manifest["signature"] is None:
            return "{0} is not signed".format(self.path)
        return "Signature of {0}: NOT CHECKED, since no signing_key was given".format(self.path)

    def _history(self) -> Iterator[Tuple[int, str]]:
        for verdict in [self.manifest["verification"], *self.verdicts]:
            yield LEVELS.index(verdict["level"]), verdict["result"]


def read_set(path: str, key: Optional[SigningKey] = None) -> BackupSet:
    """The set in the folder ``path``. With ``key`` its signature is looked at before anything else is done with it.

    Raises INVALID_BACKUP_FORMAT when there is none that can be understood; SIGNATURE_INVALID when that may be because
    it was altered. A set that can be understood is returned with its ``fault``: see :func:`check_signature`.
    """
    fault = "it cannot be read" if key else ""
    try:
        manifest = _read_json(path, MANIFEST_FILE)
        if not isinstance(manifest, dict):
            raise ValueError("it is not a JSON object")
        fault = _fault(path, manifest, key) if key else ""
        check_manifest(manifest)
    except OSError as error:
        raise BackupError("INVALID_BACKUP_FORMAT", "{0} has no readable {1}: {2}".format(
            path, MANIFEST_FILE, error.strerror
        )) from error
    except (ValueError, RecursionError) as error:
        code = "SIGNATURE_INVALID" if fault else "INVALID_BACKUP_FORMAT"
        raise BackupError(code, "{0} in {1} cannot be used: {2}".format(MANIFEST_FILE, path, error)) from error
    verdicts = [] if fault else _read_verdicts(path)
    if key:
        verdicts = [item for item in verdicts if not key.fault(_bound(item, manifest), item.get("signature"))]
    return BackupSet(path, manifest, verdicts, key, fault)


def _fault(path: str, manifest: Mapping[str, Any], key: SigningKey) -> str:
    """Why ``key`` does not vouch for what lies at ``path``: a copy under another id would pass for one more backup."""
    fault = key.fault(manifest, manifest.get("signature"))
    name = os.path.basename(os.path.realpath(path))
    if not fault and manifest.get("id") != name:
        return "it was signed as the backup {0}, and its folder is named {1}".format(manifest.get("id"), name)
    return fault


def check_signature(backup: BackupSet, *, hint: Optional[str] = None) -> None:
    """Raise SIGNATURE_INVALID when ``backup`` was read with a key that does not vouch for it."""
    if backup.fault:
        raise BackupError("SIGNATURE_INVALID", "{0}: {1}".format(backup.path, backup.fault), hint=hint)


def _bound(verdict: Mapping[str, Any], manifest: Mapping[str, Any]) -> Dict[str, Any]:
    """What is signed of a verdict: it and the set that it is about, so that it proves nothing of any other."""
    return dict(verdict, backup_id=manifest["id"], backup_signature=manifest["signature"])


def _read_verdicts(path: str) -> List[Dict[str, Any]]:
    try:
        verdicts = _read_json(path, VERIFICATION_FILE)
        for verdict in verdicts:
            check_verdict(verdict)
    except (OSError, ValueError, TypeError, RecursionError):
        return []
    return list(verdicts)


def _read_json(folder: str, name: str) -> Any:
    descriptor = open_file(folder, name)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(_LIMIT + 1)
    if len(content) > _LIMIT:
        raise ValueError("it is larger than {0} MiB".format(_LIMIT // 1024 ** 2))
    return json.loads(content.decode("utf-8"))


def check_files(backup: BackupSet) -> None:
    """Compare every file of the set with its size and checksum, and look for files that do not belong to it.

    Raises CHECKSUM_MISMATCH naming the first bad one, or BACKUP_DIR_UNUSABLE where reading is not permitted.
    """
    listed = {entry["path"] for entry in backup.manifest["files"]}
    for path in _content(backup.path):
        if path not in listed:
            raise BackupError("CHECKSUM_MISMATCH", "{0} is not part of the backup".format(
                os.path.join(backup.path, path)
            ))
    for entry in backup.manifest["files"]:
        wrong = file_fault(backup.path, entry)
        if wrong:
            raise BackupError("CHECKSUM_MISMATCH", "{0}: {1}".format(os.path.join(backup.path, entry["path"]), wrong))


def _content(folder: str) -> Iterator[str]:
    """Whatever a tool or a reader would take for a part of the set, relative to ``folder``."""
    yield from (name for name in _MEANT_TO_BE_READ if os.path.lexists(os.path.join(folder, name)))
    for where, subfolders, names in os.walk(os.path.join(folder, DUMP_FOLDER)):
        links = [name for name in subfolders if os.path.islink(os.path.join(where, name))]
        for name in names + links:
            yield os.path.relpath(os.path.join(where, name), folder)


def file_fault(folder: str, entry: Mapping[str, Any]) -> str:
    """What is wrong with the file in ``folder`` that ``entry`` of a manifest describes; empty when nothing is.

    Raises BACKUP_DIR_UNUSABLE where reading is not permitted.
    """
    try:
        descriptor = open_file(folder, entry["path"])
        try:
            size = os.fstat(descriptor).st_size
            if size != entry["size"]:
                return "{0} bytes instead of {1}".format(size, entry["size"])
            return "" if hash_file(descriptor) == (size, entry["sha256"]) else "its content was altered"
        finally:
            os.close(descriptor)
    except PermissionError as error:  # says nothing of the file, so it must not read like damage
        raise BackupError("BACKUP_DIR_UNUSABLE", "{0}: {1}".format(
            os.path.join(folder, entry["path"]), error.strerror
        )) from error
    except OSError as error:
        return str(error.strerror)


def append_verdict(backup: BackupSet, verdict: Mapping[str, Any]) -> None:
    """Add ``verdict`` (``level``, ``result`` and whatever else is to be kept) to the set's verification.json.

    It is signed by the key that the set was read with, when that key signed the set. The manifest never changes.
    Raises ValueError for a verdict without level or result, and BackupError.
    """
    check_verdict(verdict)
    added = dict(verdict)
    if backup.key and not backup.fault:
        added["signature"] = backup.key.sign(_bound(verdict, backup.manifest))
    with folder_lock(backup.path):
        verdicts = [*_read_verdicts(backup.path), added]
        replace_file(os.path.join(backup.path, VERIFICATION_FILE), to_json(verdicts))


def adopt_verdicts(backup: BackupSet, content: bytes) -> bool:
    """Add to the set's verification.json what another copy's, ``content``, has and it has not; whether there was any.

    Raises ValueError when ``content`` cannot be understood, and BackupError.
    """
    others = json.loads(content.decode("utf-8"))
    for verdict in others:
        check_verdict(verdict)
    with folder_lock(backup.path):
        verdicts = _read_verdicts(backup.path)
        added = [verdict for verdict in others if verdict not in verdicts]
        if added:
            # A later proof outweighs an earlier one, so they stand in the order of their time.
            merged = sorted([*verdicts, *added], key=lambda verdict: str(verdict.get("at") or ""))
            replace_file(os.path.join(backup.path, VERIFICATION_FILE), to_json(merged))
    return bool(added)
