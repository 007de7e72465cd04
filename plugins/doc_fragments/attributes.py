# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules support."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Discovers, connects and reports the plan, and changes nothing.
  diff_mode:
    support: full
    description: Shows the plan as a difference.
  action_group:
    support: full
    description: Use C(group/pgfleet.backup.postgresql) in C(module_defaults) to set defaults for all modules.
    membership:
      - pgfleet.backup.postgresql
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: The module only reads.
  diff_mode:
    support: N/A
    description: The module only reads.
  action_group:
    support: full
    description: Use C(group/pgfleet.backup.postgresql) in C(module_defaults) to set defaults for all modules.
    membership:
      - pgfleet.backup.postgresql
"""

    CONTROLLER = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Says what it would, and writes nothing.
  diff_mode:
    support: none
    description: What it writes is made to be looked at, not to be compared.
"""
