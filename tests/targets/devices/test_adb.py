"""With the real adb client, against a stand-in for a phone's daemon."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

import pytest
from adb_daemon import ADB, serve
from prerequisites import needs

from edgekit.errors import DeviceError, MissingToolError, UsageError
from edgekit.targets.devices import adb
from edgekit.targets.devices.adb import ADBHost, Attached, attached, parse_serial
from edgekit.targets.devices.hosts import Ran
from edgekit.targets.devices.open import open_host

needs_adb = needs("adb", ADB is not None)
NASTY = [
    "a b.tflite",
    'it\'s "quoted"',
    "$(touch never) `touch never` $HOME ${x}",
    "a\nb",
    "a\\b;c&d|e>f*?",
    "Größe 模型",
    "-rf",
    "a,b,0644",
]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("phone")) as phone:
        yield phone


@pytest.fixture
def phone(running):
    yield running
    running.room = None
    assert running.left() == []
    assert not (running.root / "never").exists()


@pytest.fixture
def host(phone):
    with open_host(phone.url) as found:
        yield found


def is_still(path) -> bool:
    """Whether nobody writes to a file that somebody wrote to."""
    time.sleep(0.2)
    size = path.stat().st_size
    time.sleep(0.2)
    return path.stat().st_size == size > 0


def beating(path) -> str:
    """A shell's loop that writes to a file again and again."""
    return f"while :; do date >> {shlex.quote(str(path))}; sleep 0.05; done"


@pytest.mark.parametrize(
    ("url", "serial"),
    [
        ("adb:", None),
        ("adb://", None),
        ("adb://emulator-5554", "emulator-5554"),
        ("adb://192.168.1.5:5555", "192.168.1.5:5555"),
        ("adb://[fe80::1%wlan0]:5555", "[fe80::1%wlan0]:5555"),
        ("adb://R58M12ABCDE", "R58M12ABCDE"),
        ("adb://adb-12AB-x1._adb-tls-connect._tcp", "adb-12AB-x1._adb-tls-connect._tcp"),
    ],
)
def test_urls(url, serial):
    assert parse_serial(url) == serial


@pytest.mark.parametrize(
    "url", ["adb", "adb:x", "adb:///", "adb://a b", "adb://-s", "adb://a/b", "adb://a\n", "ssh://a"]
)
def test_bad_urls(url):
    with pytest.raises(UsageError) as caught:
        parse_serial(url)
    assert caught.value.hint == "adb://SERIAL, or adb: for the only one attached"


@needs_adb
@pytest.mark.parametrize("name", NASTY)
def test_files_come_back_identical_and_the_folder_is_gone(host, phone, tmp_path, name):
    source, back = tmp_path / name, tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 400)
    with host.folder() as folder:
        assert re.fullmatch(r"/data/local/tmp/edgekit-[0-9a-f]{16}", folder)
        host.put(source, f"{folder}/{name}")
        assert os.listdir(phone.path(folder.encode())) == [name]
        assert host.get(f"{folder}/{name}", back)
        assert not host.get(f"{folder}/none", tmp_path / "none")
    assert back.read_bytes() == source.read_bytes()
    assert not (tmp_path / "none").exists()


