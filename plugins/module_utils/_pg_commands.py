# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments of pg_dump and pg_restore: pure functions of options and client version. Where they run is not known."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError

__all__ = [
    "Compression",
    "DumpFilters",
    "compression_switch",
    "dump_args",
    "parse_compression",
    "read_filters",
    "refuse_smuggled_args",
]

_LEVELS = {"gzip": (1, 9), "lz4": (1, 12), "zstd": (1, 22)}
_NAMED_COMPRESSION_SINCE = 16  # pg_dump -Z METHOD:LEVEL; before that a bare gzip level

# Switches that change where pg_dump connects, where and how it writes, what a plain dump does when it is restored
# (drop, create, connect elsewhere), or what belongs to the dump. The last kind has options of its own, since a set that
# lacks something must be filed as such.
_REFUSED_LONG = (
    "--binary-upgrade", "--clean", "--column-inserts", "--inserts", "--on-conflict-do-nothing", "--rows-per-insert",
    "--compress", "--create", "--data-only", "--dbname", "--enable-row-security", "--exclude-extension",
    "--exclude-schema", "--exclude-table", "--exclude-table-and-children", "--exclude-table-data",
    "--exclude-table-data-and-children", "--extension", "--file", "--filter", "--format", "--help", "--host",
    "--if-exists", "--jobs", "--lock-wait-timeout", "--no-blobs", "--no-data", "--no-large-objects", "--no-password",
    "--no-schema", "--no-unlogged-table-data", "--password", "--port", "--schema", "--schema-only", "--section",
    "--statistics-only", "--table", "--table-and-children", "--username", "--version",
)
_REFUSED_SHORT = frozenset("hpUdwWfFZjntTNasBeVCc?")
_ALLOWED_EXACTLY = ("--statistics", "--no-statistics")
_SHORT_WITH_VALUE = frozenset("SE")


class Compression(NamedTuple):
    """``method`` is none, gzip, lz4 or zstd; ``level`` None leaves it to the method."""

    method: str
    level: Optional[int] = None

    def __str__(self) -> str:
        return self.method if self.level is None else "{0}:{1}".format(self.method, self.level)


def parse_compression(value: str) -> Optional[Compression]:
    """``auto`` → None, else the compression that was spelled out. Raises ``UNSUPPORTED_BY_CLIENT``."""
    if value in ("", "auto"):
        return None
    method, colon, level = value.partition(":")
    if method == "none" and not colon:
        return Compression("none")
    if method in _LEVELS and (not colon or re.match(r"^[0-9]{1,2}$", level)):
        lowest, highest = _LEVELS[method]
        if not colon or lowest <= int(level) <= highest:
            return Compression(method, int(level) if colon else None)
    raise BackupError(
        "UNSUPPORTED_BY_CLIENT",
        "compression={0} is not known".format(value[:60]),
        hint="Use auto, none, gzip[:1-9], lz4[:1-12] or zstd[:1-22].",
    )


def compression_switch(compression: Compression, *, client_major: int) -> List[str]:
    """pg_dump's own spelling. Raises ``UNSUPPORTED_BY_CLIENT`` for what clients before 16 cannot do."""
    if compression.method == "none":
        return ["-Z", "0"]
    if client_major >= _NAMED_COMPRESSION_SINCE:
        return ["-Z", str(compression)]
    if compression.method != "gzip":
        raise BackupError(
            "UNSUPPORTED_BY_CLIENT",
            "compression={0} needs pg_dump 16 or newer; this one is {1}".format(compression, client_major),
            hint="Use compression=auto or gzip, or install a newer client.",
        )
    return ["-Z", str(compression.level or 6)]


class DumpFilters(NamedTuple):
    """What a dump leaves out. A set with any of these is ``filtered``: never latest for a full restore."""

    schemas: Tuple[str, ...] = ()
    exclude_schemas: Tuple[str, ...] = ()
    tables: Tuple[str, ...] = ()
    exclude_tables: Tuple[str, ...] = ()
    exclude_table_data: Tuple[str, ...] = ()
    schema_only: bool = False

    def describe(self) -> Optional[Dict[str, Any]]:
        """For the manifest; None when nothing is left out."""
        if self == DumpFilters():
            return None
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}

    def switches(self) -> List[str]:
        args = ["--schema-only"] if self.schema_only else []
        for switch, patterns in (
            ("--schema", self.schemas),
            ("--exclude-schema", self.exclude_schemas),
            ("--table", self.tables),
            ("--exclude-table", self.exclude_tables),
            ("--exclude-table-data", self.exclude_table_data),
        ):
            args += ["{0}={1}".format(switch, pattern) for pattern in patterns]
        return args


def read_filters(params: Mapping[str, Any]) -> DumpFilters:
    """The filters among the module's parameters; blanks are unset."""
    lists = {
        name: tuple(item for item in params.get(name) or () if item)
        for name in ("schemas", "exclude_schemas", "tables", "exclude_tables", "exclude_table_data")
    }
    return DumpFilters(schema_only=bool(params.get("schema_only")), **lists)


def dump_args(
    *,
    format_switch: str,
    compression: Sequence[str],
    jobs: int,
    encoding: str,
    output: Optional[str],
    filters: DumpFilters,
    lock_wait_seconds: int,
    extra_args: Sequence[str],
) -> List[str]:
    """Everything but the connection. ``output`` is a folder for the directory format; None writes to stdout."""
    # Named, for a database or role may have a client_encoding of its own, which need not hold all of its characters.
    args = ["-F", format_switch, "--encoding={0}".format(encoding)] + list(compression)
    if lock_wait_seconds:
        args.append("--lock-wait-timeout={0}s".format(lock_wait_seconds))
    if output is not None:
        args += ["-f", output, "-j", str(jobs), "--no-sync"]  # synced when the set is published
    return args + filters.switches() + list(extra_args)


def refuse_smuggled_args(extra_args: Sequence[str]) -> List[str]:
    """``extra_args`` as they are, or ``INVALID_DB_CONFIG`` for a switch that would go round the guard.

    getopt accepts any unambiguous beginning of a long switch, short switches run together, and bare words as the
    database's name: all of these are refused.
    """
    for arg in extra_args:
        if arg.startswith("--"):
            name = arg.split("=", 1)[0]
            refused = name not in _ALLOWED_EXACTLY and any(switch.startswith(name) for switch in _REFUSED_LONG)
        elif arg.startswith("-") and len(arg) > 1:
            letters = re.split("[{0}]".format("".join(sorted(_SHORT_WITH_VALUE))), arg[1:])[0]
            refused = any(letter in _REFUSED_SHORT for letter in letters)
        else:
            refused = True
        if refused:
            raise BackupError(
                "INVALID_DB_CONFIG",
                "extra_args may not hold {0!r}".format(arg.split("=", 1)[0][:60]),
                hint="Connection, output, format and selection have options of their own. Write a switch and its "
                "value as one item: --name=value.",
            )
    return list(extra_args)
