"""Words of the compiler, from reports of its users, and the cause that is told of each."""

from __future__ import annotations

import pytest

from edgekit.targets.edgetpu.failures import explain_failure, is_silent, known_failure

VERSION = "Edge TPU Compiler version 16.0.384591198\n"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Invalid model: X.tflite\nModel not quantized\n", "not fully quantized"),
        (
            "ERROR: Attempting to use a delegate that only supports static-sized tensors with a "
            "graph that has dynamic-sized tensors.\nCompilation failed: Model failed in Tflite "
            "interpreter. Please ensure model can be loaded/run in Tflite interpreter.\n",
            "only known at run time",
        ),
        ("Compilation failed due to large activation tensors in model.\n", "activations"),
        ("ERROR: :344 no_integer_overflow_from_quantization was not true.\n", "bias overflows"),
        ("Internal compiler error. Aborting!\n", "internal error"),
        ("Compilation failed: Model failed in Tflite interpreter.\n", "inside the compiler"),
        ("Didn't find op for builtin opcode 'CONV_2D' version '6'\n", "CONV_2D is newer"),
        ("Segmentation fault (core dumped)\n", "crashed"),
        (
            "Package requires runtime version (14), which is newer than this runtime version (13)",
            "needs runtime 14",
        ),
        (
            "ERROR: Op builtin_code out of range: 151. Are you using old TFLite binary with newer "
            "model?\nERROR: Registration failed.\n\nInvalid model: m.tflite\nModel could not be "
            "parsed\n",
            "newer than the compiler, which ends before operator code 151",
        ),
        ("Invalid model: m.tflite\nModel could not be parsed\n", "damaged"),
        ("Invalid model: m.tflite\n", "without a reason"),
        (
            "ERROR: Encountered unresolved custom op: Atan.\n"
            "ERROR: Node number 1 (Atan) failed to prepare.\n",
            "the custom operator Atan is not known to the compiler",
        ),
        (
            "Encountered unresolved custom op: TFLite_Detection_PostProcess.\nSee instructions: x",
            "TFLite_Detection_PostProcess is",
        ),
        (
            "ERROR: :129 std::abs(input_product_scale - bias_scale) <= 1e-6 * x was not true.\n"
            "ERROR: Node number 40 (FULLY_CONNECTED) failed to prepare.\n",
            "of its input and weights, at operator 40 (FULLY_CONNECTED)",
        ),
        ("ERROR: Node number 7 (PAD) failed to prepare.\n", "prepare operator 7 (PAD)"),
        ("Compilation timeout. This is usually caused by large activations.\n", "time limit"),
        (
            "libc++abi: terminating with uncaught exception of type std::out_of_range: vector\n",
            "crashed (std::out_of_range: vector)",
        ),
        ("bash: edgetpu_compiler: command not found\n", "not installed"),
        (
            "bash: /usr/bin/edgetpu_compiler: cannot execute binary file: Exec format error",
            "x86-64",
        ),
        ("Error opening file for writing: edgetpu/best.tflite\n", "write edgetpu/best.tflite"),
    ],
)
def test_known_failures(text, cause):
    assert cause in known_failure(text).cause
    assert known_failure(text).fix


def test_an_unknown_failure_has_no_cause():
    assert known_failure("Compilation failed!\n") is None
    assert explain_failure(["Compilation failed!"]).cause == "the compiler gives no reason"


def test_an_unknown_complaint_is_quoted_without_what_every_attempt_prints():
    said = ["ERROR: Restored original execution plan after it.", "ERROR: the moon is full"]
    assert explain_failure(said).cause == "the compiler says: ERROR: the moon is full"


@pytest.mark.parametrize(
    ("text", "silent"), [("", True), (VERSION + "\n", True), ("Compilation failed!", False)]
)
def test_silence(text, silent):
    assert is_silent(text) == silent
