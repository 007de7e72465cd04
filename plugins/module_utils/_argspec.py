# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specification that the modules share, as their documentation fragment describes it."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pgfleet.backup.plugins.module_utils._settings import SSL_MODES

__all__ = ["RETENTION", "create_controller_module", "create_module", "shared_spec", "without_blanks"]

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


class _Module(AnsibleModule):  # type: ignore[misc]  # ansible-core ships no types
    """A module whose blank options are unset."""

    params: Dict[str, Any]

    def _load_params(self) -> None:
        super()._load_params()
        self.params = without_blanks(self.params, self.argument_spec)


def without_blanks(params: Mapping[str, Any], spec: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """An option given as an empty string is unset: so a survey's blank answer arrives, whatever the option's type."""
    given = {name: value for name, value in params.items() if value != ""}
    for name, value in given.items():
        if spec.get(name, {}).get("options") and isinstance(value, dict):
            given[name] = {inner: of_it for inner, of_it in value.items() if of_it != ""}
    return given


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
    }
