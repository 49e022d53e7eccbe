"""Each notebook cell that checks something is one item, run as `nbdev-test` runs it: in order, in the notebook's folder, on one namespace.

`pytest -k 01_video/00_sampling` runs one page, `pytest --flags 'slow cuda'` the cells that are skipped otherwise."""
import ast, re, sys
import pytest
from execnb.shell import CaptureShell
from fastcore.xtras import working_directory
from nbdev.config import get_config
from nbdev.doclinks import nbglob
from nbdev.process import NBProcessor
from nbdev.test import nb_test_cells
from conftest import begin, give_back_memory, root
from soccerkd.all import Learner
from soccerkd.deploy.cli import commands

give_back_memory() # The library is imported
cfg = get_config(root)
skippable = set(cfg.tst_flags.split())

main = sys.modules["__main__"]
registered = dict(commands) # Name of each command -> its function
own = {} # Class -> its attributes, of the library and of fastai's Learner, to which it adds methods
def remember():
    "Take note of the classes that are there before a page runs"
    mods = [v for k,v in list(sys.modules.items()) if k.startswith("soccerkd.")]
    for c in {Learner, *(o for m in mods for o in vars(m).values() if isinstance(o, type) and o.__module__.startswith("soccerkd."))}: own.setdefault(c, dict(vars(c)))

def put_back():
    "Pages that patch classes leave them as the library made them, not with functions of a namespace that is gone"
    sys.modules["__main__"] = main # A page's shell takes its place, and processes can't be spawned from that
    commands.clear()
    commands.update(registered) # A page on commands registers its own
    for c,attrs in own.items():
        for k,v in attrs.items():
            if k not in ("__dict__", "__weakref__") and vars(c).get(k) is not v: setattr(c, k, v)

def called(n):
    "Name of the function that the syntax node `n` calls"
    f = getattr(n, "func", None)
    return getattr(f, "id", "") or getattr(f, "attr", "")

def checks(c):
    "Does the cell `c` assert something?"
    return any(isinstance(n, ast.Assert) or re.match("test_|expect_fail", called(n)) for t in c.parsed_() or [] for n in ast.walk(t))

def flags(c): return skippable & c.directives_.keys()

def headings(fn):
    "Id of each cell of a notebook -> the heading above it, as part of a test's name"
    head,res = "top",{}
    for c in NBProcessor(fn).nb.cells:
        h = re.match(r"#+ +(.*)", c.source) if c.cell_type=="markdown" else None
        if h: head = re.sub(r"\W+", "-", h[1]).strip("-").lower()
        res[c.id] = head
    return res

class Notebook:
    "A page whose cells run when a test asks for them"
    def __init__(self, fn):
        self.fn,self.name,self.cells = fn,fn.relative_to(cfg.nbs_path).with_suffix("").as_posix(),nb_test_cells(fn)
        heads = headings(fn)
        self.labels = [f"{self.name}-{heads[c.id]}-{c.id}" for c in self.cells]
        last = max((i for i,c in enumerate(self.cells) if not flags(c)), default=-1)
        self.items = [i for i,c in enumerate(self.cells) if checks(c) or flags(c) or i==last]
        self.done,self.shell,self.broken = 0,None,None

    def run_to(self, i, wanted):
        "Run the cells up to and including `i` that have not run yet; the traceback of the first that fails"
        if not self.shell: remember(); self.shell = CaptureShell(self.fn)
        while self.done<=i:
            c,label = self.cells[self.done],self.labels[self.done]
            self.done += 1
            if flags(c)-wanted: continue
            with working_directory(self.fn.parent): self.shell.cell(c, timeout=None if flags(c) else cfg.cell_timeout)
            if not self.shell.exc: continue
            if not isinstance(self.shell.exc, AssertionError): self.broken = label # Later cells may need what this one should have made
            return self.shell.prettytb(label)

    def close(self):
        "Let go of what the page made"
        if self.shell:
            self.shell.run_cell("try:\n    import matplotlib.pyplot as plt; plt.close('all')\nexcept ImportError: pass")
            self.shell.reset(new_session=False); self.shell.close()
        self.shell = None
        put_back(); give_back_memory()

def items():
    for fn in nbglob(cfg.nbs_path, as_path=True).sorted():
        nb = Notebook(fn)
        for i in nb.items: yield pytest.param(nb, i, id=nb.labels[i])

@pytest.fixture
def notebook(nb, i, request):
    if not nb.done: begin(request.config)
    yield nb
    if i==nb.items[-1]: nb.close()

@pytest.mark.parametrize("nb,i", list(items()))
def test_cell(notebook, nb, i, request):
    wanted = set(request.config.getoption("--flags").split())
    if off := flags(nb.cells[i])-wanted: pytest.skip(f"#| {' '.join(sorted(off))}")
    if nb.broken: pytest.skip(f"{nb.broken} failed before")
    if tb := nb.run_to(i, wanted): pytest.fail(tb, pytrace=False)
