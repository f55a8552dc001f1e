"""Draws the boxes of things in photos with the model beside this file; model.json has the rest.

    python3 detect.py PHOTO... [--out FOLDER] [--threshold 0.3]

For each photo it writes PHOTO-boxes.png, the photo with a box round each thing, and prints the
boxes: score, class, and left, top, right and bottom in pixels. It needs Python 3.9, numpy and a
TFLite runtime (ai-edge-litert, tflite-runtime or tensorflow). Photos are read and resized, and
names written, by Pillow; without it, only a .ppm (P6) of the model's own size can be read: such a
file is taken as it is.

This file runs alone: what reads photos and feeds a model is here as in classify.py.
"""

from __future__ import annotations

import argparse
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
#: Boxes that are kept, pairs of an anchor and a class of which, and the overlap that makes two one.
MOST, CANDIDATES, OVERLAP = 100, 5000, 0.5


class DetectError(Exception):
    """What is wrong, in words for whoever started this."""


class Model:
    """The model and how it is fed, as model.json says."""

    def __init__(self, threads: int, delegate: str | None) -> None:
        with open(os.path.join(HERE, "model.json"), encoding="utf-8") as file:
            self.record: dict[str, Any] = json.load(file)
        self.size: int = self.record["size"]
        self.names: dict[int, str] = dict(enumerate(self.record["labels"]))
        self.table = feeding_table(self.record["input"])
        anchors = self.record["anchors"]
        self.anchors: Any = make_anchors(self.size, anchors) if anchors else None
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
            raise DetectError(f"the model cannot be loaded: {error}") from error
        self.input = self.interpreter.get_input_details()[0]["index"]
        outputs = self.interpreter.get_output_details()
        self.outputs = [outputs[end["place"]]["index"] for end in self.record["ends"]]

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
            raise DetectError(f"{library} cannot be used: {error}") from error

    def run(self, pixels: Any) -> Any:
        """Returns the boxes in pixels, uint8 [size, size, 3]: float32 [k, 6], the best first.

        They are top, left, bottom and right in fractions of the input, score and class.
        """
        fed = pixels if self.table is None else self.table[pixels, np.arange(3)]
        self.interpreter.set_tensor(self.input, np.ascontiguousarray(fed[np.newaxis]))
        self.interpreter.invoke()
        found = [self.interpreter.get_tensor(index)[0] for index in self.outputs]
        if self.record["output"]["kind"] == "boxes":
            boxes, classes, scores, count = found
            rows = np.concatenate([boxes, scores[:, None], classes[:, None]], axis=1)
            return rows[: int(count)]  # what is behind them is left from the photo before
        for place, end in enumerate(self.record["ends"]):
            if end["scale"] is not None:
                found[place] = (found[place] - np.float32(end["zero_point"])) * end["scale"]
        return self.decode(*(values.astype(np.float32) for values in found))

    def decode(self, offsets: Any, logits: Any) -> Any:
        """Makes boxes of what the model says of its anchors: the best of those that overlap.

        Offsets, float32 [anchors, 4], say how the centre moves, down and across, in heights and
        widths of the anchor, and the logarithms of how these grow; logits are [anchors, classes].
        """
        order = np.argsort(-logits.ravel(), kind="stable")[:CANDIDATES]
        places, classes = np.divmod(order, logits.shape[1])
        anchors, moved = self.anchors[places], offsets[places]
        centers = moved[:, :2] * anchors[:, 2:] + anchors[:, :2]
        halves = np.exp(np.minimum(moved[:, 2:], 16)) * anchors[:, 2:] / 2
        corners = np.concatenate([centers - halves, centers + halves], axis=1)
        kept: list[int] = []
        left = np.arange(len(order))
        while left.size and len(kept) < MOST:
            best, left = left[0], left[1:]
            kept.append(int(best))
            over = overlaps(corners[best], corners[left]) > OVERLAP
            left = left[~(over & (classes[left] == classes[best]))]
        scores = 1 / (1 + np.exp(-logits.ravel()[order][kept]))
        columns = [corners[kept], scores[:, None], classes[kept][:, None]]
        return np.concatenate(columns, axis=1).astype(np.float32)


