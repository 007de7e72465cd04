# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps that other tools made: every format in every compression comes back whole, or is refused with a reason."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.pgfleet.backup.plugins.module_utils import _process
from ansible_collections.pgfleet.backup.plugins.module_utils._archive import Dump, identify, scan
from ansible_collections.pgfleet.backup.plugins.module_utils._codec import decoded
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._executor import PgExecutor
from ansible_collections.pgfleet.backup.plugins.module_utils._log import Redactor, RunLog
from ansible_collections.pgfleet.backup.plugins.module_utils._session import Run, open_session
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.local import Local
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop
from ansible_collections.pgfleet.backup.tests.support.waiting import wait_until

# What a reader of plain dumps could stumble over.
TRICKY = r"""
    SET check_function_bodies = off;
    CREATE TABLE "back\slash t" (a text DEFAULT E'C:\\', "COPY x FROM stdin;" text);
    INSERT INTO "back\slash t" VALUES ('C:\', E'\\.\n\\! touch x'), (E'it''s\r\n', '$$ -- /* '), (NULL, ':USER');
    COMMENT ON TABLE "back\slash t" IS 'ends with \';
    CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $_$
    BEGIN
    -- \! touch x
    COPY public.t (a) FROM stdin;
    \.
    CREATE DATABASE x;
    RETURN E'\\! ' || $a$ \connect x $a$;
    END $_$;
    CREATE FUNCTION g(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC
    SELECT CASE WHEN n > 0 THEN 1 END; SELECT ((ARRAY[1, 2])[1:n])[1]; END;
    CREATE VIEW v AS SELECT a, E'\\x' AS b FROM "back\slash t" WHERE a ~ '^\w\\';
"""


def by_program(name: str) -> Callable[[bytes], bytes]:
    return lambda data: subprocess.run([name, "-c"], input=data, capture_output=True, check=True).stdout


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes, "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": by_program("zstd"),
    "lz4": by_program("lz4"),
}
FORMATS = {"custom": ["-Fc"], "tar": ["-Ft"], "plain": ["-Fp"], "inserts": ["-Fp", "--rows-per-insert=3"]}
EVERY = [(form, packed) for form in FORMATS for packed in PACKED if form != "inserts" or packed == "none"]


@pytest.fixture(scope="module")
def dumps(embedded_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, bytes], Snapshot, Path]]:
    """One database dumped in every format, what it looks like, and a folder dump of it."""
    folder = tmp_path_factory.mktemp("foreign")
    local = Local(embedded_server, folder / "backups")
    create_shop(embedded_server, "foreign", size=20)
    embedded_server.sql("foreign", TRICKY)
    made = {}
    for form, switches in FORMATS.items():
        pg_dump(embedded_server, "foreign", folder / form, *switches)
        made[form] = (folder / form).read_bytes()
    pg_dump(embedded_server, "foreign", folder / "directory", "-Fd")
    yield made, local.look("foreign", database_properties=False), folder / "directory"
    embedded_server.sql("postgres", 'DROP DATABASE "foreign" WITH (FORCE)')


