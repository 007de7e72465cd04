# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A corpus of what breaks restores, and the matrix that proves that nothing of it does here."""
