"""``edgekit targets``: where a model can run, what that takes, and what is installed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.cli.options import Json

if TYPE_CHECKING:
    from edgekit.targets.base import Target

WIDTH = 13  # of the column of names


def command(json: Json = False) -> None:
    """List the targets: their chips, the files they take, their options, what they need.

    A target that another package brings is listed too, even where it cannot be loaded.
    """
    import sys

    from edgekit.errors import EdgekitError
    from edgekit.system.console import safe
    from edgekit.targets import registry

    rows: list[dict[str, Any]] = []
    for name in registry.names():
        try:
            rows.append(_described(registry.find(name)))
        except EdgekitError as error:
            rows.append({"name": name, "problem": error.message, "cause": error.cause})
    if json:
        from json import dumps

        print(
            dumps({"schema_version": 1, "targets": rows}, indent=2, ensure_ascii=False, default=str)
        )
        return
    print(safe("\n\n".join("\n".join(_lines(row)) for row in rows), sys.stdout))


def _described(target: Target) -> dict[str, Any]:
    from edgekit.targets import registry

    return {
        "name": target.name,
        "about": target.about,
        "takes": target.takes,
        "scheme": target.scheme,
        "compiles": target.compiles,
        "options": [
            {
                "name": registry.option_flag(item),
                "help": item.metadata["help"],
                "default": item.default,
            }
            for item in registry.option_fields(target.compiler_options)
        ],
        "needs": [need.to_dict() for need in target.needs()],
    }


def _lines(row: dict[str, Any]) -> list[str]:
    if "problem" in row:
        return [f"{row['name']:<{WIDTH}}{row['problem']}", f"{'':<{WIDTH}}{row['cause'] or ''}"]
    lines = [f"{row['name']:<{WIDTH}}{row['about']}", f"{'  takes':<{WIDTH}}{row['takes']}"]
    options = [f"{item['name']}: {item['help']}" for item in row["options"]]
    needs = []
    for need in row["needs"]:
        command = f": {need['command']}" if need["command"] else ""
        needs.append(f"{need['what']}, {need['state']}{command}")
    for label, texts in (("options", options), ("needs", needs or ["nothing else"])):
        for index, text in enumerate(texts):
            lines.append(f"{'  ' + label if not index else '':<{WIDTH}}{text}")
    return lines
