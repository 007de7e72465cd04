/* SPDX-FileCopyrightText: pgfleet maintainers
 * SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A provider of security labels that takes any: PostgreSQL itself has none but SELinux's. See labels.py.
 */
#include "postgres.h"

#include "commands/seclabel.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

static void
take_any(const ObjectAddress *object, const char *label)
{
}

void
_PG_init(void)
{
	register_label_provider("fidelity", take_any);
}
