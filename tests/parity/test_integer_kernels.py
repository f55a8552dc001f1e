"""Every integer kernel equals LiteRT's built-in one exactly, and XNNPACK's to one step."""

import numpy as np
import pytest
import single_operators as files
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tiny_tflite import TinyModel, float_io

from edgekit.converters.tflite.file import parse
from edgekit.errors import UsageError
from edgekit.parity.integer_kernels import KERNELS, run_model, run_operator
from edgekit.parity.integer_kernels import XNNPACK as XNNPACK_KERNELS
from edgekit.system.quiet import native_quiet

BUILTIN, XNNPACK = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, OpResolverType.BUILTIN
ACTIVATIONS = ("NONE", "RELU", "RELU6")
#: Channel counts on both sides of the vectors of 8 and 16 that kernels work on.
CHANNELS = (1, 3, 8, 13, 16, 21, 31, 40, 67)

#: Heights and widths of maps that are resized to one another.
SIZES = ((1, 1), (4, 3), (7, 9), (13, 14), (26, 17), (40, 81))

#: Each row makes one file per seed; numbers that matter to a kernel change with the seed.
CASES = {
    "CONV_2D": lambda s: files.convolution(
        s,
        channels=CHANNELS[s % 9],
        filters=CHANNELS[-s % 9],
        kernel=(1, 3, 5)[s % 3],
        stride=1 + s % 2,
        act=ACTIVATIONS[s // 2 % 3],
    ),
    "CONV_2D valid": lambda s: files.convolution(s, pad=1),
    "DEPTHWISE_CONV_2D": lambda s: files.depthwise(
        s,
        channels=CHANNELS[s % 9],
        kernel=(3, 5)[s % 2],
        stride=1 + s // 2 % 2,
        act=ACTIVATIONS[s // 4 % 3],
    ),
    "DEPTHWISE_CONV_2D valid": lambda s: files.depthwise(s, pad=1),
    "FULLY_CONNECTED": lambda s: files.fully_connected(s, length=1 + 37 * s, units=1 + 5 * s),
    "ADD": lambda s: files.binary("ADD", s, act=ACTIVATIONS[s % 3]),
    "ADD of ties": lambda s: files.sum_of_ties(s, act=ACTIVATIONS[s % 3]),
    "MUL": lambda s: files.binary("MUL", s, act=ACTIVATIONS[s % 3]),
    "MUL broadcast": lambda s: files.binary("MUL", s, b=(1, 1, 1, 21)),
    "LOGISTIC": files.logistic,
    "MEAN keeping": lambda s: files.mean(s, side=1 + s % 9, channels=CHANNELS[s % 9]),
    "MEAN": lambda s: files.mean(s, side=1 + s % 9, channels=CHANNELS[s % 9], keep=False),
    "MEAN same scale": lambda s: files.mean(s, side=1 + s % 9, keep=False, same=True),
    # Windows of odd and of even size, where sums have ties, up to a whole map.
    "AVERAGE_POOL_2D": lambda s: files.pool(
        "AVERAGE_POOL_2D",
        s,
        kernel=((2, 2), (4, 2), (3, 3), (1, 1), (7, 7))[s % 5],
        side=(8, 8, 9, 5, 7)[s % 5],
    ),
    "AVERAGE_POOL_2D overlapping": lambda s: files.pool(
        *("AVERAGE_POOL_2D", s, (3, 2), 7 + s % 3, 1 + s % 2, s // 2 % 2, ACTIVATIONS[s % 3])
    ),
    "MAX_POOL_2D": lambda s: files.pool(
        *("MAX_POOL_2D", s, ((3, 3), (2, 3))[s % 2], 7 + s % 3, 1 + s // 2 % 2, s // 4 % 2),
        act=ACTIVATIONS[s % 3],
    ),
    "CONV_2D dilated": lambda s: files.convolution(
        s, channels=CHANNELS[s % 9], stride=1, dilation=2 + s % 3, act=ACTIVATIONS[s % 3]
    ),
    "DEPTHWISE_CONV_2D dilated": lambda s: files.depthwise(
        s, channels=CHANNELS[s % 9], kernel=(3, 5)[s % 2], dilation=2 + s % 4
    ),
    "CONCATENATION": files.concatenation,
    "CONCATENATION of rows": files.concatenation_of_rows,
    "RESIZE_NEAREST_NEIGHBOR": lambda s: files.resize(
        "RESIZE_NEAREST_NEIGHBOR", s, SIZES[s % 6], SIZES[(s + 1 + s // 6) % 6]
    ),
    "RESIZE_BILINEAR": lambda s: files.resize(
        # Of one pixel, LiteRT's kernel reads others behind it.
        *("RESIZE_BILINEAR", s, SIZES[1 + s % 5], SIZES[1 + (s + 1 + s // 6) % 5]),
    ),
    "RESIZE_BILINEAR of corners": lambda s: files.resize(
        "RESIZE_BILINEAR", s, SIZES[s % 6], SIZES[(s + 1 + s // 6) % 6], corners=True
    ),
    "RESIZE_BILINEAR of half pixels": lambda s: files.resize(
        "RESIZE_BILINEAR", s, SIZES[s % 6], SIZES[(s + 1 + s // 6) % 6], half=True
    ),
    "TILE": files.tile,
    "ARG_MAX": files.arg_max,
    "CAST": files.cast,
    "PAD": files.pad,
    "PADV2": files.pad_with,
    "RESHAPE": files.reshape,
    "DEQUANTIZE": files.dequantize,
    "QUANTIZE": lambda s: files.quantize(s, channels=CHANNELS[s % 9], same=False),
    "QUANTIZE to uint8": lambda s: files.quantize(s, "INT8", "UINT8", channels=CHANNELS[s % 9]),
}


def litert(contents, fed, resolver):
    with native_quiet():
        interpreter = Interpreter(
            model_content=contents, num_threads=1, experimental_op_resolver_type=resolver
        )
        interpreter.allocate_tensors()
    for entry, values in zip(interpreter.get_input_details(), fed, strict=True):
        interpreter.set_tensor(entry["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def random_inputs(model, seed):
    rng = np.random.default_rng(seed)
    values = {}
    for index in model.inputs:
        tensor = model.tensors[index]
        limits = np.iinfo(tensor.dtype)
        drawn = rng.integers(limits.min, limits.max + 1, tensor.shape)
        values[index] = drawn.astype(tensor.dtype)
    return values


@pytest.mark.parametrize("case", CASES)
def test_a_kernel_is_litert_s(case):
    reached = set()
    for seed in range(27):
        contents = CASES[case](seed)
        model = parse(contents)
        values = random_inputs(model, seed)
        got = run_operator(model, model.operators[0], values)
        fed = list(values.values())
        np.testing.assert_array_equal(got, litert(contents, fed, BUILTIN), f"seed {seed}")
        near = run_operator(model, model.operators[0], values, xnnpack=True)
        far = np.abs(near.astype(int) - litert(contents, fed, XNNPACK))
        of_its_own = model.operators[0].name in XNNPACK_KERNELS
        assert far.max() <= (0 if of_its_own else 1), f"seed {seed}"
        reached.update(np.unique(got))
    assert len(reached) > 60  # not all of it is at the ends of the range


def test_every_kernel_has_a_case():
    assert {case.split()[0] for case in CASES} == set(KERNELS)


@pytest.mark.parametrize("make", [TinyModel, float_io])
def test_a_whole_file_is_litert_s_whatever_its_input_type(make):
    contents = make().pack()
    model = parse(contents)
    source = model.tensors[model.inputs[0]]
    drawn = np.random.default_rng(0).uniform(0, 255, (9, *source.shape[1:]))
    fed = ((drawn - 127.5) / 100 if source.dtype == "float32" else drawn).astype(source.dtype)
    got = run_model(model, fed)[model.outputs[0]]
    expected = np.concatenate([litert(contents, [one[None]], BUILTIN) for one in fed])
    assert len(np.unique(expected)) > 10
    np.testing.assert_array_equal(got, expected)


def test_what_has_no_kernel_is_named():
    tiny = TinyModel()
    code = tiny.code("LOGISTIC")
    code.builtinCode = code.deprecatedBuiltinCode = files.schema.BuiltinOperator.TANH
    model = parse(tiny.pack())
    with pytest.raises(UsageError, match="no integer kernel for 3 TANH"):
        run_operator(model, model.operators[3], {})
