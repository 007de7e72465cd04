#!/usr/bin/python
# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take verified logical backups of PostgreSQL."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup
short_description: Take verified logical backups of PostgreSQL
version_added: 0.1.0
author:
  - pgfleet maintainers (@pgfleet)
description:
  - Backs up one database, or all of a server, by C(pg_dump) into backup sets that are complete or not there at all.
  - Discovers the server from options, environment, running containers or a persisted file, and runs the tools inside
    the server's own container, or those of the managed host for any other server.
  - Reads each archive back to its end and counts its rows before the set is published.
extends_documentation_fragment:
  - pgfleet.backup.attributes
  - pgfleet.backup.connection
options:
  database:
    description: Database to back up. Unset, the discovered one.
    type: str
    aliases: [db, name]
  all_databases:
    description:
      - Back up every database of the server, each as a set of its own, and the cluster's globals.
      - Left out are templates, databases that allow no connection, those of managed services, and those that restores
        of this collection keep. When one fails, the others are still backed up, and the task fails at the end.
      - They are dumped side by side, the largest first, as far as O(jobs) and O(max_concurrent) allow and there is room
        for their dumps. With O(verify=restore) they go one after another.
    type: bool
    default: false
  exclude_databases:
    description: Databases that O(all_databases) leaves out.
    type: list
    elements: str
  format:
    description:
      - Format of C(pg_dump). V(directory) is the only one that is fast both ways.
      - Where the container lacks the room to stage a directory, it is streamed as V(custom) instead, with a warning.
    type: str
    choices: [directory, custom, plain, tar]
    default: directory
  compression:
    description:
      - V(none), V(gzip), V(lz4) or V(zstd), with an optional level such as V(zstd:6).
      - V(auto) is V(zstd:3) where this build of C(pg_dump) has it, else V(gzip). A plain dump is compressed by V(gzip),
        and V(tar) knows no compression.
    type: str
    default: auto
  jobs:
    description:
      - Parallel jobs of the directory format. Unset, up to 4, bounded by the processors.
      - With O(all_databases), those of all databases together. Each gets the part that its size has of the whole, and
        at least one.
    type: int
  include_globals:
    description:
      - V(auto) adds the roles that the database refers to, and with O(all_databases) a set of the cluster's globals.
        Password verifiers are in them where the role may read them.
    type: str
    choices: [auto, none]
    default: auto
  schemas:
    description: Dump only schemas that match these patterns. Such a set is never the latest for a full restore.
    type: list
    elements: str
  exclude_schemas:
    description: Leave out schemas that match these patterns. Such a set is never the latest for a full restore.
    type: list
    elements: str
  tables:
    description: Dump only tables that match these patterns. Such a set is never the latest for a full restore.
    type: list
    elements: str
  exclude_tables:
    description: Leave out tables that match these patterns. Such a set is never the latest for a full restore.
    type: list
    elements: str
  exclude_table_data:
    description: Leave out the rows of tables that match. Such a set is never the latest for a full restore.
    type: list
    elements: str
  schema_only:
    description: Dump definitions without rows. Such a set is never the latest for a full restore.
    type: bool
    default: false
  extra_args:
    description:
      - Further switches of C(pg_dump), each with its value as one item, such as C(--no-comments).
      - Refused are switches about connection, output, format and selection, which have options of their own.
    type: list
    elements: str
  label:
    description: Free text that is kept in the manifest.
    type: str
  max_age:
    description:
      - Do nothing when a verified backup of the same kind is younger. Seconds, or a duration such as V(20h) or V(7d).
    type: str
  verify:
    description:
      - How far the backup is proven before it counts. V(checksum) takes checksums on the way. V(archive) also reads the
        archive back and counts its rows. V(restore) also restores it into a scratch database on the same server, and
        compares.
      - Sets made with V(none) are never the latest.
    type: str
    choices: [none, checksum, archive, restore]
    default: archive
  retention:
    description:
      - What to keep of the verified sets of each database, after a new one is safe. Nothing set removes nothing.
      - The newest verified set is never removed, and unverified ones never count.
    type: dict
    suboptions:
      keep_last:
        description: Keep this many of the newest sets.
        type: int
      keep_hourly:
        description: Keep the newest set of each of this many hours that have one.
        type: int
      keep_daily:
        description: Keep the newest set of each of this many days that have one.
        type: int
      keep_weekly:
        description: Keep the newest set of each of this many weeks that have one.
        type: int
      keep_monthly:
        description: Keep the newest set of each of this many months that have one.
        type: int
      keep_yearly:
        description: Keep the newest set of each of this many years that have one.
        type: int
      keep_within:
        description: Keep all sets within this duration before the newest, such as V(36h), V(7d), V(2w), V(3m) or V(1y).
        type: str
  timeout:
    description: Seconds allowed for each database; V(0) sets no limit.
    type: int
    default: 0
  lock_timeout:
    description: Seconds to wait for another run on the same database, or for a free place under O(max_concurrent).
    type: int
    default: 0
  lock_wait_timeout:
    description: Seconds that C(pg_dump) waits for a lock on a table; V(0) waits for ever.
    type: int
    default: 60
  max_concurrent:
    description: How many dumps may run at once in O(backup_dir), of this run and of others; V(0) sets no limit.
    type: int
    default: 0
  start_jitter:
    description:
      - Wait a random time of up to that many seconds before the first dump, so that a fleet does not begin all at once.
      - There is no wait in check mode, nor when O(max_age) leaves nothing to do.
    type: int
    default: 0
  fail_on_suspicious:
    description:
      - Fail with C(BACKUP_SUSPICIOUS) when the database has collapsed since its newest verified backup, to less than
        half of its rows, tables or dump. The set is published all the same.
      - Otherwise that is a warning. In both cases the set has the status V(suspicious). It is never the latest, counts
        neither for O(max_age) nor for O(retention), and no older set is removed because of it.
    type: bool
    default: false
  accept_shrinkage:
    description:
      - Accept that the database has shrunk. The set of this run counts like any other, and later ones are compared
        with it. Set it for one run, once somebody has looked.
    type: bool
    default: false
  require_patched_client:
    description:
      - Fail with C(CLIENT_UNPATCHED), before anything is dumped, when the PostgreSQL client lacks security fixes that
        matter for it. Otherwise a warning names the CVE and the release that has the fix.
    type: bool
    default: false
  encryption_recipients:
    description:
      - Public keys of C(age) (C(age1…)), or SSH public keys. Everything of the set that tells of the data is encrypted
        for them on its way, so that nothing in the clear is ever on the disk. The manifest stays readable.
      - The dump is streamed, in the format V(custom) where O(format) is V(directory). V(tar) is refused.
      - Without the program C(age), or with a malformed key, it is C(ENCRYPTION_UNAVAILABLE) before anything is dumped.
    type: list
    elements: str
  identity_file:
    description:
      - Path on the managed host of a private key that decrypts what O(encryption_recipients) encrypts, readable by its
        owner only. With it each set proves that it can be decrypted, by being so, before it is published.
      - Without it a backup needs no private key, also not for O(verify=archive), which reads the dump on its way.
        O(verify=restore) needs it.
    type: path
  signing_key:
    description:
      - A secret of at least 16 characters that signs each set by HMAC-SHA256, the checksums of all its files and its
        verdicts included. Keep it in a vault, and never beside the backups.
      - Sets that this key did not sign do not count for O(max_age) and O(retention), and are never removed.
    type: str
