"Every page of the book, run from the top by the kernel that Jupyter starts: `pytest --flags slow -k test_kernel`"
import os, re
from pathlib import Path
import pytest
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from conftest import root, users_env

nbclient = pytest.importorskip("nbclient", reason="needs JupyterLab: pip install jupyterlab")
import nbformat

cfg = get_config(root)
skippable = set(cfg.tst_flags.split())
view = "application/vnd.jupyter.widget-view+json"
widgets = {"05_evaluate/09_widgets": 2, "05_evaluate/09a_mistakes": 1, "05_evaluate/09b_explorer": 1} # Page -> how many it leaves on the screen

def flags(source):
    "Flags of a cell that keep it from running, such as `slow`"
    return {w for line in re.findall(r"^#\|(.*)$", source, re.M) for w in re.split(r"[\s,:]+", line)} & skippable

def run_page(
    notebook, # As `nbformat` reads it; its outputs are replaced
    folder, # Where it runs
    wanted=frozenset(), # Flags whose cells run too
):
    "Run a page from the top in a new kernel, without the cells that are flagged"
    notebook.cells = [c for c in notebook.cells if c.cell_type!="code" or not flags(c.source)-wanted]
    env = users_env()|{"PYTHONPATH": str(root)}
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=env)
    return client

def live(client):
    "Widgets that the page shows, and that no later cell has closed"
    shown = [o.data[view]["model_id"] for c in client.nb.cells for o in c.get("outputs", []) if view in o.get("data", {})]
    return [o for o in shown if o in client.widget_state]
