#!/usr/bin/python
# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore PostgreSQL backups, validated before and compared after."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_restore
short_description: Restore PostgreSQL backups, validated before and compared after
version_added: 0.1.0
author:
  - pgfleet maintainers (@pgfleet)
description:
  - Restores a backup set of M(pgfleet.backup.pg_backup), or a dump of C(pg_dump) in any format.
  - The server is discovered and reached exactly as M(pgfleet.backup.pg_backup) does it.
  - The backup is read to its end before anything is touched. The restored database is compared with what the backup
    holds, table by table, before it takes the place of the old one, and the old one is kept.
extends_documentation_fragment:
  - pgfleet.backup.attributes
  - pgfleet.backup.connection
options:
  database:
    description: Database whose backup is restored. Unset, the discovered one.
    type: str
    aliases: [source_database]
  backup:
    description:
      - V(latest) is the newest verified full set of O(database). Also the id of a set, or the path of a set or of any
        dump file or folder, which is told by its content.
      - V(previous) reads no backup. It swaps the database that the last swap has kept back into its place, and keeps
        the other one instead.
    type: str
    default: latest
  target_database:
    description: Database to restore to. Unset, O(database).
    type: str
  strategy:
    description:
      - V(swap) restores into a side database and, when that is complete and compared, swaps the names in one
        transaction. The old database is kept. A target that does not exist is created.
      - V(in_place) restores into the live database in one transaction, after a safety backup. It is for servers where
        no database may be created. Objects that the backup does not know stay.
      - V(create) restores into a database that must not exist yet.
      - V(drill) restores into a scratch database, compares, and drops it.
    type: str
    choices: [swap, in_place, create, drill]
    default: swap
  confirm:
    description: Name of the database that may be replaced, typed out. Without it nothing that exists is replaced.
    type: str
  jobs:
    description:
      - Parallel jobs for backups in the directory format. Unset, up to 4, bounded by the processors.
      - With O(strategy=in_place) the data is restored by one job, in one transaction.
    type: int
  schemas:
    description:
      - Restore only these schemas, with O(strategy=create) or O(strategy=in_place).
      - What they need and the target lacks is named before anything is touched.
    type: list
    elements: str
  tables:
    description:
      - Restore only these tables, with O(strategy=create) or O(strategy=in_place), as C(schema.table) or C(table).
      - They come with their partitions, indexes, constraints, triggers, policies, owned sequences, comments and
        privileges. With O(schemas) they are looked for in these schemas only.
    type: list
    elements: str
  create_missing_roles:
    description: Create roles that the backup refers to and the server lacks. Roles that exist are never altered.
    type: bool
    default: false
  no_owner:
    description: Make the restoring role the owner of everything.
    type: bool
    default: false
  no_privileges:
    description: Restore no privileges.
    type: bool
    default: false
  session_role:
    description: Role to restore as, after logging in.
    type: str
  safety_backup:
    description: With O(strategy=in_place) back up the database first. The backup is filed beside the others.
    type: bool
    default: true
  keep_previous:
    description:
      - How many replaced databases to keep after a swap, as C(<name>__before_<stamp>), closed to connections.
        Older ones are dropped when the swap has succeeded; V(0) keeps none.
    type: int
    default: 1
  analyze:
    description: Gather statistics after the restore, before the swap.
    type: bool
    default: true
  drill_location:
    description:
      - Where O(strategy=drill) restores to. V(server) is the server itself.
      - V(container) is a throw-away container of the very image that the backup came from, without any network, on the
        container engine of this host. Extensions, major version and collations then match, and the server does no work.
        The image is never pulled.
    type: str
    choices: [server, container]
    default: server
  allow_engine_change:
    description: Restore a backup that the other executor made, from a container to an external server or back.
    type: bool
    default: false
  timeout:
    description: Seconds allowed for the restore; V(0) sets no limit.
    type: int
    default: 0
  lock_timeout:
    description: Seconds to wait for another run on the same database.
    type: int
    default: 0
  lock_wait_timeout:
    description:
      - Seconds that the swap waits for its lock on the database, and O(strategy=in_place) for each lock; V(0) is 60 as
        well.
    type: int
    default: 60
  require_patched_client:
    description:
      - Fail with C(CLIENT_UNPATCHED), before anything is restored, when the PostgreSQL client lacks security fixes that
        matter for it. Otherwise a warning names the CVE and the release that has the fix.
    type: bool
    default: false
  identity_file:
    description:
      - Path on the managed host of the private key (of C(age), or SSH) that decrypts the backup, readable by its owner
        only. It is decrypted on its way to the tools, and never lies on the disk in the clear.
      - The safety backup before a restore in place of an encrypted backup is encrypted for the same key.
    type: path
  signing_key:
    description:
      - The key that M(pgfleet.backup.pg_backup) must have signed the backup with.
      - A set that is not signed, was altered, or was signed with another key is refused before any tool opens a file of
        it, and so is every dump that is no set. O(backup=latest) passes over none of them; it fails and names the set.
      - The verdict of a drill is signed, and so is the safety backup before a restore in place.
      - Unset, a signature is not checked, and the log says so.
    type: str
seealso:
  - module: pgfleet.backup.pg_backup
  - module: pgfleet.backup.pg_backup_info
"""

EXAMPLES = r"""
- name: Put the newest backup in the place of the database, and keep the old one
  pgfleet.backup.pg_restore:
    container: app
    database: shop
    confirm: shop

- name: Go back to the database that the last restore replaced
  pgfleet.backup.pg_restore:
    container: app
    database: shop
    backup: previous
    confirm: shop

