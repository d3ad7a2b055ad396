"""The pages say what the code does: exit codes, commands, settings, columns, links."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from payeewatch.__main__ import main
from payeewatch.pipeline.home import errors
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.published import FLAGS_SCHEMA, SCORES_SCHEMA
from payeewatch.pipeline.home.settings import FOLDERS
from payeewatch.pipeline.night.evidence import EVIDENCE_SCHEMA
from payeewatch.pipeline.pages import inputs
from payeewatch.pipeline.tables import DROP_TABLES, PEOPLE, REFERENCE_TABLES
from payeewatch.triage.access import oidc

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def classes(base):
    return [base, *(cls for child in base.__subclasses__() for cls in classes(child))]


def section(page, heading):
    """What stands below a second-level heading."""
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", read(page), re.DOTALL | re.MULTILINE).group(1)


def first_cells(text):
    """The code words in the first column of a section's tables."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return {word for line in lines for word in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_the_runbook_has_every_exit_code_with_its_meaning():
    rows = dict(re.findall(r"^\| (\d+) \| ([^|]+?) \|", section("docs/running.md", "When a night fails"), re.M))
    ours = {str(cls.exit_code): cls.meaning for cls in classes(PayeeWatchError) if cls.__module__ == errors.__name__}
    assert {code: rows.get(code) for code in ours} == ours
    assert set(rows) - set(ours) == {"0", "2"}


def test_the_running_page_has_every_command_and_no_other():
    cells = first_cells(section("docs/running.md", "Commands"))
    documented = {re.sub("^payeewatch ", "", cell).split()[0] for cell in cells}
    assert documented == set(main.commands)


def test_the_running_page_has_every_folder_and_setting():
    page = read("docs/running.md")
    assert [name for name in FOLDERS if f"`{name}/`" not in page] == []
    sources = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "triage").rglob("*.py")]
    source = "".join(path.read_text(encoding="utf-8") for path in sources)
    variables = set(re.findall(r"PAYEEWATCH_[A-Z]+(?:_[A-Z]+)*", source)) - {"PAYEEWATCH_"}
    variables |= {"DATABASE_URL", *re.findall(r'environ.get\("(PAYEEWATCH_TRIAGE_[A-Z]+)"', read("triage/settings.py"))}
    variables |= {oidc.PREFIX + name for name in re.findall(r'PREFIX \+ "([A-Z_]+)"', read("triage/access/oidc.py"))}
    variables |= {oidc.PREFIX + name for name in ("ISSUER", *oidc.REQUIRED)}
    assert [name for name in sorted(variables) if name not in page] == []


def test_the_input_page_is_current():
    page = read("docs/input.md")
    assert page == inputs.with_tables(page), "run `python -m payeewatch.pipeline.pages.inputs`"


def test_the_input_page_has_every_column():
    page = read("docs/input.md")
    tables = [*DROP_TABLES.values(), PEOPLE, *REFERENCE_TABLES.values()]
    assert [c.name for t in tables for c in t.columns if f"| `{c.name}` |" not in page] == []


def test_writing_the_tables_section_twice_changes_nothing():
    page = "before\n<!-- tables: by hand -->\nstale\n<!-- end of tables -->\nafter\n"
    once = inputs.with_tables(page)
    assert "stale" not in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert inputs.with_tables(once) == once


SCHEMAS = [("flags", FLAGS_SCHEMA), ("scores", SCORES_SCHEMA), ("evidence", EVIDENCE_SCHEMA)]


@pytest.mark.parametrize(("heading", "schema"), SCHEMAS, ids=[heading for heading, _ in SCHEMAS])
def test_the_outputs_page_has_the_columns_that_are_written(heading, schema):
    documented = first_cells(section("docs/outputs.md", heading))
    keys = first_cells(section("docs/outputs.md", "flags"))
    assert documented <= set(schema.names)
    assert set(schema.names) <= documented | keys


@pytest.mark.parametrize(("heading", "schema"), SCHEMAS, ids=[heading for heading, _ in SCHEMAS])
def test_the_outputs_page_has_the_fields_of_what_is_written_in_lists(heading, schema):
    kinds = [field.type.value_type if pa.types.is_list(field.type) else field.type for field in schema]
    fields = {", ".join(field.name for field in kind) for kind in kinds if pa.types.is_struct(kind)}
    page = section("docs/outputs.md", heading) + section("docs/outputs.md", "flags")
    assert [each for each in fields if f"({each})" not in page] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


COMING: set[str] = set()
"""Take a path off this list as soon as the file exists."""


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_source_file_that_a_page_names_exists(page):
    named = re.findall(r"(?<![\w/.])((?:\w+/)+\w+\.(?:py|sql|csv|sh))\b", page.read_text(encoding="utf-8"))
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()}
    paths = {path for path in named if path.split("/")[0] in rooms} - COMING
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_no_page_accuses(page):
    words = re.findall(r"\b(?:fraudsters?|guilty|suspects?)\b", page.read_text(encoding="utf-8"), re.IGNORECASE)
    assert words == []
