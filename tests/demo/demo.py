# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The story that ``make demo`` tells: a shop, its backup, a disaster, the restore, and the proof.

Everything in it is real: the server, the playbooks, the loss. It ends with an error if a single row differs.
"""

from __future__ import annotations

import functools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.pgfleet.backup.tests.demo.screen import Screen, megabytes
from ansible_collections.pgfleet.backup.tests.support.cli import Ansible, CliResult
from ansible_collections.pgfleet.backup.tests.support.compare import Snapshot, differences, snapshot
from ansible_collections.pgfleet.backup.tests.support.embedded import EmbeddedServer
from ansible_collections.pgfleet.backup.tests.support.shop import create_shop

SHOP_SIZE = 2000
PLAYBOOKS = Path(__file__).with_name("playbooks")
DISASTER = """\
DROP TABLE sales.payments;
DROP SCHEMA "Ärger & Co" CASCADE;
DELETE FROM sales.order_items WHERE quantity > 1;
UPDATE sales.products SET price = 0;
SELECT lo_unlink(scan) FROM sales.contracts;
"""


class DemoError(Exception):
    """Something went otherwise than it should have."""


class Demo:
    """One telling of the story, on a server of its own and in a folder of its own."""

    def __init__(self, server: EmbeddedServer, folder: Path, screen: Screen) -> None:
        self.server = server
        self.screen = screen
        self.backup_dir = folder / "backups"
        self.ansible = Ansible(folder)

    def tell(self) -> None:
        before = self.open_the_shop()
        self.back_up()
        self.lose_everything(before)
        self.restore()
        self.prove(before)

    # -- the five steps -----------------------------------------------------------------------------------------

    def open_the_shop(self) -> Snapshot:
        create_shop(self.server, "shop", SHOP_SIZE)
        before = self._look()
        [version, size] = self.server.sql(
            "shop", "SHOW server_version; SELECT pg_database_size(current_database())"
        )
        self.screen.step("A shop", f"PostgreSQL {version} on {self.server.host}:{self.server.port}")
        objects = before.catalogue
        self.screen.say(
            f"{before.rows:,} rows in {len(before.tables)} tables, {len(objects['large object'])} large objects, "
            f"{megabytes(int(size))}"
        )
        self.screen.say(
            f"{len(objects['constraint'])} constraints, {len(objects['index'])} indexes, "
            f"{len(before.sequences)} sequences, {len(objects['routine'])} functions, "
            f"{len(objects['type'])} types, and more"
        )
        return before

    def back_up(self) -> None:
        self.screen.step("A backup", "ansible-playbook backup.yml")
        result = self._play("backup.yml", "Back up")
        [backup] = result["backups"]
        self.screen.say()
        self.screen.tree(Path(backup["path"]), _remarks(backup))
        self.screen.say()
        fingerprint = backup["fingerprint"]
        verification = backup["verification"]
        self.screen.good(
            f"verified ({verification['level']}): {sum(fingerprint['tables'].values()):,} rows counted in the archive"
        )
        manifest = json.loads((Path(backup["path"]) / "manifest.json").read_text(encoding="utf-8"))
        self.screen.quote([
            f"{manifest['mode']}, by {Path(manifest['client_path']).name} {manifest['client_version']}, "
            f"in {manifest['timings']['total_seconds']:.1f} s",
            *(f"sha256 {entry['sha256'][:16]}…  {entry['path']}" for entry in manifest["files"][:3]),
        ])

    def lose_everything(self, before: Snapshot) -> None:
        self.screen.step("A disaster", "psql shop")
        self.screen.quote(DISASTER.splitlines())
        self.server.sql("shop", DISASTER)
        after = self._look()
        lost = before.rows - after.rows
        self.screen.bad(f"{lost:,} rows lost, {len(differences(before, after))} differences to before")

    def restore(self) -> None:
        self.screen.step("A restore", "ansible-playbook restore.yml")
        restored = self._play("restore.yml", "Restore")["restore"]
        self.screen.say()
        self.screen.good(f"restored in {restored['seconds']:.1f} s beside the damaged database, then swapped in")
        if restored["previous_database"]:
            self.screen.say(f"kept, in case it is missed: {restored['previous_database']}")

    def prove(self, before: Snapshot) -> None:
        self.screen.step("The proof", "every row, before and after")
        after = self._look()
        found = differences(before, after)
        rows = []
        for name in sorted({*before.tables, *after.tables}):
            was, now = before.tables.get(name), after.tables.get(name)
            rows.append([
                name,
                f"{was.rows:,}" if was else "-",
                f"{now.rows:,}" if now else "-",
                now.content[:12] if now else "-",
                "✔" if was == now else "✘",
            ])
        self.screen.table(["table", "before", "after", "content", " "], rows)
        self.screen.say()
        if found:
            for line in found:
                self.screen.bad(line)
            raise DemoError(f"{len(found)} differences")
        things = sum(len(names) for names in after.catalogue.values()) + len(after.sequences)
        self.screen.good(f"{after.rows:,} rows equal, and {things} other things: columns, constraints, indexes,")
        self.screen.say("  sequences, functions, privileges, comments, settings of the database")

    # -- how ----------------------------------------------------------------------------------------------------

    def _look(self) -> Snapshot:
        return snapshot(functools.partial(self.server.sql, "shop"))

    def _play(self, playbook: str, task: str) -> dict[str, Any]:
        """Run one of the playbooks, showing its task and the log it returned."""
        path = PLAYBOOKS / playbook
        text = path.read_text(encoding="utf-8").splitlines()
        start = next(number for number, line in enumerate(text) if line.strip().startswith("pgfleet.backup."))
        self.screen.quote(line[6:] for line in text[start:])
        done: CliResult = self.ansible.playbook(
            path,
            extra_vars={
                "port": self.server.port, "user": self.server.user, "password": self.server.password,
                "backup_dir": str(self.backup_dir),
            },
            env={"PATH": self.server.path()},
        )
        if done.rc != 0:
            raise DemoError(f"{playbook} failed:\n{done.output}")
        result = done.of(task)
        self.screen.say()
        # Who did it, where, and with whose tools; the command lines are long.
        self.screen.quote(line for line in result["log"] if "Executor" in line and "Running" not in line)
        return result


def _remarks(backup: dict[str, Any]) -> dict[str, str]:
    members = sum(1 for entry in backup["files"] if entry["path"].startswith("database/"))
    dump = f"{backup['format']} format, {backup['compression']}" + (f", {members} files" if members else "")
    return {
        "database": dump,
        "database.dump": dump,
        "manifest.json": "what it is, with checksums",
        "globals.sql": "the roles that it refers to",
        "RESTORE.md": "how to restore it without this collection",
    }


def main() -> int:
    screen = Screen()
    started = time.monotonic()
    screen.title("pgfleet.backup: PostgreSQL backups that restore")
    try:
        with EmbeddedServer() as server, tempfile.TemporaryDirectory(prefix="pgfleet-demo-") as folder:
            Demo(server, Path(folder), screen).tell()
    except DemoError as error:
        screen.say()
        screen.bad(str(error))
        return 1
    screen.say()
    screen.say(f"{time.monotonic() - started:.0f} seconds in all. The server is stopped, its files are gone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
