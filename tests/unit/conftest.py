# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties are about what comes out. How long an example takes tells of the machine's load, and fails no test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("pgfleet", deadline=None)
settings.load_profile("pgfleet")
