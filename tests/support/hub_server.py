"""A model hub on the loopback, as huggingface_hub asks one, with repositories of a test.

Large files are where the hub has them, on another host: `localhost` instead of `127.0.0.1`.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import hub_uploads
from prerequisites import is_installed, skip_without
from safetensors.numpy import save
from state_dicts import to_torch

from edgekit.converters.weights.timm import NAMES

#: Files of that ending are large ones: a pointer in the repository, the file elsewhere.
LARGE = (".safetensors", ".bin", ".parquet", ".png")
_NAME = r"(?:datasets/)?[^/]+/[^/]+"


@dataclass
class Repo:
    """A repository: files by commit, commits by branch or tag."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revisions: dict[str, str] = field(default_factory=dict)
    licence: str | None = "apache-2.0"
    gated: bool = False
    private: bool = False
    lists_hashes: bool = True
    messages: list[str] = field(default_factory=list)

    def files(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commit = self.revisions.get(revision, revision)
        return (commit, self.commits[commit]) if commit in self.commits else None


class HubServer:
    """Serves until `close`; `requests` are the (method, path, headers) that came.

    The names of headers are in lower case. `cut` are numbers of bytes after which the next answers
    with a large file break off; where it is `broken`, large files are sent as zeros. `info` is what
    it says of every repository instead of the truth. `writers` are the tokens that may write, each
    with the organisations that it may write to; what is written is in `hub_uploads`.
    """

    def __init__(self):
        self.requests, self.repos, self.blobs = [], {}, {}
        self.cut, self.broken, self.info, self.writers = [], False, None, {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def do_HEAD(self):
                outer.answer(self)

            def do_POST(self):
                outer.answer(self)

            def do_PUT(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def publish(self, name, files, *, branch="main", **options):
        """Commits files to a branch; returns the commit."""
        repo = self.repos.setdefault(name, Repo(**options))
        commit = hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()  # noqa: S324
        repo.commits[commit], repo.revisions[branch] = dict(files), commit
        return commit

    def asked(self, method=None):
        """The paths that came."""
        return [path for verb, path, _ in self.requests if method in (None, verb)]

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler):
        address = urlsplit(handler.path)
        path = unquote(address.path)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append((handler.command, path, headers))
        if handler.command in ("POST", "PUT"):
            body = handler.rfile.read(int(headers.get("content-length", 0)))
            if headers.get("transfer-encoding") == "chunked":
                body = read_chunks(handler.rfile)
            return hub_uploads.answer(self, handler, path, headers, body)
        # A data set is a repository whose name begins with datasets/.
        path = path.replace("/api/datasets/", "/api/models/datasets/")
        if match := re.fullmatch(rf"/api/models/({_NAME})(?:/revision/(.+))?", path):
            return self._info(handler, match[1], match[2] or "main", "blobs" in address.query)
        if match := re.fullmatch(rf"/({_NAME})/resolve/([^/]+)/(.+)", path):
            return self._resolve(handler, *match.groups())
        if match := re.fullmatch(r"/cdn/(\w+)", path):
            return self._send_large(handler, self.blobs[match[1]])
        return send(handler, 404, b"", {"X-Error-Code": "RepoNotFound"})

    def _found(self, handler, name, revision):
        """The repository and its files; None where an error was sent instead."""
        repo = self.repos.get(name)
        if repo is not None and repo.private and not self.may_write(handler, name):
            repo = None
        if repo is None:  # so does the hub, as it may be a private one
            return send(handler, 401, b"", {"X-Error-Code": "RepoNotFound"})
        found = repo.files(revision)
        if found is None:
            return send(handler, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        return repo, *found

    def may_write(self, handler, name):
        """Whether the token of a request may write to a repository."""
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        return name.partition("/")[0] in self.writers.get(token, ())

    def _info(self, handler, name, revision, with_blobs):
        if self.info is not None:
            return send(handler, 200, json.dumps(self.info).encode(), {})
        found = self._found(handler, name, revision)
        if found is None:
            return None
        repo, commit, files = found
        siblings = []
        for file, body in files.items():
            one = {"rfilename": file}
            if with_blobs:
                one |= {"blobId": _git_hash(body), "size": len(body)}
                if file.endswith(LARGE) and repo.lists_hashes:
                    sha256 = hashlib.sha256(body).hexdigest()
                    one["lfs"] = {"sha256": sha256, "size": len(body), "pointerSize": 133}
            siblings.append(one)
        card = {"license": repo.licence} if repo.licence else {}
        info = {
            "_id": "1",
            "id": name.removeprefix("datasets/"),
            "modelId": name,
            "sha": commit,
            "private": repo.private,
        }
        info |= {"gated": repo.gated and "auto", "tags": [], "siblings": siblings, "cardData": card}
        return send(handler, 200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _resolve(self, handler, name, revision, file):
        found = self._found(handler, name, revision)
        if found is None:
            return None
        repo, commit, files = found
        headers = {"X-Repo-Commit": commit}
        if repo.gated and "Authorization" not in handler.headers:
            return send(handler, 401, b"", {**headers, "X-Error-Code": "GatedRepo"})
        if file not in files:
            return send(handler, 404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
        body = files[file]
        if not file.endswith(LARGE):
            return send(handler, 200, body, {**headers, "ETag": f'"{_git_hash(body)}"'})
        sha256 = hashlib.sha256(body).hexdigest()
        self.blobs[sha256] = body
        elsewhere = self.url.replace("127.0.0.1", "localhost")
        headers |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(body))}
        return send(handler, 302, b"", {**headers, "Location": f"{elsewhere}/cdn/{sha256}"})

    def _send_large(self, handler, body):
        if self.broken:
            body = bytes(len(body))
        start, code, headers = 0, 200, {"ETag": '"1"'}
        if match := re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")):
            start, code = int(match[1]), 206
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        send(handler, code, body[start:], headers, self.cut.pop(0) if self.cut else None)


@contextmanager
def serve_hub(folder, patch):
    """Serves one, as HF_ENDPOINT, with an empty cache; nothing else can be reached."""
    if not is_installed("huggingface_hub"):
        skip_without("huggingface_hub")
    for name in ("EDGEKIT_OFFLINE", "EDGEKIT_MIRROR", "HF_TOKEN", "HTTP_PROXY", "http_proxy"):
        patch.delenv(name, raising=False)
    server = HubServer()
    patch.setenv("EDGEKIT_CACHE", str(folder / "cache"))
    patch.setenv("HF_ENDPOINT", server.url)
    patch.setenv("HF_TOKEN_PATH", str(folder / "token"))
    patch.setattr(socket, "getaddrinfo", _only_here)
    yield server
    server.close()


_look_up = socket.getaddrinfo


def _only_here(host, *args, **options):
    if host not in ("127.0.0.1", "localhost", b"127.0.0.1", b"localhost"):
        raise AssertionError(f"asked for {host}")
    # The server has no IPv6 address.
    return [one for one in _look_up(host, *args, **options) if one[0] == socket.AF_INET]


def timm_repository(graph, architecture, *, names=NAMES, **config):
    """The files of a repository with a network's weights, as timm uploads them."""
    return {
        "model.safetensors": save(to_torch(graph, names), {"format": "pt"}),
        "config.json": json.dumps(
            {
                "architecture": architecture,
                "num_classes": graph.classes,
                "pretrained_cfg": {
                    "input_size": [3, 224, 224],
                    "interpolation": "bilinear",
                    "crop_pct": 0.9,
                    "mean": [0.5, 0.5, 0.5],
                    "std": [0.5, 0.5, 0.5],
                    **config,
                },
            }
        ).encode(),
        "README.md": b"---\nlicense: apache-2.0\n---\n",
    }


def send(handler, code, body, headers, stop=None):
    """Answers; the connection breaks off after ``stop`` bytes."""
    handler.close_connection = True
    handler.send_response(code)
    for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        with suppress(OSError):  # the client went away
            handler.wfile.write(body[:stop])
            handler.wfile.flush()


def read_chunks(stream):
    """The body of a request that says no length."""
    body = b""
    while size := int(stream.readline().strip() or b"0", 16):
        body += stream.read(size)
        stream.readline()
    stream.readline()
    return body


def _git_hash(body):
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()  # noqa: S324
