"""Classifies photos with the model beside this file; all about it is in model.json.

    python3 classify.py PHOTO...
    python3 classify.py --camera
    python3 classify.py --camera --log answers.jsonl

With ``--log`` what the model answers and how long it took is kept on this device and nowhere else,
without the photos; `edgekit drift` compares it with what the model answered before it was deployed.
It needs Python 3.9, numpy and a TFLite runtime (ai-edge-litert, tflite-runtime or tensorflow).
Photos are read by Pillow, which gives the pixels that the model was tested with, else by OpenCV,
whose pixels differ a little. Without either, only a .ppm (P6) of the model's own size can be read:
such a file is taken as it is.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python")


class ClassifyError(Exception):
    """What is wrong, in words for whoever started this."""


class Model:
    """The model and how it is fed, as model.json says."""

    def __init__(self, threads: int, delegate: str | None) -> None:
        with open(os.path.join(HERE, "model.json"), encoding="utf-8") as file:
            self.record: dict[str, Any] = json.load(file)
        self.size: int = self.record["size"]
        self.table = feeding_table(self.record["input"])
        runtime = load_runtime()
        self.runtime: str = runtime.__name__.split(".")[0]
        try:
            self.interpreter = runtime.Interpreter(
                model_path=os.path.join(HERE, self.record["file"]),
                num_threads=threads,
                experimental_delegates=self.delegates(runtime, delegate),
            )
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ClassifyError(f"the model cannot be loaded: {error}") from error
        self.input = self.interpreter.get_input_details()[0]["index"]
        self.output = self.interpreter.get_output_details()[0]["index"]

    def delegates(self, runtime: Any, given: str | None) -> Any:
        """The library that the model's operators are handed to, if there is one."""
        library = given
        if library is None and (usual := self.record.get("libraries")):
            library = usual.get(platform.system(), usual[""])
        if not library or library == "none":
            return None
        try:
            return [runtime.load_delegate(library)]
        except (OSError, ValueError) as error:
            raise ClassifyError(f"{library} cannot be used: {error}") from error

    def run(self, pixels: Any) -> Any:
        """Returns the raw outputs for uint8 pixels [size, size, 3], RGB."""
        fed = pixels if self.table is None else self.table[pixels, np.arange(3)]
        self.interpreter.set_tensor(self.input, np.ascontiguousarray(fed[np.newaxis]))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output).reshape(-1)

    def scores(self, outputs: Any) -> Any:
        """Returns the outputs in reals."""
        output = self.record["output"]
        scores = outputs.astype(np.float64)
        if output["scale"] is not None:
            scores = (scores - output["zero_point"]) * output["scale"]
        return scores

    def best(self, outputs: Any, top: int) -> list[dict[str, Any]]:
        """The classes of the highest outputs, the highest first."""
        scores = self.scores(outputs)
        if self.record["output"]["kind"] != "probability":
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        return [
            {
                "index": int(index),
                "label": self.record["labels"][index],
                "output": outputs[index].item(),
                "probability": float(scores[index]),
            }
            for index in np.argsort(-outputs.astype(np.float64), kind="stable")[:top]
        ]


