"""Toolchains are installed by the real pip, from a real index on the loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from wheels import make_wheel

from edgekit.errors import EdgekitError, MissingToolError
from edgekit.targets.toolchains import toolchain as toolchain_module
from edgekit.targets.toolchains.install import describe, install, remove, unused
from edgekit.targets.toolchains.status import status
from edgekit.targets.toolchains.toolchain import MARKER, Program, partial

INSTALL = """
import json, sys
from pathlib import Path
from edgekit.targets.toolchains.install import install
from edgekit.targets.toolchains.toolchain import Toolchain
requirements = Path(sys.argv[1])
install(Toolchain("carver", "The carver", "carver", ("carver",), "MIT", requirements))
"""


def wait_for(condition, seconds=20.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def running(words: str) -> list[str]:
    """Processes whose command line has these words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if words in text and place.parent.name != str(os.getpid()):
            found.append(text)
    return found


def test_an_environment_is_made_and_works(carver, index):
    toolchain, told, shown = carver(download_mb=3, note="not to be passed on"), [], []
    assert not toolchain.is_installed
    assert status(toolchain).state == "no"
    folder = install(toolchain, progress=lambda *given: shown.append(given), note=told.append)
    assert folder == toolchain.folder
    assert (toolchain.is_ready, toolchain.version) == (True, "1.5")
    marker = json.loads((folder / MARKER).read_text("utf-8"))
    assert marker["requirements_sha256"] == toolchain.digest
    assert 1 << 18 < marker["bytes"] < 1 << 21
    said = subprocess.run([folder / "bin/carve"], capture_output=True, text=True, check=True)
    assert said.stdout == "carved 7\n"
    text = "\n".join(told)
    assert "MIT" in text
    assert "not to be passed on" in text
    assert "about 3.0 MB in 3 packages" in text
    assert shown[0][:3] == ("fetch", 0, 3)
    assert {given[0] for given in shown} >= {"fetch", "install"}
    assert not partial(folder).exists()
    assert sorted(index.sent) == sorted(path.name for path in index.folder.glob("*.whl"))
    # Again: nothing is fetched, and nothing is made.
    before = (folder / MARKER).stat().st_mtime_ns
    assert install(toolchain) == folder
    assert (len(index.begun), (folder / MARKER).stat().st_mtime_ns) == (3, before)
    assert status(toolchain, imported=True).state == "own"
    # What has been broken since is seen.
    next(folder.glob("lib/*/site-packages/helper.py")).unlink()
    broken = status(toolchain, imported=True)
    assert (broken.state, broken.why) == (
        "broken",
        "carver cannot be imported: ModuleNotFoundError: No module named 'helper'",
    )
    assert broken.command == "edgekit toolchain remove carver && edgekit toolchain install carver"
    assert remove("carver") > 1 << 18
    assert not folder.exists()
    assert remove("carver") is None
    assert unused([]) == []


