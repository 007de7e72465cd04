# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a set's JSON documents, for the side that writes them and the side that reads them alike.

``docs/schemas/manifest-1.json`` describes every key. What is checked here is what this collection relies upon, on hosts
that have no JSON Schema library.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._layout import is_inside
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SIGNATURE_KEYS

__all__ = [
    "KINDS",
    "LEVELS",
    "SCHEMA_VERSION",
    "check_manifest",
    "check_verdict",
    "format_time",
    "parse_time",
    "to_json",
]

SCHEMA_VERSION = 1
KINDS = ("full", "filtered", "globals", "safety")
LEVELS = ("none", "checksum", "archive", "restore")  # each proves more than the one before
RESULTS = ("ok", "failed", "none")
STATUSES = ("ok", "suspicious")

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_NULL = type(None)

_KEYS: Dict[str, Tuple[type, ...]] = {
    "schema_version": (int,),
    "collection_version": (str,),
    "id": (str,),
    "run_id": (str,),
    "instance": (str,),
    "database": (str,),
    "kind": (str,),
    "filters": (dict, _NULL),
    "label": (str, _NULL),
    "created": (str,),
    "finished": (str,),
    "sequence": (int,),
    "machine_id": (str, _NULL),
    "hostname": (str,),
    "mode": (str,),
    "executor": (str,),
    "credential_source": (str,),
    "transport": (str,),
    "host": (str, _NULL),
    "port": (int, _NULL),
    "container": (dict, _NULL),
    "server_version": (str,),
    "server_version_num": (int,),
    "system_identifier": (str, _NULL),
    "encoding": (str, _NULL),
    "locale_provider": (str, _NULL),
    "collation_version": (str, _NULL),
    "client_path": (str,),
    "client_version": (str,),
    "format": (str,),
    "compression": (str,),
    "database_bytes": (int, _NULL),
    "files": (list,),
    "extensions": (dict,),
    "roles": (list,),
    "tablespaces": (list,),
    "fingerprint": (dict, _NULL),
    "database_properties": (dict, _NULL),
    "timings": (dict,),
    "verification": (dict,),
    "status": (str,),
    "warnings": (list,),
    "signature": (dict, _NULL),
}

_OPTIONAL: Dict[str, Tuple[type, ...]] = {"encryption": (dict, _NULL)}  # older sets do not have it


def check_manifest(manifest: Mapping[str, Any]) -> None:
    """Raise ValueError with one sentence when ``manifest`` is not one that this version can rely on."""
    version: Any = manifest.get("schema_version")
    if _is(version, int) and version > SCHEMA_VERSION:
        raise ValueError(
            "it was made by a newer version of this collection (schema_version {0}, known up to {1})".format(
                version, SCHEMA_VERSION
            )
        )
    for key, types in _KEYS.items():
        if key not in manifest:
            raise ValueError("the key {0} is missing".format(key))
        _expect(_is(manifest[key], *types), key, manifest[key])
    for key, types in _OPTIONAL.items():
        _expect(_is(manifest.get(key), *types), key, manifest.get(key))
    _expect(version == SCHEMA_VERSION, "schema_version", version)
    _expect(manifest["sequence"] >= 1, "sequence", manifest["sequence"])
    _expect(manifest["kind"] in KINDS, "kind", manifest["kind"])
    _expect(manifest["status"] in STATUSES, "status", manifest["status"])
    for key in ("id", "instance", "database"):
        _expect(manifest[key] != "", key, manifest[key])
    for key in ("created", "finished"):
        parse_time(manifest[key])
    check_verdict(manifest["verification"])
    _expect(manifest["files"] != [], "files", manifest["files"])
    for entry in manifest["files"]:
        _check_file(entry)
    if manifest["signature"] is not None:
        _expect(
            all(_is(manifest["signature"].get(key), str) for key in SIGNATURE_KEYS), "signature", manifest["signature"]
        )


def check_verdict(verdict: Any) -> None:
    """Raise ValueError when ``verdict`` does not say which level was tried, and with what result."""
    _expect(
        _is(verdict, dict) and verdict.get("level") in LEVELS and verdict.get("result") in RESULTS,
        "verification", verdict,
    )


def _check_file(entry: Any) -> None:
    _expect(_is(entry, dict), "files", entry)
    path, size, digest = entry.get("path"), entry.get("size"), entry.get("sha256")
    # A path that leads out of the set would let a forged manifest have any file of the host read, or removed.
    _expect(_is(path, str) and is_inside(path), "files", path)
    _expect(_is(size, int) and _is(digest, str), "files", entry)


def _is(value: Any, *types: type) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _expect(fine: bool, key: str, value: Any) -> None:
    if not fine:
        raise ValueError("{0} cannot be {1}".format(key, repr(value)[:100]))


def parse_time(text: str) -> datetime:
    """``2026-11-21T23:15:00Z`` as an aware datetime in UTC. Raises ValueError."""
    return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)


def format_time(moment: datetime) -> str:
    """The aware ``moment`` as manifests write it, to the second."""
    return moment.astimezone(timezone.utc).strftime(_TIME)


def to_json(document: Any) -> bytes:
    """``document`` as every file of a set writes it: UTF-8, indented, keys sorted."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    # A lone surrogate (a name that is not UTF-8) has no bytes; its backslash form is the very escape that JSON knows.
    return text.encode("utf-8", "backslashreplace")
