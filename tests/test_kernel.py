"""Every page of the book, run from the top by the kernel that Jupyter starts: what `nbdev-test` and its own shell don't see, such as widgets.

`make test-all` runs them; `pytest --flags slow -k test_kernel tests/test_kernel.py` alone."""
import re
import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from conftest import root, users_env

nbclient = pytest.importorskip("nbclient", reason="needs JupyterLab: pip install jupyterlab")
import nbformat

cfg = get_config(root)
skippable = set(cfg.tst_flags.split())
view = "application/vnd.jupyter.widget-view+json"
widget_pages = {"05_evaluate/09_widgets", "05_evaluate/09a_mistakes", "05_evaluate/09b_explorer"} # Each ends with a widget on the screen
pages = {o.relative_to(cfg.nbs_path).with_suffix("").as_posix():o for o in nbglob(cfg.nbs_path, as_path=True).sorted()}

def flags(source):
    "Flags of a cell, such as `slow`, for which it is skipped"
    return {o for line in re.findall(r"^#\|(.*)$", source, re.M) for o in re.split(r"[\s,:]+", line)} & skippable

def run_page(
    notebook, # As `nbformat` reads it; its outputs are replaced
    folder, # Where it runs
): # Ids of the widgets that the page shows and that no later cell has closed
    "Run a page from the top in a new kernel, without the cells that are flagged"
    last = nbformat.v4.new_code_cell("import ipywidgets.widgets.widget as _w, json as _j; print(_j.dumps(list(_w._instances)))")
    notebook.cells = [c for c in notebook.cells if c.cell_type!="code" or not flags(c.source)]+[last]
    client = nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=users_env()|{"PYTHONPATH": str(root)})
    there = "".join(o.get("text", "") for o in last.outputs)
    shown = [o.data[view]["model_id"] for c in notebook.cells for o in c.get("outputs", []) if view in o.get("data", {})]
    return [o for o in shown if f'"{o}"' in there]

def page_of(*sources): return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(o) for o in sources])

def test_flags():
    "`#| slow` keeps a cell from running, prose about it does not"
    assert flags("#| slow\n1")=={"slow"} and flags("#| export\n# slow") == set()

@pytest.mark.slow
def test_what_fails_is_seen(tmp_path):
    "A cell that fails stops a page, a flagged one is left out, and a widget that was closed does not count"
    assert run_page(page_of("#| slow\n1/0", "2"), tmp_path)==[]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="ZeroDivisionError"): run_page(page_of("1/0"), tmp_path)
    shows = "import ipywidgets as W", "w = W.IntSlider()\nw"
    assert len(run_page(page_of(*shows), tmp_path))==1 and run_page(page_of(*shows, "w.close()"), tmp_path)==[]

@pytest.mark.slow
@pytest.mark.parametrize("name", pages)
def test_page(name):
    "A reader's *Run All*: no cell fails, and the widgets of a page about widgets are there in the end"
    widgets = run_page(nbformat.read(pages[name], 4), pages[name].parent)
    assert bool(widgets)==(name in widget_pages)
