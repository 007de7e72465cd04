# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import (
    compression_of,
    decoded,
    decoded_as,
    file_chunks,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from hypothesis import HealthCheck, given, settings, strategies as st

CONTENT = bytes(range(256)) * 9000  # more than one chunk
LIBRARY: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def by_program(name: str) -> Callable[[bytes], bytes]:
    return lambda data: subprocess.run([name, "-c"], input=data, capture_output=True, check=True).stdout


PROGRAMS = {name: by_program(name) for name in ("zstd", "lz4") if shutil.which(name)}
ALL = {**LIBRARY, **PROGRAMS}


def content(path: Path) -> bytes:
    return b"".join(decoded(str(path)))


def damage(path: Path) -> str:
    with pytest.raises(BackupError) as caught:
        content(path)
    assert caught.value.code == "VERIFY_FAILED"
    assert path.name in caught.value.what
    return caught.value.what


@pytest.mark.parametrize("name", ALL)
def test_round_trip_by_content_not_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "-x.sql"
    path.write_bytes(ALL[name](CONTENT))
    assert compression_of(str(path)) == name
    assert content(path) == CONTENT


@pytest.mark.parametrize("name", ["gzip", "zstd", "lz4"])
def test_an_empty_file_is_empty_content(tmp_path: Path, name: str) -> None:
    """So pg_dump writes an empty large object under zstd and lz4."""
    path = tmp_path / "blob_1.dat"
    path.touch()
    assert list(decoded_as(str(path), name)) == []


@pytest.mark.parametrize("name", LIBRARY)
def test_members_that_follow_each_other(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(LIBRARY[name](b"one\n") + LIBRARY[name](b"") + LIBRARY[name](CONTENT) + LIBRARY[name](b"end"))
    assert content(path) == b"one\n" + CONTENT + b"end"


@pytest.mark.parametrize("name", ALL)
def test_every_kind_of_cut_is_noticed(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    whole = ALL[name](b"COPY t FROM stdin;\n" * 50)
    for length in (len(whole) - 1, len(whole) - 4, len(whole) // 2, 8):
        path.write_bytes(whole[:length])
        assert name in damage(path)


@pytest.mark.parametrize("name", ALL)
def test_what_follows_and_is_no_member(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(ALL[name](b"content") + b"garbage that follows")
    damage(path)


@pytest.mark.parametrize("name", LIBRARY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / "x"
    changed = bytearray(LIBRARY[name](CONTENT[:600]))
    place = data.draw(st.integers(6, len(changed) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bytes(changed))
    outcome: bytes | str
    try:
        outcome = content(path)
    except BackupError as error:
        outcome = error.code
    assert outcome in {CONTENT[:600], "VERIFY_FAILED"}


@pytest.mark.parametrize("data", [b"", b"P", b"PGDMP", CONTENT, b"\x1f", b"BZ"])
def test_clear_files(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(data)
    assert compression_of(str(path)) == "none"
    assert content(path) == data
    assert all(len(chunk) <= 1 << 20 for chunk in file_chunks(str(path)))


@pytest.mark.parametrize(("head", "program"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\x04\x22\x4d\x18", "lz4")])
def test_a_program_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes, program: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(head + b"rest of it")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError) as caught:
        content(path)
    assert caught.value.code == "UNSUPPORTED_BY_CLIENT"
    assert caught.value.what == "x is compressed, and there is no {0} program to read it".format(program)
    assert program in caught.value.hint


@pytest.mark.parametrize("name", LIBRARY)
def test_what_expands_a_thousandfold_comes_in_small_pieces(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(LIBRARY[name](bytes(32 << 20)) + LIBRARY[name](b"end"))
    sizes = [len(chunk) for chunk in decoded(str(path))]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == (32 << 20) + 3


MEASURE = """
import resource, sys
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import decoded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum(map(len, decoded(sys.argv[1])))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(size, after - before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.parametrize("name", sorted(set(ALL) - {"bzip2"}))
def test_a_file_of_zeros_takes_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    members = 16 if name == "gzip" else 2
    path.write_bytes(ALL[name](bytes(64 << 20)) * members)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    size, more, child = map(int, done.stdout.split())
    assert size == members << 26
    assert more < 32 * 1024  # KiB
    assert child < 64 * 1024


def demanding_xz(data: bytes) -> bytes:
    window = {"id": lzma.FILTER_LZMA2, "dict_size": 192 << 20, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3}
    return lzma.compress(data, filters=[window])


def demanding_zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-c", "--long=30"], input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("demanding", [demanding_xz] + ([demanding_zstd] if "zstd" in PROGRAMS else []))
def test_a_file_that_demands_much_memory_is_refused(tmp_path: Path, demanding: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x"
    path.write_bytes(demanding(b"content"))
    with pytest.raises(BackupError, match="needs more than 128 MiB of memory") as caught:
        content(path)
    assert caught.value.code == "UNSUPPORTED_BY_CLIENT"
    assert "by hand" in caught.value.hint


def test_a_reader_that_stops_early(tmp_path: Path) -> None:
    for name, compress in ALL.items():
        path = tmp_path / name
        path.write_bytes(compress(CONTENT))
        chunks = decoded(str(path))
        assert CONTENT.startswith(next(chunks))
        chunks.close()  # type: ignore[attr-defined]