@needs_adb
def test_an_empty_file_and_an_executable_one(host, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "tool").write_text("#!/bin/sh\necho I run\n")
    (tmp_path / "tool").chmod(0o755)
    with host.folder() as folder:
        for name in ("empty", "tool"):
            host.put(tmp_path / name, f"{folder}/{name}")
        assert host.run([f"{folder}/tool"], folder, 20) == Ran(0, "I run\n")
        assert host.get(f"{folder}/empty", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


@needs_adb
def test_arguments_arrive_byte_for_byte(host):
    arguments = [*NASTY, "", "*", "~", "a\tb", "\udcff", "--", "\x01"]
    script = "import os, sys; print([os.fsencode(each) for each in sys.argv[1:]])"
    ran = host.run([sys.executable, "-c", script, *arguments], "/", 20)
    assert ran == Ran(0, f"{[os.fsencode(each) for each in arguments]}\n")


@needs_adb
@pytest.mark.parametrize(
    ("script", "ran"),
    [
        ("exit 0", Ran(0, "")),
        ("printf x; exit 1", Ran(1, "x")),
        ("echo out; echo err >&2; echo out; exit 3", Ran(3, "out\nerr\nout\n")),
        ("exit 255", Ran(255, "")),
        ("kill -SEGV $$", Ran(-11, "")),
        ("echo 'error: closed' >&2; exit 1", Ran(1, "error: closed\n")),
        ("cat; echo end", Ran(0, "end\n")),
        ("exec no-such-program 2>/dev/null", Ran(127, "")),
        ("printf '\\377'", Ran(0, "\N{REPLACEMENT CHARACTER}")),
    ],
)
def test_exit_codes(host, script, ran):
    assert host.run(["sh", "-c", script], "/", 20) == ran


@needs_adb
def test_what_cannot_be_run(host):
    assert host.run(["no-such-program"], "/", 20).code == 127
    assert host.run(["true"], "/no such folder", 20).code not in (0, None)


@needs_adb
def test_a_program_runs_in_its_folder_and_much_is_heard(host):
    with host.folder() as folder:
        assert host.run(["sh", "-c", "echo x >y; ls -A"], folder, 20) == Ran(0, "y\n")
        ran = host.run([sys.executable, "-c", "print('x' * 3_000_000)"], folder, 20)
        assert ran == Ran(0, "x" * 3_000_000 + "\n")


@needs_adb
def test_which(host, phone):
    tool = phone.install("getprop", "print('Pixel')")
    assert host.which("getprop") == str(tool)
    assert host.run(["getprop"], "/", 20) == Ran(0, "Pixel\n")
    assert host.which("no-such-program") is None
    assert host.which("/etc/passwd") is None


@needs_adb
def test_a_program_that_hangs_is_killed_with_its_children(host, tmp_path):
    began = time.monotonic()
    script = f"echo begun; ({beating(tmp_path / 'beat')}) & sleep 60"
    with host.folder() as folder:
        assert host.run(["sh", "-c", script], folder, 0.5) == Ran(None, "begun\n")
    assert time.monotonic() - began < 10
    assert is_still(tmp_path / "beat")


@needs_adb
def test_ctrl_c_ends_what_runs_there(phone, tmp_path):
    # A shell starts what runs in the background with Ctrl-C ignored: a terminal does not.
    program = f"""
import signal
from edgekit.targets.devices.adb import ADBHost
signal.signal(signal.SIGINT, signal.default_int_handler)
with ADBHost() as host, host.folder() as folder:
    host.run(["sh", "-c", {beating(tmp_path / "beat")!r}], folder, 20)
"""
    client = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "beat").exists():
        assert client.poll() is None
        time.sleep(0.05)
    client.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in client.communicate(timeout=20)[1]
    assert is_still(tmp_path / "beat")


@needs_adb
def test_following_hears_each_line_and_beats(host):
    heard, beats = [], []
    script = "echo first; read x; echo \"[$x]\"; read x; echo no end >&2; printf 'la st'; exit 5"
    ran = host.follow(["sh", "-c", script], "/", 20, heard.append, lambda: beats.append(1))
    assert heard == ["first", "[]", "la st"]
    assert len(beats) >= 2
    assert ran == Ran(5, "no end\n")


@needs_adb
def test_a_followed_program_that_says_nothing_is_killed(host, tmp_path):
    script = f"echo err >&2; {beating(tmp_path / 'beat')}"
    ran = host.follow(["sh", "-c", script], "/", 0.6, print, lambda: None)
    assert ran == Ran(None, "err\n")
    assert is_still(tmp_path / "beat")


