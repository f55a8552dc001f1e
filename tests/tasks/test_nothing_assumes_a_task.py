"""What only a classifier has is in the package of classification, or named here."""

import re

import pytest
from command_line import PACKAGE, sources

WORDS = re.compile(
    r"top[-_ ]?[15]\b|top1|top_k|\.(log_)?softmax\(|cross_entropy|CrossEntropy|one_hot|Confusion"
    r"|tasks\.classification|replace_head|without_classifier"
)
OWN = "edgekit.tasks.classification"
#: Where such a word stands elsewhere, and why it is right there.
EXCEPTIONS = {
    "edgekit.converters.weights.load": "published weights are those of classifiers",
    "edgekit.networks.edit": "takes off and puts on a fully connected layer, for the task",
    "edgekit.cli.models": "published figures of ImageNet",
    "edgekit.networks.efficientnet.catalog": "published figures of ImageNet",
    "edgekit.cli.parity": "the heading of a table",
    "edgekit.options.quantization": "help texts",
    "edgekit.pipeline.train": "a public property of `edgekit.train`'s result",
}


@pytest.mark.parametrize("module", sorted(sources()))
def test_no_module_says_what_only_a_task_knows(module):
    found = WORDS.search(sources()[module].read_text("utf-8"))
    assert module.startswith(OWN) or (found is None) == (module not in EXCEPTIONS), found


def test_no_template_of_the_report_does():
    for path in (PACKAGE / "report").glob("*.j2"):
        assert not re.search(r"top[-_]?[15]|confusion|wilson", path.read_text("utf-8").lower())
