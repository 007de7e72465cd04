# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._pg_commands import (
    Compression,
    DumpFilters,
    compression_switch,
    dump_args,
    parse_compression,
    read_filters,
    refuse_smuggled_args,
)


@pytest.mark.parametrize("arg", [
    # connection
    "--dbname=x", "--host=x", "--port=1", "--username=x", "--password", "--no-password", "-d", "-dx", "-hx", "-p1",
    "-Ux",
    "-W", "-w",
    # output and format
    "--file=/tmp/x", "--format=c", "--compress=9", "--jobs=8", "-f/tmp/x", "-Fc", "-Z9", "-j8", "--lock-wait-timeout=1",
    # beginnings, which getopt accepts
    "--fil=x", "--fi=x", "--f=x", "--forma=p", "--db=x", "--ho=x", "--user=x", "--pass", "--comp=1", "--jo=2", "--dat",
    "--",
    "--=x", "--n",
    # clusters
    "-vf/tmp/x", "-vd", "-Ofx", "-xc", "-vW", "-vvhx",
    # what belongs to the dump, and what a plain one does when it is restored
    "--schema=x", "--table=x", "--exclude-table-data=x", "--schema-only", "--data-only", "--section=data", "--filter=x",
    "--no-blobs", "--clean", "--create", "--if-exists", "-nx", "-Nx", "-tx", "-Tx", "-s", "-a", "-c", "-C", "-B", "-ex",
    "--statistics-only", "--stat", "--no-schema", "--no-data", "--help", "-?", "-V", "--version",
    # bare words, the first of which is the database
    "shop", "", "-", "host=evil", "postgresql://evil/x", "—file",
])
def test_smuggled_switches(arg: str) -> None:
    for args in ([arg], ["--verbose", arg], [arg, "-v"]):
        with pytest.raises(BackupError, match=r"^INVALID_DB_CONFIG: extra_args may not hold") as caught:
            refuse_smuggled_args(args)
        assert "/tmp/x" not in caught.value.what or not arg.startswith("--")


@pytest.mark.parametrize("args", [
    [], ["--verbose", "-v"], ["--no-owner", "-O", "-x", "-vOx"], ["--no-comments", "--disable-dollar-quoting"],
    ["--quote-all-identifiers"], ["--statistics"], ["--no-statistics"], ["-Sfoo"], ["-vSfoo"], ["-EUTF8"], ["--role=x"],
    ["--snapshot=00-1"], ["--no-sync"],
])
def test_harmless_switches(args: list[str]) -> None:
    assert refuse_smuggled_args(args) == args


@pytest.mark.parametrize(("text", "compression"), [
    ("", None), ("auto", None), ("none", Compression("none")), ("gzip", Compression("gzip")),
    ("gzip:9", Compression("gzip", 9)),
    ("lz4:12", Compression("lz4", 12)), ("zstd:1", Compression("zstd", 1)), ("zstd:22", Compression("zstd", 22)),
])
def test_compressions(text: str, compression: Compression | None) -> None:
    assert parse_compression(text) == compression
    if compression:
        assert str(compression) == text


@pytest.mark.parametrize("text", [
    "none:1", "gzip:0", "gzip:10", "lz4:13", "zstd:23", "zstd:", "zstd:x", "zstd:-1", "bzip2", "GZIP", "9",
])
def test_unknown_compressions(text: str) -> None:
    with pytest.raises(BackupError, match=r"^UNSUPPORTED_BY_CLIENT: .*" + text):
        parse_compression(text)


@pytest.mark.parametrize(("compression", "major", "switch"), [
    ("none", 15, "0"), ("none", 18, "0"), ("gzip", 15, "6"), ("gzip:1", 15, "1"), ("gzip", 16, "gzip"),
    ("gzip:1", 18, "gzip:1"),
    ("zstd:3", 16, "zstd:3"), ("lz4", 17, "lz4"),
])
def test_each_clients_spelling(compression: str, major: int, switch: str) -> None:
    parsed = parse_compression(compression)
    assert parsed is not None
    assert compression_switch(parsed, client_major=major) == ["-Z", switch]


@pytest.mark.parametrize("compression", ["zstd", "lz4:1"])
def test_what_older_clients_do_not_know(compression: str) -> None:
    parsed = parse_compression(compression)
    assert parsed is not None
    with pytest.raises(BackupError, match=r"^UNSUPPORTED_BY_CLIENT: .* needs pg_dump 16 or newer; this one is 15"):
        compression_switch(parsed, client_major=15)


@pytest.mark.parametrize(("params", "filters", "switches"), [
    ({}, DumpFilters(), []),
    ({"schemas": None, "tables": ["", ""], "schema_only": False}, DumpFilters(), []),
    ({"schemas": ["a", ""], "schema_only": True}, DumpFilters(schemas=("a",), schema_only=True),
     ["--schema-only", "--schema=a"]),
    ({"exclude_schemas": ["a"], "tables": ["b", "c"]}, DumpFilters(exclude_schemas=("a",), tables=("b", "c")),
     ["--exclude-schema=a", "--table=b", "--table=c"]),
    ({"exclude_tables": ["-x"], "exclude_table_data": ["y z"]},
     DumpFilters(exclude_tables=("-x",), exclude_table_data=("y z",)),
     ["--exclude-table=-x", "--exclude-table-data=y z"]),
])
def test_filters(params: dict[str, Any], filters: DumpFilters, switches: list[str]) -> None:
    assert read_filters(params) == filters
    assert filters.switches() == switches
    assert (filters.describe() is None) == (not switches)


def test_a_described_filter() -> None:
    assert DumpFilters(tables=("t",)).describe() == {
        "schemas": [], "exclude_schemas": [], "tables": ["t"], "exclude_tables": [], "exclude_table_data": [],
        "schema_only": False,
    }


def test_dump_args() -> None:
    assert dump_args(
        format_switch="d", compression=["-Z", "zstd:3"], jobs=4, encoding="UTF8", output="/x", filters=DumpFilters(tables=("t",)),
        lock_wait_seconds=60, extra_args=["-v"],
    ) == ["-F", "d", "--encoding=UTF8", "-Z", "zstd:3", "--lock-wait-timeout=60s", "-f", "/x", "-j", "4", "--no-sync", "--table=t", "-v"]
    assert dump_args(
        format_switch="c", compression=[], jobs=4, encoding="LATIN1", output=None, filters=DumpFilters(), lock_wait_seconds=0,
        extra_args=[],
    ) == ["-F", "c", "--encoding=LATIN1"]
