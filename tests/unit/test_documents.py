"""What documents say of the repository: links lead somewhere, decisions are dated and indexed."""

import re
import tomllib
from pathlib import Path

import pytest

from protos.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
SKIPPED = {".git", ".venv", ".tox", "node_modules"}
DOCUMENTS = [
    path for path in sorted(ROOT.rglob("*.md")) if not SKIPPED & set(path.relative_to(ROOT).parts)
]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DECISIONS, ids=name)
def test_a_decision_has_a_date_and_is_in_the_index(path):
    assert re.search(r"^Date: 20\d\d-\d\d-\d\d$", path.read_text(), re.MULTILINE)
    assert f"]({path.name})" in (path.parent / "README.md").read_text()


def test_documents_that_the_code_cites_are_here():
    cited = re.compile(r"\b(docs/[\w/.-]+\.md|docs/decisions/\d{4})\b")
    missing = []
    for room in ("protos", "gateway", "controller", "hostagent", "cli", "tests", "bench"):
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix not in (".py", ".proto", ".md"):
                continue
            for target in cited.findall(path.read_text()):
                there = (ROOT / target).exists() or any(ROOT.glob(f"{target}-*.md"))
                if not there:
                    missing.append(f"{name(path)}: {target}")
    assert not missing


def test_the_version_is_pyprojects_and_heads_the_changelog():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    versions = re.findall(r"^## \[?([\d.]+)\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == VERSION
