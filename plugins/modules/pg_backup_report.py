#!/usr/bin/python
# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Render the fleet's report: one page, its JSON, and metrics."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_backup_report
short_description: Render a page that shows what would be lost tonight
version_added: 0.1.0
author:
  - pgfleet maintainers (@pgfleet)
description:
  - Merges what the runs of a fleet have found out, judges each database against its recovery point objective, and
    writes a self-contained page C(report.html), C(report.json) and C(metrics.prom) for Prometheus, each at one stroke.
  - Runs on the controller. It contacts nothing, so give it C(delegate_to=localhost) and C(run_once=true).
extends_documentation_fragment:
  - pgfleet.backup.attributes.controller
options:
  fragments:
    description:
      - What the runs have found out, as C(docs/schemas/report-fragment-1.json) describes it. The results of
        M(pgfleet.backup.pg_backup) and M(pgfleet.backup.pg_backup_info) go in as they are.
      - For each host the newest fragment counts. What cannot be understood is told as a problem and hides nothing else.
    type: list
    elements: dict
    default: []
  fragments_dir:
    description:
      - Folder with fragments in files C(*.json), one of each job slice or host, merged with O(fragments).
      - A host is remembered until its fragment is removed.
    type: path
  report_dir:
    description: Folder for the three files. It is made if it is missing.
    type: path
    required: true
  rpo:
    description:
      - How old the last verified backup may be, where a host or target has no C(rpo) of its own. Seconds, or a duration
        such as V(26h) or V(1d).
    type: str
    default: 26h
  title:
    description: Title of the page.
    type: str
    default: PostgreSQL backups
  expected_hosts:
    description: Hosts that must be in the report. One of which no fragment speaks is reported as unreachable.
    type: list
    elements: str
    default: []
  exclude_databases:
    description: Databases that may exist without a backup, such as an unused V(postgres).
    type: list
    elements: str
    default: []
  mode:
    description: Permissions of the three files.
    type: raw
    default: "0644"
  generated:
    description: The time for which to judge, such as V(2026-11-21T23:15:00Z), instead of now.
    type: str
seealso:
  - module: pgfleet.backup.pg_backup
  - module: pgfleet.backup.pg_backup_info
"""

EXAMPLES = r"""
- name: Render the report from what all job slices have left
  pgfleet.backup.pg_backup_report:
    fragments_dir: /srv/pgfleet/fragments
    report_dir: /srv/www/pgfleet
    expected_hosts: "{{ groups['db'] }}"
  delegate_to: localhost
  run_once: true

- name: Look at the backups of each host
  pgfleet.backup.pg_backup_info:
    detail: brief
    discover: true
  register: look

- name: Render the report of this play alone
  pgfleet.backup.pg_backup_report:
    report_dir: /srv/www/pgfleet
    fragments:
      - schema_version: 1
        generated: "{{ now(utc=true, fmt='%Y-%m-%dT%H:%M:%SZ') }}"
        hosts:
          - host: "{{ inventory_hostname }}"
            backups: "{{ look.backups }}"
            servers: "{{ look.servers }}"
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
summary:
  description: The report's summary; C(docs/schemas/report-1.json) describes its keys.
  returned: always
  type: dict
  sample:
    headline: 2 databases would be lost tonight
    hosts: 12
    databases: 31
rows:
  description:
    - The databases that need somebody, the worst first, at most 100, as in C(report.json) but without C(sizes).
  returned: always
  type: list
  elements: dict
verdicts:
  description: For each host that needs somebody, why, in one line. Other hosts are not in it.
  returned: always
  type: dict
  sample:
    db7: "shop_db/shop: failed, CONNECTION_FAILED: the server refused the connection"
problems:
  description: What could not be understood, with C(source) and C(msg), at most 100.
  returned: always
  type: list
  elements: dict
paths:
  description: Where the files are, as C(html), C(json) and C(metrics).
  returned: always
  type: dict
log:
  description: What was done, line by line.
  returned: always
  type: list
  elements: str
code:
  description: Code of the failure.
  returned: on failure
  type: str
  sample: BACKUP_DIR_UNUSABLE
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

from typing import Any, Dict

from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import create_controller_module
from ansible_collections.pgfleet.backup.plugins.module_utils._outcome import failure, interruptible, new_run, success
from ansible_collections.pgfleet.backup.plugins.module_utils._report import report


def main() -> None:
    """Render, and say who needs somebody."""
    module = create_controller_module(
        fragments={"type": "list", "elements": "dict", "default": []},
        fragments_dir={"type": "path"},
        report_dir={"type": "path", "required": True},
        rpo={"type": "str", "default": "26h"},
        title={"type": "str", "default": "PostgreSQL backups"},
        expected_hosts={"type": "list", "elements": "str", "default": []},
        exclude_databases={"type": "list", "elements": "str", "default": []},
        mode={"type": "raw", "default": "0644"},
        generated={"type": "str"},
    )
    # Out of the parameters, which the answer repeats: a year of a fleet has no place in a job's events.
    fragments = module.params.pop("fragments")
    run = new_run("INTERNAL_ERROR")
    result: Dict[str, Any] = {}
    try:
        with interruptible():
            report(dict(module.params, fragments=fragments), check=module.check_mode, result=result)
        if result["problems"]:
            run.log.add_warning("{0} problems in what was reported; the first, in {source}: {msg}".format(
                result["summary"]["problems"], **result["problems"][0]))
    except Exception as error:  # noqa: BLE001  # the one place where everything ends up
        module.fail_json(**failure(module, run, result, error))
    module.exit_json(**success(module, run, result))


if __name__ == "__main__":
    main()
