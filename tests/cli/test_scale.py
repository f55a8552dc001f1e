import json

import pytest

from edgekit.cli import run
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS

QUICK = ["scale", "--budget", "200M", "--step", "0.25"]


def test_json_lists_candidates_that_the_printed_command_builds(capsys):
    assert run([*QUICK, "--json", "--limit", "3"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert {k: document[k] for k in ("schema_version", "base", "budget_macs")} == {
        "schema_version": 1,
        "base": "b0",
        "budget_macs": 200_000_000,
    }
    assert 3 <= len(document["candidates"]) <= 4
    for candidate in document["candidates"]:
        words = candidate["command"].split()
        assert words[:3] == ["edgekit", "build", "b0"]
        options = dict(zip(words[3::2], map(float, words[4::2]), strict=True))
        spec = scale_spec(SPECS["b0"], **{k.removeprefix("--"): v for k, v in options.items()})
        assert spec.name == candidate["name"]
        assert spec.resolution == candidate["resolution"]


def test_the_table_is_the_result_and_the_rest_is_said_beside_it(capsys):
    assert run([*QUICK, "--limit", "2"]) == 0
    out, err = capsys.readouterr()
    header, *rows = out.splitlines()
    assert header.split()[:4] == ["phi", "alpha", "beta", "gamma"]
    assert {len(line) for line in rows} == {len(header)}
    assert [line[0] for line in rows].count("*") == 1
    assert "Accuracy is not predicted" in err
    first = rows[0].removeprefix("*").split()
    assert f"edgekit build b0 --phi {first[0]} --alpha {first[1]}" in err


def test_no_limit_shows_more(capsys):
    run([*QUICK, "--limit", "1"])
    few = capsys.readouterr().out
    run([*QUICK, "--limit", "0"])
    assert len(capsys.readouterr().out) > len(few)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scale"], "--budget"),
        (["scale", "--budget", "many"], "200M, 1.5G, 3e8"),
        (["scale", "--budget", "200M", "--model", "b9"], "did you mean"),
        (["scale", "--budget", "200M", "--limit", "-1"], "--limit"),
        (["scale", "--budget", "200M", "--step", "0"], "step"),
        (["scale", "--budget", "10"], "cannot be scaled"),
    ],
)
def test_bad_requests(arguments, words, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