seealso:
  - module: pgfleet.backup.pg_restore
  - module: pgfleet.backup.pg_backup_info
"""

EXAMPLES = r"""
- name: Back up the database of a container
  pgfleet.backup.pg_backup:
    container: app

- name: Back up a database on another host, and keep a week and a year of it
  pgfleet.backup.pg_backup:
    login_host: db.example.com
    login_user: backup
    login_password: "{{ db_password }}"
    ssl_mode: verify-full
    database: shop
    retention:
      keep_daily: 7
      keep_monthly: 12

- name: Back up every database of a server, unless there is a backup of the last 20 hours
  pgfleet.backup.pg_backup:
    container: app
    all_databases: true
    max_age: 20h
"""

RETURN = r"""
backups:
  description:
    - One entry for each database, the manifest of its set with C(path), C(status), C(changed), C(verified) and
      C(signature_valid) (null without O(signing_key)).
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Id of the set.
      type: str
      returned: always
      sample: 20261121T231500Z-4f1c
    path:
      description: Folder of the set.
      type: str
      returned: always
    status:
      description:
        - V(ok) for a new set, V(fresh) when O(max_age) made a new one unnecessary, V(suspicious) for a new set of a
          database that has collapsed against its own history, see O(fail_on_suspicious).
      type: str
      returned: always
    changed:
      description: Whether the set is new.
      type: bool
      returned: always
    verified:
      description: Whether the set is to be counted on.
      type: bool
      returned: always
    files:
      description: The set's files with C(path), C(size) in bytes and C(sha256).
      type: list
      elements: dict
      returned: always
    fingerprint:
      description:
        - Counted in the archive, C(tables) with their rows, C(sequences), C(large_objects), C(objects).
        - Null when the archive was not read back, see O(verify).
      type: dict
      returned: always
    verification:
      description: How far the set was proven before it was published, C(level), C(result), C(seconds).
      type: dict
      returned: always
