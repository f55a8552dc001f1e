"""Small wheels, a real package index on the loopback that serves them, and a toolchain of them."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgekit.targets.toolchains.requirements import canonical
from edgekit.targets.toolchains.toolchain import Toolchain


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str | bytes]) -> Path:
    """Writes a wheel that holds these files, and returns its path."""
    stem = f"{canonical(name).replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    members = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **files,
    }
    members = {k: v.encode() if isinstance(v, str) else v for k, v in members.items()}
    rows = [f"{path},sha256={_digest(body)},{len(body)}" for path, body in members.items()]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, body in members.items():
            archive.writestr(member, body)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


def _digest(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()


def write_requirements(path: Path, wheels: list[Path], wrong: str | None = None) -> Path:
    """Writes a requirements file of wheels; the hash of one of them may be wrong."""
    lines = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if name == wrong:
            digest = digest[::-1]
        lines.append(f"{canonical(name)}=={version} \\\n    --hash=sha256:{digest}\n")
    path.write_text("# made for a test\n" + "".join(lines), "utf-8")
    return path


class Index:
    """Serves the wheels of a folder until `close`.

    Attributes:
        sent: names of the wheels that were sent whole.
        begun: names of those that were asked for.
        held: names of wheels of which half is sent, and the rest when `release` is set.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.sent, self.begun, self.held = folder, [], [], set()
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                parts = [part for part in self.path.split("/") if part]
                if parts[0] == "simple":
                    self.reply(outer.page(parts[1]).encode(), "text/html")
                else:
                    outer.send(self, parts[-1])

            def reply(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    def page(self, name: str) -> str:
        """The page of a package; it does not say the hashes, as not every index does."""
        names = [path.name for path in sorted(self.folder.glob("*.whl"))]
        mine = [wheel for wheel in names if canonical(wheel.partition("-")[0]) == name]
        return "".join(f'<a href="/files/{wheel}">{wheel}</a>\n' for wheel in mine)

    def send(self, handler, wheel: str) -> None:
        self.begun.append(wheel)
        body = (self.folder / wheel).read_bytes()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            handler.wfile.write(body[: len(body) // 2])
            handler.wfile.flush()
            if wheel in self.held and not self.release.wait(30):
                return
            handler.wfile.write(body[len(body) // 2 :])
            self.sent.append(wheel)
        except OSError:  # the client went away
            return

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def small_wheels(tmp_path_factory):
    """Three wheels: one of them has a program, and is large enough to break off in."""
    folder = tmp_path_factory.mktemp("wheels")
    points = "[console_scripts]\ncarve = carver:main\n"
    tool = {
        "carver/__init__.py": "import helper\ndef main():\n    print('carved', helper.VALUE)\n",
        "carver/data.bin": os.urandom(1 << 18),
        "carver-1.5.dist-info/entry_points.txt": points,
    }
    return [
        make_wheel(folder, "carver", "1.5", tool),
        make_wheel(folder, "Help_er", "2.0", {"helper.py": "VALUE = 7\n"}),
        make_wheel(folder, "third", "0.1", {"third.py": "raise OSError('no libthird.so.3')\n"}),
    ]


@pytest.fixture
def package_index(small_wheels, monkeypatch, tmp_path):
    """The index that pip is configured with, and nothing else of pip's configuration."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    served = Index(small_wheels[0].parent)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "toolchains"))
    yield served
    served.close()


@pytest.fixture
def carver(small_wheels, package_index, tmp_path):
    """Returns a toolchain of the wheels."""

    def make(wrong=None, modules=("carver", "helper"), chosen=small_wheels, **rest):
        path = write_requirements(tmp_path / "carver.txt", chosen, wrong)
        return Toolchain("carver", "The carver", "carver", modules, "MIT", path, **rest)

    return make
