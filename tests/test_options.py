"""Options: declared once, checked before anything runs, and written back as a command."""

from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.options import BuildOptions
from edgekit.pipeline.plan import make_recipe
from edgekit.pipeline.results import command_line


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
    ],
)
def test_nonsense_is_refused(values, text):
    with pytest.raises(UsageError) as caught:
        BuildOptions.make("b0", **values)
    assert text in str(caught.value)


def test_paths_and_targets_are_tidied():
    options = BuildOptions.make("b0", data="photos", targets="tflite", weights=Path("w.pth"))
    assert options.data == Path("photos")
    assert options.targets == ("tflite",)
    assert options.trained_weights == Path("w.pth")
    assert BuildOptions.make("b0", targets=["edgetpu", "tflite", "edgetpu"]).targets == (
        "edgetpu",
        "tflite",
    )
    assert BuildOptions.make("b0", weights="None").trained_weights is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"epochs": 0, "targets": ("tflite", "edgetpu"), "compile": False},
        {"data": Path("my photos"), "flip": False, "learning_rate": 0.01},
        {"resume": False, "overwrite": True, "seed": 3},
    ],
)
def test_a_command_line_asks_for_the_same_options(values):
    import shlex

    from edgekit.cli.build import command_from_options

    asked = BuildOptions.make("b0", **values)
    words = shlex.split(command_line(asked))
    assert words[:3] == ["edgekit", "build", "b0"]

    import typer

    seen = []

    def keep(options, json_output=False, quiet=False):
        seen.append(options)
        return 0

    app = typer.Typer(add_completion=False)
    app.command()(command_from_options(keep))
    app(words[2:], standalone_mode=False)
    assert seen == [asked]


def test_the_built_in_shapes_have_a_recipe_of_their_own():
    shapes = make_recipe(BuildOptions.make("b0"))
    photos = make_recipe(BuildOptions.make("b0", data="photos"))
    tuned = make_recipe(BuildOptions.make("b0", data="photos", weights="w.pth"))
    assert shapes.epochs < photos.epochs
    assert shapes.min_crop_area > photos.min_crop_area
    assert tuned.freeze_norm
    assert not photos.freeze_norm
    assert make_recipe(BuildOptions.make("b0", epochs=2)).epochs == 2
