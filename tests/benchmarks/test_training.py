"""benchmarks/training.py: one table of several libraries, of which some may not be there."""

import json

import places
import pytest
from hidden import path_without
from prerequisites import needs

FOLDER = places.BENCHMARKS
TINY = ["--batch", "2", "--resolution", "32", "--repeats", "1", "--steps", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def training():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        import training

        yield training


@pytest.fixture
def run(training, tmp_path, capsys):
    """Runs the command on little work; its exit code, JSON and output."""

    def command(*arguments):
        path = tmp_path / "figures.json"
        code = training.main([*TINY, "--json", str(path), *arguments])
        document = json.loads(path.read_text()) if path.exists() else None
        return code, document, capsys.readouterr()

    return command


@pytest.fixture
def photos(training, tmp_path):
    """Four JPEG files in class folders."""
    folder = tmp_path / "photos"
    folder.mkdir()
    training.make_photos(folder, 4)
    return folder


@pytest.mark.slow  # two processes that load torch
def test_ours_and_two_that_are_missing_are_in_one_table(run, photos, tmp_path, monkeypatch):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    monkeypatch.setenv("PYTHONPATH", path_without(hidden, "tensorflow", "keras"))
    libraries = ["--libraries", "edgekit", "timm", "keras", "--timm", str(tmp_path)]
    code, document, said = run("--model", "lite0", "--data", str(photos), *libraries)
    assert code == 0
    rows = {(row["library"], row["mode"]): row for row in document["rows"]}
    assert len(rows) == 3 * 3
    for mode in ("forward", "step", "loop"):
        ours, theirs = rows["edgekit", mode], rows["timm", mode]
        assert ours["images_per_s"] > 0
        assert ours["ratio"] is None  # there is no timm
        assert not ours["compiled"]
        assert (ours["model"], ours["batch"], ours["resolution"]) == ("lite0", 2, 32)
        assert (ours["precision"], ours["device"]) == ("fp32", "cpu")
        assert theirs["images_per_s"] is None
        assert theirs["problem"] == f"{tmp_path} has no timm"
        assert rows["keras", mode]["images_per_s"] is None
        assert rows["keras", mode]["problem"] == (
            'its network needs the package keras: pip install "edgekit[tensorflow]"'
        )
        assert f"{mode:<8} edgekit " in said.out
    assert "no timm" in " ".join(said.out.split())  # wherever the column breaks the line


@pytest.mark.slow  # a process with TensorFlow; converters/weights/test_keras_parity.py compares too
@needs("tensorflow")
def test_keras_has_the_same_network(run):
    code, document, _ = run("--modes", "forward", "--libraries", "edgekit", "keras")
    assert code == 0
    _, keras = document["rows"]
    assert keras["problem"] is None
    assert keras["images_per_s"] > 0
    assert keras["note"] == "EfficientNetB0"


def test_networks_that_differ_are_not_compared(training):
    class Known:
        problem = None

        def __init__(self, library, parameters):
            self.library, self.facts = library, {"parameters": parameters, "macs": 7}

    training._check_equal([Known("edgekit", 1000), Known("timm", 1009)])
    with pytest.raises(training.EdgekitError, match="not compute the same") as caught:
        training._check_equal([Known("edgekit", 1000), Known("timm", 1011)])
    assert "parameters: 1,000 and 1,011" in caught.value.cause


def test_ratios_are_of_the_same_turn(training):
    class Turns:
        problem = None
        setup = training.Setup("b0", 2, 32, "fp32", "cpu", False, 1, "")
        facts = {}  # noqa: RUF012

        def __init__(self, library, speeds):
            self.library, self.speeds = library, iter(speeds)

        def ask(self, request):
            return {"images_per_s": next(self.speeds)}

    workers = [Turns("edgekit", [10, 40, 9]), Turns("timm", [5, 10, 9])]
    ours, timm = training._turns(workers, "step", 3, 1)
    assert (ours.images_per_s, ours.ratio) == (10, 2)
    assert timm.ratio == 1


def test_an_unknown_library_is_refused_before_any_work(run):
    code, document, said = run("--libraries", "kera")
    assert code == 2
    assert document is None
    assert "did you mean 'keras'" in said.err


def test_too_few_photos_are_refused(run, photos):
    code, _, said = run("--batch", "5", "--data", str(photos))
    assert code == 2
    assert "fewer than 5 photos" in said.err
