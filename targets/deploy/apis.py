"""LiteRT's two ways to run a model in an Android app: what of the sources differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.data.resizing import resizes_columns_first
from edgekit.errors import UsageError, did_you_mean
from edgekit.targets.deploy.model import Source


@dataclass(frozen=True)
class AppApi:
    """An API of LiteRT for apps.

    Attributes:
        name: as it is given on the command line.
        template: of ``Model.kt``, which runs the model.
        outputs: types of outputs that it can read.
        dependencies: lines for Gradle, the first of them needed; the others in place of it or
            beside it, as their comments say.
        lowest_sdk: the oldest Android, by the number of its SDK.
        has_c: whether the sources in C++, which are for TensorFlow Lite's C API, belong to it.
    """

    name: str
    template: str
    outputs: tuple[str, ...]
    dependencies: tuple[str, ...]
    lowest_sdk: int
    has_c: bool


#: The default: it reads all types by their own names, is in all releases of LiteRT, and falls back
#: to TensorFlow Lite's package, while CompiledModel's Kotlin names no uint8.
INTERPRETER = "interpreter"
#: By name. Releases, and the SDK that each needs: ai.google.dev/edge/litert/android.
APIS = {
    api.name: api
    for api in (
        AppApi(
            INTERPRETER,
            "Interpreter.kt.j2",
            ("uint8", "int8", "int16", "int32", "int64", "float32"),
            (
                'implementation("com.google.ai.edge.litert:litert:1.4.2")',
                '// or: implementation("org.tensorflow:tensorflow-lite:2.16.1")',
            ),
            lowest_sdk=21,
            has_c=True,
        ),
        AppApi(
            "compiled-model",
            "CompiledModel.kt.j2",
            # Bytes are read and written as int8 whatever they stand for: a uint8 is the same byte.
            ("uint8", "int8", "int32", "int64", "float32"),
            (
                'implementation("com.google.ai.edge.litert:litert:2.3.0")',
                '// and for the GPU: implementation("com.google.ai.edge.litert:litert-gpu:2.3.0")',
            ),
            lowest_sdk=23,
            has_c=False,
        ),
    )
}


def find_api(name: str) -> AppApi:
    """Returns an API.

    Raises:
        UsageError: there is none of that name.
    """
    try:
        return APIS[name]
    except KeyError:
        raise UsageError(
            f"there is no --android-api '{name}'", hint=did_you_mean(name, APIS)
        ) from None


def record_for(api: AppApi, source: Source, record: dict[str, Any]) -> dict[str, Any]:
    """What ``model.json`` holds of a model, for sources that run it by an API.

    Args:
        api: how an app runs the model.
        source: the file.
        record: what `describe` found.

    Raises:
        UsageError: the API cannot read the model's outputs.
    """
    dtype = record["output"]["dtype"]
    if dtype not in api.outputs:
        raise UsageError(
            f"{source.path} is not for --android-api {api.name}",
            cause=f"it answers in {dtype}, which that cannot read",
            hint=f"--android-api {INTERPRETER}",
        )
    return record | {"api": api.name, "columns_first": resizes_columns_first()}
