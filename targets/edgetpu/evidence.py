"""Where what we say of the Edge TPU compiler was seen: files, logs, issues, its documentation.

A rule that leaves an operator on the CPU names what showed it (`edgekit.targets.edgetpu.operators`,
`edgekit.targets.edgetpu.rules`). A sentence of the documentation counts where no compiled file or
log refutes it. Refuted, and so no rules: a fully connected layer has its weights quantized as a
whole (pair dense_256); a convolution has the same dilation in both directions, even where its
kernel has one row or one column (pair tcn_dilated); a softmax has one dimension and at most 16,000
elements (libredgetpu, bright_128x128: 16,384); no operator but those in the table maps (TILE in
DeepLab slim).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """Something public that shows what the compiler does.

    Attributes:
        kind: "pair" (a file before and after the compiler, ``../shared/edgetpu/pairs``), "log" (an
            operation log, ``../shared/edgetpu/logs``), "issue" (of google-coral/edgetpu), "file"
            (of another public repository) or "documentation" (a sentence of coral.ai).
        name: the file's name, the number, or the sentence.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        match self.kind:
            case "issue":
                return f"google-coral/edgetpu issue {self.name}"
            case "documentation":
                return f'coral.ai: "{self.name}"'
        return f"{self.kind} {self.name}"


def pair(name: str) -> Evidence:
    """A model before and after the compiler."""
    return Evidence("pair", name)


def log(name: str) -> Evidence:
    """An operation log of the compiler."""
    return Evidence("log", name)


def issue(number: int) -> Evidence:
    """An issue of google-coral/edgetpu."""
    return Evidence("issue", str(number))


def public(repository: str, path: str) -> Evidence:
    """A file of a public repository that is not in ../shared."""
    return Evidence("file", f"{repository}, {path}")


def documented(sentence: str) -> Evidence:
    """A sentence of coral.ai, "TensorFlow models on the Edge TPU"."""
    return Evidence("documentation", sentence)
