# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory archive read file by file: it counts what pg_restore would print, and sees every kind of damage."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_members import scan_members
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_scan import CopyScanner
from ansible_collections.pgfleet.backup.plugins.module_utils._archive_toc import Toc, read_toc
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

DATABASE = "members"
MORE = r"""
    CREATE TABLE empty (n integer);
    CREATE TABLE tricky (body text);
    INSERT INTO tricky VALUES (E'\\.'), (E'a\nb'), (''), (NULL), (E'\\\\.\n');
    SELECT lo_from_bytea(0, decode('1f8b0800', 'hex')), lo_from_bytea(0, '');
"""


@pytest.fixture(scope="module")
def database(embedded_server: EmbeddedServer) -> EmbeddedServer:
    create_shop(embedded_server, DATABASE, size=20)
    embedded_server.sql(DATABASE, MORE)
    return embedded_server


@pytest.fixture(params=["none", "gzip"])
def archive(request: pytest.FixtureRequest, database: EmbeddedServer, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    argv = [
        database.bin_dir / "pg_dump", "-h", database.socket_dir, "-p", str(database.port), "-U", database.user,
        "-Fd", "-j2", "-Z", request.param, "-f", folder, DATABASE,
    ]
    subprocess.run(argv, check=True)
    return folder


def toc_of(folder: Path) -> Toc:
    path = folder / "toc.dat"
    with open(path, "rb") as file:
        return read_toc(file, path.stat().st_size)


def test_it_counts_what_pg_restore_prints(archive: Path, database: EmbeddedServer) -> None:
    toc = toc_of(archive)
    text = subprocess.check_output([database.bin_dir / "pg_restore", "--section=data", "-f", "-", archive])
    scanner = CopyScanner((entry.copy_statement for entry in toc.entries if entry.copy_statement), toc.encoding)
    scanner.feed(text)
    scanner.finish()
    tables, sequences, large_objects = scan_members(str(archive), toc)
    assert (tables, sequences, large_objects) == (scanner.tables, scanner.sequences, scanner.large_objects)
    assert (tables["public.tricky"], tables["public.empty"]) == (5, 0)
    assert large_objects >= 2
    assert sequences


def data_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name[0].isdigit())


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def largest(folder: Path) -> Path:
    return max(data_files(folder), key=lambda path: path.stat().st_size)


def end_too_early(folder: Path) -> None:
    cut(largest(folder), 0.5)


def lose_the_mark(folder: Path) -> None:
    path = largest(folder)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-5]))
    else:
        path.write_bytes(path.read_bytes()[:-5])


def empty(folder: Path) -> None:
    cut(largest(folder), 0)


def lose_a_file(folder: Path) -> None:
    largest(folder).unlink()


def lead_elsewhere(folder: Path) -> None:
    path = largest(folder)
    shutil.move(path, folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def lose_a_large_object(folder: Path) -> None:
    next(path for path in folder.iterdir() if path.name.startswith("blob_")).unlink()


def name_a_file_outside(folder: Path) -> None:
    listing = next(path for path in folder.iterdir() if path.name.startswith("blobs"))
    listing.write_text("1 ../secret\n")


def list_nonsense(folder: Path) -> None:
    next(path for path in folder.iterdir() if path.name.startswith("blobs")).write_bytes(b"\xff\xfe\n")


@pytest.mark.parametrize("damage", [
    end_too_early, lose_the_mark, empty, lose_a_file, lead_elsewhere, lose_a_large_object, name_a_file_outside,
    list_nonsense,
])
def test_damage_is_seen(archive: Path, damage: Callable[[Path], None]) -> None:
    (archive.parent / "secret").write_text("of the host")
    toc = toc_of(archive)
    damage(archive)
    with pytest.raises(BackupError) as caught:
        scan_members(str(archive), toc)
    assert caught.value.code == "VERIFY_FAILED"


def test_a_file_that_this_host_cannot_decode_is_told_apart(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = largest(archive)
    path.rename(path.with_name(path.name.partition(".")[0] + ".dat.zst"))
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(BackupError) as caught:
        scan_members(str(archive), toc_of(archive))
    assert caught.value.code == "UNSUPPORTED_BY_CLIENT"
