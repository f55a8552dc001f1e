"""The two APIs of an app; `test_android.py` builds what is written for them."""

from __future__ import annotations

import json
import shlex

import pytest
from map_files import write_map_file
from tiny_tflite import TinyModel

from edgekit.errors import UsageError
from edgekit.targets.deploy.apis import APIS, INTERPRETER, find_api, record_for
from edgekit.targets.deploy.deploy import deploy
from edgekit.targets.deploy.model import describe, find_source


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(TinyModel().pack())
    return path


@pytest.mark.parametrize(
    ("api", "uses", "line"),
    [
        (INTERPRETER, "org.tensorflow.lite.Interpreter", "litert:litert:1.4.2"),
        ("compiled-model", "com.google.ai.edge.litert.CompiledModel", "litert:litert:2.3.0"),
    ],
)
def test_an_app_is_written_for_an_api(tmp_path, model, api, uses, line):
    done = deploy(model, None, android=api, to=str(tmp_path / "app"))
    app = tmp_path / "app"
    assert f"import {uses}\n" in (app / "app/src/main/java/edgekit/Model.kt").read_text()
    assert line in (app / "README.md").read_text()
    assert json.loads((app / "model.json").read_text())["api"] == api
    assert any(name.endswith(".cc") for name in done.files) == APIS[api].has_c
    assert ("C++" in (app / "README.md").read_text()) == APIS[api].has_c


def test_a_type_that_an_api_cannot_read_is_refused(tmp_path):
    source = find_source(write_map_file(tmp_path / "m.tflite", "unet", "classes"))
    record = describe(source).record
    record["output"]["dtype"] = "int16"
    assert record_for(find_api(INTERPRETER), source, record)["api"] == INTERPRETER
    with pytest.raises(UsageError, match="is not for --android-api compiled-model") as caught:
        record_for(find_api("compiled-model"), source, record)
    assert caught.value.cause == "it answers in int16, which that cannot read"
    assert shlex.split(caught.value.hint) == ["--android-api", INTERPRETER]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"android": "compiled"}, "there is no --android-api 'compiled'"),
        ({"device": "local:", "android": "compiled-model"}, "is no Android phone"),
    ],
)
def test_bad_requests(model, options, says):
    with pytest.raises(UsageError, match=says) as caught:
        deploy(model, options.pop("device", None), **options)
    assert caught.value.hint
