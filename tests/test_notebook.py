"""docs/quickstart.ipynb runs from top to bottom and shows its curves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_shows_curves_inline(tmp_path, monkeypatch):
    client = pytest.importorskip("nbclient")
    for package in ("nbformat", "ipykernel", "matplotlib", "pandas"):
        pytest.importorskip(package)
    import nbformat

    path = [str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    notebook = nbformat.read(NOTEBOOK, 4)
    shown = [_kinds(cell) for cell in notebook.cells if cell.cell_type == "code"]
    place = {"metadata": {"path": str(tmp_path)}}
    client.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [_kinds(cell) for cell in cells] == shown, "the outputs that are kept are those of a run"
    assert any("image/png" in kinds for kinds in shown)
    assert "'finished'" in cells[1].outputs[-1]["data"]["text/plain"]


def _kinds(cell) -> list[str]:
    """What it shows, but for what is printed."""
    return sorted(kind for output in cell.outputs for kind in output.get("data", {}))
