"""Against a real OpenSSH server on this machine."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prerequisites import needs
from ssh_server import SSHD, make_key, serve

from edgekit.errors import DeviceError, UsageError
from edgekit.targets.devices.address import Address, parse_url
from edgekit.targets.devices.hosts import LocalHost, Ran
from edgekit.targets.devices.open import open_host
from edgekit.targets.devices.ssh import SSHHost

NASTY = "a 'b' \"c\" $(touch never) `d`; e\\f.tflite"
needs_sshd = needs("sshd", SSHD is not None)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def server(running, monkeypatch, tmp_path):
    """The server with a copy of its client's HOME, so that a test may change it."""
    home = shutil.copytree(running.home, tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    running.client = home / ".ssh"
    yield running
    assert running.left() == []


@pytest.fixture(params=["local", pytest.param("ssh", marks=needs_sshd)])
def host(request):
    if request.param == "local":
        yield LocalHost()
    else:
        with SSHHost(parse_url(request.getfixturevalue("server").url)) as found:
            yield found


@pytest.mark.parametrize(
    ("url", "address", "login"),
    [
        ("ssh://pi", Address("pi"), "ssh pi"),
        ("ssh://Mendel@Coral.local:2222", Address("Coral.local", "Mendel", 2222), None),
        ("ssh://u@[fe80::1%eth0]:22", Address("fe80::1%eth0", "u", 22), None),
        ("ssh://u@10.0.0.1:22", Address("10.0.0.1", "u", 22), "ssh -p 22 u@10.0.0.1"),
    ],
)
def test_urls(url, address, login):
    assert parse_url(url) == address
    assert str(address) == url
    assert login in (None, address.command)


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("pi@raspberry", "does not begin with ssh://"),
        ("http://pi", "does not begin with ssh://"),
        ("ssh://", "host and port"),
        ("ssh://pi:port", "host and port"),
        ("ssh://-oProxyCommand=x", "host and port"),
        ("ssh://pi/folder", "host and port"),
        ("ssh://a b", "host and port"),
        ("ssh://pi\n", "host and port"),
        ("ssh://pi:0", "no port 0"),
        ("ssh://pi:65536", "no port 65536"),
        ("ssh://me:secret@pi", "password"),
    ],
)
def test_bad_urls(url, cause):
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert cause in caught.value.cause
    assert "secret" not in str(caught.value)
    assert caught.value.hint == "ssh://[user@]host[:port]"


def test_files_come_back_identical_and_the_folder_is_gone(host, tmp_path):
    source, back = tmp_path / NASTY, tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 5000)
    with host.folder() as folder:
        host.put(source, f"{folder}/{NASTY}")
        ran = host.run(["ls"], folder, 20)
        assert ran == Ran(0, NASTY + "\n")
        assert host.get(f"{folder}/{NASTY}", back)
        assert not host.get(f"{folder}/none", tmp_path / "none")
    assert back.read_bytes() == source.read_bytes()
    assert not (tmp_path / "none").exists()
    assert host.run(["test", "-e", folder], "/", 20).code == 1


