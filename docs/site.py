"""What the site shows beside this folder: the README as its first page, and files that pages link.

A hook of MkDocs. Pages link other parts of the repository as ../configs/mujoco.yaml and the like;
those files are copied to repository/ of the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(\]\()(?!https?:|#)([^)\s]+)(\))")


def on_files(files: Files, config: Any) -> Files:
    """Adds the README as index.md, and each file of the repository that a page links."""
    files.append(File.generated(config, "index.md", content=_from_docs(_read("README.md"))))
    texts = [file.content_string for file in files.documentation_pages()]
    linked = {found[1].split("#")[0] for text in texts for found in LINK.findall(text)}
    names = {link.removeprefix("../") for link in linked if link.startswith("../")}
    for name in sorted(names | {"CHANGELOG.md"}):
        if (ROOT / name).is_file():
            path = str(ROOT / name)
            files.append(File.generated(config, f"repository/{name}", abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links out of docs/ into links to the copies."""
    if page.file.src_uri.startswith("repository/"):
        return _plain(markdown)
    return LINK.sub(lambda found: found[1] + _copied(found[2]) + found[3], markdown)


def _copied(link: str) -> str:
    return f"repository/{link[3:]}" if link.startswith("../") else link


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _from_docs(text: str) -> str:
    """The README's links as a page of docs/ would write them."""

    def moved(found: re.Match[str]) -> str:
        link = found[2]
        return found[1] + (link[5:] if link.startswith("docs/") else f"../{link}") + found[3]

    return LINK.sub(moved, text)


def _plain(text: str) -> str:
    """Without links that lead to nothing on the site."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)
