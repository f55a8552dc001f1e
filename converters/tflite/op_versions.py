"""Versions of operators: the lowest that our files need, and the newest that TensorFlow 2.5 runs.

Compilers for accelerators embed TensorFlow 2.5. Its table was measured with tensorflow-cpu 2.5.3: a
model naming each operator in versions 1 to 12 was given to its `tf.lite.Interpreter`, which refuses
what it has no kernel for. It agrees with the runtime versions in TensorFlow's
`tensorflow/lite/tools/versioning/runtime_version.cc`.
"""

from __future__ import annotations

#: The first version of each operator that knows the type of its input; of weights that are rounded
#: where activations are float ("dynamic"), with one scale or with one per channel. Source:
#: tensorflow/lite/tools/versioning/op_version.cc.
VERSIONS: dict[str, dict[str, int]] = {
    "CONV_2D": {"float32": 1, "int8": 3, "int16": 4, "dynamic": 2, "dynamic per channel": 5},
    "DEPTHWISE_CONV_2D": {
        **{"float32": 1, "float32 dilated": 2, "int8": 3, "int16": 5},
        **{"dynamic": 4, "dynamic per channel": 6},
    },
    "FULLY_CONNECTED": {
        **{"float32": 1, "int8": 4, "int16": 7},
        **{"dynamic": 9, "dynamic per channel": 12},
    },
    "ADD": {"float32": 1, "int8": 2, "int16": 3},
    "MUL": {"float32": 1, "int8": 2, "int8 that grows": 3, "int16": 4},
    "MEAN": {"float32": 1, "int8": 2, "int16": 3},
    "AVERAGE_POOL_2D": {"float32": 1, "int8": 2, "int16": 3},
    "MAX_POOL_2D": {"float32": 1, "int8": 2, "int16": 3},
    "LOGISTIC": {"float32": 1, "int8": 2, "int16": 3},
    "PAD": {"float32": 1, "int8": 2, "int16": 3},
    "PADV2": {"float32": 1, "int8": 2, "int16": 3},
    "RESHAPE": {"float32": 1, "int8": 1, "int16": 1, "int32": 1},
    "CONCATENATION": {"float32": 1, "int8": 2, "int16": 3},
    "RESIZE_NEAREST_NEIGHBOR": {"float32": 1, "uint8": 1, "int8": 2, "int16": 4},
    "RESIZE_BILINEAR": {"float32": 1, "int8": 2, "half pixel": 3, "int16": 4},
    "TILE": {"float32": 1, "uint8": 1},
    "ARG_MAX": {"float32": 1, "int8": 2},
    "CAST": {"int32": 1},
    "QUANTIZE": {"int8": 1, "uint8": 1, "int16": 2},  # by the type of its output
    "TFLite_Detection_PostProcess": {"float32": 1},
    "DEQUANTIZE": {"uint8": 1, "int8": 2, "int16": 3, "float16": 3},
}

_BY_VERSION = {
    1: """
        ADD_N CALL_ONCE CAST CEIL COMPLEX_ABS CONV_3D COS CUMSUM DENSIFY ELU
        EMBEDDING_LOOKUP_SPARSE EXP EXPAND_DIMS FLOOR FLOOR_MOD HARD_SWISH HASHTABLE
        HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP HASHTABLE_SIZE IF IMAG L2_POOL_2D
        LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LSH_PROJECTION
        MATRIX_DIAG MATRIX_SET_DIAG NEG NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
        ONE_HOT POW PRELU RANGE RANK REAL REDUCE_ANY REDUCE_PROD RELU_N1_TO_1 RESHAPE
        REVERSE_SEQUENCE RFFT2D ROUND SCATTER_ND SEGMENT_SUM SELECT_V2 SHAPE SIN SKIP_GRAM
        SQRT SQUARE UNIQUE WHERE WHILE ZEROS_LIKE
    """,
    2: """
        ARG_MAX ARG_MIN DEPTH_TO_SPACE DIV FAKE_QUANT FLOOR_DIV GREATER GREATER_EQUAL
        L2_NORMALIZATION LEAKY_RELU LESS LESS_EQUAL LOG_SOFTMAX MIRROR_PAD QUANTIZE RSQRT
        SELECT SPACE_TO_DEPTH SPLIT_V SQUARED_DIFFERENCE SQUEEZE SUM TILE TOPK_V2
    """,
    3: """
        ABS ADD AVERAGE_POOL_2D BATCH_TO_SPACE_ND BIDIRECTIONAL_SEQUENCE_LSTM
        BIDIRECTIONAL_SEQUENCE_RNN BROADCAST_TO CONCATENATION EMBEDDING_LOOKUP EQUAL FILL
        GATHER_ND LOGISTIC MAX_POOL_2D MEAN NOT_EQUAL PACK PAD PADV2 REDUCE_MAX REDUCE_MIN
        RELU RELU6 REVERSE_V2 RNN SOFTMAX SPACE_TO_BATCH_ND SPARSE_TO_DENSE TANH
        TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN
    """,
    4: """
        BATCH_MATMUL DEQUANTIZE LSTM MAXIMUM MINIMUM MUL RESIZE_BILINEAR
        RESIZE_NEAREST_NEIGHBOR SPLIT SVDF UNPACK
    """,
    5: """
        CONV_2D GATHER SLICE STRIDED_SLICE SUB TRANSPOSE
    """,
    6: """
        DEPTHWISE_CONV_2D
    """,
    9: """
        FULLY_CONNECTED
    """,
}

OP_VERSIONS_TF_2_5: dict[str, int] = {
    name: version for version, names in _BY_VERSION.items() for name in names.split()
}
