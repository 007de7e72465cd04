# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: a backup, a disaster and a restore before one's eyes."""
