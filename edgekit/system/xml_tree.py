"""XML files from anywhere, parsed without what XML could do besides.

Python's own parsers expand entities, a few lines of which can be gigabytes. A document type, which
defines them, is refused here, as `defusedxml` does, which for these lines is no dependency.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat


def parse_xml(contents: bytes, most_elements: int, deepest: int = 100) -> Element:
    """Builds the tree.

    Args:
        contents: of the file.
        most_elements: how many elements are allowed; more is an attack.
        deepest: how deep they may be.

    Raises:
        ValueError: it is no XML, has a document type, or is too large.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()
    depth = count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > deepest or count > most_elements:
            raise ValueError("it has too many elements, or they are too deep")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type, which could define entities")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(contents, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return builder.close()
