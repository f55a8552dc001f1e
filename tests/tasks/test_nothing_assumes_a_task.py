"""What only a classifier has is in the package of classification, or named here."""

import re

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
    "edgekit.cli.choose": "published figures of ImageNet",
    "edgekit.search.candidates": "published figures of ImageNet",
    "edgekit.search.choose": "published figures of ImageNet",
    "edgekit.search.limits": "published figures of ImageNet",
    "edgekit.cli.parity": "the heading of a table",
    "edgekit.options.quantization": "help texts",
}


def test_no_module_says_what_only_a_task_knows():
    others = {name: path for name, path in sources().items() if not name.startswith(OWN)}
    said = {name for name, path in others.items() if WORDS.search(path.read_text("utf-8"))}
    assert said == EXCEPTIONS.keys()


def test_no_template_of_the_report_does():
    for path in (PACKAGE / "report").glob("*.j2"):
        assert not re.search(r"top[-_]?[15]|confusion|wilson", path.read_text("utf-8").lower())
