"""Where a list or a table follows other lines at once, which not every Markdown takes, an empty line is put between."""

import re

LIST = re.compile(r"^(?!- |\d+\. | |\||```|$)(.+)\n(?=- )", re.MULTILINE)
TABLE = re.compile(r"^(<!--.*-->)\n(?=\|)", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put an empty line before such lists and tables."""
    return TABLE.sub(r"\1\n\n", LIST.sub(r"\1\n\n", markdown))