def overlaps(box: Any, others: Any) -> Any:
    """Intersection over union of a box with each of others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return common / np.maximum((box[2:] - box[:2]).prod() + areas - common, 1e-12)


def make_anchors(side: int, record: dict[str, Any]) -> Any:
    """The anchors of a square input, float32 [n, 4]: centre y and x, height and width.

    In fractions of the input; by level, row, column, octave and ratio.
    """
    octaves, length, found = record["octaves"], side, []
    for level in range(record["levels"][-1] + 1):
        if level in record["levels"]:
            sizes = np.array(
                [
                    (high * 2 ** (k / octaves), wide * 2 ** (k / octaves))
                    for k in range(octaves)
                    for wide, high in record["ratios"]
                ]
            ) * (record["scale"] / length)
            middles = (np.arange(length) + 0.5) / length
            centers = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1).reshape(-1, 1, 2)
            both = np.broadcast_arrays(centers, sizes[None])
            found.append(np.concatenate(both, axis=-1).reshape(-1, 4))
        length = (length - 1) // 2 + 1
    return np.concatenate(found).astype(np.float32)


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
    raise DetectError("no TFLite runtime (pip install ai-edge-litert): " + "; ".join(causes))


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
        raise DetectError(f"{path} cannot be read: {error.strerror}") from error
    if is_ppm:
        return read_ppm(path)
    pillow = load_pillow()
    if pillow is None:
        raise DetectError(f"{path}: only .ppm can be read here (pip install pillow)")
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
        raise DetectError(f"{path} cannot be read: {error}") from error


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
        raise DetectError(f"{path} is no PPM that can be read: {error}") from error


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
            raise DetectError(
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

    def boxes_out(self, rows: Any) -> Any:
        """Boxes of the input in pixels of the photo; what is beyond it is cut."""
        left, top, right, bottom = self.shown
        x, y, x_end, y_end = self.source
        scale = np.array([(y_end - y) / (bottom - top), (x_end - x) / (right - left)] * 2)
        corners = (rows[:, :4] * self.side - np.array([top, left] * 2)) * scale
        corners = corners + np.array([y, x] * 2)
        return corners.clip(0, [self.height, self.width] * 2)


def draw(pixels: Any, boxes: list[dict[str, Any]], colors: Any) -> Any:
    """Draws a rectangle round each thing, the best one last, with its name where Pillow is."""
    drawn = np.array(pixels)
    width = max(2, round(min(pixels.shape[:2]) / 200))
    for box in reversed(boxes):
        top, left, bottom, right = (round(box[side]) for side in ("top", "left", "bottom", "right"))
        edge = np.zeros(drawn.shape[:2], bool)
        edge[top:bottom, left:right] = True
        edge[top + width : bottom - width, left + width : right - width] = False
        drawn[edge] = colors[box["index"] % len(colors)]
    pillow = load_pillow()
    if pillow is None:
        return drawn
    image = pillow.fromarray(drawn)
    pen = importlib.import_module("PIL.ImageDraw").Draw(image)
    for box in reversed(boxes):
        words = f"{box['label']} {box['score']:.0%}"
        at = (box["left"] + width, box["top"] + width)
        pen.rectangle(pen.textbbox(at, words), fill="white")
        pen.text(at, words, fill="black")
    return np.asarray(image)


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


def show(name: str, boxes: list[dict[str, Any]], drawn: str | None) -> None:
    """Prints the answer for one photo."""
    lines = [name]
    for box in boxes:
        sides = " ".join(f"{box[side]:.0f}" for side in ("left", "top", "right", "bottom"))
        lines.append(f"  {box['score']:8.2%}  {box['label']}  {sides}")
    lines += [f"  drawn: {drawn}"] if drawn else []
    text = "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def detect(path: str, model: Model, asked: argparse.Namespace) -> None:
    """Answers for one photo."""
    pixels = read_photo(path)
    place = Place(pixels.shape[1], pixels.shape[0], model.record)
    rows = model.run(place.show(pixels, model.record))
    best = rows[rows[:, 4] >= asked.threshold]
    boxes = []
    for *sides, score, index in np.hstack([place.boxes_out(best), best[:, 4:]]).tolist():
        top, left, bottom, right = sides
        box = {"top": top, "left": left, "bottom": bottom, "right": right}
        label = model.names.get(int(index), f"class {int(index)}")
        boxes.append({"index": int(index), "label": label, "score": score, **box})
    drawn = None
    if not asked.no_drawing:
        stem = os.path.splitext(os.path.basename(path))[0]
        drawn = os.path.join(asked.out or os.path.dirname(path) or ".", stem + "-boxes.png")
        try:
            with open(drawn, "wb") as file:
                file.write(png(draw(pixels, boxes, model.record["colors"])))
        except OSError as error:
            raise DetectError(f"{drawn} cannot be written: {error.strerror}") from error
    if not asked.json:
        show(path, boxes, drawn)
        return
    answer = {"photo": path, "boxes": boxes, "drawn": drawn, "runtime": model.runtime}
    print(json.dumps({**answer, "rows": rows.tolist()}), flush=True)


def main() -> None:
    """Reads the command line and draws."""
    parser = argparse.ArgumentParser(description="Draws the boxes of things in photos.")
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--out", metavar="FOLDER", help="of the drawings [beside the photo]")
    parser.add_argument("--no-drawing", action="store_true", help="print alone")
    parser.add_argument("--threshold", type=float, default=0.3, help="the lowest score of a box")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument(
        "--delegate", metavar="LIBRARY", help="the library of an accelerator; or none"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each photo")
    asked = parser.parse_args()
    if asked.threads < 1:
        parser.error("--threads must be 1 or more")
    model = Model(asked.threads, asked.delegate)
    for path in asked.photos:
        detect(path, model, asked)


if __name__ == "__main__":
    try:
        main()
    except DetectError as failure:
        sys.exit(f"detect.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