failed_databases:
  description: Databases that could not be backed up, with C(database), C(code), C(msg) and C(retryable).
  returned: always
  type: list
  elements: dict
pruned:
  description: Folders of the sets that the retention removed.
  returned: always
  type: list
  elements: str
plan:
  description:
    - What is to be done, for each of C(databases) its C(kind) of set, the sets that exist and whether one is fresh.
    - C(left_out) names the other databases of the server, of which this task takes no full backup. Those of
      O(exclude_databases) are not among them.
  returned: always
  type: dict
run_id:
  description:
    - Id of the run, in the application name of its sessions. Those of databases that are dumped side by side have the
      number of their part behind it.
  returned: always
  type: str
context:
  description:
    - How the server was reached, C(mode), C(executor), C(engine_client), C(transport), C(host), C(port), C(socket),
      C(database), C(user), C(container), C(credential_source), C(server_version), C(client_version).
    - At C(-v) and on failure also C(trace), the steps of discovery with their reasons.
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
  sample: CONTAINER_NOT_FOUND
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

from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import RETENTION, create_module
from ansible_collections.pgfleet.backup.plugins.module_utils._backup import back_up
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import (
    failure,
    interruptible,
    new_run,
    success,
    watched,
)


def main() -> None:
    """Back up, and report."""
    module = create_module(
        database={"type": "str", "aliases": ["db", "name"]},
        all_databases={"type": "bool", "default": False},
        exclude_databases={"type": "list", "elements": "str"},
        format={"type": "str", "choices": ["directory", "custom", "plain", "tar"], "default": "directory"},
        compression={"type": "str", "default": "auto"},
        jobs={"type": "int"},
        include_globals={"type": "str", "choices": ["auto", "none"], "default": "auto"},
        schemas={"type": "list", "elements": "str"},
        exclude_schemas={"type": "list", "elements": "str"},
        tables={"type": "list", "elements": "str"},
        exclude_tables={"type": "list", "elements": "str"},
        exclude_table_data={"type": "list", "elements": "str"},
        schema_only={"type": "bool", "default": False},
        extra_args={"type": "list", "elements": "str"},
        label={"type": "str"},
        max_age={"type": "str"},
        verify={"type": "str", "choices": ["none", "checksum", "archive", "restore"], "default": "archive"},
        retention=RETENTION,
        timeout={"type": "int", "default": 0},
        lock_timeout={"type": "int", "default": 0},
        lock_wait_timeout={"type": "int", "default": 60},
        max_concurrent={"type": "int", "default": 0},
        start_jitter={"type": "int", "default": 0},
        fail_on_suspicious={"type": "bool", "default": False},
        accept_shrinkage={"type": "bool", "default": False},
        require_patched_client={"type": "bool", "default": False},
        encryption_recipients={"type": "list", "elements": "str"},
        identity_file={"type": "path"},
        signing_key={"type": "str", "no_log": True},
    )
    run = new_run("BACKUP_FAILED", module.no_log_values)
    result: Dict[str, Any] = {}
    try:
        with interruptible(), watched(module, run):
            back_up(module.params, dict(os.environ), run=run, check=module.check_mode, result=result)
    except Exception as error:  # noqa: BLE001  # the one place where everything ends up
        module.fail_json(**failure(module, run, result, error))
    module.exit_json(**success(module, run, result))


if __name__ == "__main__":
    main()