- name: Restore one backup under another name, to look something up
  pgfleet.backup.pg_restore:
    container: app
    database: shop
    backup: 20261121T231500Z-4f1c
    target_database: shop_yesterday
    strategy: create

- name: Prove that the newest backup restores
  pgfleet.backup.pg_restore:
    container: app
    database: shop
    strategy: drill
"""

RETURN = r"""
restore:
  description: What was restored; empty in check mode and on failure.
  returned: always
  type: dict
  contains:
    database:
      description: Database whose backup was restored.
      type: str
      returned: success
    target_database:
      description: Database that was restored to.
      type: str
      returned: success
    strategy:
      description: The strategy.
      type: str
      returned: success
    backup:
      description: What it came from, C(path), C(id), C(format), C(created), C(server_version), C(bytes).
      type: dict
      returned: success
    previous_database:
      description: Name under which the replaced database is kept, or null.
      type: str
      returned: success
    objects:
      description: Number of objects in the archive; 0 for a plain dump, which has no table of contents.
      type: int
      returned: success
    warnings:
      description: Messages of the tools that are known to be harmless, with the reason.
      type: list
      elements: str
      returned: success
    seconds:
      description: Duration in seconds.
      type: float
      returned: success
    verification:
      description:
        - What was compared with the backup, C(result), C(tables), C(rows), C(sequences).
        - With O(strategy=drill) also C(location), how long it took, C(seconds), the restored database's size,
          C(bytes), and C(bytes_per_second) and C(rows_per_second).
        - Of a part, when O(schemas) or O(tables) are set. Null with O(backup=previous).
      type: dict
      returned: success
safety_backup:
  description: Folder of the backup that was taken before a restore in place.
  returned: when one was taken
  type: str
plan:
  description:
    - What is to be done, and what was found beforehand.
    - Besides the keys below it has C(strategy), C(database), C(target_database), C(backup), C(target_exists),
      C(replaces), C(target), C(safety_backup), C(keep_previous), C(server_version) and C(client_version).
  returned: always
  type: dict
  contains:
    findings:
      description:
        - All that was found, worst first. C(level) is V(blocker), which stops the restore with its C(code), or
          V(remark), which stops nothing and has no code. C(subject) is one word, C(msg) and C(hint) are sentences.
      type: list
      elements: dict
      returned: always
    blockers:
      description: The blockers among the findings, C(code), C(msg) and C(hint).
      type: list
      elements: dict
      returned: always
    sessions:
      description: Who is connected to the target, C(application), C(user), C(kind), C(may_be_ended) and C(count).
      type: list
      elements: dict
      returned: always
    estimate:
      description:
        - C(seconds) that the restore may take, the C(bytes) of the database, and the C(basis) of the guess, V(drill),
          V(earlier_drill) or V(backup). Null where nothing tells.
      type: dict
      returned: always
    disk:
      description: Bytes C(needed) at most, bytes C(free), and C(where). Null where that cannot be told.
      type: dict
      returned: always
context:
  description: How the server was reached, as M(pgfleet.backup.pg_backup) returns it.
  returned: always
  type: dict
log:
  description: What was done, line by line. Secrets are never in it.
  returned: always
  type: list
  elements: str
code:
  description: Code of the failure.
  returned: on failure
  type: str
  sample: RESTORE_NOT_CONFIRMED
hint:
  description: What to do about it.
  returned: on failure
  type: str
severity:
  description: V(warning), V(error) or V(critical).
  returned: on failure
  type: str
data_risk:
  description: V(none), V(stale) or V(loss).
  returned: on failure
  type: str
retryable:
  description: Whether the same task may succeed later without anybody changing anything.
  returned: on failure
  type: bool
"""

import os
from typing import Any, Dict

from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import create_module
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import (
    failure,
    interruptible,
    new_run,
    success,
    watched,
)
from ansible_collections.pgfleet.backup.plugins.module_utils._restore import restore


def main() -> None:
    """Restore, and report."""
    module = create_module(
        database={"type": "str", "aliases": ["source_database"]},
        backup={"type": "str", "default": "latest"},
        target_database={"type": "str"},
        strategy={"type": "str", "choices": ["swap", "in_place", "create", "drill"], "default": "swap"},
        confirm={"type": "str"},
        jobs={"type": "int"},
        schemas={"type": "list", "elements": "str"},
        tables={"type": "list", "elements": "str"},
        create_missing_roles={"type": "bool", "default": False},
        no_owner={"type": "bool", "default": False},
        no_privileges={"type": "bool", "default": False},
        session_role={"type": "str"},
        safety_backup={"type": "bool", "default": True},
        keep_previous={"type": "int", "default": 1},
        analyze={"type": "bool", "default": True},
        drill_location={"type": "str", "choices": ["server", "container"], "default": "server"},
        allow_engine_change={"type": "bool", "default": False},
        timeout={"type": "int", "default": 0},
        lock_timeout={"type": "int", "default": 0},
        lock_wait_timeout={"type": "int", "default": 60},
        require_patched_client={"type": "bool", "default": False},
        identity_file={"type": "path"},
        signing_key={"type": "str", "no_log": True},
    )
    run = new_run("RESTORE_FAILED", module.no_log_values)
    result: Dict[str, Any] = {}
    try:
        with interruptible(), watched(module, run):
            restore(module.params, dict(os.environ), run=run, check=module.check_mode, result=result)
    except Exception as error:  # noqa: BLE001  # the one place where everything ends up
        module.fail_json(**failure(module, run, result, error))
    module.exit_json(**success(module, run, result))


if __name__ == "__main__":
    main()
