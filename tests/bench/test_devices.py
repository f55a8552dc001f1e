from __future__ import annotations

import json
import os
import sys

import foreign_files
import numpy as np
import pytest
from described import embed
from foreign_files import FOREIGN, depth
from PIL import Image
from tiny_tflite import CLASSES, SIZE, TinyModel, float_io

from edgekit.bench import devices as bench_devices
from edgekit.bench.devices import compare
from edgekit.data.boxes.anchors import Anchors
from edgekit.data.boxes.boxes import make_boxes
from edgekit.data.normalization import Normalization
from edgekit.data.preprocessing import Preprocessing
from edgekit.data.test_image import draw
from edgekit.errors import DeviceError, UsageError
from edgekit.report.document import Timing
from edgekit.runtimes.litert import LiteRT
from edgekit.system.console import NullConsole
from edgekit.system.hashing import file_hash
from edgekit.targets.devices.open import check_url
from edgekit.targets.measure import device as measuring
from edgekit.targets.measure.method import choose_method
from edgekit.targets.measure.photos import Photos, load_photos, make_job
from edgekit.tasks.detection.truth import Truth
from edgekit.tasks.registry import find_task

# Their order is that of their bytes, not the one that a person would give.
HOSTILE = ["$(touch never)", "A 'b' \"c\"", "a\nb; rm -rf ~", "ü, 日本", os.fsdecode(b"\xff\xfe")]
DEAD = "ssh://127.0.0.1:1"
OUTPUTS = np.array([[9, 1, 0], [1, 9, 0], [0, 0, 9], [5, 4, 0]], np.uint8)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Journals in a folder of the test."""
    monkeypatch.setattr(measuring, "user_cache_path", lambda name: tmp_path / name)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tiny $(touch never) 'ü'.tflite"
    path.write_bytes(TinyModel().pack())
    return path


def photos_in(root, names, each=1):
    """Folders of plain photos; the k-th photo of all is grey 10·k."""
    k = 0
    for name in names:
        (root / name).mkdir(parents=True)
        for number in range(each):
            color = (10 * k,) * 3
            Image.new("RGB", (SIZE + 3, SIZE), color).save(root / name / f"{number}.png")
            k += 1
    return root


def greys(photos):
    return [int(pixels[0, 0, 0]) for pixels in photos.pixels]


@pytest.mark.parametrize(
    ("outputs", "truth", "reference", "expected"),
    [
        (OUTPUTS, None, None, (None, None, None, None)),
        (OUTPUTS, [0, 1, 2, 0], None, (1.0, None, None, None)),
        (OUTPUTS, [0, 1, 2, 1], None, (0.75, None, None, None)),
        (OUTPUTS, [1, 0, 0, 1], OUTPUTS, (0.0, 1.0, 0, 0.0)),
        # One photo off by two steps in both directions, and with another answer.
        (OUTPUTS, None, OUTPUTS + np.uint8([[0] * 3] * 3 + [[0, 2, 0]]), (None, 0.75, 1, 2.0)),
        # uint8 does not wrap round: 9 and 0 are 9 apart, either way.
        (OUTPUTS, None, OUTPUTS[::-1], (None, 0.5, 4, 9.0)),
        (np.uint8([[0, 255]]), None, np.uint8([[255, 0]]), (None, 0.0, 1, 255.0)),
        (np.int8([[-128, 127]]), [1], np.int8([[127, -128]]), (1.0, 0.0, 1, 255.0)),
        (np.float32([[0.5, 1]]), [0], np.float32([[0.25, 1]]), (0.0, 1.0, 1, 0.25)),
        # Of answers that tie the first counts.
        (np.uint8([[7, 7]]), [0], np.uint8([[7, 7]]), (1.0, 1.0, 0, 0.0)),
    ],
)
def test_compare(outputs, truth, reference, expected):
    truth = None if truth is None else np.array(truth)
    found = compare("xnnpack", outputs, truth, reference)
    names = ("top1", "agreement", "differing", "largest_difference")
    assert tuple(found[name] for name in names) == expected
    assert (found["delegate"], found["n"]) == ("xnnpack", len(outputs))
    json.dumps(found, allow_nan=False)


def test_without_data_it_is_the_test_picture(path):
    photos = load_photos(path, None, None)
    assert photos.source == "test picture"
    assert photos.truth is None
    np.testing.assert_array_equal(photos.pixels, draw(SIZE)[None])


def test_folders_are_the_classes_whatever_they_are_called(path, tmp_path):
    data, seen = photos_in(tmp_path / "data 'x'", HOSTILE, each=2), []
    photos = load_photos(path, data, None, lambda *n: seen.append(n))
    assert photos.source == str(data)
    assert photos.pixels.shape == (10, SIZE, SIZE, 3)
    assert sorted(greys(photos)) == [10 * k for k in range(10)]
    assert sorted(photos.truth.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    of_class = dict(zip(greys(photos), photos.truth.tolist(), strict=True))
    # Non-UTF-8 bytes are spelled out, and so are sorted as "\\xff\\xfe".
    order = sorted(name if name != HOSTILE[4] else "\\xff\\xfe" for name in HOSTILE)
    for k, name in enumerate(HOSTILE):
        place = order.index(name if k < 4 else "\\xff\\xfe")
        assert of_class[20 * k] == of_class[20 * k + 10] == place
    assert seen == [("read photos", k + 1, 10) for k in range(10)]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, [0, 10, 20, 30, 40, 50]),
        (100, [0, 10, 20, 30, 40, 50]),
        (6, [0, 10, 20, 30, 40, 50]),
        (3, [0, 20, 50]),
        (2, [0, 50]),
        (1, [0]),
    ],
)
def test_a_limit_takes_photos_evenly(path, tmp_path, limit, expected):
    data = photos_in(tmp_path / "data", "abc", each=2)
    assert greys(load_photos(path, data, limit)) == expected


def test_folders_that_are_not_as_many_as_the_classes_give_no_truth(path, tmp_path):
    assert load_photos(path, photos_in(tmp_path / "data", "abc"), None).truth is None


@pytest.fixture
def labelled(path):
    """The model with labels in an order of their own."""
    how = Preprocessing(SIZE, (0.0,) * 3, (1.0,) * 3, (), 1.0, "bilinear")
    labels = ["zebra", "ü x", "cat", "dog", "$(touch never)"]
    path.write_bytes(embed(path, name="", description="", labels=labels, preprocessing=how))
    return path


def test_labels_say_which_class_a_folder_is(labelled, tmp_path):
    data = photos_in(tmp_path / "data", ["$(touch never)", "cat", "zebra", "ü x"])
    photos = load_photos(labelled, data, None)
    assert photos.truth.dtype == np.int64
    assert dict(zip(greys(photos), photos.truth, strict=True)) == {0: 4, 10: 2, 20: 0, 30: 1}
    assert load_photos(labelled, data, 1).truth.tolist() == [4]


def test_a_class_that_the_file_does_not_know(labelled, tmp_path):
    data = photos_in(tmp_path / "data", ["cat", "tree; rm"])
    with pytest.raises(UsageError, match="has no class 'tree; rm'") as caught:
        load_photos(labelled, data, None)
    assert caught.value.exit_code == 2
    assert "zebra" in caught.value.cause
    assert caught.value.hint


def test_a_photo_that_cannot_be_read(path, tmp_path):
    data = photos_in(tmp_path / "data", "ab")
    (data / "b" / "0.png").write_bytes(b"no photo")
    with pytest.raises(UsageError, match=r"0\.png cannot be read"):
        load_photos(path, data, None)


def test_a_folder_that_is_not_there(path, tmp_path):
    with pytest.raises(UsageError, match=r"--data .* does not exist"):
        load_photos(path, tmp_path / "missing", None)


def test_a_file_that_is_no_square_classifier(path):
    tiny = TinyModel()
    tiny.tensor("image").shape = [1, SIZE, SIZE + 1, 3]
    path.write_bytes(tiny.pack())
    with pytest.raises(UsageError, match="does not take square photos"):
        load_photos(path, None, None)


@pytest.mark.parametrize(
    "url",
    ["local:", "adb:", "adb://R58M12ABCDE", "adb://10.0.0.7:5555", "ssh://pi", "ssh://u@[::1]:22"],
)
def test_urls(url):
    check_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("CPU", "--openvino-device"),
        ("GPU.1", "--openvino-device"),
        ("cuda:0", "--torch-device"),
        ("", "'' is no device"),
        ("local", "local:"),
        ("local:x", "ssh://"),
        ("pi", "ssh://[user@]host[:port]"),
        ("SSH://pi", "is no device"),
        ("http://pi", "is no device"),
        (os.fsdecode(b"\xff"), "'\\xff' is no device"),
        ("ssh:pi", "it does not begin with ssh://"),
        ("ssh://", "host and port are not to be found"),
        ("ssh://pi:70000", "no port 70000"),
        ("ssh://-oProxyCommand=x", "host and port are not to be found"),
        ("ssh://pi; rm", "host and port are not to be found"),
        ("adb:serial", "no address of a phone"),
        ("adb://-s", "no address of a phone"),
        ("adb://a b", "no address of a phone"),
    ],
)
def test_urls_of_no_device(url, says):
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_a_password_is_not_repeated():
    with pytest.raises(UsageError) as caught:
        check_url("ssh://u:secret@pi")
    assert "secret" not in str(caught.value)


def test_methods(path):
    assert choose_method(None, None).func is measuring.measure
    assert choose_method("/usr/bin/python3", None).keywords == {"python": "/usr/bin/python3"}
    assert choose_method(None, path).keywords == {"binary": path}


@pytest.mark.parametrize(
    ("python", "name", "says"),
    [
        ("python3", "tiny", "exclude each other"),
        (None, "missing", "is no file"),
        (None, ".", "is no file"),
    ],
)
def test_methods_that_are_none(tmp_path, python, name, says):
    with pytest.raises(UsageError, match=says):
        choose_method(python, tmp_path / name)


@pytest.mark.slow  # targets/measure has two devices at once
def test_a_device_that_is_away_does_not_stop_the_others(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # no ~/.ssh
    data = photos_in(tmp_path / "data", "abcde")
    photos = load_photos(path, data, None)
    job = make_job(path, photos, threads=(1,), runs=3, seconds=1.0)
    urls = ["local:", DEAD, "local:"]
    method = choose_method(sys.executable, None)
    document, (problem,) = bench_devices.measure(job, photos, urls, method, NullConsole())

    assert isinstance(problem, DeviceError)
    assert problem.exit_code == 4
    here, dead = document["devices"]  # each device once
    assert (here["device"], dead["device"]) == ("local:", DEAD)
    assert dead == {
        "device": DEAD,
        "how": "",
        "facts": {},
        "timings": [],
        "accuracy": [],
        "error": problem.message,
    }
    assert here["error"] is None
    assert here["facts"]["machine"]
    (timing,) = here["timings"]
    assert (timing["delegate"], timing["threads"], timing["n"]) == ("xnnpack", 1, 3)
    assert 0 < timing["p5"] <= timing["median"] <= timing["p95"]
    assert set(timing) == set(Timing.__annotations__)
    answers = LiteRT(path).run(photos.pixels).argmax(1)
    assert here["accuracy"] == [
        {
            "delegate": "xnnpack",
            "n": 5,
            "top1": float((answers == photos.truth).mean()),
            "agreement": 1.0,
            "differing": 0,
            "largest_difference": 0.0,
        }
    ]
    assert document["n"] == 5
    assert document["photos"] == str(data)
    assert document["sha256"] == file_hash(path)
    assert document["size_bytes"] == path.stat().st_size
    json.dumps(document, allow_nan=False)


def test_devices_are_told_apart_and_compared_with_the_host(path, monkeypatch):
    """Each has the answers of its own, in the order that they were given in."""
    photos = Photos("three", np.zeros((3, SIZE, SIZE, 3), np.uint8), np.array([0, 1, 1]))
    job = make_job(path, photos)
    of = {"local:": [0, 1, 1], "adb:": [0, 1, 2], "ssh://pi": [0, 0, 0]}

    class Here:
        def __init__(self, url):
            self.url = url

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    def method(host, job, progress):
        progress("latency", 1, 2)
        outputs = np.eye(CLASSES, dtype=np.uint8)[of[host.url]]
        return measuring.Measured(measuring.Facts(), host.url, {}, {"xnnpack": outputs})

    monkeypatch.setattr(bench_devices, "open_host", Here)
    monkeypatch.setattr(measuring, "measure", method)
    urls = ["ssh://pi", "adb:", "ssh://pi"]
    document, problems = bench_devices.measure(job, photos, urls, method, NullConsole())
    assert problems == []
    found = [
        (device["how"], accuracy["top1"], accuracy["agreement"], accuracy["differing"])
        for device in document["devices"]
        for accuracy in device["accuracy"]
    ]
    third = pytest.approx(1 / 3)
    assert found == [
        ("local:", 1.0, 1.0, 0),
        ("ssh://pi", third, third, 2),
        ("adb:", pytest.approx(2 / 3), pytest.approx(2 / 3), 1),
    ]


def test_outputs_that_are_no_numbers_are_no_answers():
    outputs = np.array([[np.nan, 0, 0], [0, 0, 1]], np.float32)
    found = bench_devices.compare("gpu", outputs, None, np.array([[1, 0, 0], [0, 0, 1]]))
    assert (found["agreement"], found["differing"], found["largest_difference"]) == (0.5, 1, None)


def test_a_detector_s_answers_are_compared_with_the_record_of_the_photos():
    """Boxes are relative to anchors that only it has."""
    anchors, side = Anchors(), 64
    record = Preprocessing(
        side, (0.0,) * 3, (1.0,) * 3, ("a", "b"), task="detection", fit="stretch", anchors=anchors
    )
    outputs = np.random.default_rng(0).normal(size=(3, anchors.count(side, side), 6))
    kept = find_task("detection").keep(outputs, record)
    truth = np.empty(3, object)
    for photo, (*corners, _, k) in enumerate(kept["detections"][:, 0].tolist()):
        boxes = make_boxes(np.clip(side * np.array([corners]), 0, side), [int(k)])
        truth[photo] = Truth(boxes, record.place((side, side)))
    found = bench_devices.compare(
        "none", outputs, truth, outputs[[0, 1, 1]], task="detection", preprocessing=record
    )
    assert 0.1 < found["ap"] <= 1
    assert 2 / 3 < found["agreement"] < 1
    assert found["differing"] == 1


@pytest.mark.slow  # cli/test_bench_devices measures classifiers
def test_what_is_no_classifier_is_timed_and_has_no_accuracy(tmp_path):
    path = tmp_path / "map.tflite"
    path.write_bytes(depth().pack())
    photos = load_photos(path, photos_in(tmp_path / "data", "abcde"), None)
    assert (photos.truth, photos.task) == (None, "")
    assert photos.note == (
        "map.tflite is no image classifier: its output [1, 4, 4, 1] is no single list of scores"
    )
    job = make_job(path, photos, threads=(1,), runs=1)
    document, problems = bench_devices.measure(
        job, photos, [], choose_method(sys.executable, None), NullConsole()
    )
    (host,) = document["devices"]
    assert problems == []
    assert host["timings"][0]["median"] > 0
    assert (host["accuracy"][0]["top1"], host["accuracy"][0]["agreement"]) == (None, None)
    assert document["note"] == photos.note


def test_a_background_label_is_no_class_of_the_output(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes((FOREIGN / "labels_background_1_more.tflite").read_bytes())
    photos = load_photos(path, photos_in(tmp_path / "data", ["red", "green", "blue"]), None)
    assert dict(zip(greys(photos), photos.truth.tolist(), strict=True)) == {0: 0, 10: 1, 20: 2}
    assert "4 labels for 3 classes" in photos.note


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (foreign_files.labelled(b"a\nb\n"), "no top-1: the file has 2 labels for 5 classes"),
        (foreign_files.labelled(b"{'a': 1}"), "no top-1: the labels cannot be read"),
        (TinyModel().pack(), "no top-1: m.tflite has no labels; 3 folders for 5 classes"),
    ],
)
def test_why_there_is_no_top_1_is_said(tmp_path, data, says):
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    photos = load_photos(path, photos_in(tmp_path / "data", "abc"), None)
    assert photos.truth is None
    assert photos.note.startswith(says)


def test_a_normalization_is_given_for_a_file_that_states_none(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(float_io().pack())
    photos = load_photos(path, None, None)
    with pytest.raises(UsageError, match="how a photo is normalised") as caught:
        make_job(path, photos)
    assert "--mean R,G,B --std R,G,B" in caught.value.hint
    given = Normalization((1.0, 2.0, 3.0), (2.0,) * 3)
    table = make_job(path, photos, normalization=given).table
    assert table[[0, 255]].tolist() == [[-0.5, -1.0, -1.5], [127.0, 126.5, 126.0]]