def test_killed_in_the_middle_it_goes_on_where_it_was(carver, index, wheels):
    toolchain = carver()
    index.held = {wheels[0].name}
    first = subprocess.Popen(
        [sys.executable, "-c", INSTALL, str(toolchain.requirements)], start_new_session=True
    )
    kept = partial(toolchain.folder) / "wheels"
    wait_for(lambda: wheels[0].name in index.begun and len(list(kept.glob("*.whl"))) == 2)
    os.killpg(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert not toolchain.folder.exists()
    assert status(toolchain).state == "unfinished"
    wait_for(lambda: not running(str(kept.parent)))  # pip does not outlive it
    index.begun.clear()
    index.release.set()
    install(toolchain)
    assert toolchain.is_ready
    assert index.begun == [wheels[0].name]


@pytest.mark.slow
def test_an_environment_that_was_begun_is_made_new(carver):
    toolchain = carver()
    (toolchain.folder / "lib").mkdir(parents=True)
    (toolchain.folder / "lib/half").write_text("written before the power went")
    assert status(toolchain).state == "unfinished"
    install(toolchain)
    assert toolchain.is_ready
    assert not (toolchain.folder / "lib/half").exists()


def test_without_a_network_what_has_arrived_is_kept(carver, index, wheels, monkeypatch):
    toolchain = carver()
    kept = partial(toolchain.folder) / "wheels"
    kept.mkdir(parents=True)
    (kept / wheels[1].name).write_bytes(wheels[1].read_bytes())
    index.close()
    with pytest.raises(EdgekitError, match="the package index does not answer") as caught:
        install(toolchain)
    assert "refused" in caught.value.cause
    assert "1 of 3 packages have arrived and are kept" in caught.value.hint
    assert "pip config list" in caught.value.hint
    assert [path.name for path in kept.iterdir()] == [wheels[1].name]
    assert not toolchain.folder.exists()
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    with pytest.raises(EdgekitError, match="cannot fetch") as caught:
        install(toolchain)
    assert "EDGEKIT_OFFLINE" in caught.value.cause


def test_a_wrong_hash_names_the_package_and_leaves_nothing(carver):
    toolchain = carver(wrong="help_er")
    with pytest.raises(EdgekitError, match=r"what arrived as help-er 2\.0 is another file"):
        install(toolchain)
    assert not toolchain.folder.exists()
    assert not list(partial(toolchain.folder).glob("wheels/help_er*"))


@pytest.mark.slow
def test_a_damaged_wheel_is_fetched_again(carver, index, wheels):
    toolchain = carver()
    kept = partial(toolchain.folder) / "wheels"
    kept.mkdir(parents=True)
    for wheel in wheels:
        (kept / wheel.name).write_bytes(wheel.read_bytes())
    (kept / wheels[1].name).write_bytes(b"half")
    install(toolchain)
    assert (toolchain.is_ready, index.begun) == (True, [wheels[1].name])


def test_what_no_index_has_is_named(carver, wheels, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    absent = make_wheel(elsewhere, "absent", "3.1", {"absent.py": ""})
    with pytest.raises(EdgekitError, match=r"the package index has no absent 3\.1") as caught:
        install(carver(chosen=[absent]))
    assert "there is no wheel for Python" in caught.value.cause


def test_a_missing_program_is_said_before_anything_is_fetched(carver, index):
    program = Program("no-such-program", "apt-get install no-such-program")
    toolchain = carver(programs=(program,))
    assert any("apt-get install no-such-program" in line for line in describe(toolchain))
    with pytest.raises(MissingToolError, match="needs the program no-such-program") as caught:
        install(toolchain)
    assert caught.value.hint == program.hint
    assert index.begun == []


@pytest.mark.slow
def test_a_module_that_cannot_be_imported_leaves_it_not_ready(carver, index):
    toolchain = carver(modules=("carver", "third"))
    with pytest.raises(EdgekitError, match="the module third cannot be imported") as caught:
        install(toolchain)
    assert caught.value.cause == "OSError: no libthird.so.3"
    assert not toolchain.is_ready
    assert len(index.begun) == 3
    install(carver())  # nothing is fetched for the next attempt
    assert len(index.begun) == 3


@pytest.mark.slow
def test_two_installations_do_not_meet(carver, index, wheels):
    toolchain = carver()
    index.held = {wheels[0].name}
    shown: list[str] = []
    failures: list[BaseException] = []

    def work(**given):
        try:
            install(toolchain, **given)
        except BaseException as error:
            failures.append(error)

    first = threading.Thread(target=work)
    first.start()
    wait_for(lambda: wheels[0].name in index.begun)
    second = threading.Thread(
        target=work, kwargs={"progress": lambda task, *rest: shown.append(task)}
    )
    second.start()
    wait_for(lambda: shown)
    index.release.set()
    first.join()
    second.join()
    assert failures == []
    assert "wait for another" in shown[0]
    assert len(index.begun) == 3


@pytest.mark.slow
def test_an_outdated_one_is_replaced_when_all_has_arrived(carver, index, wheels, tmp_path):
    old = carver()
    install(old)
    folder = tmp_path / "newer"
    folder.mkdir()
    newer = make_wheel(folder, "helper", "3.0", {"helper.py": "VALUE = 8\n"})
    new = carver(chosen=[wheels[0], newer])
    assert not new.is_ready
    assert status(new).state == "outdated"
    assert new.missing().cause == "its environment is of another version of edgekit"
    with pytest.raises(EdgekitError, match=r"has no helper 3\.0"):
        install(new)
    assert (new.folder / MARKER).exists()
    (index.folder / newer.name).write_bytes(newer.read_bytes())
    try:
        install(new)
    finally:
        (index.folder / newer.name).unlink()
    assert new.is_ready
    assert not list(new.folder.glob("lib/*/site-packages/third.py"))


def test_packages_of_ours_are_lent(carver, monkeypatch, index):
    toolchain = carver(borrows=("jinja2",), modules=("carver", "jinja2", "markupsafe"))
    install(toolchain)
    borrowed = json.loads((toolchain.folder / MARKER).read_text("utf-8"))["borrowed"]
    assert sorted(borrowed) == ["jinja2", "markupsafe"]
    assert (toolchain.folder / "borrowed/jinja2").is_symlink()
    code = "import jinja2, importlib.metadata as m; print(jinja2.__file__, m.version('Jinja2'))"
    said = subprocess.run(
        [toolchain.python, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert str(toolchain.folder) in said.stdout
    assert said.stdout.endswith(f" {borrowed['jinja2']}\n")
    # Another version of ours: the environment is made of it anew, and nothing is fetched.
    real = toolchain_module.installed
    fake = {"jinja2": "99.0"}
    with monkeypatch.context() as patch:
        patch.setattr(toolchain_module, "installed", lambda name: fake.get(name) or real(name))
        assert not toolchain.is_ready
        assert toolchain.missing().cause == (
            f"it was made with jinja2 {borrowed['jinja2']}, and edgekit has 99.0"
        )
    place = toolchain.folder / "borrowed/jinja2"
    place.unlink()
    place.symlink_to("/nowhere")
    assert status(toolchain).why == "what it borrows has moved"
    index.close()
    install(toolchain)
    assert toolchain.is_ready
    assert place.exists()


@pytest.mark.slow
def test_where_links_are_not_allowed_copies_are_made(carver, monkeypatch):
    def refuse(self, target, target_is_directory=False):
        raise OSError("a required privilege is not held by the client")

    toolchain = carver(borrows=("markupsafe",), modules=("markupsafe",))
    monkeypatch.setattr(Path, "symlink_to", refuse)
    install(toolchain)
    assert (toolchain.folder / "borrowed/markupsafe/__init__.py").exists()
    assert not (toolchain.folder / "borrowed/markupsafe").is_symlink()