@pytest.fixture(scope="module")
def executor(embedded_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> PgExecutor:
    """The tools that read dumps, without a module around them."""
    redactor = Redactor()
    run = Run("test", RunLog(redactor), redactor, "RESTORE_FAILED")
    options = Local(embedded_server, tmp_path_factory.mktemp("x")).options()
    return open_session(options, {**os.environ, "PATH": embedded_server.path()}, run=run, database="postgres").executor


def pg_dump(server: EmbeddedServer, database: str, output: Path, *switches: str) -> Path:
    argv = [str(server.bin_dir / "pg_dump"), "-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user,
            "-f", str(output), *switches, database]
    subprocess.run(argv, check=True, capture_output=True)
    return output


def restored(local: Local, dump: Path, before: Snapshot) -> dict[str, int]:
    """Restore a dump into a database of its own, which must then be equal; what was compared."""
    done = local.restore(backup=str(dump), database="restored", strategy="create", analyze=False).succeeded()
    assert differences(before, local.look("restored", database_properties=False)) == []
    verification: dict[str, int] = done["restore"]["verification"]
    views = local.server.sql("restored", "SET search_path = pg_catalog; SELECT oid::regclass FROM pg_class WHERE relkind = 'm'")
    assert verification["rows"] == sum(table.rows for name, table in before.tables.items() if name not in views)
    return verification


@pytest.mark.parametrize(("form", "packed"), EVERY)
def test_every_format_in_every_compression(
    local: Local, tmp_path: Path, dumps: tuple[dict[str, bytes], Snapshot, Path], form: str, packed: str
) -> None:
    dump = tmp_path / "misleading.zip"
    dump.write_bytes(PACKED[packed](dumps[0][form]))
    restored(local, dump, dumps[1])


@pytest.mark.parametrize("after", ["as it is", "data", "everything"])
def test_a_folder_compressed_afterwards(
    local: Local, tmp_path: Path, dumps: tuple[dict[str, bytes], Snapshot, Path], after: str
) -> None:
    folder = shutil.copytree(dumps[2], tmp_path / "dump")
    for gz in folder.glob("*.gz"):
        subprocess.run(["gzip", "-d", gz], check=True)
    if after != "as it is":
        pattern = "[0-9]*.dat" if after == "data" else "*.dat"
        subprocess.run(["gzip", *folder.glob(pattern)], check=True)
    restored(local, folder, dumps[1])


@pytest.mark.parametrize(("form", "packed"), EVERY)
def test_every_cut_and_every_flipped_byte_that_the_format_can_tell(
    executor: PgExecutor, tmp_path: Path, dumps: tuple[dict[str, bytes], Snapshot, Path], form: str, packed: str
) -> None:
    whole = PACKED[packed](dumps[0][form])
    dump = tmp_path / "dump"
    chance = random.Random(form + packed)  # noqa: S311
    head = 40 if packed != "none" else 400
    places = [len(whole) - 40, len(whole) // 2, *(chance.randrange(head, len(whole) - 40) for _try in range(4))]
    for place in [*places, len(whole) - 1] if packed != "none" else places:
        dump.write_bytes(whole[:place])
        assert refusal(executor, dump) in ("VERIFY_FAILED", "INVALID_BACKUP_FORMAT"), place
    for place in places if packed != "none" else []:
        dump.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1:])
        # In a run of equal bytes, lz4 may point to others of them: then nothing is damaged.
        assert refusal(executor, dump) in ("VERIFY_FAILED", "INVALID_BACKUP_FORMAT") or clear(dump) == dumps[0][form], place
    dump.write_bytes(whole)
    assert refusal(executor, dump) is None


@pytest.mark.parametrize("late", [0, 0.5])
def test_damage_behind_all_that_the_tool_reads_is_seen(
    executor: PgExecutor, tmp_path: Path, dumps: tuple[dict[str, bytes], Snapshot, Path], monkeypatch: pytest.MonkeyPatch,
    late: float,
) -> None:
    """It ends before its input does, and may be gone when the damage comes to light, however late that is."""
    monkeypatch.setattr(_process, "_FEEDER_GRACE", 0.1)

    def chunks(_dump: Dump) -> Iterator[bytes]:
        yield dumps[0]["tar"]
        wait_until(lambda: subprocess.run(
            ["pgrep", "-P", str(os.getpid()), "pg_restore"], check=False, stdout=subprocess.DEVNULL).returncode != 0)
        time.sleep(late)
        yield b"\0" * 1024
        raise BackupError("VERIFY_FAILED", "damaged at its very end")

    (tmp_path / "dump").write_bytes(dumps[0]["tar"])
    monkeypatch.setattr(Dump, "chunks", chunks)
    assert refusal(executor, tmp_path / "dump") == "VERIFY_FAILED"


def clear(dump: Path) -> bytes:
    return b"".join(decoded(str(dump)))


def refusal(executor: PgExecutor, dump: Path) -> str | None:
    try:
        scan(executor, identify(str(dump)), checksummed=False)
    except BackupError as error:
        return error.code
    return None


@pytest.mark.parametrize("form", ["-Fc", "-Fp", "-Ft"])
def test_a_dump_that_went_through_a_terminal_is_explained(
    executor: PgExecutor, embedded_server: EmbeddedServer, tmp_path: Path, form: str
) -> None:
    """``docker exec -t`` and ``script`` do the same: they give the tool a terminal for its output."""
    argv = [str(embedded_server.bin_dir / "pg_dump"), "-h", str(embedded_server.socket_dir),
            "-p", str(embedded_server.port), "-U", embedded_server.user, form, "postgres"]
    outside, inside = os.openpty()
    dump = tmp_path / "dump"
    with subprocess.Popen(argv, stdout=inside, stderr=inside), dump.open("wb") as file:
        os.close(inside)
        while piece := _read(outside):
            file.write(piece)
        os.close(outside)
    with pytest.raises(BackupError, match="through a terminal") as caught:
        scan(executor, identify(str(dump)), checksummed=False)
    assert caught.value.code == "INVALID_BACKUP_FORMAT"
    assert "--tty" in caught.value.hint


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side was closed
        return b""


