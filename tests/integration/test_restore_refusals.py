# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which dumps are taken, whatever they are called, and which are refused before anything is touched."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.tests.support.compare import differences
from ansible_collections.pgfleet.backup.tests.support.local import Local, tree
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

FORMATS = ("directory", "custom", "tar", "plain")
ROWS = "CREATE TABLE t AS SELECT n, md5(n::text) AS hash FROM generate_series(1, 20000) AS n"


@contextmanager
def target_untouched(local: Local, database: str) -> Iterator[None]:
    """The database, the list of all databases and the backup folder stay as they are inside."""
    before, databases, files = local.look(database), local.databases(), tree(local.backup_dir.parent)
    yield
    assert differences(before, local.look(database)) == []
    assert local.databases() == databases
    assert tree(local.backup_dir.parent) == files


def _payload(dump: Path) -> Path:
    """The file with the most in it, of a dump or of a set."""
    if dump.is_file():
        return dump
    return max((path for path in dump.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def _truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 3 // 5)


def _flip(path: Path) -> None:
    """One bit, in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x10]))


def _remove(path: Path) -> None:
    path.unlink()


def _pg_dump(local: Local, database: str, output: Path, *switches: str) -> Path:
    """A dump as anybody makes one, without this collection."""
    argv = [str(local.server.bin_dir / "pg_dump"), "-h", str(local.server.socket_dir), "-p", str(local.server.port),
            "-U", local.server.user, "-f", str(output), *switches, database]
    subprocess.run(argv, check=True, capture_output=True)
    return output


# -- foreign dumps --------------------------------------------------------------------------------------------------

# How it was made, and the name that it goes by.
FOREIGN = {
    "custom": (("-Fc",), "nightly.sql"),
    "directory": (("-Fd", "-j2"), "nightly.tar"),
    "tar": (("-Ft",), "nightly.dump"),
    "plain": (("-Fp",), "nightly.dump"),
    "plain.gz": (("-Fp", "-Z", "gzip:6"), "nightly"),
    "plain with clean": (("-Fp", "--clean", "--if-exists"), "nightly.backup"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_dump_is_told_by_its_content(local: Local, tmp_path: Path, kind: str) -> None:
    switches, name = FOREIGN[kind]
    create_shop(local.server, "foreign_shop", size=20)
    dump = _pg_dump(local, "foreign_shop", tmp_path / name, *switches)
    restored = local.restore(backup=str(dump), database="foreign_shop", target_database="foreign_shop_2", strategy="create")
    answer = restored.succeeded()["restore"]
    assert answer["backup"]["format"] == kind.split(".", maxsplit=1)[0].split(maxsplit=1)[0]
    assert answer["verification"]["rows"] > 0
    before = local.look("foreign_shop", database_properties=False)
    assert differences(before, local.look("foreign_shop_2", database_properties=False)) == []


def test_a_foreign_dump_can_be_swapped_in(local: Local, database: str, tmp_path: Path) -> None:
    local.server.sql("postgres", f"COMMENT ON DATABASE {database} IS 'keep me'; ALTER DATABASE {database} SET work_mem TO '9MB'")
    before = local.look(database)
    dump = _pg_dump(local, database, tmp_path / "dump", "-Fc")
    local.server.sql(database, "DELETE FROM t")
    local.restore(backup=str(dump), database=database).failed_with("RESTORE_NOT_CONFIRMED")
    local.restore(backup=str(dump), database=database, confirm=database).succeeded()
    # The dump says nothing of the database itself: that is taken from the one it replaces.
    assert differences(before, local.look(database)) == []


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_dump_that_breaks_off_is_refused(local: Local, tmp_path: Path, kind: str) -> None:
    switches, name = FOREIGN[kind]
    database = local.create("target", ROWS)
    dump = _pg_dump(local, database, tmp_path / name, *switches)
    _truncate(_payload(dump))
    with target_untouched(local, database):
        done = local.restore(backup=str(dump), database=database, confirm=database)
    assert done.result["code"] in ("VERIFY_FAILED", "INVALID_BACKUP_FORMAT"), done.result
    assert done.failed


@pytest.mark.parametrize("kind", ["custom", "directory", "plain.gz"])
def test_a_foreign_dump_with_a_flipped_bit_is_refused_where_it_can_be_seen(local: Local, tmp_path: Path, kind: str) -> None:
    """Compressed by gzip it has a checksum of its own; uncompressed nothing tells."""
    switches, name = FOREIGN[kind]
    database = local.create("target", ROWS)
    dump = _pg_dump(local, database, tmp_path / name, *switches)
    _flip(_payload(dump))
    with target_untouched(local, database):
        local.restore(backup=str(dump), database=database, confirm=database).failed_with("VERIFY_FAILED")


@pytest.mark.parametrize("content", [b"", b"\x00" * 2000, b"PGDMP", b"\x1f\x8b\x08", b"%PDF-1.7 not a dump at all\n" * 50,
                                     b"INSERT INTO t VALUES (4);\n", b"\x28\xb5\x2f\xfd\x00\x00"])
def test_what_is_no_dump_is_refused(local: Local, database: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "database.dump"
    file.write_bytes(content)
    with target_untouched(local, database):
        done = local.restore(backup=str(file), database=database, confirm=database)
    assert done.result.get("code") in ("INVALID_BACKUP_FORMAT", "VERIFY_FAILED", "UNSUPPORTED_BY_CLIENT"), done.result


def test_a_folder_that_is_no_dump_is_refused(local: Local, database: str, tmp_path: Path) -> None:
    with target_untouched(local, database):
        local.restore(backup=str(tmp_path), database=database, confirm=database).failed_with("INVALID_BACKUP_FORMAT")


# -- sets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [_truncate, _flip, _remove])
@pytest.mark.parametrize("format_", FORMATS)
def test_a_damaged_set_is_refused(local: Local, format_: str, harm: Callable[[Path], None]) -> None:
    database = local.create("target", ROWS)
    entry = local.back_up(database, format=format_, compression="none")
    harm(_payload(Path(entry["path"])))
    with target_untouched(local, database):
        local.restore(database=database, confirm=database).failed_with("CHECKSUM_MISMATCH")


def test_a_file_that_was_added_to_a_set_is_refused(local: Local, database: str) -> None:
    entry = local.back_up(database)
    (Path(entry["path"]) / "database" / "4711.dat").write_bytes(b"4\n\\.\n")
    with target_untouched(local, database):
        local.restore(database=database, confirm=database).failed_with("CHECKSUM_MISMATCH")


def test_rows_that_the_manifest_counted_must_be_there(local: Local, database: str) -> None:
    """Checksums right and trailer in place, and yet a row is missing."""
    folder = Path(local.back_up(database, format="plain", compression="none")["path"])
    dump = folder / "database.sql"
    content = dump.read_bytes().replace(b"\n1\n2\n3\n\\.", b"\n1\n3\n\\.")
    dump.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["path"] == "database.sql":
            file.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with target_untouched(local, database):
        result = local.restore(database=database, confirm=database).failed_with("VERIFY_FAILED")
    assert "manifest" in result["msg"]


def test_a_manifest_that_cannot_be_read_is_refused_by_name(local: Local, database: str) -> None:
    entry = local.back_up(database)
    (Path(entry["path"]) / "manifest.json").write_text("{")
    with target_untouched(local, database):
        local.restore(database=database, backup=entry["id"], confirm=database).failed_with("INVALID_BACKUP_FORMAT")
        local.restore(database=database, backup=entry["path"], confirm=database).failed_with("INVALID_BACKUP_FORMAT")


# -- which backup ---------------------------------------------------------------------------------------------------


def test_a_backup_by_latest_id_and_path(local: Local, database: str, tmp_path: Path) -> None:
    first = local.back_up(database)
    local.server.sql(database, "INSERT INTO t VALUES (4)")
    second = local.back_up(database)
    moved = shutil.copytree(first["path"], tmp_path / "brought from elsewhere")

    def rows(backup: str) -> int:
        done = local.restore(database=database, backup=backup, strategy="drill").succeeded()
        counted: int = done["restore"]["verification"]["rows"]
        return counted

    assert rows("latest") == 4
    assert rows(first["id"]) == 3
    assert rows(second["path"]) == 4
    assert rows(str(moved)) == 3
    assert rows(first["path"] + "/database") == 3

    result = local.restore(database=database, backup="20200101T000000Z-0000").failed_with("BACKUP_NOT_FOUND")
    assert first["id"] in result["msg"]
    local.restore(database=database, backup=str(tmp_path / "nothing here")).failed_with("BACKUP_NOT_FOUND")
    assert local.restore(database="unknown", strategy="drill").failed_with("BACKUP_NOT_FOUND")["msg"].count(database) >= 1


def test_a_cluster_s_globals_are_no_database(local: Local, database: str) -> None:
    done = local.backup(all_databases=True, exclude_databases=[name for name in local.databases() if name != database])
    globals_set = next(item for item in done.succeeded()["backups"] if item["kind"] == "globals")
    with target_untouched(local, database):
        local.restore(database=database, backup=globals_set["path"], confirm=database).failed_with("INVALID_BACKUP_FORMAT")
