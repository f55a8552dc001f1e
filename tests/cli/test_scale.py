import json

import pytest

from edgekit.cli import run
from edgekit.cli.scale import parse_budget
from edgekit.errors import UsageError
from edgekit.networks.efficientnet.scaling import scale_spec
from edgekit.networks.efficientnet.spec import SPECS

QUICK = ["scale", "--budget", "200M", "--step", "0.25"]


@pytest.mark.parametrize(
    ("text", "macs"),
    [
        ("200M", 200_000_000),
        ("200m", 200_000_000),
        ("1.5G", 1_500_000_000),
        ("0.3G", 300_000_000),
        (".3G", 300_000_000),
        ("500k", 500_000),
        ("3e8", 300_000_000),
        ("3.5E+8", 350_000_000),
        ("385814752", 385_814_752),
        ("385_814_752", 385_814_752),
        ("385,814,752", 385_814_752),
        (" 200M ", 200_000_000),
    ],
)
def test_budgets_are_read_as_people_write_them(text, macs):
    assert parse_budget(text) == macs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M",
        "-200M",
        "200X",
        "200MB",
        "1.5.0G",
        "nan",
        "inf",
        "3e999",
        "9" * 400,
        "0",
        "0.2",
        "2e-3",
    ],
)
def test_other_budgets_are_refused(text):
    with pytest.raises(UsageError, match="--budget"):
        parse_budget(text)


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
