# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specification that the modules share, as their documentation fragment describes it."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.validation import check_type_dict
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import SSL_MODES

__all__ = [
    "NOT_EVERYWHERE", "RETENTION", "WATCHED", "create_controller_module", "create_module", "given_options",
    "shared_spec",
]

RETENTION: Dict[str, Any] = {
    "type": "dict",
    "options": {
        "keep_last": {"type": "int"},
        "keep_hourly": {"type": "int"},
        "keep_daily": {"type": "int"},
        "keep_weekly": {"type": "int"},
        "keep_monthly": {"type": "int"},
        "keep_yearly": {"type": "int"},
        "keep_within": {"type": "str"},
    },
}
# What one of the modules for managed hosts knows and another does not, and the RPO of the report: one dictionary of
# ``options`` serves them all. A unit test compares this with the modules.
NOT_EVERYWHERE = frozenset((
    "accept_shrinkage", "all_databases", "allow_engine_change", "analyze", "backup", "compression", "confirm",
    "create_missing_roles", "db", "detail", "discover", "drill_location", "encryption_recipients",
    "exclude_databases", "exclude_schemas", "exclude_table_data", "exclude_tables", "extra_args",
    "fail_on_suspicious", "format", "include_globals", "jobs", "keep_previous", "label", "lock_timeout",
    "lock_wait_timeout", "max_age", "max_concurrent", "name", "no_owner", "no_privileges", "require_patched_client",
    "retention", "rpo", "safety_backup", "schema_only", "schemas", "session_role", "source_database", "stale_after",
    "start_jitter", "strategy", "tables", "target_database", "timeout", "verified_only", "verify",
))
# What an action tells a module that it watches; no option, so it is taken out before options are looked at.
WATCHED = "_pgfleet_watched"


class _Module(AnsibleModule):  # type: ignore[misc]  # ansible-core ships no types
    """A module whose options may come in a dictionary, and whose blank ones are unset."""

    params: Dict[str, Any]
    watched: Optional[Mapping[str, Any]]

    def _load_params(self) -> None:
        super()._load_params()
        self.watched = self.params.pop(WATCHED, None)
        self.params = given_options(self.params, self.argument_spec)


def given_options(params: Mapping[str, Any], spec: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """The options that were given, before anything is checked; those in the dictionary ``options`` win.

    One given as an empty string is unset: so a survey's blank answer arrives, whatever the option's type.
    """
    together = dict(params)
    if "options" in spec and together.get("options"):
        together.update(_of_dictionary(together.pop("options"), spec))
    given = {name: value for name, value in together.items() if value != ""}
    for name, value in given.items():
        if spec.get(name, {}).get("options") and isinstance(value, dict):
            given[name] = {inner: of_it for inner, of_it in value.items() if of_it != ""}
    return given


def _of_dictionary(options: Any, spec: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """What is for this module; a name that no module knows stays, and is refused as it would be beside it."""
    try:
        given = check_type_dict(options)
    except TypeError:
        return {"options": options}  # to be refused as any value of the wrong type
    known = set(spec)
    known.update(*(of_it.get("aliases", ()) for of_it in spec.values()))
    return {
        name: value for name, value in given.items()
        if (name in known or name not in NOT_EVERYWHERE) and not str(name).startswith("_ansible")
    }


def create_module(**own: Dict[str, Any]) -> AnsibleModule:
    """A module with the shared connection options and ``own`` ones, able to do check mode."""
    return _Module(argument_spec=dict(shared_spec(), **own), supports_check_mode=True)


def create_controller_module(**own: Dict[str, Any]) -> AnsibleModule:
    """A module that reaches no server, with its ``own`` options alone, able to do check mode."""
    return _Module(argument_spec=own, supports_check_mode=True)


def shared_spec() -> Dict[str, Dict[str, Any]]:
    """The options of the fragment ``pgfleet.backup.connection``."""
    return {
        "mode": {"type": "str", "choices": ["auto", "in_container", "external", "local"], "default": "auto"},
        "container": {"type": "str"},
        "container_image": {"type": "str"},
        "container_labels": {"type": "dict"},
        "docker_host": {"type": "str"},
        "login_host": {"type": "str"},
        "login_port": {"type": "str"},
        "login_user": {"type": "str"},
        "login_password": {"type": "str", "no_log": True},
        "login_unix_socket": {"type": "str"},
        "ssl_mode": {"type": "str", "choices": list(SSL_MODES)},
        "ca_cert": {"type": "path"},
        "ssl_cert": {"type": "path"},
        "ssl_key": {"type": "path", "no_log": False},
        "connect_params": {"type": "dict"},
        "maintenance_db": {"type": "str"},
        "credentials_file": {"type": "path"},
        "persist_credentials": {"type": "bool", "default": False},
        "backup_dir": {"type": "path", "default": "/var/lib/pgfleet/backups"},
        "instance": {"type": "str"},
        "options": {"type": "dict"},
    }
