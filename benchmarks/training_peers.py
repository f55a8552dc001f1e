"""The libraries of benchmarks/training.py: the same network, step and loop in each.

A library is opened with `Setup` and then asked for images. All have 1000 classes, dropout and drop
connect at the published rates, and SGD with momentum; their weights are drawn at random.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import itertools
import math
import random
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from edgekit.data.images import EXTENSIONS
from edgekit.errors import UsageError
from edgekit.networks.cost import cost
from edgekit.networks.efficientnet.architecture import build_graph
from edgekit.networks.efficientnet.find import find_spec
from edgekit.networks.torch_device import autocast, pick_device, place
from edgekit.system.memory import keep_freed_memory

CLASSES = 1000
RATE, MOMENTUM = 0.01, 0.9
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
#: What timm imports, and none of its networks computes with.
STUBBED: tuple[str, ...] = ("torchvision", "yaml")
#: Names that are not ``efficientnet_`` and ours.
TIMM = {"v2-b0": "tf_efficientnetv2_b0", "v2-b1": "tf_efficientnetv2_b1"} | {
    f"v2-{size}": f"efficientnetv2_{size}" for size in "sml"
}

Work = Callable[[], object]


@dataclass(frozen=True)
class Setup:
    """What is measured.

    Attributes:
        model: the variant's name with us.
        batch: images of a step.
        resolution: side in pixels.
        precision: ``fp32`` or ``bf16``.
        device: ``cpu`` or ``cuda``.
        compile: whether torch or XLA compiles the network.
        threads: of the kernels, and that many decode images.
        data: folder of class folders of JPEG files.
        timm: folder that timm is installed in, if it is not beside us.
    """

    model: str
    batch: int
    resolution: int
    precision: str
    device: str
    compile: bool
    threads: int
    data: str
    timm: str | None = None


class Library:
    """A network and how it is trained; subclasses fill in the rest.

    Attributes:
        parameters: that are trained.
        macs: multiply-accumulates of one image.
        note: what was chosen for it, if anything.
        forward: classifies a batch in inference mode.
        step: trains on a batch that lies in memory.
    """

    parameters: int
    macs: int
    note: str = ""
    forward: Work
    step: Work

    def loop(self) -> Generator[object]:
        """Trains on decoded and varied images without end; yields after each batch is there.

        The first is there before the first step begins.
        """
        raise NotImplementedError

    def wait(self) -> None:
        """Waits until the device has done what it was asked for."""

    def images_per_s(self, mode: str, steps: int, batch: int) -> float:
        """Measures ``forward``, ``step`` or ``loop`` over this many batches."""
        with closing(self.loop() if mode == "loop" else self._repeat(getattr(self, mode))) as run:
            next(run)
            self.wait()
            began = time.perf_counter()
            for _ in range(steps):
                next(run)
            self.wait()
        return steps * batch / (time.perf_counter() - began)

    @staticmethod
    def _repeat(work: Work) -> Generator[object]:
        while True:
            yield work()


class Torch(Library):
    """A torch network in the plain loop that everybody writes."""

    def __init__(self, setup: Setup, network: nn.Module) -> None:
        torch.set_num_threads(setup.threads)
        self.setup, self.device = setup, pick_device(setup.device)
        self.network = place(network, self.device)
        self.run: Callable[[Tensor], Tensor] = (
            torch.compile(network) if setup.compile else self.network
        )
        self.optimizer = SGD(network.parameters(), RATE, momentum=MOMENTUM, fused=True)
        self.parameters = sum(p.numel() for p in network.parameters())
        side = (setup.resolution, setup.resolution)
        self.inputs = torch.randn(setup.batch, 3, *side, device=self.device)
        self.inputs = self.inputs.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (setup.batch,), device=self.device)

    def forward(self) -> Tensor:
        self.network.eval()
        with torch.inference_mode(), autocast(self.device, self.setup.precision):
            return self.run(self.inputs)

    def step(self) -> Tensor:
        return self.learn(self.inputs, self.labels)

    def learn(self, inputs: Tensor, labels: Tensor) -> Tensor:
        self.network.train()
        self.optimizer.zero_grad()
        with autocast(self.device, self.setup.precision):
            logits = self.run(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()

    def loop(self) -> Generator[object]:
        for inputs, labels in self.batches():
            yield inputs
            self.learn(inputs, labels)

    def batches(self) -> Iterable[tuple[Tensor, Tensor]]:
        raise NotImplementedError

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Edgekit(Torch):
    """Ours, with the batches of `edgekit train`."""

    def __init__(self, setup: Setup) -> None:
        from edgekit.networks.torch_network import Network

        keep_freed_memory()  # as a build does
        graph = build_graph(find_spec(setup.model), classes=CLASSES, resolution=setup.resolution)
        super().__init__(setup, Network(graph))
        self.macs = cost(graph).macs

    @cached_property
    def evaluated(self) -> Callable[[Tensor], Tensor]:
        """The network as an evaluation runs it; made once, as there."""
        from edgekit.networks.predict import without_normalizations
        from edgekit.networks.torch_network import Network

        network = cast(Network, self.network)
        plain = place(without_normalizations(network), self.device).eval()
        return torch.compile(plain) if self.setup.compile else plain

    def forward(self) -> Tensor:
        with torch.inference_mode(), autocast(self.device, self.setup.precision):
            return self.evaluated(self.inputs)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        from edgekit.data.augmentation.augment import Augmentation
        from edgekit.data.batches import Part, train_batches
        from edgekit.data.folders import list_photos
        from edgekit.data.preprocessing import Preprocessing
        from edgekit.data.scan import read_listings
        from edgekit.networks.predict import to_input

        listing = list_photos(Path(self.setup.data), "--data")
        names = tuple(sorted({file.label for file in listing.files}))
        photos = read_listings({"--data": listing})["--data"].photo_set(names)
        preprocessing = Preprocessing(
            self.setup.resolution, MEAN, STD, names, interpolation="bilinear"
        )
        for epoch in itertools.count():
            for batch in train_batches(
                photos,
                preprocessing,
                self.setup.batch,
                Part(seed=0, epoch=epoch),
                augmentation=Augmentation(),
                workers=self.setup.threads,
            ):
                labels = torch.from_numpy(batch.labels).to(self.device)
                yield to_input(batch.pixels, preprocessing, self.device), labels


class Timm(Torch):
    """timm's network with torch's DataLoader and Pillow.

    Args:
        setup: what is measured.
        keep: whether the process keeps freed memory as ours does; timm alone does not.
    """

    def __init__(self, setup: Setup, keep: bool = True) -> None:
        if keep:
            keep_freed_memory()
        timm = _import_timm(setup.timm)
        spec = find_spec(setup.model)
        name = TIMM.get(spec.name, f"efficientnet_{spec.name}")
        network = timm.create_model(
            name, num_classes=CLASSES, drop_rate=spec.dropout, drop_path_rate=0.2
        )
        self.macs = _macs(network, setup.resolution)
        super().__init__(setup, network)
        self.note = f"{name}, {self._faster_layout()}"

    def _faster_layout(self) -> str:
        """Leaves the network and its inputs in the layout in which a step is faster."""
        layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
        if self.setup.compile:
            return "channels last"
        seconds = {}
        for name, layout in layouts.items():
            self._lay_out(layout)
            speeds = [self.images_per_s("step", 1, 1) for _ in range(2)]
            seconds[name] = 1 / max(speeds)
        best = min(seconds, key=lambda name: seconds[name])
        self._lay_out(layouts[best])
        return best

    def _lay_out(self, layout: torch.memory_format) -> None:
        self.network.to(memory_format=layout)  # type: ignore[call-overload]
        self.inputs = self.inputs.contiguous(memory_format=layout)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            for pixels, labels in self.loader:
                yield pixels.to(self.device), labels.to(self.device)

    @cached_property
    def loader(self) -> Any:
        """One for all turns: a fork's memory is slow to write to at first."""
        return torch.utils.data.DataLoader(
            _Folder(Path(self.setup.data), self.setup.resolution),
            self.setup.batch,
            shuffle=True,
            num_workers=self.setup.threads,
            drop_last=True,
            persistent_workers=True,
            pin_memory=self.device.type == "cuda",
        )


