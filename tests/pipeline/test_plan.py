"""The stages of a build: every input is in the key, and nothing else is."""

import dataclasses
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.schemes import AT_KERNELS
from edgekit.options.build import BuildOptions
from edgekit.pipeline.plan import make_plan, make_training_plan
from edgekit.pipeline.stage import ENTERS, Stage
from edgekit.pipeline.stages.data import Sources
from edgekit.pipeline.stages.train import FloatNetwork
from edgekit.targets import registry
from edgekit.targets.executions import Execution
from edgekit.targets.files import Form
from edgekit.targets.toolchains.toolchain import Toolchain

SCHEMES = ["fp16", "w8-dynamic", "w8a16-static"]
FORM = Form("w8a8-x", "w8a8-static", (".onnx",), True, lambda source, folder: "")

TOOL = Toolchain("x", "X", "x", (), "MIT", Path(__file__))
RUN = Execution("w8a8-y", "w8a8-x", "X 1", "simulator", TOOL, lambda path, pixels, advance: None)


def plan(*targets, **options):
    given = {"resolution": 32, "schemes": SCHEMES} | options
    return make_plan(
        BuildOptions.make("lite0", **given), targets=targets, forms=[FORM], executions=[RUN]
    )


def stages():
    """One of every kind, by its class and name."""
    plans = [plan(registry.find("edgetpu")), plan(quantize="qat"), plan(quantize="auto")]
    found = [stage for one in plans for stage in one.stages.values()]
    return {f"{type(stage).__name__}: {stage.name}": stage for stage in found}


def kinds(cls):
    for kind in cls.__subclasses__():
        yield from kinds(kind)
        if kind.__module__.startswith("edgekit.") and not kind.__abstractmethods__:
            yield kind


def changed(value):
    """Another value of the same kind."""
    match value:
        case None:
            return 0.5
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case list() | tuple():
            return [*value, registry.find("onnx")]
        case BuildOptions():
            return dataclasses.replace(value, precision="bf16")
        case Sources():
            return None
        case FloatNetwork():
            return dataclasses.replace(value, head="none")
        case Form() | Execution():
            return dataclasses.replace(value, row="other")
        case Stage():
            return next(other for _, other in variants(value))
    name = next(name for name in ("seed", "source", "dropout") if hasattr(value, name))
    return dataclasses.replace(value, **{name: changed(getattr(value, name))})


def variants(stage):
    """The stage with another value of each field that decides."""
    for item in dataclasses.fields(stage):
        if item.metadata.get(ENTERS, True) is None:
            continue
        value = getattr(stage, item.name)
        if not isinstance(value, Sources):  # photos of another state: see below
            value = ["stem=mse"] if item.name == "named" else changed(value)
            yield item.name, dataclasses.replace(stage, **{item.name: value})


@pytest.mark.parametrize(
    ("quantize", "own"), [("ptq", True), ("auto", True), ("ranges", False), ("qat", False)]
)
def test_a_form_of_a_scheme_of_its_own_has_biases_of_its_own_where_any_are_corrected(quantize, own):
    form = dataclasses.replace(FORM, scheme=AT_KERNELS)
    options = BuildOptions.make("lite0", resolution=32, quantize=quantize)
    found = make_plan(options, forms=[form]).stages
    role = f"quantize {AT_KERNELS}"
    assert (role in found) == own
    assert found["w8a8-x"].network is (found[role] if own else found["w8a8"].network)
    assert list(found).index("w8a8-x") > list(found).index(role if own else "quantize")


STAGES = stages()


def test_every_kind_of_stage_is_tried():
    assert {type(stage) for stage in STAGES.values()} == set(kinds(Stage))


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_input_that_decides_is_in_the_key_and_no_other(stage):
    for name, other in variants(stage):
        assert other.key != stage.key, name
    for item in dataclasses.fields(stage):
        if item.metadata.get(ENTERS, True) is None:
            other = dataclasses.replace(stage, **{item.name: object()})
            assert other.key == stage.key, item.name


def test_what_does_not_decide_is_where_and_how_fast_it_runs_and_who_is_told():
    marked = {
        item.name
        for kind in kinds(Stage)
        for item in dataclasses.fields(kind)
        if item.metadata.get(ENTERS, True) is None
    }
    assert marked == {"device", "threads", "world", "warn"}


def test_photos_of_another_state_are_other_photos(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(10):
            (tmp_path / label / f"{number}.jpg").write_bytes(b"a photo")

    def keys():
        options = {"data": tmp_path, "weights": "none", "epochs": 0}
        return {role: stage.key for role, stage in plan(**options).stages.items()}

    before = keys()
    assert keys() == before
    (tmp_path / "a" / "0.jpg").write_bytes(b"another photo")
    after = keys()
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_equal_options_give_equal_keys_and_a_training_those_of_its_build():
    first, again = (plan(quantize="qat").stages for _ in range(2))
    assert {role: stage.key for role, stage in first.items()} == {
        role: stage.key for role, stage in again.items()
    }
    options = BuildOptions.make("lite0", resolution=32, quantize="qat")
    trained = make_training_plan(options).stages
    assert list(trained) == ["data", "weights", "train", "evaluate fp32-torch"]
    assert all(stage.key == first[role].key for role, stage in trained.items())
    assert len({stage.key for stage in first.values()}) == len(first)


def test_a_training_in_8_bits_depends_on_what_changes_its_weights():
    def key(**options):
        return plan(quantize="qat", epochs=0, **options).stages["qat"].key

    assert key(precision="bf16") != key()
    assert key(workers=7) == key()


def test_what_files_end_with_is_measured_in_torch_too():
    options = {"resolution": 32, "output": "classes-fused"}
    fused = make_plan(BuildOptions.make("deeplab-lite0", **options))
    plain = make_plan(BuildOptions.make("deeplab-lite0", resolution=32))
    assert set(fused.stages) - set(plain.stages) == {"evaluate fp32-torch-classes-fused"}
    for role in ("fp32", "w8a8"):
        assert fused.stages[role].key != plain.stages[role].key
    assert fused.stages["quantize"].key == plain.stages["quantize"].key


def test_an_end_that_the_task_does_not_have_is_refused():
    with pytest.raises(UsageError, match="lite0 do not end with 'classes'"):
        make_plan(BuildOptions.make("lite0", output="classes"))
    with pytest.raises(UsageError) as caught:
        make_plan(BuildOptions.make("unet-lite0", output="clases"))
    assert "'classes'" in str(caught.value.hint)


def test_a_network_is_built_at_a_side_that_suits_it():
    sides = {
        name: make_plan(BuildOptions.make(name)).base.resolution
        for name in ("lite0", "unet-lite0", "deeplab-lite0", "det-lite0")
    }
    assert sides == {"lite0": 64, "unet-lite0": 64, "deeplab-lite0": 65, "det-lite0": 136}
    assert find_spec("deeplab-b2").resolution == 257
