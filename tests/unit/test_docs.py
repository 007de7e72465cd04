# SPDX-FileCopyrightText: pgfleet maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down twice says the same twice: pages, playbooks and metadata against the code."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.pgfleet.backup.plugins.doc_fragments.connection import ModuleDocFragment
from ansible_collections.pgfleet.backup.plugins.module_utils._argspec import NOT_EVERYWHERE
from ansible_collections.pgfleet.backup.plugins.module_utils._machine import COLLECTION_VERSION
from ansible_collections.pgfleet.backup.tests.support.environment import REPOSITORY

MODULES = "ansible_collections.pgfleet.backup.plugins.modules"
GENERATOR = REPOSITORY / "docs" / "generate_errors.py"
PAGES = sorted(page for folder in (".", "docs", "roles") for page in (REPOSITORY / folder).glob(
    "*.md" if folder == "." else "**/*.md"))


def options_of(module: str) -> set[str]:
    """The names of a module's options, the shared ones included."""
    documented = yaml.safe_load(importlib.import_module(f"{MODULES}.{module}").DOCUMENTATION)
    return {*documented["options"], *yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]}


def test_the_page_of_errors_is_current() -> None:
    done = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_same_everywhere() -> None:
    galaxy = yaml.safe_load((REPOSITORY / "galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == COLLECTION_VERSION


def test_every_module_that_reaches_a_server_is_in_the_action_group() -> None:
    """The group's defaults say how: a module that knows no such options would refuse them."""
    runtime = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    files = (REPOSITORY / "plugins" / "modules").glob("*.py")
    modules = {path.stem for path in files if "- pgfleet.backup.connection\n" in path.read_text(encoding="utf-8")}
    assert set(runtime["action_groups"]["postgresql"]) == modules


@pytest.mark.parametrize(("playbook", "module", "fixed"), [
    ("backup", "pg_backup", {}), ("restore", "pg_restore", {}), ("drill", "pg_restore", {"strategy": "drill"}),
    ("fetch", "pg_backup_fetch", {}),
])
def test_a_playbook_passes_every_option_by_its_variable(playbook: str, module: str, fixed: dict[str, str]) -> None:
    plays = yaml.safe_load((REPOSITORY / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8"))
    passed: dict[str, Any] = plays[0]["tasks"][-1][f"pgfleet.backup.{module}"]
    variables = options_of(module) - {"options"}  # which would be the same once more
    assert passed == {**{name: f"{{{{ pgfleet_{name} | default(omit) }}}}" for name in variables}, **fixed}


def test_one_dictionary_of_options_serves_every_module_for_managed_hosts() -> None:
    named = []
    for module in ("pg_backup", "pg_restore", "pg_backup_info"):
        own = yaml.safe_load(importlib.import_module(f"{MODULES}.{module}").DOCUMENTATION)["options"]
        named.append({*own, *(alias for option in own.values() for alias in option.get("aliases", ()))})
    assert set.union(*named) - set.intersection(*named) | {"rpo"} == NOT_EVERYWHERE


def test_the_role_documents_every_variable_in_its_readme_and_sets_its_default() -> None:
    role = REPOSITORY / "roles" / "fleet_backup"
    points = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    assert {path.stem for path in (role / "tasks").glob("*.yml")} >= set(points)
    options = {name: option for point in points.values() for name, option in point["options"].items()}
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text(encoding="utf-8"))
    assert defaults == {name: option["default"] for name, option in options.items()}
    readme = (role / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(fleet_backup_\w+)` \|", readme, re.MULTILINE)) == set(options)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    broken = [link for link in links if not link.startswith(("http", "#")) and not _leads_somewhere(page, link)]
    assert not broken


def _leads_somewhere(page: Path, link: str) -> bool:
    path, _hash, heading = link.partition("#")
    target = page.parent / path
    if not heading or not target.is_file():
        return target.exists()
    titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_every_file_has_its_room_in_the_architecture() -> None:
    named = set(re.findall(r"`(_\w+)`", (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")))
    files = {path.stem for path in (REPOSITORY / "plugins" / "module_utils").glob("_*.py")} - {"__init__"}
    assert files <= named
