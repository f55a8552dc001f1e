"""Labels that no later file can hold are refused where photos are found, whatever names them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.cli import run
from edgekit.data.class_names import canonical
from edgekit.data.splits import Splits, fingerprint, load_splits
from edgekit.errors import UsageError

NFC, NFD = "caf\xe9", "cafe\u0301"


def photo(content: int) -> bytes:
    """A small photo whose bytes differ for each ``content``."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (content % 256, content // 256, 99)).save(buffer, "PNG")
    return buffer.getvalue()


def in_folders(root: Path, labels: tuple[str, ...], first: int = 0) -> Path:
    for k, label in enumerate(labels):
        (root / label).mkdir(parents=True)
        for i in range(15):
            (root / label / f"{i}.png").write_bytes(photo(first + 100 * k + i))
    return root


def in_list(root: Path, labels: tuple[str, ...]) -> Path:
    in_folders(root, labels)
    lines = [str(path.relative_to(root)) for path in sorted(root.glob("*/*.png"))]
    (root / "all.txt").write_text("\n".join(lines), encoding="utf-8")
    return root / "all.txt"


def in_shard(root: Path, labels: tuple[str, ...], kind: str = "cls") -> Path:
    root.mkdir()
    with tarfile.open(root / "x.tar", "w") as tar:
        for k, label in enumerate(labels):
            for i in range(15):
                text = label if kind == "cls" else json.dumps({"label": label})
                for name, data in (("png", photo(100 * k + i)), (kind, text.encode())):
                    entry = tarfile.TarInfo(f"{k}-{i}.{name}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
    return root / "x.tar"


def in_json(root: Path, labels: tuple[str, ...]) -> Path:
    return in_shard(root, labels, "json")


Source = Callable[[Path, tuple[str, ...]], Path]
SOURCES = [in_folders, in_list, in_shard, in_json]
every_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)

BAD = {
    "line feed": ("a\nb", r"'a\\nb': it holds a line break \(U\+000A\)"),
    "carriage return": ("a\rb", r"line break \(U\+000D\)"),
    "vertical tab": ("a\vb", r"line break \(U\+000B\)"),
    "form feed": ("a\fb", r"line break \(U\+000C\)"),
    "separator of files": ("a\x1cb", r"line break \(U\+001C\)"),
    "next line": ("a\x85b", r"line break \(U\+0085\)"),
    "line separator": ("a\u2028b", r"line separator \(U\+2028\)"),
    "paragraph separator": ("a\u2029b", r"paragraph separator \(U\+2029\)"),
    "tab": ("a\tb", r"control character \(U\+0009\)"),
    "bell": ("a\x07b", r"control character \(U\+0007\)"),
    "delete": ("a\x7fb", r"control character \(U\+007F\)"),
    "no character": ("a\uffffb", r"no character \(U\+FFFF\)"),
    "no-break space": ("\xa0", "nothing of it can be seen"),
    "zero-width space": ("\u200b", "nothing of it can be seen"),
}
# A list has a name a line, and blanks around a line are not of it; nor are those of a `cls` file.
NOT_IN = {
    in_list: ("line feed", "carriage return"),
    in_shard: ("no-break space",),
    in_json: ("no-break space",),
}


@every_source
@pytest.mark.parametrize("case", BAD)
def test_what_no_file_of_labels_can_hold_is_refused(
    tmp_path: Path, source: Source, case: str
) -> None:
    if case in NOT_IN.get(source, ()):
        pytest.skip("cannot be said there")
    label, message = BAD[case]
    data = source(tmp_path / "data", ("good", label))
    with pytest.raises(UsageError, match=message) as caught:
        load_splits(data, None, None)
    assert caught.value.exit_code == 2
    assert "rename the folder" in (caught.value.hint or "")
    assert not any(c in str(caught.value) for c in "\x85\u2028\u2029\x07\x7f\t")


def test_a_name_of_a_blank_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="' ': nothing of it can be seen"):
        load_splits(in_folders(tmp_path, (" ", "b")), None, None)


