# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows how far pg_backup has come while it runs; what it does is the module's own."""

from __future__ import annotations

from ansible_collections.pgfleet.backup.plugins.plugin_utils._watched import WatchedModule


class ActionModule(WatchedModule):
    """The module pg_backup, watched."""
