# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one module in a process of its own: ``run_module.py MODULE ARGUMENTS.json``.

The module reads its arguments and answers on standard output exactly as under Ansible; only the packing is missing.
"""

from __future__ import annotations

import importlib
import json
import sys

from ansible.module_utils.testing import patch_module_args


def main() -> None:
    name, arguments = sys.argv[1:]
    with open(arguments, encoding="utf-8") as file:
        args = json.load(file)
    with patch_module_args(args):
        importlib.import_module(f"ansible_collections.pgfleet.backup.plugins.modules.{name}").main()


if __name__ == "__main__":
    main()
