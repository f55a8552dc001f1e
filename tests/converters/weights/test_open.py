"""Files of weights that are damaged or mean harm: each is refused with a reason, none hurts."""

import io
import os
import struct
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from state_dicts import to_tensorflow, write_hdf5

from edgekit.converters.weights.keras_applications import NAMES
from edgekit.converters.weights.load import load_weights
from edgekit.converters.weights.open import open_weights
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.spec import SPECS

LIMIT = 2**20
LITE0 = SPECS["lite0"]


def shapes(path):
    with open_weights(path, limit=LIMIT) as file:
        return dict(file.shapes)


def refused(path, match):
    """Loading fails as wrong usage does, and says why."""
    with pytest.raises(UsageError) as caught:
        load_weights(path, LITE0)
    assert match in f"{caught.value.message} {caught.value.cause}"


def keras3(path, name="stem_conv", **dataset):
    """One layer as Keras 3 writes it, its kernel made by ``dataset``."""
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = name
        group.create_dataset("0", **dataset)
    return path


def lite0_keras(path):
    """A whole Lite0 under Keras' names, in a legacy file."""
    graph = build_graph(LITE0, classes=2, resolution=32, seed=1)
    variables = to_tensorflow(graph, NAMES.of(graph))
    return write_hdf5(path, {f"{name}:0": array for name, array in variables.items()})


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"<html>not found</html>",
        bytes(4096),
        b"\x89HDF\r\n\x1a\n" + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02" + bytes(100),
        struct.pack("<Q", 2**60) + b'{"a":1}',
        struct.pack("<Q", 20) + b'{"a": {"dtype": "F32"',
    ],
    ids=["empty", "html", "zeros", "hdf5", "zip", "pickle", "header-2^60", "header-cut"],
)
def test_no_file_of_weights(contents, tmp_path):
    (tmp_path / "w.pth").write_bytes(contents)
    refused(tmp_path / "w.pth", "weights file")


def test_a_missing_file(tmp_path):
    refused(tmp_path / "w.pth", "no weights file")


def write_valid(kind, path):
    match kind:
        case "safetensors":
            save_file({"stem/kernel": np.ones((3, 3, 3, 32), np.float32)}, path)
        case "torch":
            torch.save({"conv_stem.weight": torch.ones(32, 3, 3, 3)}, path)
        case "torch-legacy":
            tensor = {"conv_stem.weight": torch.ones(32, 3, 3, 3)}
            torch.save(tensor, path, _use_new_zipfile_serialization=False)
        case "hdf5":
            keras3(path, data=np.ones((3, 3, 3, 32), np.float32))
        case "keras":
            inner = keras3(path.with_suffix(".inner"), data=np.ones((3, 3, 3, 32), np.float32))
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("config.json", "{}")
                archive.write(inner, "model.weights.h5")
    return path


KINDS = ["safetensors", "torch", "torch-legacy", "hdf5", "keras"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_is_known_by_its_content(kind, tmp_path):
    path = write_valid(kind, tmp_path / "file.of.any.name")
    ((name, shape),) = shapes(path).items()
    assert "stem" in name
    assert sorted(shape) == [3, 3, 3, 32]
    with open_weights(path, limit=LIMIT) as file:
        array = file.read(name)
    assert array.dtype == np.float32
    assert (array == 1).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(kind, share, tmp_path):
    path = write_valid(kind, tmp_path / "w")
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * share)])
    refused(path, "weights file")


class Payload:
    """Touches a file when it is unpickled the unsafe way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_with_a_payload_does_not_run(new, tmp_path):
    torch.save(
        {"model": Payload(tmp_path / "ran")}, tmp_path / "w.pth", _use_new_zipfile_serialization=new
    )
    refused(tmp_path / "w.pth", "holds more than tensors")
    assert not (tmp_path / "ran").exists()


def test_a_torch_file_that_inflates_is_refused(tmp_path):
    torch.save({"a": torch.zeros(4_000_000)}, tmp_path / "w.pth")
    bomb = tmp_path / "bomb.pth"
    deflated = zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(tmp_path / "w.pth") as old, deflated as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    assert bomb.stat().st_size < 100_000
    refused(bomb, "has compressed entries")


def test_a_torch_tensor_of_endless_shape_is_refused_by_its_shape(tmp_path):
    """A stride of zero makes terabytes out of one number."""
    endless = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"conv_stem.weight": endless, "bn1.weight": torch.ones(32)}, tmp_path / "w.pth")
    with pytest.raises(UsageError, match="are not those of lite0") as caught:
        load_weights(tmp_path / "w.pth", LITE0, classes=2)
    assert "'conv_stem.weight' (stem/kernel) has shape [1000000, 1000000]" in caught.value.cause


def test_a_keras_file_that_inflates_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(300 * 2**20))
    assert (tmp_path / "w.keras").stat().st_size < 2**20
    refused(tmp_path / "w.keras", "would inflate to 314,572,800 bytes")


def test_a_keras_file_with_an_endless_configuration_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (70 * 2**20))
        archive.writestr("model.weights.h5", b"")
    refused(tmp_path / "w.keras", "config.json in")


def test_a_compressed_keras_file_of_the_right_size_is_read(tmp_path):
    inner = keras3(tmp_path / "inner", data=np.ones((3, 3, 3, 32), np.float32))
    with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.write(inner, "model.weights.h5")
    assert shapes(tmp_path / "w.keras") == {"stem_conv/kernel": (3, 3, 3, 32)}


def test_an_archive_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("photo.jpg", b"")
    refused(tmp_path / "w.pth", "neither a torch checkpoint nor a .keras file")


def test_an_hdf5_dataset_of_endless_shape_is_refused_by_its_shape(tmp_path):
    path = keras3(tmp_path / "w.h5", shape=(10**6, 10**6), dtype="f4", chunks=(64, 64))
    with pytest.raises(UsageError, match="are not those of lite0") as caught:
        load_weights(path, LITE0, classes=2)
    assert "'stem_conv/kernel' (stem/kernel) has shape [1000000, 1000000]" in caught.value.cause


def test_a_wrong_shape_names_the_tensor(tmp_path):
    path = lite0_keras(tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        del file["top_bn/top_bn/beta:0"]
        file["top_bn"].create_dataset("top_bn/beta:0", data=np.zeros(7, np.float32))
    with pytest.raises(UsageError) as caught:
        load_weights(path, LITE0)
    assert caught.value.cause == "'top_bn/beta' (head/beta) has shape [7], not [1280]"


SHAPE = (3, 3, 3, 32)


def replaced(path, make):
    """Puts another dataset in the place of the stem's kernel."""
    lite0_keras(path)
    with h5py.File(path, "r+") as file:
        del file["stem_conv/stem_conv/kernel:0"]
        make(file["stem_conv/stem_conv"])
    return path


