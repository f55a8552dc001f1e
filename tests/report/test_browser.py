"""A real browser draws the report: light and dark, wide and narrow, without asking for anything."""

from __future__ import annotations

import functools
import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from prerequisites import needs

from edgekit.report import Document, write_html
from edgekit.tasks.classification.page import Miss, WorstPhoto

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    needs("chromium", CHROMIUM is not None),
]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DARK = "--blink-settings=preferredColorScheme=0"


def browse(profile: Path, url: str, *flags: str) -> str:
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.fixture
def page(tmp_path: Path, document: Document, misses: list[Miss], worst: list[WorstPhoto]) -> Path:
    document["warnings"].append("<img src=http://example.invalid/x.png onerror=alert(1)>")
    path = tmp_path / "page" / "report.html"
    path.parent.mkdir()
    assert document["training"]
    document["earlier"] = [{"name": "teacher", **document["training"]}]  # type: ignore[misc]
    write_html(document, path, photos=misses, worst=worst)
    return path


@pytest.fixture
def server(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves the page and remembers every path that was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=os.fspath(page.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()
        thread.join()


def test_dom_and_requests(
    tmp_path: Path, server: tuple[str, list[str]], document: Document
) -> None:
    url, asked = server
    dom = browse(tmp_path / "profile", f"{url}/report.html", "--dump-dom")
    assert set(asked) <= {"/report.html", "/favicon.ico"}  # the browser wants an icon of any page
    assert "/report.html" in asked
    body = re.search(r'<table class="results">.*?<tbody>(.*?)</tbody>', dom, re.DOTALL)
    assert body
    assert body[1].count("<tr>") == len(document["rows"])
    assert dom.count("<img") == 9 + 4
    assert dom.count("<svg") == 1 + 6 + 6  # accuracy, and the curves of two runs
    assert "<script" not in dom
    assert not re.search(r"(src|href)=.?http", dom.replace("&lt;img src=http", ""))


@pytest.mark.parametrize(("width", "dark"), [(1100, True), (500, False)])
def test_screenshot(tmp_path: Path, page: Path, width: int, dark: bool) -> None:
    shot = tmp_path / "shot.png"
    scheme = [DARK] if dark else []
    browse(
        tmp_path / "profile",
        page.as_uri(),
        f"--screenshot={shot}",
        f"--window-size={width},1000",
        *scheme,
    )
    image = Image.open(shot).convert("RGB")
    assert image.width == width
    edge = image.crop((0, 0, 8, image.height)).resize((1, 1), Image.Resampling.BOX)
    assert (max(edge.getpixel((0, 0))) < 40) == dark  # type: ignore[arg-type]
    colours = image.getcolors(image.width * image.height)
    assert colours
    assert len(colours) > 200  # text, marks and rules are drawn
    # Nothing sticks out of the page: the right margin is as empty as the left one.
    margin = image.crop((width - 8, 0, width, image.height)).getcolors()
    assert margin == image.crop((0, 0, 8, image.height)).getcolors()
