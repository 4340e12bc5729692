"""The files around the code: hooks and workflows agree with pyproject.toml, and the pages name files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import minires

ROOT = Path(__file__).resolve().parent.parent


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def pins(name: str) -> dict[str, set[str]]:
    """{package: the versions that `name` pins it to}."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"([a-z][a-z-]*)==([0-9][0-9.]*)", text(name)):
        found.setdefault(package, set()).add(version)
    return found


def test_the_hooks_run_the_versions_of_the_development_environment():
    hooks, project = pins(".pre-commit-config.yaml"), pins("pyproject.toml")
    assert {"ruff", "mypy", "clang-format"} <= hooks.keys()
    assert {package: project.get(package) for package in hooks} == hooks


def test_the_hooks_check_types_against_the_dependencies_of_the_package():
    required = dict(re.findall(r'"([a-z]+)>=([0-9.]+)",  *#', text("pyproject.toml")))
    stated = dict(re.findall(r"- ([a-z]+)>=([0-9.]+)", text(".pre-commit-config.yaml")))
    assert stated
    assert {name: required.get(name) for name in stated} == stated


def test_ci_tries_the_same_pytorch_as_the_benchmarks():
    assert pins(".ci/run")["torch"] == pins("pyproject.toml")["torch"]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_pages_link_to_files_that_exist(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", text(page))
    assert targets or page == "CHANGELOG.md"
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_contributing_names_files_that_exist():
    named = re.findall(r"`((?:minires|tests|examples|kernels|benchmarks|docs)/[a-z0-9_/.]*)`", text("CONTRIBUTING.md"))
    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_contributing_names_targets_that_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"make ([a-z0-9-]+)", text("CONTRIBUTING.md"))) <= targets


def test_the_changelog_has_a_section_for_this_version():
    assert f"\n## [{minires.__version__}] - 20" in text("CHANGELOG.md")
    assert text("CHANGELOG.md").index("## [Unreleased]") < text("CHANGELOG.md").index(f"## [{minires.__version__}]")