class Log:
    """Answers as lines of JSON in a file; when it is full, it is kept as .1 and begun anew."""

    def __init__(self, path: str, largest: int, model: Model) -> None:
        self.path, self.largest, self.model = path, largest, model
        with open(os.path.join(HERE, model.record["file"]), "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        kind = model.record["output"]["kind"]
        self.header = {"log": 1, "model": digest, "kind": kind, "labels": model.record["labels"]}

    def add(self, outputs: Any, seconds: float) -> None:
        """Keeps an answer."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        scores = [round(float(score), 4) for score in self.model.scores(outputs)]
        line = json.dumps({"time": now, "scores": scores, "ms": round(1e3 * seconds, 3)})
        try:
            size = os.path.getsize(self.path) if os.path.exists(self.path) else 0
            if size and size + len(line) > self.largest:
                os.replace(self.path, self.path + ".1")
                size = 0
            with open(self.path, "a", encoding="utf-8") as file:
                if not size:
                    file.write(json.dumps(self.header) + "\n")
                file.write(line + "\n")
        except OSError as error:
            raise ClassifyError(f"{self.path} cannot be written: {error.strerror}") from error


def feeding_table(record: dict[str, Any]) -> Any:
    """What the input is given for each byte (row) and channel (column); None for the byte."""
    levels = np.arange(256, dtype=np.float64)[:, None]
    if record["feed"] == "bytes":
        return None
    if record["feed"] == "offset":
        table = levels + record["offset"]
    else:
        mean, std = (np.array(record[key], np.float32) for key in ("mean", "std"))
        if record["feed"] == "normalize":
            table = (levels.astype(np.float32) - mean) / std
        else:  # quantize
            table = np.rint((levels - mean) / std / record["scale"]) + record["zero_point"]
            table = np.clip(table, -128, 127)
    return np.broadcast_to(table, (256, 3)).astype(record["dtype"])


def load_runtime() -> Any:
    """Returns the interpreter module of the first TFLite runtime that imports."""
    causes = []
    for name in RUNTIMES:
        try:
            return importlib.import_module(name + ".interpreter")
        except ImportError as error:
            causes.append(str(error))
    raise ClassifyError("no TFLite runtime (pip install ai-edge-litert): " + "; ".join(causes))


def optional(name: str) -> Any:
    """Returns a module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def read_photo(path: str, model: Model) -> Any:
    """Returns the pixels of a photo, cropped and resized for the model."""
    try:
        with open(path, "rb") as file:
            is_ppm = file.read(2) == b"P6"
    except OSError as error:
        raise ClassifyError(f"{path} cannot be read: {error.strerror}") from error
    if is_ppm:
        pixels = read_ppm(path)
        if pixels.shape[:2] == (model.size, model.size):
            return pixels
        return prepare(pixels, model)
    if optional("PIL.Image"):
        return prepare(read_with_pillow(path), model)
    cv2 = optional("cv2")
    if cv2 is None:
        raise ClassifyError(f"{path}: only .ppm can be read here (pip install pillow)")
    pixels = cv2.imread(path)
    if pixels is None:
        raise ClassifyError(f"{path} is no photo that OpenCV can read")
    return prepare(pixels[..., ::-1], model)


def read_with_pillow(path: str) -> Any:
    """Returns a photo as uint8 pixels, upright; what is transparent becomes white."""
    pillow, operations = optional("PIL.Image"), optional("PIL.ImageOps")
    try:
        image = pillow.open(path)
        image.load()
        image = operations.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits of grey
            grey = np.clip(np.asarray(image).astype(np.int64) >> 8, 0, 255)
            image = pillow.fromarray(grey.astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = pillow.new("RGBA", image.size, "white")
            image = pillow.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise ClassifyError(f"{path} cannot be read: {error}") from error


def read_ppm(path: str) -> Any:
    """Reads a binary PPM of 8 bits."""
    with open(path, "rb") as file:
        data = file.read()
    words: list[bytes] = []
    place = 0
    while len(words) < 4:  # P6, width, height, largest value; comments may stand between
        line_end = data.find(b"\n", place)
        if data[place : place + 1] == b"#" and line_end >= 0:
            place = line_end + 1
        elif data[place : place + 1].isspace():
            place += 1
        else:
            start = place
            while place < len(data) and not data[place : place + 1].isspace():
                place += 1
            words.append(data[start:place])
    try:
        width, height, largest = (int(word) for word in words[1:])
        if largest != 255:
            raise ValueError("its values are not bytes")
        body = data[place + 1 : place + 1 + width * height * 3]
        return np.frombuffer(body, np.uint8).reshape(height, width, 3)
    except ValueError as error:
        raise ClassifyError(f"{path} is no PPM that can be read: {error}") from error


def prepare(pixels: Any, model: Model) -> Any:
    """Cuts out the centre square and resizes it to the model's size."""
    height, width = pixels.shape[:2]
    side = max(int(model.record["crop_fraction"] * min(width, height) + 1e-6), 1)
    left, top = (width - side + 1) // 2, (height - side + 1) // 2
    size = (model.size, model.size)
    pillow = optional("PIL.Image")
    if pillow:
        method = getattr(pillow, model.record["interpolation"].upper())
        image = pillow.fromarray(np.ascontiguousarray(pixels))
        box = (left, top, left + side, top + side)
        return np.array(image.resize(size, method, box=box))
    cv2 = optional("cv2")
    if cv2 is None:
        raise ClassifyError(
            f"a photo of {width} x {height} pixels cannot be resized here to {size[0]} x "
            f"{size[1]} (pip install pillow)"
        )
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    bicubic = model.record["interpolation"] == "bicubic"
    larger = cv2.INTER_CUBIC if bicubic else cv2.INTER_LINEAR
    return cv2.resize(square, size, interpolation=cv2.INTER_AREA if side > size[0] else larger)


def camera_frames(number: int) -> Iterator[Any]:
    """Yields the frames of a camera as RGB pixels, without end."""
    picamera = optional("picamera2")
    if picamera:
        camera = picamera.Picamera2(number)
        # Its name "BGR888" means red, green, blue in memory.
        camera.configure(camera.create_video_configuration(main={"format": "BGR888"}))
        camera.start()
        try:
            while True:
                yield camera.capture_array("main")
        finally:
            camera.stop()
    cv2 = optional("cv2")
    if cv2 is None:
        raise ClassifyError(
            "a camera needs picamera2 or OpenCV (pip install opencv-python-headless)"
        )
    capture = cv2.VideoCapture(number)
    try:
        while True:
            got, frame = capture.read()
            if not got:
                raise ClassifyError(f"camera {number} gives no picture")
            yield frame[..., ::-1]
    finally:
        capture.release()


def show(name: str, places: list[dict[str, Any]], model: Model, as_json: bool) -> None:
    """Prints the answer for one photo."""
    if as_json:
        best = places[0]
        record = {"photo": name, "index": best["index"], "label": best["label"], "top": places}
        print(json.dumps({**record, "runtime": model.runtime}), flush=True)
        return
    lines = [name, *(f"  {p['probability']:8.2%}  {p['label']}" for p in places)]
    text = "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def main() -> None:
    """Reads the command line and classifies."""
    parser = argparse.ArgumentParser(description="Classifies photos with the model beside it.")
    parser.add_argument("photos", nargs="*", metavar="PHOTO")
    parser.add_argument("--camera", nargs="?", type=int, const=0, metavar="N", help="until Ctrl-C")
    parser.add_argument("--top", type=int, default=5, help="how many classes are shown")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument(
        "--delegate", metavar="LIBRARY", help="the library of an accelerator; or none"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each photo")
    parser.add_argument("--log", metavar="FILE", help="keep answers and times here; off by default")
    parser.add_argument("--log-mb", type=float, default=5.0, help="size at which it begins anew")
    asked = parser.parse_args()
    if bool(asked.photos) == (asked.camera is not None):
        parser.error("give photos, or --camera")
    if min(asked.top, asked.threads) < 1:
        parser.error("--top and --threads must be 1 or more")
    if not asked.log_mb > 0:
        parser.error("--log-mb must be above 0")
    model = Model(asked.threads, asked.delegate)
    log = Log(asked.log, int(asked.log_mb * 1e6), model) if asked.log else None
    if asked.camera is None:
        pictures = ((path, read_photo(path, model)) for path in asked.photos)
    else:
        name = f"camera {asked.camera}"
        pictures = ((name, prepare(frame, model)) for frame in camera_frames(asked.camera))
    for name, pixels in pictures:
        began = time.perf_counter()
        outputs = model.run(pixels)
        took = time.perf_counter() - began
        show(name, model.best(outputs, asked.top), model, asked.json)
        if log:
            log.add(outputs, took)


if __name__ == "__main__":
    try:
        main()
    except ClassifyError as failure:
        sys.exit(f"classify.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
