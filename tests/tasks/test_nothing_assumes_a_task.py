"""What only one task has is in its package, or named here."""

import re

import pytest
from command_line import PACKAGE, sources

#: By task, what only it says.
WORDS = {
    "classification": r"top[-_ ]?[15]\b|top1|top_k|\.(log_)?softmax\(|cross_entropy|CrossEntropy"
    r"|one_hot|Confusion|tasks\.classification|replace_head|without_classifier",
    "segmentation": r"mIoU|miou|\biou\b|[Dd]ice\b|[Ll]ov[aá]sz|[Ff]ocal|Jaccard|jaccard"
    r"|pixel_accuracy|boundary_f1|tasks\.segmentation|replace_logits|load_masked_splits",
    "detection": r"\bap(50|75)?\b|\bAP\b|[Ff]ocal|[Hh]uber|faster_coco_eval|COCOeval"
    r"|tasks\.detection|replace_classes|load_box_splits",
}
#: The package of each, and others that are about the same.
OWN = {
    "classification": (
        "edgekit.tasks.classification",
        "edgekit.tasks.segmentation",
        "edgekit.tasks.detection",
    ),
    "segmentation": (
        "edgekit.tasks.segmentation",
        "edgekit.networks.segmentation",
        "edgekit.data.masks",
        "edgekit.tasks.detection",
    ),
    "detection": (
        "edgekit.tasks.detection",
        "edgekit.networks.detection",
        "edgekit.data.boxes",
        "edgekit.tasks.segmentation",
    ),
}
#: Where such a word stands elsewhere, and why it is right there.
EXCEPTIONS = {
    "classification": {
        "edgekit.converters.weights.load": "published weights are those of classifiers",
        "edgekit.networks.efficientnet.architecture": "has a row for each end of a network",
        "edgekit.networks.edit": "takes off and puts on a fully connected layer, for the task",
        "edgekit.cli.models": "published figures of ImageNet",
        "edgekit.networks.efficientnet.catalog": "published figures of ImageNet",
        "edgekit.cli.choose": "published figures of ImageNet",
        "edgekit.search.candidates": "published figures of ImageNet",
        "edgekit.search.choose": "published figures of ImageNet",
        "edgekit.search.limits": "published figures of ImageNet",
        "edgekit.cli.pretrained": "published figures of ImageNet",
        "edgekit.networks.efficientnet.hub.tags": "published figures of ImageNet",
    },
    "segmentation": {
        "edgekit.networks.efficientnet.architecture": "has a row for each end of a network",
        "edgekit.targets.segment": "runs and draws a segmenter on this host",
    },
    "detection": {
        "edgekit.cli.models": "published figures of COCO",
        "edgekit.networks.efficientnet.catalog": "published figures of COCO",
        "edgekit.networks.efficientnet.architecture": "draws a network's own decoder",
        "edgekit.converters.weights.timm": "AdvProp is ap in its names",
        "edgekit.targets.detect": "runs and draws a detector on this host",
        "edgekit.targets.deploy.boxes": "what only a detector's program must know",
        "edgekit.data.masks.coco_masks": "draws masks with the library that measures boxes",
    },
}


@pytest.mark.parametrize("task", WORDS)
def test_no_module_says_what_only_a_task_knows(task):
    words = re.compile(WORDS[task])
    others = {name: path for name, path in sources().items() if not name.startswith(OWN[task])}
    said = {name for name, path in others.items() if words.search(path.read_text("utf-8"))}
    assert said == EXCEPTIONS[task].keys()


def test_no_task_imports_another():
    for name, path in sources().items():
        others = [task for task in WORDS if f"edgekit.tasks.{task}" not in name]
        if name.startswith("edgekit.tasks.") and len(others) < len(WORDS):
            text = path.read_text("utf-8")
            assert not any(f"tasks.{task}" in text for task in others), name


def test_no_template_of_the_report_does():
    for path in (PACKAGE / "report").glob("*.j2"):
        text = path.read_text("utf-8").lower()
        assert not re.search(r"top[-_]?[15]|confusion|wilson|iou|\bdice\b|mask", text), path
