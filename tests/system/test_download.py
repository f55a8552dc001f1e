"""Downloads against a server that misbehaves: the right file in the end, or none."""

import errno
import hashlib
import itertools
import threading

import pytest
from nasty_server import (
    NastyServer,
    dribble,
    endless,
    gzipped,
    hang_up,
    html,
    redirect,
    send,
    serve,
    silent,
    status,
)

from edgekit.errors import EdgekitError
from edgekit.system.download import Checksum, Patience, download, locked

BODY = bytes(hashlib.sha256(bytes([i])).digest()[0] for i in range(256)) * 800  # 200 kB
SHA256 = hashlib.sha256(BODY).hexdigest()
HALF = len(BODY) // 2
RIGHT = Checksum("sha256", SHA256, "the test")


@pytest.fixture
def server():
    server = NastyServer()
    yield server
    server.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "weights.bin"


@pytest.fixture
def fetch(path):
    """Downloads without waiting; ``fetch.pauses`` is how long it would have waited."""
    pauses = []

    def fetch(url, **options):
        waiting = {"timeout": 5.0, "pause": pauses.append}
        waiting |= {name: options.pop(name) for name in ("timeout", "attempts") if name in options}
        options = {"checksum": RIGHT, "patience": Patience(**waiting)} | options
        return download(url, path, **options)

    fetch.pauses = pauses
    return fetch


def left(path):
    """The names of what lies in the folder."""
    return sorted(item.name for item in path.parent.iterdir())


def refused(fetch, url, **options):
    with pytest.raises(EdgekitError) as caught:
        fetch(url, **options)
    return str(caught.value)


def test_a_file_arrives_whole_and_nothing_else_is_left(server, fetch, path):
    told = []
    sha256 = fetch(
        server.on("/f", serve(BODY)), progress=lambda *report: told.append(report), size=len(BODY)
    )
    assert sha256 == SHA256
    assert path.read_bytes() == BODY
    assert left(path) == ["weights.bin"]
    assert told[-1] == ("download weights.bin, MB", 1, 1)
    assert fetch.pauses == []


def test_md5_and_the_first_digits_of_a_hash_will_do(server, fetch):
    url = server.on("/f", serve(BODY))
    fetch(url, checksum=Checksum("md5", hashlib.md5(BODY).hexdigest(), "x"))  # noqa: S324
    fetch(url, checksum=Checksum("sha256", SHA256[:8], "x"))
    assert "not the right" in refused(fetch, url, checksum=Checksum("sha256", "0" * 8, "x"))


# What goes wrong at first, and what is asked for in the end.
BROKEN = {
    "breaks off": (serve(BODY, stop=HALF), f"bytes={HALF}-"),
    "breaks off, no etag": (
        serve(BODY, stop=HALF, etag="", Last_Modified="Sat, 01 Jan 2022 00:00:00 GMT"),
        f"bytes={HALF}-",  # and all of it comes, for the next answer has another validator
    ),
    "breaks off, cannot be vouched for": (serve(BODY, stop=HALF, etag='W/"1"'), None),
    "claims too much": (serve(BODY, claim=len(BODY) + 9), f"bytes={len(BODY)}-"),
    "falls silent": (silent(BODY), f"bytes={HALF}-"),
    "hangs up": (hang_up(), None),
    "busy": (status(503), None),
    "too many requests": (status(429, Retry_After="7"), None),
    "compressed and broken off": (gzipped(BODY, stop=40), None),
}


@pytest.mark.parametrize(("first", "wanted"), BROKEN.values(), ids=list(BROKEN))
def test_what_goes_wrong_once_is_tried_again(server, fetch, path, first, wanted):
    fetch(server.on("/f", first, serve(BODY)), timeout=0.3)
    assert path.read_bytes() == BODY
    assert left(path) == ["weights.bin"]
    assert server.ranges()[1] == wanted


def test_a_server_may_ask_to_wait(server, fetch):
    fetch(server.on("/f", status(429, Retry_After="7"), status(503), serve(BODY)))
    assert fetch.pauses == [7.0, 2.0]


def test_retry_after_is_taken_with_a_grain_of_salt(server, fetch):
    fetch(
        server.on(
            "/f", status(503, Retry_After="86400"), status(503, Retry_After="soon"), serve(BODY)
        )
    )
    assert fetch.pauses == [60.0, 2.0]


