from __future__ import annotations

from collections import Counter

import pytest
from places import SHARED
from prerequisites import needs
from tiny_tflite import TinyModel, edit, float_io, schema, with_op

from edgekit.converters.tflite import file as tflite_file
from edgekit.targets.edgetpu import status
from edgekit.targets.edgetpu.log import parse_output
from edgekit.targets.edgetpu.mapping import MappingPrediction, partition, predict
from edgekit.targets.edgetpu.operators import KNOWN, SIZES
from edgekit.targets.edgetpu.options import CUSTOM_OP
from edgekit.targets.edgetpu.rules import check_edgetpu

LOGS = sorted((SHARED / "edgetpu/logs").glob("*.log"))
#: Logs show these left out, and no file of the same model shows at which size.
WITHOUT_A_SIZE = ("CONCATENATION", "LOGISTIC", "QUANTIZE", "RESHAPE")
PAIRS = sorted(p.stem for p in (SHARED / "edgetpu/pairs").glob("*.tflite"))


def predicted(tiny: TinyModel) -> MappingPrediction:
    return predict(tflite_file.parse(tiny.pack()))


def unsupported(tiny: TinyModel, name: str) -> None:
    """Makes an operator one that the Edge TPU does not have."""
    code = tiny.code(name)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.HARD_SWISH
    code.version = 1
    tiny.op("HARD_SWISH").builtinOptions = None
    tiny.op("HARD_SWISH").builtinOptionsType = 0


@needs("shared", bool(PAIRS))
@pytest.mark.parametrize("name", [name for name in PAIRS if not name.endswith("_edgetpu")])
def test_the_prediction_is_what_the_real_compiler_made(name):
    before = tflite_file.read(SHARED / f"edgetpu/pairs/{name}.tflite")
    after = tflite_file.read(SHARED / f"edgetpu/pairs/{name}_edgetpu.tflite")
    found = predict(before)
    left = [op for op in after.operators if op.name != CUSTOM_OP]
    assert [op.name for op in found.operators if not op.is_mapped] == [op.name for op in left]
    assert found.subgraphs == len(after.operators) - len(left) == 1
    assert found.on_cpu == len(left)
    # The same operators, not others of their kind: they write the same tensors.
    made = [
        [before.tensors[i].name for i in before.operators[op.index].outputs]
        for op in found.operators
        if not op.is_mapped
    ]
    assert made == [[after.tensors[i].name for i in op.outputs] for op in left]


CASES = SHARED / "cases/edgetpu"


@needs("shared", CASES.is_dir())
@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("conv_3x1_dilation_2x1", True),
        ("fully_connected_30752_to_16", True),
        ("fully_connected_per_channel", True),
        ("resize_nearest_half_pixel", True),
        ("softmax_16384", True),
        ("softmax_over_rows", True),
        ("tile_pooled_context", True),
        ("transpose_10x10x144", True),
        ("transpose_40x40x144", False),
    ],
)
def test_small_files_have_the_compilers_answer(name, mapped):
    model = tflite_file.read(CASES / f"{name}.tflite")
    found = predict(model)
    assert [op.is_mapped for op in found.operators] == [mapped]
    assert not found.not_seen
    assert bool(found.refused) is not mapped
    # `edgekit compile` does not refuse it unasked.
    assert all(f.severity == "warning" for f in check_edgetpu(model)) is mapped


@needs("shared", bool(LOGS))
@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_no_rule_contradicts_a_real_log(log):
    """What a log alone can show: kinds of operators that are mapped, and those that never are."""
    for row in parse_output(log.read_text()).rows:
        assert row.status in status.MEANINGS
        if row.status in (status.MAPPED, status.BEHIND, status.LIMITATION):
            assert row.name in KNOWN
        if row.status == status.LIMITATION and row.name not in WITHOUT_A_SIZE:
            assert any(size.left_out for size in SIZES[row.name])


def test_what_counts_as_mapped_without_evidence_says_so():
    found = predicted(with_op("DIV", [8], [8]))
    assert (found.on_cpu, [op.index for op in found.not_seen]) == (0, [8])
    assert found.operators[8].status == status.MAPPED
    assert found.operators[8].reason == "not seen: no compiled file or log with DIV is known"
    assert "9 of 9 operators mapped (1 not seen before)" in str(found)
    assert found.to_dict()["operators_not_seen"] == 1


def test_an_operator_behind_one_that_is_left_out_is_not_called_not_seen():
    tiny = with_op("DIV", [8], [8])
    unsupported(tiny, "LOGISTIC")
    tiny.graph.operators[-1].inputs[0] = tiny.index("scores")
    assert predicted(tiny).not_seen == []