def test_the_key_of_a_run_refuses_them_too(tmp_path: Path) -> None:
    """Otherwise a data stage that an earlier release finished would be taken."""
    with pytest.raises(UsageError, match="U\\+2028"):
        fingerprint(in_folders(tmp_path, ("a\u2028b", "b")), None, None)


@pytest.mark.parametrize("command", ["train", "build"])
def test_nothing_is_made_before_they_are_refused(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = in_folders(tmp_path / "data", ("a\x85b", "b"))
    out = tmp_path / "out"
    assert run([command, "b0", "--data", str(data), "--weights", "none", "--out", str(out)]) == 2
    assert "U+0085" in capsys.readouterr().err
    assert not (out / "labels.txt").exists()


@every_source
def test_both_forms_of_a_name_are_one_class(tmp_path: Path, source: Source) -> None:
    splits = load_splits(source(tmp_path / "data", (NFD, "bar", NFC)), None, None)
    assert splits.labels == ("bar", NFC)
    counts = np.bincount(np.concatenate([splits.train.labels, splits.val.labels]))
    assert counts.tolist() == [15, 30]
    (warning,) = [line for line in splits.warnings if "2 ways" in line]
    assert r"'cafe\u0301' (15 photos) and 'caf\xe9' (15 photos)" in warning
    again = Splits.from_dict(json.loads(json.dumps(splits.to_dict())))
    assert again.val.load(0).size == (8, 8)


@every_source
@pytest.mark.parametrize("forms", [(NFC, NFD), (NFD, NFC)])
def test_the_sets_may_have_different_forms(
    tmp_path: Path, source: Source, forms: tuple[str, str]
) -> None:
    data = source(tmp_path / "data", (forms[0], "bar"))
    val = in_folders(tmp_path / "val", ("bar", forms[1]), first=1000)
    splits = load_splits(data, val, in_folders(tmp_path / "more", ("bar", forms[1]), first=2000))
    assert splits.labels == ("bar", NFC)
    assert splits.val.labels.tolist() == [0] * 15 + [1] * 15
    assert splits.calibration.labels.tolist() == [0] * 15 + [1] * 15


def test_blanks_around_a_name_are_none_of_it(tmp_path: Path) -> None:
    splits = load_splits(in_folders(tmp_path, ("cat", "cat ", "dog")), None, None)
    assert splits.labels == ("cat", "dog")
    assert any("'cat' (15 photos) and 'cat ' (15 photos)" in line for line in splits.warnings)


@pytest.mark.parametrize(
    "pair", [("Cat", "cat"), ("a b", "a_b"), ("cat", "c\u200bat"), ("\ufb01n", "fin")]
)
def test_names_that_look_alike_stay_apart_and_are_said(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    splits = load_splits(in_folders(tmp_path, (*pair, "zebra")), None, None)
    assert len(splits.labels) == 3
    assert any("look almost alike" in line for line in splits.warnings)


@pytest.mark.parametrize("label", ["chien-loup", "#1", "n01440764", "犬", "🐕", "a, b & <c>", "0"])
def test_other_names_are_taken_as_they_are(tmp_path: Path, label: str) -> None:
    splits = load_splits(in_folders(tmp_path, (label, "zebra")), None, None)
    assert set(splits.labels) == {label, "zebra"}
    assert not any("alike" in line or "ways" in line for line in splits.warnings)


def test_photos_for_calibration_may_have_any_class(tmp_path: Path) -> None:
    data = in_folders(tmp_path / "data", ("a", "b"))
    odd = in_folders(tmp_path / "odd", ("x\ny", "z"))
    (odd / "z" / "0.png").write_bytes(photo(9999))
    assert len(load_splits(data, None, odd).calibration)


@pytest.mark.parametrize("label", ["a", NFC, "🐕 dog", "a\u200db"])
def test_what_is_taken_is_one_line_wherever_it_is_written(label: str) -> None:
    assert canonical(label).splitlines() == [canonical(label)]
