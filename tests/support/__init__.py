# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests and the demo stand on: real servers, a real shop to keep in them, and proofs of equality."""
