"""Options: declared once, checked before anything runs, and written back as a command."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.spec import SPECS
from edgekit.options.build import BuildOptions
from edgekit.options.recipes import make_recipe
from edgekit.pipeline.report_data import command_line


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"resolution": 8}, "--resolution"),
        ({"crop": 0.0}, "--crop"),
        ({"crop": 1.5}, "--crop"),
        ({"epochs": -1}, "--epochs"),
        ({"threads": 0}, "--threads"),
        ({"calibration_count": 3}, "--calibration-count"),
        ({"targets": []}, "--target"),
        ({"io": "uint9"}, "did you mean 'uint8'"),
        ({"ranges": "min-max"}, "did you mean 'minmax'"),
        ({"epoch": 1}, "did you mean 'epochs'"),
        ({"epochs": 2.5}, "--epochs must be a whole number"),
        ({"resolution": 224.0}, "--resolution must be a whole number"),
        ({"threads": True}, "--threads must be a whole number"),
        ({"crop": "0.9"}, "--crop must be a number"),
        ({"resume": 1}, "--resume must be True or False"),
        ({"targets": ["tflite", None]}, "--target must be a string"),
    ],
)
def test_nonsense_is_refused(values, text):
    with pytest.raises(UsageError) as caught:
        BuildOptions.make("b0", **values)
    assert text in str(caught.value)


def test_numbers_of_numpy_become_those_of_python():
    options = BuildOptions.make("b0", epochs=np.int64(2), crop=np.float32(0.5), max_drop=1)
    assert (options.epochs, options.crop, options.max_drop) == (2, 0.5, 1)
    assert (type(options.epochs), type(options.crop)) == (int, float)


def test_paths_and_targets_are_tidied():
    options = BuildOptions.make("b0", data="photos", targets="tflite", weights=Path("w.pth"))
    assert options.data == "photos"
    assert options.targets == ("tflite",)
    assert options.start == "w.pth"
    assert BuildOptions.make("b0", targets=["edgetpu", "tflite", "edgetpu"]).targets == (
        "edgetpu",
        "tflite",
    )


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ({}, "none"),
        ({"data": "photos"}, "imagenet"),
        ({"data": "photos", "weights": "None"}, "none"),
        ({"weights": "ImageNet"}, "imagenet"),
        ({"weights": "hf://timm/Net@V1"}, "hf://timm/Net@V1"),
        # Nobody trained a network of this size.
        ({"data": "photos", "phi": 0.5}, "none"),
        ({"data": "photos", "width": 0.5}, "none"),
    ],
)
def test_training_starts_from_published_weights_where_there_are_photos(values, start):
    assert BuildOptions.make("b0", **values).start == start


def test_a_variant_is_scaled_as_asked():
    assert BuildOptions.make("b0").spec is SPECS["b0"]
    spec = BuildOptions.make("b0", width=0.5, depth=0.8).spec
    assert (spec.width, spec.depth, spec.resolution) == (0.5, 0.8, 224)
    spec = BuildOptions.make("b0", phi=1, alpha=1.2, beta=1.1, gamma=1.15).spec
    assert (spec.width, spec.depth, spec.resolution) == (1.1, 1.2, 256)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"phi": 0.5, "gamma": 1.2, "head": "none"},
        {"width": 0.5, "depth": 0.8, "weights_source": "timm", "mirror": "http://localhost/x"},
        {"epochs": 0, "targets": ("tflite", "edgetpu"), "compile": False},
        {"data": Path("my photos"), "flip": False, "learning_rate": 0.01},
        {"resume": False, "overwrite": True, "seed": 3},
    ],
)
def test_a_command_line_asks_for_the_same_options(values):
    import shlex

    from edgekit.cli.from_options import command_from_options

    asked = BuildOptions.make("b0", **values)
    words = shlex.split(command_line(asked))
    assert words[:3] == ["edgekit", "build", "b0"]

    import typer

    seen = []

    def keep(options, json_output=False, quiet=False):
        seen.append(options)
        return 0

    app = typer.Typer(add_completion=False)
    app.command()(command_from_options()(keep))
    app(words[2:], standalone_mode=False)
    assert seen == [asked]


def test_the_built_in_shapes_have_a_recipe_of_their_own():
    shapes = make_recipe(BuildOptions.make("b0"))
    photos = make_recipe(BuildOptions.make("b0", data="photos", weights="none"))
    tuned = make_recipe(BuildOptions.make("b0", data="photos"))
    assert shapes.epochs < photos.epochs
    assert shapes.min_crop_area > photos.min_crop_area
    assert tuned.freeze_norm
    assert not photos.freeze_norm
    assert make_recipe(BuildOptions.make("b0", epochs=2)).epochs == 2
