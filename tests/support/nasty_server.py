"""An HTTP server on the loopback that misbehaves as told.

Each path has a list of behaviours, one per request; the last one stays. A behaviour is a function
of the request's handler.
"""

from __future__ import annotations

import gzip
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class NastyServer:
    """Serves until `close`; `requests` are the (path, headers) that came."""

    def __init__(self):
        self.requests = []
        self.behaviours = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.close_connection = True
                outer.requests.append((self.path, dict(self.headers)))
                todo = outer.behaviours.get(self.path, [status(404)])
                behave = todo.pop(0) if len(todo) > 1 else todo[0]
                with suppress(OSError):  # the client went away
                    behave(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def on(self, path, *behaviours):
        """Sets what happens at a path, request by request; returns its address."""
        self.behaviours[path] = list(behaviours)
        return self.url(path)

    def ranges(self):
        """The Range header of each request that came, or None."""
        return [headers.get("Range") for _, headers in self.requests]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def send(handler, code, body, headers, pieces=None):
    """Writes an answer; ``pieces`` instead of ``body`` where it comes bit by bit."""
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    for piece in pieces if pieces is not None else [body]:
        handler.wfile.write(piece)
        handler.wfile.flush()


def serve(body, *, etag='"1"', ranges=True, stop=None, claim=None, content_range=None, **headers):
    """Sends the file, or the range that was asked for.

    It breaks off after ``stop`` bytes. ``claim`` and ``content_range`` are what it says instead
    of the truth; an empty claim leaves Content-Length out.
    """

    def behave(handler):
        start, code = 0, 200
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        validators = {etag, headers.get("Last_Modified")}
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if wanted and ranges and (condition is None or condition in validators):
            start, code = int(wanted[1]), 206
            if start >= len(body):
                return send(handler, 416, b"", {"Content-Length": "0"})
            truth = f"bytes {start}-{len(body) - 1}/{len(body)}"
            extra["Content-Range"] = content_range or truth
        length = len(body) - start if claim is None else claim
        if length != "":
            extra["Content-Length"] = str(length)
        if etag:
            extra["ETag"] = etag
        rest = body[start:]
        return send(handler, code, rest if stop is None else rest[:stop], extra)

    return behave


def status(code, text="no", **headers):
    """Answers with nothing but a status."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: send(
        handler, code, text.encode(), {"Content-Length": str(len(text)), **extra}
    )


def html(code=200):
    """Answers with a web page, as the login page of a hotel does."""
    page = b"<!doctype html><title>Log in</title>"
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(page))}
    return lambda handler: send(handler, code, page, headers)


def redirect(target, code=302):
    """Sends the client elsewhere."""
    return status(code, Location=target)


def silent(body, seconds=5.0):
    """Sends the beginning, then nothing for a while."""

    def pieces():
        yield body[: len(body) // 2]
        time.sleep(seconds)

    headers = {"Content-Length": str(len(body)), "ETag": '"1"'}
    return lambda handler: send(handler, 200, b"", headers, pieces())


def dribble(body, pause=0.02):
    """Sends one byte at a time, often enough that no read times out."""

    def pieces():
        for at in range(len(body)):
            yield body[at : at + 1]
            time.sleep(pause)

    headers = {"Content-Length": str(len(body)), "ETag": '"1"'}
    return lambda handler: send(handler, 200, b"", headers, pieces())


def endless(piece=b"x" * 4096, most=10_000):
    """Sends without a length and without an end."""
    return lambda handler: send(handler, 200, b"", {}, (piece for _ in range(most)))


def gzipped(body, stop=None):
    """Compresses although it was asked not to."""
    packed = gzip.compress(body)
    headers = {"Content-Encoding": "gzip", "Content-Length": str(len(packed)), "ETag": '"1"'}
    return lambda handler: send(handler, 200, packed[:stop], headers)


def hang_up():
    """Closes the connection without an answer."""
    return lambda handler: handler.connection.close()
