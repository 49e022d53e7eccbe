"The wheel as a user gets it: in an environment that holds what the package asks for and nothing else"
import os, re, shutil, subprocess, sys, venv
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
import pytest
from packaging.requirements import Requirement
from conftest import root

sources = "soccerkd nbs docs tests settings.ini setup.py pyproject.toml MANIFEST.in LICENSE README.md CHANGELOG.md CONTRIBUTING.md CITATION.cff Makefile constraints.txt"
tools = "nbdev execnb pytest hypothesis build jupyterlab jupyter_client ipykernel sphinx myst_nb furo".split()

def closure(names):
    "Distributions that `names` need, directly or not, by the metadata of what is installed here"
    todo,res = list(names),{}
    while todo:
        req = Requirement(todo.pop())
        extras = {""}|req.extras
        key = (re.sub(r"[-_.]+", "-", req.name).lower(), *sorted(extras))
        if key in res or req.marker and not req.marker.evaluate({"extra": ""}): continue
        try: dist = distribution(req.name)
        except PackageNotFoundError: continue # Not for this platform
        res[key] = dist
        for o in map(Requirement, dist.requires or []):
            if not o.marker or any(o.marker.evaluate({"extra": e}) for e in extras): o.marker = None; todo.append(str(o))
    return list(res.values())

def link(dists, site):
    "Make the files of installed distributions importable from the folder `site`, without a copy"
    for d in dists:
        for top in {f.parts[0] for f in d.files or [] if f.parts[0] not in ("..", "__pycache__")}:
            if not (site/top).exists(): (site/top).symlink_to(Path(d.locate_file(top)).resolve())

@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    "Folder with the sdist, and the wheel that was built from it"
    d = tmp_path_factory.mktemp("dist"); src = d/"src"; src.mkdir()
    for o in sources.split():
        if (root/o).is_dir(): shutil.copytree(root/o, src/o, ignore=shutil.ignore_patterns("runs", "clips", "__pycache__", ".ipynb_checkpoints"))
        else: shutil.copy(root/o, src)
    res = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", d, src], capture_output=True, text=True)
    assert not res.returncode, res.stdout+res.stderr
    return d

@pytest.fixture(scope="module")
def user(dist, tmp_path_factory):
    "Function that runs a program of an environment with the wheel and its requirements"
    d = tmp_path_factory.mktemp("user"); venv.create(d/"env", with_pip=False)
    env = {k:v for k,v in os.environ.items() if k not in ("IN_TEST", "PYTHONPATH", "VIRTUAL_ENV")}
    def run(*args, **kw): return subprocess.run([d/"env"/"bin"/args[0], *args[1:]], cwd=d, env=env, capture_output=True, text=True, **kw)
    site = Path(run("python", "-c", "import site; print(site.getsitepackages()[0])").stdout.strip())
    wheel = next(dist.glob("*.whl"))
    reqs = [o for o in distribution("soccerkd").requires if "extra" not in o]
    link(closure(reqs), site)
    res = subprocess.run([sys.executable, "-m", "pip", "--python", d/"env"/"bin"/"python", "install", "--no-index", "--no-compile", wheel],
        env=env, capture_output=True, text=True)
    assert not res.returncode, res.stdout+res.stderr
    return run

def test_no_tools_needed(user):
    "`from soccerkd.all import *` works where nbdev, Jupyter and the tools of the book are not installed"
    code = f"import importlib.util as u; found = [o for o in {tools} if u.find_spec(o)]; from soccerkd.all import *; import soccerkd; print(soccerkd.__file__, found)"
    res = user("python", "-c", code)
    assert not res.returncode, res.stderr
    assert "site-packages" in res.stdout and res.stdout.rstrip().endswith("[]"), res.stdout

def test_no_name_hides_another():
    "Nothing that `soccerkd.all` brings has the name of something else of ours, of fastai or of Python"
    src = (root/"soccerkd"/"all.py").read_text(encoding="utf-8")
    mods = [import_module(o) for o in ("builtins", "fastai.vision.all", *re.findall(r"^from (soccerkd\S+) import \*", src, re.M))]
    seen,hidden = {},[]
    for m in mods:
        for k in getattr(m, "__all__", None) or [k for k in dir(m) if k[0]!="_"]:
            if k in seen and getattr(m, k) is not getattr(seen[k], k) and m.__name__.startswith("soccerkd"): hidden.append(f"{k} of {seen[k].__name__} by {m.__name__}")
            seen[k] = m
    assert not hidden

def test_version(user):
    from soccerkd import __version__
    res = user("soccerkd", "--version")
    assert res.stdout.strip().endswith(__version__), res.stdout+res.stderr

def test_help_is_quick(user):
    "Asking what a command does must not load PyTorch first"
    def once(): # Seconds of the processor: other tests run beside this one
        before,res,after = os.times(),user("soccerkd", "--help"),os.times()
        return after.children_user+after.children_system-before.children_user-before.children_system,res
    secs,res = min((once() for _ in range(3)), key=lambda o: o[0])
    assert res.returncode==0 and "distill" in res.stdout, res.stdout+res.stderr
    assert secs<1

def test_metadata(dist):
    "The wheel says what settings.ini says, and the sdist holds the book and the tests"
    import tarfile, zipfile
    from email import message_from_bytes
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as z:
        names = z.namelist()
        meta = message_from_bytes(z.read(next(o for o in names if o.endswith(".dist-info/METADATA"))))
    assert meta["License-Expression"]=="Apache-2.0" and meta["Requires-Python"]==">=3.11" and meta["Summary"]
    assert set("torchcodec timm onnx study distrib ray docs dev".split())<=set(meta.get_all("Provides-Extra"))
    assert not [o for o in names if o.split("/")[0] not in ("soccerkd",) and ".dist-info/" not in o], "the wheel holds the package only"
    assert not any(re.match(r"torch\s*(<|==|~=)|torch.*,\s*<", o) for o in meta.get_all("Requires-Dist")), "torch is neither capped nor pinned"
    with tarfile.open(next(dist.glob("*.tar.gz"))) as t: inside = {o.partition("/")[2] for o in t.getnames()}
    assert {"settings.ini", "LICENSE", "Makefile", "nbs/index.ipynb", "docs/conf.py", "tests/conftest.py"}<=inside
