"""From options to an engine: what is passed on, and what a finished stage depends on."""

import pytest

from edgekit.errors import UsageError
from edgekit.options.build import BuildOptions
from edgekit.pipeline.engine import MOST_WORKERS, deciding, make_engine
from edgekit.training.world import World


def options(**given):
    return BuildOptions.make("b0", torch_device="cpu", **given)


def test_everything_that_was_asked_for_arrives():
    world = World(rank=1, size=4, local_rank=1, local_size=2)
    asked = options(
        precision="bf16",
        torch_compile=True,
        micro_batch=8,
        sync_norm=True,
        workers=3,
        cache_photos=0.5,
        save_minutes=2,
    )
    engine = make_engine(asked, world)
    assert engine.device.type == "cpu"
    assert (engine.precision, engine.compile, engine.micro_batch) == ("bf16", True, 8)
    assert (engine.sync_norm, engine.workers, engine.world) == (True, 3, world)
    assert engine.cache_bytes == 2**29
    assert engine.save_seconds == 120
    assert make_engine(options(recompute=True)).recompute


@pytest.mark.parametrize(
    ("cores", "local", "workers"), [(1, 1, 2), (8, 1, 8), (8, 4, 2), (96, 1, 16)]
)
def test_the_cores_are_shared_by_the_processes_of_a_machine(monkeypatch, cores, local, workers):
    monkeypatch.setattr("edgekit.pipeline.engine.usable_cores", lambda: cores)
    world = World(size=local, local_size=local)
    assert make_engine(options(), world).workers == workers <= MOST_WORKERS


def test_a_processor_refuses_fp16_before_anything_is_done():
    with pytest.raises(UsageError, match="fp16"):
        make_engine(options(precision="fp16"))


def test_a_stage_depends_on_what_changes_its_weights_alone():
    assert deciding(options(workers=7, cache_photos=1, torch_compile=True)) == {}
    assert deciding(options(recompute=True)) == {}
    assert deciding(options(precision="bf16", micro_batch=4, sync_norm=True)) == {
        "precision": "bf16",
        "micro_batch": 4,
        "sync_norm": True,
    }
