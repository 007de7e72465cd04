# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL image of the container tests: the official one, or one of our own that behaves like it."""