def test_names_of_a_database_that_is_not_utf8(local: Local, tmp_path: Path) -> None:
    local.server.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    local.server.sql("latin", 'CREATE TABLE "größe" (ä text, id serial); INSERT INTO "größe" VALUES (\'é\')')
    before = local.look("latin", database_properties=False)
    entry = local.back_up("latin", format="custom")
    assert entry["fingerprint"]["tables"] == {'public."größe"': 1}
    for form in ("-Fc", "-Fp"):
        dump = pg_dump(local.server, "latin", tmp_path / form, form)
        done = local.restore(backup=str(dump), database="latin", confirm="latin", keep_previous=0, analyze=False).succeeded()
        assert done["restore"]["verification"] == {"result": "ok", "tables": 1, "rows": 1, "sequences": 1}
        assert differences(before, local.look("latin", database_properties=False)) == []


def unprotected(dump: Path, *, injected: str) -> None:
    """As old dumps are: they have no protection of their own, which psql would enforce."""
    plain = "".join(line for line in dump.read_text().splitlines(keepends=True) if "restrict " not in line)
    dump.write_text(plain.replace("SET client_min_messages", injected + "SET client_min_messages", 1))


@pytest.mark.parametrize("injected", [
    "SELECT 1; \\! touch {0}\n", "\\! touch {0}\n", "SELECT E'\\'' \\o {0}\n;\n", "-- x\r\\! touch {0}\n",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; COPY t FROM stdin;\n\\! touch {0}\n\\.\nEND;\n",
])
def test_a_command_hidden_in_a_plain_dump_is_not_run(local: Local, database: str, tmp_path: Path, injected: str) -> None:
    dump = pg_dump(local.server, database, tmp_path / "dump", "-Fp")
    made = tmp_path / "made"
    unprotected(dump, injected=injected.format(made))
    result = local.restore(backup=str(dump), database="restored", strategy="create").failed_with("INVALID_BACKUP_FORMAT")
    assert "would act outside the target database" in result["msg"]
    assert not made.exists()
    assert "restored" not in local.databases()


HIDDEN = "SELECT set_config('standard_conforming'||'_strings', 'off', false);\nSELECT 'x\\'' \\! touch {0}\n';\n"


def test_a_command_that_no_scan_can_see_is_not_run_either(local: Local, database: str, tmp_path: Path) -> None:
    """The server changes how text is read while psql reads it; psql itself must refuse."""
    dump = pg_dump(local.server, database, tmp_path / "dump", "-Fp")
    made = tmp_path / "made"
    protected = dump.read_text()
    unprotected(dump, injected=HIDDEN.format(made))
    result = local.restore(backup=str(dump), database="restored", strategy="create").failed_with("RESTORE_FAILED")
    assert "commands are restricted" in result["msg"]
    # The same behind the dump's own protection, which its writer can take back.
    key = protected.partition("\\restrict ")[2].split()[0]
    dump.write_text(protected.replace("SET client_min_messages", HIDDEN.replace("\\!", f"\\unrestrict {key} \\!").format(made)
                                      + "SET client_min_messages", 1))
    local.restore(backup=str(dump), database="restored", strategy="create").failed_with("RESTORE_FAILED")
    assert not made.exists()
    assert "restored" not in local.databases()


def test_two_protected_dumps_in_one_file(local: Local, database: str, tmp_path: Path) -> None:
    """As "cat" puts them together; each has a protection with a key of its own."""
    local.server.sql(database, "CREATE TABLE u (n int); INSERT INTO u VALUES (4)")
    parts = [pg_dump(local.server, database, tmp_path / table, "-Fp", "-t", table).read_bytes() for table in ("t", "u")]
    (tmp_path / "both").write_bytes(b"".join(parts))
    done = local.restore(backup=str(tmp_path / "both"), database="restored", strategy="create").succeeded()
    assert done["restore"]["verification"]["rows"] == 4