def test_all_of_a_good_file_is_mapped():
    found = predicted(TinyModel())
    assert (found.mapped, found.on_cpu, found.subgraphs) == (8, 0, 1)
    assert (found.share_of_operators, found.share_of_macs) == (1.0, 1.0)
    assert found.first_blocking is None
    assert found.refused == ()


def test_everything_behind_the_first_operator_left_out_stays_on_the_cpu():
    found = predicted(edit(lambda tiny: unsupported(tiny, "LOGISTIC")))
    assert [op.status for op in found.operators] == [
        *[status.MAPPED] * 3,
        status.UNSUPPORTED,
        *[status.BEHIND] * 4,
    ]
    assert found.first_blocking.index == 3
    assert found.possible_subgraphs == 2
    macs = [op.macs for op in found.operators]
    assert macs == [0, 4 * 4 * 8 * 27, 4 * 4 * 8 * 9, 0, 0, 0, 40, 0]
    assert found.share_of_macs == sum(macs[:3]) / sum(macs)


def test_float_ends_are_left_out_and_the_rest_is_mapped():
    """As the real compiler did in the log kapibara_deepid_edgetpu.log."""
    found = predicted(float_io())
    assert [op.status for op in found.operators] == [
        status.LIMITATION,
        *[status.MAPPED] * 6,
        status.DATA_TYPE,
    ]
    assert found.subgraphs == 1


@pytest.mark.parametrize(
    ("tiny", "words", "says"),
    [
        (
            edit(
                lambda t: [setattr(x, "type", schema.TensorType.FLOAT32) for x in t.graph.tensors]
            ),
            {status.DATA_TYPE, status.LIMITATION},
            "Model not quantized",
        ),
        (
            edit(lambda t: [x.shape.__setitem__(0, 8) for x in t.graph.tensors if x.buffer == 0]),
            {status.RANK, status.LIMITATION, status.FAILED},
            "its batch is 8",
        ),
        (
            edit(lambda t: setattr(t.tensor("image"), "shape", [-1, 8, 8, 3])),
            {status.FAILED, status.RANK},
            "only known at run time",
        ),
    ],
)
def test_a_file_that_the_compiler_refuses_has_nothing_mapped(tiny, words, says):
    found = predicted(tiny)
    assert found.mapped == found.subgraphs == 0
    assert {op.status for op in found.operators} == words
    assert any(says in text for text in found.refused)


def test_a_branch_that_does_not_depend_on_what_is_left_out_is_mapped():
    tiny = with_op("HARD_SWISH", [8], [8])
    tiny.graph.operators.insert(1, tiny.graph.operators.pop())
    found = predicted(tiny)
    assert Counter(op.status for op in found.operators) == {status.MAPPED: 8, status.UNSUPPORTED: 1}


def chain(kinds: str) -> TinyModel:
    """A row of RELUs, each reading the one before it."""
    tiny = TinyModel()
    tiny.graph.operators.clear()
    for i in range(len(kinds) + 1):
        tiny.add(f"t{i}", [8], "INT8", 0.1, 0)
    for i in range(len(kinds)):
        tiny.add_op("RELU", 1, [f"t{i}"], f"t{i + 1}")
    return tiny


@pytest.mark.parametrize(
    ("kinds", "parts"),
    [
        ("", []),
        ("...", []),
        ("#", [{0}]),
        ("###", [{0, 1, 2}]),
        (".##", [{1, 2}]),
        ("#.#.#", [{0}, {2}, {4}]),
    ],
)
def test_supported_stretches_become_subgraphs(kinds, parts):
    model = tflite_file.parse(chain(kinds).pack())
    assert partition(model, {i for i, kind in enumerate(kinds) if kind == "#"}) == parts


def test_operators_that_wait_for_themselves_end():
    tiny = chain("###")
    tiny.graph.operators[0].inputs = [tiny.index("t3")]
    assert partition(tflite_file.parse(tiny.pack()), {0, 1, 2}) == []


@pytest.mark.parametrize("count", [800, pytest.param(4000, marks=pytest.mark.slow)])
def test_a_long_alternation_takes_no_time(count):
    model = tflite_file.parse(chain("#." * count).pack())
    assert len(partition(model, set(range(0, 2 * count, 2)))) == count


def test_the_document_has_the_promised_keys():
    document = predicted(with_op("HARD_SWISH", [8], [8])).to_dict()
    assert {
        "operators_total",
        "operators_on_tpu",
        "operators_on_cpu",
        "subgraphs",
        "parameter_bytes",
        "on_chip_bytes",
        "streamed_bytes",
        "operators",
    } <= document.keys()
    assert document["operators_on_tpu"] + document["operators_on_cpu"] == 9
    for entry in document["operators"]:
        assert entry.keys() == {"index", "name", "status", "reason", "fix", "macs"}