def test_a_dribble_counts_as_hung(server, fetch, path):
    fetch(server.on("/f", dribble(BODY), serve(BODY)), timeout=0.2)
    assert path.read_bytes() == BODY
    assert server.ranges()[1] is not None


def test_a_server_without_ranges_is_asked_from_the_start(server, fetch, path):
    fetch(server.on("/f", serve(BODY, stop=HALF), serve(BODY, ranges=False)))
    assert path.read_bytes() == BODY


def test_the_date_vouches_where_there_is_no_etag(server, fetch, path):
    dated = {"etag": "", "Last_Modified": "Sat, 01 Jan 2022 00:00:00 GMT"}
    fetch(server.on("/f", serve(BODY, stop=HALF, **dated), serve(BODY, **dated)))
    assert path.read_bytes() == BODY
    assert server.requests[1][1]["If-Range"] == dated["Last_Modified"]
    assert server.ranges()[1] == f"bytes={HALF}-"


def test_a_file_that_changed_meanwhile_is_not_mixed(server, fetch, path):
    old = bytes(len(BODY))
    fetch(server.on("/f", serve(old, stop=HALF, etag='"old"'), serve(BODY, etag='"new"')))
    assert path.read_bytes() == BODY
    assert server.requests[1][1]["If-Range"] == '"old"'


@pytest.mark.parametrize(
    "second",
    [
        serve(BODY, etag='"1"', content_range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}"),
        serve(BODY, etag='"1"', content_range=f"bytes {HALF}-{len(BODY)}/{len(BODY) + 1}"),
        serve(BODY, etag='"1"', content_range="rubbish"),
    ],
    ids=["another place", "another length", "rubbish"],
)
def test_a_range_that_does_not_fit_starts_over(server, fetch, path, second):
    fetch(server.on("/f", serve(BODY, stop=HALF), second, serve(BODY)))
    assert path.read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_piece_that_claims_to_end_early_is_not_the_end(server, fetch, path):
    url = server.on("/f", serve(BODY, stop=HALF), serve(BODY, claim=10), serve(BODY))
    fetch(url, checksum=None)
    assert path.read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={HALF}-", f"bytes={HALF + 10}-"]


def test_a_server_that_ignores_if_range_is_found_out(server, fetch, path):
    def stubborn(handler):
        del handler.headers["If-Range"]
        serve(BODY, etag='"2"')(handler)

    first = serve(bytes(len(BODY)), stop=HALF)
    fetch(server.on("/f", first, stubborn, serve(BODY, etag='"2"')), checksum=None)
    assert path.read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_pieces_that_do_not_fit_together_are_fetched_anew_once(server, fetch, path):
    other = serve(bytes(len(BODY)), stop=HALF)  # another file under the same etag
    fetch(server.on("/f", other, serve(BODY)))
    assert path.read_bytes() == BODY
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_later_call_goes_on_where_an_earlier_one_stopped(server, fetch, path):
    url = server.on("/f", serve(BODY, stop=HALF))
    assert "attempt 1 of 1" in refused(fetch, url, attempts=1)
    assert left(path) == ["weights.bin.part", "weights.bin.part.json"]
    fetch(server.on("/f", serve(BODY)))
    assert server.ranges() == [None, f"bytes={HALF}-"]
    assert left(path) == ["weights.bin"]


def test_a_part_of_another_address_is_not_used(server, fetch, path):
    refused(fetch, server.on("/f", serve(BODY, stop=HALF)), attempts=1)
    fetch(server.on("/g", serve(BODY)))
    assert server.ranges() == [None, None]
    assert left(path) == ["weights.bin"]


def test_a_whole_part_needs_no_server(server, fetch, path):
    """The process was killed between the last byte and the rename."""
    url = server.on("/f", serve(BODY, stop=HALF))
    refused(fetch, url, attempts=1)
    path.with_name("weights.bin.part").write_bytes(BODY)
    fetch(url)
    assert path.read_bytes() == BODY
    assert len(server.requests) == 1