@needs_adb
def test_a_listener_that_fails_ends_the_program(host, tmp_path):
    script = f"echo begun; ({beating(tmp_path / 'beat')}) & wait"

    def listen(line):
        while not (tmp_path / "beat").exists():
            time.sleep(0.02)
        raise ZeroDivisionError(line)

    with pytest.raises(ZeroDivisionError, match="begun"):
        host.follow(["sh", "-c", script], "/", 20, listen, lambda: None)
    assert is_still(tmp_path / "beat")


def broken(phone, work) -> DeviceError:
    """Does something during which the cable is pulled; plugs it in again."""
    with pytest.raises(DeviceError) as caught, ADBHost(phone.serial) as host:
        work(host)
    phone.connect()
    assert caught.value.exit_code == 4
    assert caught.value.message == f"the connection to {phone.url} broke off"
    return caught.value


@needs_adb
def test_a_phone_that_is_lost_meanwhile(phone):
    def work(host):
        with host.folder("named") as folder:
            host.run(["sh", "-c", "echo kept >file"], folder, 20)
            threading.Timer(0.5, phone.disconnect).start()
            host.run(["sleep", "3"], folder, 20)

    error = broken(phone, work)
    assert "offline" in error.cause
    assert "/data/local/tmp/edgekit-named may be left there" in error.hint
    assert phone.left() == ["edgekit-named"]
    with ADBHost() as host, host.folder("named") as folder:
        assert host.run(["cat", "file"], folder, 20) == Ran(0, "kept\n")


@needs_adb
def test_a_phone_that_is_lost_while_a_program_is_followed(phone, tmp_path):
    """The program hears no more beats, and its input ends."""
    script = f"echo begun; while read x; do :; done; echo ended >{tmp_path}/ended"

    def work(host):
        host.follow(["sh", "-c", script], "/", 20, lambda line: phone.disconnect(), lambda: None)

    assert "offline" in broken(phone, work).cause
    for _ in range(50):
        if (tmp_path / "ended").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "ended").exists()


@needs_adb
@pytest.mark.parametrize("work", ["put", "get", "which"])
def test_a_phone_that_is_lost_before(phone, tmp_path, work):
    (tmp_path / "file").write_bytes(b"abc")

    def use(host):
        phone.disconnect()
        if work == "put":
            host.put(tmp_path / "file", "/data/local/tmp/file")
        elif work == "get":
            host.get("/data/local/tmp/file", tmp_path / "back")
        else:
            host.which("sh")

    assert "offline" in broken(phone, use).cause


