"""The description on the package's page: README.md without what leads into the repository, which has no address there.

Everything else is in pyproject.toml. Pictures go with their captions, and links keep their words.
"""

import re
from pathlib import Path

from setuptools import setup

INSIDE = r"\((?!https?:)[^)]*\)"  # the target of a link into the repository
readme = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
readme = re.sub(rf"!\[[^\]]*\]{INSIDE}\n(?:\n\*[^*]+\*\n)?\n?", "", readme)
readme = re.sub(rf"\[([^\]]*)\]{INSIDE}", r"\1", readme)

setup(long_description=readme, long_description_content_type="text/markdown")