def test_a_part_that_is_too_long_starts_over(server, fetch, path):
    url = server.on("/f", serve(BODY, stop=HALF), serve(BODY))
    refused(fetch, url, attempts=1)
    path.with_name("weights.bin.part").write_bytes(BODY + b"more")
    fetch(url)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("record", [b"", b"[]", b'{"url": 1}', b"\xff"])
def test_a_damaged_record_of_a_part_is_ignored(server, fetch, path, record):
    refused(fetch, server.on("/f", serve(BODY, stop=HALF)), attempts=1)
    path.with_name("weights.bin.part.json").write_bytes(record)
    fetch(server.on("/f", serve(BODY)))
    assert server.ranges() == [None, None]


def test_the_number_of_attempts_is_limited(server, fetch, path):
    text = refused(fetch, server.on("/f", status(503)), attempts=4)
    assert len(server.requests) == 4
    assert fetch.pauses == [1.0, 2.0, 4.0]
    assert "503" in text
    assert "attempt 4 of 4" in text
    assert not path.exists()


def test_attempts_that_bring_something_do_not_count(server, fetch, path, monkeypatch):
    monkeypatch.setattr("edgekit.system.download.ENOUGH", 1000)
    tenth = serve(BODY, stop=len(BODY) // 10)
    fetch(server.on("/f", *[tenth] * 9, serve(BODY)), attempts=2)
    assert path.read_bytes() == BODY
    assert set(fetch.pauses) == {1.0}


# Answers that are final: the behaviour, options, what the message says.
FINAL = {
    "not found": (status(404), {}, "answers 404"),
    "forbidden": (status(403), {}, "answers 403"),
    "web page": (html(), {}, "web page"),
    "wrong file": (serve(bytes(len(BODY))), {}, f"but {SHA256} by the test"),
    "claims too little": (serve(BODY, claim=HALF), {}, "not the right"),
    "wrong length": (serve(BODY), {"size": len(BODY) - 1}, "instead of 204,799"),
    "longer than plausible": (serve(BODY), {"limit_bytes": 1000}, "204,800 bytes there"),
    "endless": (endless(), {"limit_bytes": 100_000}, "more than 100,000 bytes"),
    "shorter than registered": (serve(BODY, claim=""), {"size": len(BODY) + 1}, "instead of"),
    "compressed bomb": (gzipped(bytes(1_000_000)), {"limit_bytes": 100_000}, "more than"),
    "redirect to a file": (redirect("file:///etc/passwd"), {}, "redirects from http to file"),
    "redirect to ftp": (redirect("ftp://127.0.0.1/f"), {}, "redirects from http to ftp"),
    "redirect to rubbish": (redirect("http://["), {}, "redirects to no address"),
    "redirect loop": (redirect("/f"), {}, "more than 10 redirects"),
    "redirect nowhere": (status(302), {}, "answers 302"),
    "unwanted piece": (status(206), {}, "answers 206"),
}


@pytest.mark.parametrize(("behaviour", "options", "text"), FINAL.values(), ids=list(FINAL))
def test_a_wrong_answer_is_refused_and_leaves_nothing(
    server, fetch, path, behaviour, options, text
):
    assert text in refused(fetch, server.on("/f", behaviour), **options)
    assert left(path) == []
    assert fetch.pauses == []


def test_a_file_that_is_there_survives_a_wrong_one(server, fetch, path):
    path.parent.mkdir()
    path.write_bytes(b"old")
    refused(fetch, server.on("/f", serve(b"wrong")))
    assert path.read_bytes() == b"old"


def test_what_passes_may_be_asked_for_again(server, fetch, path):
    url = server.on("/f", status(404), serve(BODY))
    refused(fetch, url)
    fetch(url)
    assert path.read_bytes() == BODY


def test_redirects_are_followed(server, fetch, path):
    server.on("/b", redirect(server.url("/c"), 307))
    server.on("/c", serve(BODY))
    fetch(server.on("/a", redirect("/b", 301)))
    assert path.read_bytes() == BODY


def test_the_body_of_a_redirect_is_not_read(server, fetch, path):
    def talkative(handler):
        send(handler, 302, b"the beginning", {"Location": "/b", "Content-Length": "1000000"})
        threading.Event().wait(1.0)

    server.on("/b", serve(BODY))
    fetch(server.on("/a", talkative), timeout=0.3)
    assert path.read_bytes() == BODY
    assert fetch.pauses == []


def test_https_is_never_left_for_http():
    from edgekit.system.http import _redirected

    with pytest.raises(EdgekitError, match="from https to http"):
        _redirected("https://example.org/f", "http://example.org/f")
    assert _redirected("http://example.org/f", "https://example.org/g") == "https://example.org/g"
    assert _redirected("https://example.org/f", "g") == "https://example.org/g"


def test_a_compressed_answer_is_unpacked(server, fetch, path):
    fetch(server.on("/f", gzipped(BODY)))
    assert path.read_bytes() == BODY
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_chunks_that_break_off_are_noticed_without_a_length(server, fetch, path):
    def chunked(handler):
        send(
            handler, 200, b"5\r\nhello\r\n7d000\r\n" + BODY[:100], {"Transfer-Encoding": "chunked"}
        )

    fetch(server.on("/f", chunked, serve(BODY)), checksum=None)
    assert path.read_bytes() == BODY


def test_a_server_that_is_not_there_is_named_at_once(fetch):
    text = refused(fetch, "http://127.0.0.1:9/f")
    assert "cannot reach 127.0.0.1" in text
    assert "refused" in text
    assert fetch.pauses == []


def test_a_name_that_means_nothing_is_named(fetch):
    assert "cannot reach nowhere.invalid" in refused(fetch, "http://nowhere.invalid/f")


def test_a_proxy_that_is_not_there_is_named(fetch, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert "cannot reach example.invalid" in refused(fetch, "http://example.invalid/f")


def test_a_password_in_the_address_is_not_shown(server, fetch, path):
    url = server.on("/f", status(404)).replace("://", "://me:secret@")
    assert "secret" not in refused(fetch, url)
    url = server.on("/f", serve(BODY, stop=HALF)).replace("://", "://me:secret@")
    refused(fetch, url, attempts=1)
    assert b"secret" not in path.with_name("weights.bin.part.json").read_bytes()


@pytest.mark.parametrize("url", ["http://", "http://[", "gopher://example.org/f"])
def test_a_strange_address_is_an_error_of_ours(fetch, url):
    refused(fetch, url)


def test_a_file_address_is_copied(tmp_path, fetch, path):
    source = tmp_path / "a source"
    source.write_bytes(BODY)
    assert fetch(source.as_uri()) == SHA256
    assert left(path) == ["weights.bin"]
    assert "more than 1,000 bytes" in refused(fetch, source.as_uri(), limit_bytes=1000)
    source.write_bytes(b"wrong")
    assert "not the right" in refused(fetch, source.as_uri())
    source.unlink()
    assert "cannot read" in refused(fetch, source.as_uri())
    assert path.read_bytes() == BODY
    assert left(path) == ["weights.bin"]


def test_a_full_disk_is_said_and_the_beginning_kept(server, fetch, path, monkeypatch):
    def full(self, *args):
        raise OSError(errno.ENOSPC, "No space left on device")

    url = server.on("/f", serve(BODY, stop=HALF))
    refused(fetch, url, attempts=1)
    with monkeypatch.context() as patch:
        patch.setattr("edgekit.system.http.Receiver.__call__", full)
        assert "is full" in refused(fetch, url)
    assert path.with_name("weights.bin.part").stat().st_size == HALF


def test_a_folder_that_cannot_be_written_to_is_said(server, fetch, path):
    path.parent.write_bytes(b"a file where the folder should be")
    text = refused(fetch, server.on("/f", serve(BODY)))
    assert "cannot write to the folder" in text
    assert "EDGEKIT_CACHE" in text
    with pytest.raises(EdgekitError, match="cannot write"), locked(path):
        pass


def test_one_at_a_time_holds_the_lock(path):
    inside, most, told = [], [], []

    def work():
        with locked(path, lambda *report: told.append(report)):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
    assert told[0][0] == "wait for another download of weights.bin"


def test_checksums_know_whether_they_are_complete():
    full = [Checksum.parse(f"sha256:{'0' * 64}", "x"), Checksum.parse(f"md5:{'0' * 32}", "x")]
    assert all(checksum.complete for checksum in full)
    assert not any(
        Checksum.parse(f"{kind}:{'0' * count}", "x").complete
        for kind, count in itertools.product(("sha256", "md5"), (8, 31, 63))
    )