@needs_adb
def test_no_space_left(host, phone, tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    phone.fill(1000)
    with host.folder() as folder, pytest.raises(DeviceError, match="no space left for file") as got:
        host.put(tmp_path / "file", f"{folder}/file")
    assert "No space left on device" in got.value.cause


@needs_adb
def test_a_file_that_cannot_be_copied(host, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    with host.folder() as folder, pytest.raises(DeviceError, match="cannot be copied") as caught:
        host.put(tmp_path / "file", f"{folder}/no such folder/file")
    assert "No such file" in caught.value.cause


@needs_adb
def test_a_copy_that_differs_is_noticed(host, phone, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    tool = phone.install("sha256sum", f"print('{hashlib.sha256(b'x').hexdigest()}  -')")
    with host.folder() as folder, pytest.raises(DeviceError, match="damaged"):
        host.put(tmp_path / "file", f"{folder}/file")
    tool.unlink()


@needs_adb
def test_without_sha256sum_the_size_must_do(host, phone, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    tools = [phone.install("sha256sum", "import sys; sys.exit(127)")]
    with host.folder() as folder:
        host.put(tmp_path / "file", f"{folder}/file")
        tools.append(phone.install("wc", "print(2)"))
        with pytest.raises(DeviceError, match="damaged"):
            host.put(tmp_path / "file", f"{folder}/file")
    for tool in tools:
        tool.unlink()


@needs_adb
def test_a_folder_goes_when_its_user_fails(host, phone):
    def fail():
        assert len(phone.left()) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), host.folder("named"):
        fail()


@needs_adb
def test_a_link_is_no_folder(host, phone, tmp_path):
    link = phone.tmp / "edgekit-link"
    link.symlink_to(tmp_path)
    with pytest.raises(DeviceError, match="no folder to work in"), host.folder("link"):
        pass
    link.unlink()


@needs_adb
def test_the_only_one_attached(phone):
    assert attached() == [Attached(phone.serial, "device", "Stand_In")]
    with open_host("adb:") as host:
        assert host.name == phone.url
    with pytest.raises(DeviceError, match="adb://other is not attached") as caught:
        ADBHost("other").__enter__()
    assert phone.url in caught.value.cause


def test_without_adb(monkeypatch):
    monkeypatch.setenv("PATH", "/no such folder")
    with pytest.raises(MissingToolError) as caught:
        ADBHost().__enter__()
    assert caught.value.exit_code == 3
    assert "apt-get install adb" in caught.value.hint


@pytest.fixture
def listed(monkeypatch, tmp_path):
    """Puts an `adb` on the PATH that lists phones."""

    def write(*lines: str, code: int = 0) -> None:
        text = "\n".join(["List of devices attached", *lines, "", ""])
        (tmp_path / "adb").write_text(f"#!/bin/sh\nprintf %s {shlex.quote(text)}\nexit {code}\n")
        (tmp_path / "adb").chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path))
    return write


PIXEL = "8A1X0ABCD              device usb:1-1 product:blueline model:Pixel_3 transport_id:1"
OLD = "emulator-5554          offline transport_id:2"
NEW = "R58M12ABCDE            unauthorized usb:1-2 transport_id:3"
BARE = "012345                 no permissions (user in plugdev group; ...); see"


def test_the_list_of_phones(listed):
    listed("* daemon started successfully", PIXEL, OLD, NEW, BARE)
    assert attached() == [
        Attached("8A1X0ABCD", "device", "Pixel_3"),
        Attached("emulator-5554", "offline", None),
        Attached("R58M12ABCDE", "unauthorized", None),
        Attached("012345", "no permissions", None),
    ]
    listed()
    assert attached() == []


@pytest.mark.parametrize(
    ("lines", "serial", "words"),
    [
        ([], None, ["no phone is attached", "USB debugging"]),
        ([], "10.0.0.2:5555", ["10.0.0.2:5555 is not attached", "`adb connect 10.0.0.2:5555`"]),
        ([PIXEL, OLD], None, ["several phones", "adb://8A1X0ABCD (Pixel_3)", "adb://SERIAL"]),
        ([NEW], None, ["R58M12ABCDE cannot be used", "'unauthorized'", "the phone's screen"]),
        ([PIXEL, OLD], "emulator-5554", ["cannot be used", "'offline'", "plug it in again"]),
        ([BARE], None, ["cannot be used", "'no permissions'", "udev"]),
        (["X    recovery"], None, ["cannot be used", "'recovery'"]),
    ],
)
def test_phones_that_cannot_be_used(listed, lines, serial, words):
    listed(*lines)
    with pytest.raises(DeviceError) as caught:
        ADBHost(serial).__enter__()
    assert caught.value.exit_code == 4
    assert [word for word in words if word not in str(caught.value)] == []


def test_adb_does_not_answer(listed, tmp_path, monkeypatch):
    listed(code=1)
    with pytest.raises(DeviceError, match="names no phones"):
        attached()
    monkeypatch.setattr(adb, "START_S", 0.2)
    (tmp_path / "adb").write_text("#!/bin/sh\nexec /bin/sleep 20\n")
    with pytest.raises(DeviceError) as caught:
        attached()
    assert "in time" in caught.value.cause
