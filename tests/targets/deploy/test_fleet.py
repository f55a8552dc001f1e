"""A model on many devices: the first few decide, and nothing is done twice."""

from __future__ import annotations

import json
import threading
import time

import device
import pytest
from prerequisites import skip_without
from tiny_tflite import TinyModel

from edgekit.cli import run
from edgekit.errors import DeviceError, EdgekitError, UsageError
from edgekit.targets.deploy.fleet import (
    AT_ONCE,
    DONE,
    EARLIER,
    FAILED,
    WAITING,
    RollOut,
    read_devices,
    roll_out,
)
from edgekit.targets.deploy.record import Deployed

URLS = tuple(f"ssh://pi@board{k}" for k in range(12))


class Boards:
    """What deploys to boards, some of them broken; keeps who was asked, and how many at once."""

    def __init__(self, **broken: EdgekitError) -> None:
        self.broken, self.asked = broken, []
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, url: str) -> Deployed:
        with self.lock:
            self.asked.append(url)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
        name = url.rpartition("@")[2]
        if name in self.broken:
            raise self.broken[name]
        return Deployed(url, "edgekit", (), "the same answer", None)


def states(outcomes):
    return [one.state for one in outcomes]


def journal(tmp_path, model="m"):
    return RollOut.open(tmp_path / "j.json", model)


def test_all_get_it_the_first_few_before_the_others(tmp_path):
    boards, told = Boards(), []
    found = roll_out(URLS, boards, journal(tmp_path), told.append, first=3)
    assert states(found) == [DONE] * len(URLS)
    assert boards.asked[:3] == list(URLS[:3])
    assert 1 < boards.most <= AT_ONCE
    assert len(told) == len(URLS)
    assert found[0].detail == "the same answer"


@pytest.mark.parametrize("broken", [0, 1])
def test_where_one_of_the_first_fails_the_others_are_left_alone(tmp_path, broken):
    error = EdgekitError("it answers otherwise", cause="0.3 points apart")
    boards = Boards(**{f"board{broken}": error})
    found = roll_out(URLS, boards, journal(tmp_path), lambda one: None)
    assert states(found)[broken] == FAILED
    assert states(found)[2:] == [WAITING] * (len(URLS) - 2)
    assert found[broken].detail == "it answers otherwise: 0.3 points apart"
    assert len(boards.asked) == broken + 1


def test_one_of_the_others_that_fails_stops_nobody_and_is_tried_again(tmp_path):
    boards = Boards(board7=DeviceError("it is not there"))
    found = roll_out(URLS, boards, journal(tmp_path), lambda one: None)
    assert [k for k, one in enumerate(found) if one.state != DONE] == [7]
    assert found[7].exit_code == 4
    again = Boards()
    found = roll_out(URLS, again, journal(tmp_path), lambda one: None)
    assert again.asked == [URLS[7]]
    assert states(found) == [EARLIER] * 7 + [DONE] + [EARLIER] * 4


def test_another_model_goes_everywhere_again(tmp_path):
    roll_out(URLS[:3], Boards(), journal(tmp_path), lambda one: None)
    boards = Boards()
    roll_out(URLS[:3], boards, journal(tmp_path, "other"), lambda one: None)
    assert len(boards.asked) == 3
    (tmp_path / "j.json").write_text("{")
    assert journal(tmp_path).done == {}


def test_an_interrupt_keeps_what_is_done(tmp_path):
    def stop(outcome):
        if outcome.url == URLS[1]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        roll_out(URLS, Boards(), journal(tmp_path), stop)
    assert set(journal(tmp_path).done) == set(URLS[:2])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no device"),
        ("# only words\n\n", "names no device"),
        ("ssh://pi@a\nsomewhere\n", "line 2: 'somewhere' is no device"),
        ("ssh://pi@a\nssh://pi@a # again\n", "line 2: ssh://pi@a is there twice"),
        ("adb:\n", "line 1: adb: is a phone"),
    ],
)
def test_a_list_that_cannot_be_used_is_said(tmp_path, text, says):
    path = tmp_path / "devices.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        read_devices(path)


def test_a_list_has_comments_and_empty_lines(tmp_path):
    path = tmp_path / "devices.txt"
    path.write_text("# the door\nssh://pi@door  # ours\n\n  ssh://pi@gate:2222\n")
    assert read_devices(path) == ("ssh://pi@door", "ssh://pi@gate:2222")


def test_a_model_is_rolled_out_to_real_servers(tmp_path, monkeypatch, capsys):
    if need := device.missing():
        skip_without(need)
    model, listed = tmp_path / "m.tflite", tmp_path / "devices.txt"
    model.write_bytes(TinyModel().pack())
    with device.serve_device(tmp_path / "device") as server:
        monkeypatch.setenv("HOME", str(server.home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        closed = "ssh://pi@127.0.0.1:9"
        listed.write_text(f"{server.url}\n{closed}\n")
        words = ["deploy", str(model), "--devices", str(listed), "--to", str(tmp_path / "there")]
        assert run([*words, "--first", "1"]) == 4
        shown = capsys.readouterr().out.splitlines()
        assert "deployed" in shown[0]
        assert "failed" in shown[1]
        listed.write_text(f"{server.url}\n")
        assert run([*words, "--json"]) == 0
        (one,) = json.loads(capsys.readouterr().out)["devices"]
        assert one["state"] == EARLIER
        assert list((tmp_path / "there").glob("*.tflite"))
    assert run([*words, "--device", "local:"]) == 2
    assert "exclude each other" in capsys.readouterr().err