class _Folder(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """torchvision's ImageFolder, RandomResizedCrop, flip and normalization, written out."""

    def __init__(self, folder: Path, resolution: int) -> None:
        self.files, self.side = files_of(folder), resolution

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        image = Image.open(path).convert("RGB")
        image = image.crop(_crop(*image.size)).resize((self.side,) * 2, Image.Resampling.BILINEAR)
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mean, std = (np.array(values, np.float32) for values in (MEAN, STD))
        pixels = (np.asarray(image, np.float32) - mean) / std
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), label


def _crop(width: int, height: int) -> tuple[int, int, int, int]:
    for _ in range(10):
        area = random.uniform(0.08, 1) * width * height
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    return 0, 0, width, height


def files_of(folder: Path) -> list[tuple[str, int]]:
    """JPEG files of class folders, each with the number of its class."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        (str(file), label)
        for label, path in enumerate(classes)
        for file in sorted(path.iterdir())
        if file.suffix.lower() in EXTENSIONS
    ]


def _macs(network: nn.Module, resolution: int) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, resolution, resolution))
    return int(counter.get_total_flops()) // 2


def _import_timm(folder: str | None) -> Any:
    """Imports timm, where torchvision does not fit to torch too: no network computes with it."""
    if folder:
        if not (Path(folder) / "timm").is_dir():
            raise UsageError(f"{folder} has no timm")
        sys.path.insert(0, folder)
    sys.meta_path.insert(0, _Stubs())
    import timm

    return timm


class _AnyName(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _Stub(ModuleType):
    """A module that has a class of every name; making an object of it is no use to anybody."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _AnyName(name, (), {})


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] in STUBBED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Stub(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Has nothing to run."""