def test_links_to_other_files_are_refused(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["data"] = np.zeros(SHAPE, np.float32)

    def external_link(group):
        group["kernel:0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "data")

    def soft_link(group):
        group["kernel:0"] = h5py.SoftLink("/predictions")

    def virtual(group):
        layout = h5py.VirtualLayout(SHAPE, "f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "data", SHAPE)
        group.create_virtual_dataset("kernel:0", layout)

    def external_storage(group):
        (tmp_path / "raw").write_bytes(bytes(3456))
        group.create_dataset("kernel:0", SHAPE, "f4", external=[(str(tmp_path / "raw"), 0, 3456)])

    for make, match in (
        (external_link, "is a link to elsewhere"),
        (soft_link, "is a link to elsewhere"),
        (virtual, "lies in another file"),
        (external_storage, "lies in another file"),
    ):
        refused(replaced(tmp_path / "w.h5", make), match)


def test_a_dataset_that_was_never_written_is_refused(tmp_path):
    path = replaced(tmp_path / "w.h5", lambda group: group.create_dataset("kernel:0", SHAPE, "f4"))
    refused(path, "was never written")


def test_chunks_larger_than_their_dataset_are_refused(tmp_path):
    def make(group):
        huge = (512, 512, 3, 32)
        data = group.create_dataset(
            "kernel:0", SHAPE, "f4", maxshape=(None,) * 4, chunks=huge, compression="gzip"
        )
        data[:] = 1

    refused(replaced(tmp_path / "w.h5", make), "declares chunks of")


def test_text_in_the_place_of_numbers_is_refused(tmp_path):
    def make(group):
        group.create_dataset("kernel:0", data=np.full(SHAPE, b"text"))

    refused(replaced(tmp_path / "w.h5", make), "not numbers")


def test_groups_in_a_circle_end(tmp_path):
    path = lite0_keras(tmp_path / "w.h5")
    with h5py.File(path, "r+") as file:
        file["stem_conv/again"] = file["stem_conv"]
    assert "stem_conv/kernel" in shapes(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_numbers_are_refused(value, tmp_path):
    def make(group):
        group["kernel:0"] = np.full(SHAPE, value, np.float32)

    refused(replaced(tmp_path / "w.h5", make), "holds NaN or infinity in stem_conv/kernel")


def test_an_endless_name_is_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w", libver="latest") as file:
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = np.full(200_000, b"stem_conv")
        group["0"] = np.zeros(SHAPE, np.float32)
    refused(tmp_path / "w.h5", "the attribute 'name' declares 1,800,000 bytes")


def test_two_layers_of_one_name_are_refused(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for auto in ("conv2d", "conv2d_1"):
            group = file.create_group(f"layers/{auto}/vars")
            group.attrs["name"] = "stem_conv"
            group["0"] = np.zeros(SHAPE, np.float32)
    refused(tmp_path / "w.h5", "two layers in")


def test_safetensors_whose_header_lies(tmp_path):
    """Offsets beyond the file, and tensors on top of each other."""
    for offsets in ([0, 4 * 10**12], [4, 8]):
        entry = {"dtype": "F32", "shape": [(offsets[1] - offsets[0]) // 4], "data_offsets": offsets}
        header = str({"stem/kernel": entry}).replace("'", '"').encode()
        buffer = io.BytesIO()
        buffer.write(struct.pack("<Q", len(header)) + header + bytes(8))
        (tmp_path / "w.safetensors").write_bytes(buffer.getvalue())
        refused(tmp_path / "w.safetensors", "cannot read the weights file")


def test_what_keras_keeps_beside_the_weights_is_known(tmp_path):
    path = keras3(tmp_path / "w.h5", data=np.zeros(3, np.float32))
    with h5py.File(path, "r+") as file:
        file["optimizer/vars/0"] = np.zeros(3, np.float32)
        file["layers/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        file["layers/dropout_1/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        file["elsewhere"] = np.zeros(2, np.float32)
    assert shapes(path) == {"stem_conv/kernel": (3,), "/elsewhere": (2,)}


def test_bfloat16_in_hdf5(tmp_path):
    """Keras writes it as two opaque bytes."""
    values = np.array([1.5, -2.0, 0.0], np.float32)
    halves = (values.view(np.uint32) >> 16).astype(np.uint16)
    path = keras3(tmp_path / "w.h5", data=halves.view("V2"))
    with open_weights(path, limit=LIMIT) as file:
        np.testing.assert_array_equal(file.read("stem_conv/kernel"), values)
