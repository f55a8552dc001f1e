"""Draws the classes of photos' pixels with the model beside this file; model.json has the rest.

    python3 segment.py PHOTO... [--out FOLDER]

For each photo it writes PHOTO-classes.png, the photo with the colours of its classes, and prints
which part of the pixels each class has. It needs Python 3.9, numpy and a TFLite runtime
(ai-edge-litert, tflite-runtime or tensorflow). Photos are read and resized by Pillow; without it,
only a .ppm (P6) of the model's own size can be read: such a file is taken as it is.

This file runs alone: what reads photos and feeds a model is here as in classify.py.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import os
import platform
import struct
import sys
import zlib
from typing import Any

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
RUNTIMES = ("ai_edge_litert", "tflite_runtime", "tensorflow.lite.python")
NO_CLASS = 255
#: Of a colour in a pixel of its class; an edge between classes has all of it.
SHARE = 0.5


class SegmentError(Exception):
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
            raise SegmentError(f"the model cannot be loaded: {error}") from error
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
            raise SegmentError(f"{library} cannot be used: {error}") from error

    def run(self, pixels: Any) -> Any:
        """Returns the class of each pixel of the model's map, uint8 [rows, columns].

        Args:
            pixels: uint8 [size, size, 3], RGB.
        """
        fed = pixels if self.table is None else self.table[pixels, np.arange(3)]
        self.interpreter.set_tensor(self.input, np.ascontiguousarray(fed[np.newaxis]))
        self.interpreter.invoke()
        output = self.interpreter.get_tensor(self.output)[0]
        if self.record["output"]["kind"] == "classes":
            return output.reshape(output.shape[:2]).astype(np.uint8)
        return output.argmax(axis=2).astype(np.uint8)  # of ties the lower class


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
    raise SegmentError("no TFLite runtime (pip install ai-edge-litert): " + "; ".join(causes))


def load_pillow() -> Any:
    """Returns the module PIL.Image, or None where it is not installed."""
    try:
        importlib.import_module("PIL.ImageOps")
        return importlib.import_module("PIL.Image")
    except ImportError:
        return None


def read_photo(path: str) -> Any:
    """Returns the pixels of a photo, uint8 [height, width, 3], RGB, upright."""
    try:
        with open(path, "rb") as file:
            is_ppm = file.read(2) == b"P6"
    except OSError as error:
        raise SegmentError(f"{path} cannot be read: {error.strerror}") from error
    if is_ppm:
        return read_ppm(path)
    pillow = load_pillow()
    if pillow is None:
        raise SegmentError(f"{path}: only .ppm can be read here (pip install pillow)")
    return read_with_pillow(path, pillow)


def read_with_pillow(path: str, pillow: Any) -> Any:
    """Returns a photo as uint8 pixels, upright; what is transparent becomes white."""
    operations = importlib.import_module("PIL.ImageOps")
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
        raise SegmentError(f"{path} cannot be read: {error}") from error


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
        raise SegmentError(f"{path} is no PPM that can be read: {error}") from error


class Place:
    """Where a photo is within the model's square input, and back; rectangles are of four sides."""

    def __init__(self, width: int, height: int, record: dict[str, Any]) -> None:
        self.width, self.height = width, height
        self.side: int = record["size"]
        self.source, self.shown = (0, 0, width, height), (0, 0, self.side, self.side)
        if record["fit"] == "crop":
            square = max(int(record["crop_fraction"] * min(width, height) + 1e-6), 1)
            left, top = (width - square + 1) // 2, (height - square + 1) // 2
            self.source = (left, top, left + square, top + square)
        elif record["fit"] == "pad":
            scale = self.side / max(width, height)
            across, down = (
                max(1, min(self.side, round(length * scale))) for length in (width, height)
            )
            left, top = (self.side - across) // 2, (self.side - down) // 2
            self.shown = (left, top, left + across, top + down)

    def show(self, pixels: Any, record: dict[str, Any]) -> Any:
        """Returns the photo as the model's input shows it, uint8 [side, side, 3]."""
        if pixels.shape[:2] == (self.side, self.side) and self.source[2:] == (self.side,) * 2:
            return pixels
        pillow = load_pillow()
        if pillow is None:
            raise SegmentError(
                f"a photo of {self.width} x {self.height} pixels cannot be resized here to "
                f"{self.side} x {self.side} (pip install pillow)"
            )
        left, top, right, bottom = self.shown
        image = pillow.fromarray(np.ascontiguousarray(pixels))
        method = getattr(pillow, record["interpolation"].upper())
        part = np.asarray(image.resize((right - left, bottom - top), method, box=self.source))
        canvas = np.empty((self.side, self.side, 3), np.uint8)
        canvas[:] = record["margin"]
        canvas[top:bottom, left:right] = part
        return canvas

    def restore(self, classes: Any) -> Any:
        """Puts the classes of the model's map onto the photo, uint8 [height, width].

        By the nearest pixel; 255 where the model was not shown the photo.
        """
        full = resized(classes, (0, 0, classes.shape[1], classes.shape[0]), self.side, self.side)
        left, top, right, bottom = self.source
        answer = np.full((self.height, self.width), NO_CLASS, np.uint8)
        answer[top:bottom, left:right] = resized(full, self.shown, right - left, bottom - top)
        return answer


