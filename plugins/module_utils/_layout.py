# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where backup sets lie and what their files are called. Only names are made here; nothing touches the disk."""

from __future__ import annotations

import os
import re
import secrets
from datetime import datetime, timezone
from urllib.parse import unquote

__all__ = [
    "DUMP_CUSTOM",
    "DUMP_FOLDER",
    "DUMP_PLAIN",
    "DUMP_TAR",
    "ENCRYPTED_SUFFIX",
    "GLOBALS",
    "GLOBALS_FILE",
    "LOCK_FILE",
    "MANIFEST_FILE",
    "PARTIAL_PREFIX",
    "PLAIN_SUFFIXES",
    "PROPERTIES_FILE",
    "PROPERTIES_SCRIPT",
    "REMOVING_PREFIX",
    "RESTORE_FILE",
    "SLOTS_FOLDER",
    "VERIFICATION_FILE",
    "database_dir",
    "decode_part",
    "default_credentials_file",
    "encode_part",
    "globals_dir",
    "instance_dir",
    "is_inside",
    "is_set_id",
    "new_set_id",
]

GLOBALS = "@globals"

MANIFEST_FILE = "manifest.json"
VERIFICATION_FILE = "verification.json"
RESTORE_FILE = "RESTORE.md"
GLOBALS_FILE = "globals.sql"
DUMP_CUSTOM = "database.dump"
DUMP_FOLDER = "database"
DUMP_TAR = "database.tar"
DUMP_PLAIN = "database.sql"
PROPERTIES_FILE = "properties.json"
PROPERTIES_SCRIPT = "properties.sql"
ENCRYPTED_SUFFIX = ".age"
PLAIN_SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst", "lz4": ".lz4"}

# Hidden, so that no reader takes them for a set. A name never begins with a dot once it is encoded.
PARTIAL_PREFIX = ".partial-"
REMOVING_PREFIX = ".removing-"
LOCK_FILE = ".lock"
SLOTS_FOLDER = ".slots"

# A leading dot would hide the folder (or be "..", which leads out), a leading @ is kept for our own GLOBALS. Bytes that
# are not UTF-8 reach Python as lone surrogates. All else stays readable, and 63 bytes never grow beyond 189.
_NOT_IN_A_PATH = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff%/]|\\A[.@]")
_SET_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


def _percent(match: re.Match[str]) -> str:
    return "".join("%{0:02X}".format(byte) for byte in match.group().encode("utf-8", "surrogateescape"))


def encode_part(name: str) -> str:
    """The folder name that stands for ``name``, percent-encoded only where a path needs it.

    Different names give different parts. Raises ValueError for an empty name, which no folder can have.
    """
    if not name:
        raise ValueError("an empty name cannot be part of a path")
    return _NOT_IN_A_PATH.sub(_percent, name)


def decode_part(part: str) -> str:
    """The name that :func:`encode_part` was given."""
    return unquote(part, errors="surrogateescape")


def instance_dir(backup_dir: str, instance: str) -> str:
    """The folder of all sets of one server."""
    return os.path.join(backup_dir, encode_part(instance))


def database_dir(backup_dir: str, instance: str, database: str) -> str:
    """The folder of all sets of one database; one really named ``@globals`` does not meet :func:`globals_dir`."""
    return os.path.join(instance_dir(backup_dir, instance), encode_part(database))


def globals_dir(backup_dir: str, instance: str) -> str:
    """The folder of the sets that hold a whole cluster's globals."""
    return os.path.join(instance_dir(backup_dir, instance), GLOBALS)


def new_set_id(now: datetime) -> str:
    """``20261121T231500Z-4f1c``: the UTC second of ``now`` (aware) and four random hexadecimal digits."""
    return "{0:%Y%m%dT%H%M%SZ}-{1}".format(now.astimezone(timezone.utc), secrets.token_hex(2))


def is_set_id(name: str) -> bool:
    """Whether ``name`` is of the kind that :func:`new_set_id` makes."""
    return _SET_ID.fullmatch(name) is not None


def is_inside(path: str) -> bool:
    """Whether the relative ``path`` (``/`` between its parts) names something below the folder it is relative to."""
    return "\0" not in path and not {"", ".", ".."}.intersection(path.split("/"))


def default_credentials_file(backup_dir: str) -> str:
    """``state/db.env`` beside ``backup_dir``."""
    return os.path.normpath(os.path.join(backup_dir, os.pardir, "state", "db.env"))