@pytest.mark.parametrize(
    ("script", "ran"),
    [
        ("import sys; print(sys.argv[1:])", Ran(0, f"{[NASTY, '', '*']}\n")),
        ("import sys; print(1, flush=True); print(2, file=sys.stderr); sys.exit(3)", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", Ran(-11, "")),
        ("print(b'\\xff'.decode('latin1').encode('latin1')); print(input())", None),
    ],
    ids=["arguments", "both streams", "signal", "no input"],
)
def test_programs_run_as_they_would_here(host, script, ran):
    with host.folder() as folder:
        arguments = [sys.executable, "-c", script, NASTY, "", "*"]
        got = host.run(arguments, folder, 20)
        assert got == (LocalHost().run(arguments, "/", 20) if ran is None else ran)


def test_a_program_that_hangs_is_killed_with_its_children(host, tmp_path):
    beat = tmp_path / "beat"
    child = f"while :; do date >> {shlex.quote(str(beat))}; sleep 0.05; done"
    with host.folder() as folder:
        began = time.monotonic()
        ran = host.run(["sh", "-c", f"echo begun; ({child}) & sleep 60"], folder, 0.5)
        assert (ran, time.monotonic() - began < 20) == (Ran(None, "begun\n"), True)
    time.sleep(0.3)
    size = beat.stat().st_size
    time.sleep(0.3)
    assert beat.stat().st_size == size > 0


def test_which(host):
    assert host.which("sh").endswith("/sh")
    assert host.which("/bin/sh").endswith("sh")
    assert host.which("no such program") is None
    assert host.which("/etc/passwd") is None


@needs_sshd
def test_a_folder_goes_when_its_user_fails(server):
    def fail():
        assert len(server.left()) == 1
        raise ZeroDivisionError

    with SSHHost(parse_url(server.url)) as host, pytest.raises(ZeroDivisionError), host.folder():
        fail()


@needs_sshd
def test_a_copy_that_differs_is_noticed(server, tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    server.install("sha256sum", "print('0' * 64, 'file')")
    try:
        with (
            SSHHost(parse_url(server.url)) as host,
            host.folder() as folder,
            pytest.raises(DeviceError, match="damaged"),
        ):
            host.put(tmp_path / "file", f"{folder}/file")
    finally:
        (server.bin / "sha256sum").unlink()


@needs_sshd
def test_without_sha256sum_the_size_must_do(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"abc")
    server.install("sha256sum", "import sys; sys.exit(127)")
    try:
        with SSHHost(parse_url(server.url)) as host, host.folder() as folder:
            host.put(tmp_path / "file", f"{folder}/file")

            async def wrong(path):
                return 2

            monkeypatch.setattr(host, "_size", wrong)
            with pytest.raises(DeviceError, match="damaged"):
                host.put(tmp_path / "file", f"{folder}/file")
    finally:
        (server.bin / "sha256sum").unlink()


def refusal(url: str) -> DeviceError:
    """Connects, expecting to be refused."""
    with pytest.raises(DeviceError) as caught, SSHHost(parse_url(url)):
        raise AssertionError("the host let us in")
    assert caught.value.exit_code == 4
    return caught.value


@needs_sshd
@pytest.mark.parametrize("config", ["", "Host *\n StrictHostKeyChecking no\n"])
def test_an_unknown_host_is_refused(server, config):
    (server.client / "known_hosts").unlink()
    (server.client / "config").write_text(config)
    error = refusal(server.url)
    assert "not trusted" in error.message
    assert parse_url(server.url).command in error.hint
    assert "fingerprint" in error.hint
    assert not (server.client / "known_hosts").exists()


@needs_sshd
@pytest.mark.parametrize("value", ["none", "/dev/null"])
def test_a_config_without_known_hosts_trusts_nobody(server, value):
    (server.client / "config").write_text(f"Host *\n UserKnownHostsFile {value}\n")
    assert "not trusted" in refusal(server.url).message


@needs_sshd
def test_a_changed_host_key_is_refused(server, tmp_path):
    make_key(tmp_path / "other")
    public = (tmp_path / "other.pub").read_text()
    (server.client / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {public}")
    assert "not trusted" in refusal(server.url).message


@needs_sshd
def test_a_wrong_key_is_refused_without_a_prompt(server):
    (server.client / "id_ed25519").unlink()
    make_key(server.client / "id_ed25519")
    error = refusal(server.url)
    assert "does not let us in" in error.message
    assert "ssh-copy-id" in error.hint


@pytest.mark.parametrize("where", ["ssh://127.0.0.1:1", "ssh://no-such-host.invalid"])
def test_an_absent_host(where):
    error = refusal(where)
    assert "cannot be reached" in error.message
    assert error.cause


def test_a_host_that_never_answers(monkeypatch):
    import socket

    monkeypatch.setattr("edgekit.targets.devices.ssh.CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = refusal(f"ssh://127.0.0.1:{silent.getsockname()[1]}")
    assert "in time" in error.cause


@needs_sshd
def test_the_config_of_openssh_holds(server):
    """Alias, port, user, key and jump host come from ~/.ssh/config."""
    (server.client / "id_ed25519").rename(server.client / "other key")
    (server.client / "config").write_text(
        f"Host Board gate\n  HostName 127.0.0.1\n  Port {server.port}\n"
        f'  IdentityFile "{server.client}/other key"\n'
        "Host Board\n  ProxyJump gate\n"
    )
    with open_host("ssh://Board") as host:
        assert host.run(["echo", "here"], "/", 20) == Ran(0, "here\n")
        assert len(host._connections) == 2


@needs_sshd
def test_a_jump_host_that_is_not_known_is_refused(server):
    (server.client / "config").write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port {server.port}\n  UserKnownHostsFile none\n"
        "Host 127.0.0.1\n  ProxyJump gate\n"
    )
    assert "ssh://gate is not trusted" in refusal(server.url).message


@needs_sshd
def test_a_jump_host_for_all_does_not_jump_through_itself(server):
    (server.client / "config").write_text(f"Host *\n  ProxyJump 127.0.0.1:{server.port}\n")
    with open_host(server.url) as host:
        assert len(host._connections) == 1


@pytest.mark.slow
@needs_sshd
def test_forty_connections_at_once_to_one_server(server):
    """Beyond ten at a time that have not logged in, the server drops some: a jump host, say."""

    def connect(_):
        with SSHHost(parse_url(server.url)) as host:
            return host.name

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(connect, range(40))) == {server.url}


@needs_sshd
def test_a_connection_that_dies_is_a_device_error(server):
    server.install(
        "kill_connection",
        "# Ends the server's process of this connection, as a network that breaks would.\n"
        "import os, pathlib, time\n"
        "assert pathlib.Path(f'/proc/{os.getppid()}/comm').read_text().startswith('sshd')\n"
        "os.kill(os.getppid(), 9)\n"
        "time.sleep(3)\n",
    )
    with pytest.raises(DeviceError) as caught, SSHHost(parse_url(server.url)) as host:  # noqa: SIM117
        with host.folder() as folder:
            host.run([host.which("kill_connection")], folder, 20)
    assert "broke off" in caught.value.message
    assert f"{folder} may be left there" in caught.value.hint
    (left,) = server.tmp.iterdir()
    shutil.rmtree(left)


@needs_sshd
def test_ctrl_c_ends_what_runs_there(server, tmp_path):
    beat = tmp_path / "beat"
    loop = f"while :; do date >> {shlex.quote(str(beat))}; sleep 0.05; done"
    # A shell starts what runs in the background with Ctrl-C ignored: a terminal does not.
    program = f"""
import signal
from edgekit.targets.devices.address import parse_url
from edgekit.targets.devices.ssh import SSHHost
signal.signal(signal.SIGINT, signal.default_int_handler)
with SSHHost(parse_url({server.url!r})) as host, host.folder() as folder:
    host.run(["sh", "-c", {loop!r}], folder, 20)
"""
    client = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    while not beat.exists():
        assert client.poll() is None
        time.sleep(0.05)
    client.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in client.communicate(timeout=20)[1]
    time.sleep(0.3)
    size = beat.stat().st_size
    time.sleep(0.3)
    assert beat.stat().st_size == size > 0


def test_no_event_loop_is_needed_or_left():
    with open_host(None) as host:
        assert isinstance(host, LocalHost)
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
