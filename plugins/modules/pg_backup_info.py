#!/usr/bin/python
# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""List backups, prove them again, and find the servers of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_info
short_description: List backups, prove them again, and find the servers of a host
version_added: 0.1.0
author:
  - pgfleet maintainers (@pgfleet)
description:
  - Lists the backup sets of a host, of all instances or of the one that O(instance) names, and on demand proves again
    that they are whole.
  - With O(discover=true) finds every PostgreSQL server on the host, and says which one a backup would use and why.
  - Only reads.
extends_documentation_fragment:
  - pgfleet.backup.attributes.info
  - pgfleet.backup.connection
options:
  database:
    description: List only sets of this database.
    type: str
    aliases: [db, name]
  label:
    description: List only sets with this label.
    type: str
  verified_only:
    description: List only sets that are to be counted on.
    type: bool
    default: false
  verify:
    description:
      - Prove the listed sets again. V(checksum) compares sizes and checksums. V(archive) also reads each archive to its
        end, by the tools of the server that is discovered.
      - What is found is returned. The sets themselves are not changed.
    type: str
    choices: [none, checksum, archive]
    default: none
  detail:
    description:
      - With V(brief) each set has only what the fleet's report needs of it, and not its whole manifest. So the history
        of a year stays small.
      - V(none) lists no sets, which serves O(discover) alone.
    type: str
    choices: [full, brief, none]
    default: full
  stale_after:
    description:
      - Age at which the newest verified backup of a database is stale. Seconds, or a duration such as V(26h).
    type: str
  identity_file:
    description:
      - Path on the managed host of the private key that decrypts encrypted sets, for O(verify=archive). Without it only
        their checksums are compared.
    type: path
  signing_key:
    description:
      - The key that the sets must have been signed with. Sets that are not signed, were altered, or were signed with
        another key are not verified, and verdicts without its signature do not count.
      - With O(verify), such a set fails with C(SIGNATURE_INVALID) before anything of it is read.
    type: str
  discover:
    description: Also return the servers of the host.
    type: bool
    default: false
seealso:
  - module: pgfleet.backup.pg_backup
  - module: pgfleet.backup.pg_restore
"""

EXAMPLES = r"""
- name: List the backups of a database
  pgfleet.backup.pg_backup_info:
    database: shop

- name: Prove that no stored backup was altered
  pgfleet.backup.pg_backup_info:
    verify: checksum

- name: See which servers there are, and what a backup would use
  pgfleet.backup.pg_backup_info:
    discover: true
"""

RETURN = r"""
backups:
  description:
    - The manifest of each set with C(path), C(verified), C(signature_valid) (null without O(signing_key)), C(level)
      (the highest that was passed), C(bytes) (of all its files), C(drill) (what the last one came to), and
      C(reverified) when it was proven again.
  returned: always
  type: list
  elements: dict
problems:
  description: Folders that look like sets and cannot be read, with C(path) and C(msg).
  returned: always
  type: list
  elements: dict
summary:
  description: Summary of the listed sets.
  returned: always
  type: dict
  contains:
    count:
      description: Number of sets.
      type: int
      returned: always
    bytes:
      description: Bytes of all their files.
      type: int
      returned: always
    newest:
      description: When the newest was made, in UTC.
      type: str
      returned: always
    oldest:
      description: When the oldest was made, in UTC.
      type: str
      returned: always
    stale:
      description: Databases, as C(<instance>/<database>), without a verified full backup that is young enough.
      type: list
      elements: str
      returned: always
    unverified:
      description: Folders of sets that are not to be counted on.
      type: list
      elements: str
      returned: always
    suspicious:
      description: Folders of those among them whose database had collapsed against its own history.
      type: list
      elements: str
      returned: always
servers:
  description: Each server with C(instance), C(context) (with C(trace)), C(databases) (C(name), C(bytes)) and C(error).
  returned: always
  type: list
  elements: dict
context:
  description: How the server that a backup would use is reached, with the trace of its discovery.
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
  sample: INVALID_DB_CONFIG
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
from ansible_collections.pgfleet.backup.plugins.module_utils._info import look
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import failure, interruptible, new_run, success


def main() -> None:
    """Look, and report."""
    module = create_module(
        database={"type": "str", "aliases": ["db", "name"]},
        label={"type": "str"},
        verified_only={"type": "bool", "default": False},
        verify={"type": "str", "choices": ["none", "checksum", "archive"], "default": "none"},
        detail={"type": "str", "choices": ["full", "brief", "none"], "default": "full"},
        stale_after={"type": "str"},
        identity_file={"type": "path"},
        signing_key={"type": "str", "no_log": True},
        discover={"type": "bool", "default": False},
    )
    run = new_run("BACKUP_FAILED", module.no_log_values)
    result: Dict[str, Any] = {}
    try:
        with interruptible():
            look(module.params, dict(os.environ), run=run, result=result)
    except Exception as error:  # noqa: BLE001  # the one place where everything ends up
        module.fail_json(**failure(module, run, result, error))
    module.exit_json(**success(module, run, result))


if __name__ == "__main__":
    main()
