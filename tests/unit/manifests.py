# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and sets for tests: valid in every key, each test changes what it is about."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, Dict, Optional

from ansible_collections.pgfleet.backup.plugins.module_utils._backup_set import PartialSet
from ansible_collections.pgfleet.backup.plugins.module_utils._layout import database_dir
from ansible_collections.pgfleet.backup.plugins.module_utils._manifest import format_time, parse_time
from ansible_collections.pgfleet.backup.plugins.module_utils._signing import SigningKey
from ansible_collections.pgfleet.backup.plugins.module_utils._stored_set import BackupSet, read_set

NOON = parse_time("2026-11-21T12:00:00Z")
OK = {"level": "archive", "result": "ok", "seconds": 1.5}
FAILED = {"level": "archive", "result": "failed", "seconds": 1.5}
UNTRIED = {"level": "none", "result": "none", "seconds": 0}


def make_manifest(**changes: Any) -> Dict[str, Any]:
    """A complete manifest; its id and times follow from its sequence unless they are given."""
    sequence = changes.get("sequence", 1)
    created = NOON + timedelta(days=sequence if isinstance(sequence, int) else 0)
    manifest: Dict[str, Any] = {
        "schema_version": 1,
        "collection_version": "1.0.0",
        "id": "{0:%Y%m%dT%H%M%SZ}-4f1c".format(created),
        "run_id": "8d0c4a52",
        "instance": "shop_db",
        "database": "shop",
        "kind": "full",
        "filters": None,
        "label": None,
        "created": format_time(created),
        "finished": format_time(created + timedelta(minutes=2)),
        "sequence": 1,
        "machine_id": "0f3a9c1d5b7e4f2a8c6d0e1f2a3b4c5d",
        "hostname": "web1",
        "mode": "in_container",
        "executor": "docker",
        "credential_source": "CredFromRunningContainer",
        "transport": "fifo",
        "host": None,
        "port": 5432,
        "container": {"id": "c0ffee", "name": "shop-db-1", "image": "postgres:17", "digest": "sha256:beef"},
        "server_version": "17.11",
        "server_version_num": 170011,
        "system_identifier": "7311234567890123456",
        "encoding": "UTF8",
        "locale_provider": "libc",
        "collation_version": "2.36",
        "client_path": "/usr/lib/postgresql/17/bin/pg_dump",
        "client_version": "17.11",
        "format": "directory",
        "compression": "zstd:3",
        "database_bytes": 1048576,
        "files": [{"path": "database/toc.dat", "size": 4, "sha256": "ab" * 32}],
        "extensions": {"pg_trgm": "1.6"},
        "roles": ["shop"],
        "tablespaces": [],
        "fingerprint": {
            "tables": {'public."Order"': 42},
            "sequences": {"public.order_id_seq": {"last_value": 42, "is_called": True}},
            "large_objects": 0,
            "objects": {"TABLE": 1, "SEQUENCE": 1},
        },
        "database_properties": {
            "owner": "shop",
            "encoding": "UTF8",
            "locale_provider": "libc",
            "collate": "C.UTF-8",
            "ctype": "C.UTF-8",
            "locale": None,
            "icu_rules": None,
            "tablespace": "pg_default",
            "connection_limit": -1,
            "acl": [{"grantor": "shop", "grantee": None, "privilege": "CONNECT", "grantable": False}],
            "comment": None,
            "settings": [{"role": None, "setting": "work_mem=64MB"}],
            "security_labels": [{"provider": "selinux", "label": "unconfined_u"}],
        },
        "timings": {"dump_seconds": 3.5, "verify_seconds": 1.5, "total_seconds": 5.25},
        "verification": OK,
        "status": "ok",
        "warnings": [],
        "signature": None,
    }
    manifest.update(changes)
    return manifest


def make_set(**changes: Any) -> BackupSet:
    """A set that is nowhere on the disk."""
    manifest = make_manifest(**changes)
    return BackupSet("/backups/{instance}/{database}/{kind}/{sequence}".format(**manifest), manifest)


def write_set(
    backup_dir: Any, *, content: Optional[Dict[str, bytes]] = None, key: Optional[SigningKey] = None, **changes: Any
) -> BackupSet:
    """A set on the disk, with ``content`` as its files, made the way real ones are, and read with the same ``key``."""
    manifest = make_manifest(**changes)
    parent = database_dir(os.fspath(backup_dir), manifest["instance"], manifest["database"])
    with PartialSet.create(parent, manifest["id"]) as partial:
        for name, data in (content or {"database/toc.dat": b"PGDMP", "database/1.dat": b"1\n\\.\n"}).items():
            with partial.open(name) as file:
                file.write(data)
        return read_set(partial.publish(manifest, "# How to restore\n", key=key), key)
