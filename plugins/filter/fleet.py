# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role fleet_backup; each is documented in the YAML file of its name."""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict

from ansible.errors import AnsibleFilterError
from ansible_collections.pgfleet.backup.plugins.module_utils._errors import BackupError
from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_fragment import fleet_fragment
from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_outcomes import fleet_outcomes
from ansible_collections.pgfleet.backup.plugins.module_utils._fleet_targets import fleet_items, fleet_targets


def _told(work: Callable[..., Any]) -> Callable[..., Any]:
    """The filter ``work``, whose refusals Ansible shows with their code."""

    @functools.wraps(work)
    def told(*args: Any, **how: Any) -> Any:
        try:
            return work(*args, **how)
        except BackupError as error:
            raise AnsibleFilterError(error.msg) from error

    return told


class FilterModule:
    """Made known to Ansible."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        return {work.__name__: _told(work) for work in (fleet_fragment, fleet_items, fleet_outcomes, fleet_targets)}
