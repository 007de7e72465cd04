#!/usr/bin/python
# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring backup sets from a host to the controller; the action plugin of the same name does it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_fetch
short_description: Bring backup sets to the controller, verified
version_added: 0.1.0
author:
  - pgfleet maintainers (@pgfleet)
description:
  - Copies backup sets from the managed host to a folder of the controller, through the connection that Ansible has to
    the host, C(become) with a password included.
  - A set is proven by the checksums of its manifest, and by its signature with O(signing_key), before it gets its name.
    There is never half a set to be seen.
  - What was copied when the connection breaks is kept and proven again. The next run goes on from there. A few dozen
    megabytes of memory are enough for a set of any size.
  - The folder of a host is laid out as a O(backup_dir) is, so C(pg_backup_info) lists and proves the copies when it is
    run on the controller, and C(pg_restore) can restore them from there.
  - Of the options that all modules share only O(backup_dir) and O(instance) matter. The others are accepted, so that
    C(module_defaults) of the action group and O(options) can be used. What O(options) says of O(retention),
    O(lock_timeout) and O(backup) is for the modules on the host, and does not count here.
extends_documentation_fragment:
  - pgfleet.backup.attributes
  - pgfleet.backup.connection
attributes:
  check_mode:
    description: Lists the sets of the host, reports the plan, and changes nothing.
  action:
    support: full
    description: It runs on the controller, and runs M(pgfleet.backup.pg_backup_info) on the host.
options:
  dest:
    description:
      - Folder on the controller, an absolute path. The copies lie in
        C(<dest>/<inventory_hostname>/<instance>/<database>/<id>).
      - In a container, such as an execution environment, a folder that would vanish with it is refused.
    type: path
    required: true
  database:
    description: Fetch only sets of this database.
    type: str
    aliases: [db, name]
  backup:
    description:
      - V(latest) is the newest verified full set of each database, and the newest globals of each instance.
      - V(missing) is every verified set that is not there yet.
      - An id means this one set, verified or not. O(retention) removes nothing then.
    type: str
    default: latest
  retention:
    description:
      - What to keep of the verified copies of each database, after the new ones are safe. Nothing set removes nothing.
      - It is apart from the retention on the host. What it would remove at once is not brought.
      - The newest verified copy is never removed.
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
        description: Keep every set made within this duration before the newest one, such as V(36h) or V(1m7d).
        type: str
  lock_timeout:
    description: Seconds to wait for another run that writes to the same folder.
    type: int
    default: 0
  signing_key:
    description:
      - The key that the sets must have been signed with. What it did not sign is refused with C(SIGNATURE_INVALID),
        and is not copied.
    type: str
seealso:
  - module: pgfleet.backup.pg_backup
  - module: pgfleet.backup.pg_backup_info
"""

EXAMPLES = r"""
- name: Bring the newest backup of every database to the controller, and keep a month of them
  pgfleet.backup.pg_backup_fetch:
    dest: /srv/backups
    retention:
      keep_daily: 30

- name: Bring whatever is not there yet
  pgfleet.backup.pg_backup_fetch:
    dest: /srv/backups
    backup: missing
    signing_key: "{{ vault_signing_key }}"

- name: Prove that the copies are whole, whenever you like
  pgfleet.backup.pg_backup_info:
    backup_dir: /srv/backups/{{ inventory_hostname }}
    verify: checksum
  delegate_to: localhost
"""

RETURN = r"""
fetched:
  description: The sets that were brought, as they lie on the controller.
  returned: always
  type: list
  elements: dict
  contains:
    instance:
      description: Name under which the server's sets are filed.
      type: str
      returned: always
    database:
      description: Name of the database.
      type: str
      returned: always
    id:
      description: Id of the set.
      type: str
      returned: always
    kind:
      description: V(full), V(filtered), V(globals) or V(safety).
      type: str
      returned: always
    created:
      description: When the set was made, in UTC.
      type: str
      returned: always
    bytes:
      description: Bytes of all its files.
      type: int
      returned: always
    verified:
      description: Whether it is to be counted on.
      type: bool
      returned: always
    where:
      description: Always V(controller), for the report.
      type: str
      returned: always
    path:
      description: Folder of the copy on the controller.
      type: str
      returned: always
    host_path:
      description: Folder of the set on the host.
      type: str
      returned: always
present:
  description: The sets that were asked for and were there already, as in RV(fetched).
  returned: always
  type: list
  elements: dict
pruned:
  description: Folders of the copies that the retention removed.
  returned: always
  type: list
  elements: str
failed_backups:
  description: What could not be brought, with C(instance), C(database), C(id), C(code), C(msg), C(hint), C(retryable).
  returned: always
  type: list
  elements: dict
plan:
  description:
    - What is to be done in the C(folder) of each database, with the ids of the sets to C(fetch) and their C(bytes), of
      those C(present), and of those to C(prune).
  returned: always
  type: list
  elements: dict
bytes:
  description: Bytes that came over the connection in this run.
  returned: always
  type: int
seconds:
  description: How long it took.
  returned: always
  type: float
log:
  description: What was done, line by line. Secrets are never in it.
  returned: always
  type: list
  elements: str
code:
  description: Code of the failure.
  returned: on failure
  type: str
  sample: CHECKSUM_MISMATCH
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
