"""Builds the site: ``make docs``. Warnings are errors, and every link within it is followed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from notebook import page as notebook_page
from report_fields import MARK, tables

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PAGES, SITE = BUILD / "docs", BUILD / "site"
SOURCES = (".md", ".png", ".ipynb", ".css")
#: The notebook, of which the page with its name is made.
NOTEBOOK = "quick-start"


def main() -> None:
    """Copies the pages, adds those that are made of the program, and builds and checks the site."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    for path in (ROOT / "docs").rglob("*"):
        if path.suffix in SOURCES:
            copy = PAGES / path.relative_to(ROOT / "docs")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    for path in PAGES.rglob("*.md"):
        text = path.read_text("utf-8").replace(f"{NOTEBOOK}.ipynb)", f"{NOTEBOOK}.md)")
        path.write_text(text.replace(MARK, "\n".join(tables())) if MARK in text else text, "utf-8")
    (PAGES / "commands.md").write_text("\n".join(commands()), "utf-8")
    notebook = json.loads((PAGES / f"{NOTEBOOK}.ipynb").read_text("utf-8"))
    shown = "\n".join(notebook_page(notebook, f"{NOTEBOOK}.ipynb"))
    (PAGES / f"{NOTEBOOK}.md").write_text(shown, "utf-8")
    zensical = Path(sys.executable).with_name("zensical")
    done = subprocess.run(  # noqa: S603 - a list, no shell
        [zensical, "build", "--clean", "--strict"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout + done.stderr)
    if done.returncode:
        sys.exit(done.returncode)
    (SITE / "llms.txt").write_text(overview(), "utf-8")
    if wrong := list(broken_links()):
        sys.exit("\n".join(["broken links:", *wrong]))
    print(f"the site is in {SITE.relative_to(ROOT)}")


def commands() -> Iterator[str]:
    """Every command with its options, of the declarations that ``--help`` shows."""
    from typer.main import get_command

    from edgekit.cli import app
    from edgekit.cli.manual import walk_commands

    root: Any = get_command(app)
    yield "# Commands\n"
    yield "Of the program's own declarations; `edgekit COMMAND --help` shows the same.\n"
    yield f"{root.epilog}\n"
    context = root.make_context("edgekit", [], resilient_parsing=True)
    for words, command in walk_commands(root, ()):
        own = type(context)(command, info_name=" ".join(words), parent=context)
        yield f"## edgekit {' '.join(words)}\n"
        yield f"{_plain(command.help or '')}\n"
        rows = [parameter.get_help_record(own) for parameter in command.get_params(own)]
        yield "| | |\n|---|---|"
        yield from (f"| `{_cell(a)}` | {_plain(_cell(b))} |" for a, b in filter(None, rows))
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(text: str) -> str:
    """Text in which a bracket is no link and no tag."""
    return re.sub(r"([\[\]*_])", r"\\\1", text).replace("<", "&lt;")


def overview() -> str:
    """``llms.txt``: the pages with what each is about, for programs that read."""
    about = "> From images to a verified model on an edge device."
    lines = ["# edgekit", "", about, "", "## Pages", ""]
    for path in sorted(PAGES.rglob("*.md")):
        title = path.read_text("utf-8").partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}]({path.relative_to(PAGES).with_suffix('').as_posix()}/)")
    return "\n".join(lines) + "\n"


class _Links(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by the parser."""
        values = dict(attrs)
        self.anchors.update(filter(None, (values.get("id"), values.get("name"))))
        link = values.get("href" if tag in ("a", "link") else "src")
        if link and tag in ("a", "img", "script", "link"):
            self.links.append(link)


def broken_links() -> Iterator[str]:
    """The links of pages to what is not there."""
    parsed: dict[Path, _Links] = {}
    for path in SITE.rglob("*.html"):
        parsed[path] = _Links()
        parsed[path].feed(path.read_text("utf-8"))
    for path, page in parsed.items():
        if path.name == "404.html":  # its links are of wherever it is shown
            continue
        for link in page.links:
            if re.match(r"(https?|mailto|data|javascript):|//", link):
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            target = target / "index.html" if target.is_dir() else target
            known = parsed[target].anchors if target in parsed else set()
            if not target.exists() or (anchor and target in parsed and anchor not in known):
                yield f"{path.relative_to(SITE)}: {link}"


if __name__ == "__main__":
    main()