def resized(classes: Any, box: tuple[int, int, int, int], width: int, height: int) -> Any:
    """A rectangle of a map in another size, by the nearest pixel, as Pillow finds it."""
    left, top, right, bottom = box
    rows, columns = nearest(top, bottom, height), nearest(left, right, width)
    return classes[rows[:, None], columns]


def nearest(start: int, end: int, count: int) -> Any:
    """The middles of so many parts of a range, rounded down; summed up, as in Pillow."""
    step = (end - start) / count
    steps = np.full(count, step)
    steps[0] = start + step * 0.5
    return np.minimum(np.cumsum(steps).astype(int), end - 1)


def draw(pixels: Any, classes: Any, colors: Any) -> Any:
    """Blends the colours of classes with a photo, and draws the edges between them.

    Class 0, and what is of no class, are as in the photo.
    """
    shown = (classes != 0) & (classes != NO_CLASS)
    edges = np.zeros(classes.shape, bool)
    edges[:-1] |= classes[:-1] != classes[1:]
    edges[:, :-1] |= classes[:, :-1] != classes[:, 1:]
    weight = np.where(shown, SHARE, 0.0)
    weight[edges & shown] = 1.0
    wanted = np.array(colors, np.float32)[np.where(shown, classes, 0)]
    return np.rint(pixels + (wanted - pixels) * weight[..., None]).astype(np.uint8)


def png(pixels: Any) -> bytes:
    """Pixels, uint8 [height, width, 3], as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + width * 3), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(lines.tobytes(), 6))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def shares(classes: Any, labels: list[str]) -> list[dict[str, Any]]:
    """Each class that a map has, with its share of the pixels; the largest first."""
    counts = np.bincount(classes[classes != NO_CLASS], minlength=len(labels))
    total = max(int(counts.sum()), 1)
    return [
        {
            "index": int(index),
            "label": labels[index] if index < len(labels) else f"class {index}",
            "share": counts[index] / total,
        }
        for index in np.argsort(-counts, kind="stable")
        if counts[index]
    ]


def show(name: str, found: list[dict[str, Any]], drawn: str | None) -> None:
    """Prints the answer for one photo."""
    lines = [name, *(f"  {one['share']:8.2%}  {one['label']}" for one in found)]
    lines += [f"  drawn: {drawn}"] if drawn else []
    text = "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def segment(path: str, model: Model, asked: argparse.Namespace) -> None:
    """Answers for one photo."""
    pixels = read_photo(path)
    place = Place(pixels.shape[1], pixels.shape[0], model.record)
    small = model.run(place.show(pixels, model.record))
    classes = place.restore(small)
    drawn = None
    if not asked.no_drawing:
        stem = os.path.splitext(os.path.basename(path))[0]
        drawn = os.path.join(asked.out or os.path.dirname(path) or ".", stem + "-classes.png")
        try:
            with open(drawn, "wb") as file:
                file.write(png(draw(pixels, classes, model.record["colors"])))
        except OSError as error:
            raise SegmentError(f"{drawn} cannot be written: {error.strerror}") from error
    found = shares(classes, model.record["labels"])
    if not asked.json:
        show(path, found, drawn)
        return
    answer: dict[str, object] = {
        "photo": path,
        "classes": found,
        "drawn": drawn,
        "runtime": model.runtime,
    }
    if asked.map:
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(small).tobytes()))
        answer["map"] = {"shape": list(small.shape), "zlib": packed.decode()}
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description="Draws the classes of photos' pixels.")
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--out", metavar="FOLDER", help="of the drawings [beside the photo]")
    parser.add_argument("--no-drawing", action="store_true", help="print alone")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument(
        "--delegate", metavar="LIBRARY", help="the library of an accelerator; or none"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each photo")
    parser.add_argument("--map", action="store_true", help="with --json: the model's map, packed")
    asked = parser.parse_args()
    if asked.threads < 1:
        parser.error("--threads must be 1 or more")
    model = Model(asked.threads, asked.delegate)
    for path in asked.photos:
        segment(path, model, asked)


if __name__ == "__main__":
    try:
        main()
    except SegmentError as failure:
        sys.exit(f"segment.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
