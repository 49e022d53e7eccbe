"What the tests share: the flags of the notebooks' cells, long runs that are kept, and a table of the slowest notebooks"
import ctypes, gc, hashlib, os, random, re, shutil, sys, tempfile
from collections import Counter
from multiprocessing.util import Finalize
from pathlib import Path
import hypothesis, pytest
import shared_clips
from filelock import FileLock
from forks import Programs, end_server, start_server
from xdist.scheduler import LoadScopeScheduling

root = Path(__file__).resolve().parent.parent
cache = root/".cache"
os.environ["IN_TEST"] = "1" # Progress bars are silent, as under `nbdev-test`
os.environ.setdefault("MPLBACKEND", "agg")
if "PYTEST_XDIST_WORKER" in os.environ: os.environ.setdefault("OMP_NUM_THREADS", "1") # Before PyTorch is imported: workers side by side take a core each
os.environ.setdefault("RAY_worker_niceness", "0") # By default 15: beside workers that take all cores, Ray's would not come forward
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1") # Otherwise each worker starts others, which import PyTorch to compile a few small kernels
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1") # What /proc/cpuinfo says is believed: to compile a program that tries it takes five seconds
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(cache/"hypothesis")
hypothesis.settings.register_profile("book", deadline=None, derandomize=True) # A busy machine or an unlucky draw is no failure
hypothesis.settings.load_profile("book")

LONG_PAGES = "tutorials", "benchmarks", "04_distill/11_ray" # Run from the top by `make test-all`, like the tests marked `long`
PAGE_BUDGET,MEAN_BUDGET = 20,6 # Processor seconds that a page may take, and pages in the mean
spent = Counter() # Page or file of tests -> processor seconds

def pytest_addoption(parser):
    parser.addoption("--flags", default="", help="what to run that is skipped otherwise: 'long' (stories, processes, browsers; minutes), 'slow' (hours), 'cuda'")
    parser.addoption("--start", type=int, help="seed of the random numbers with which each page and each file of tests begins, where it does not choose one itself")

def users_env():
    "The variables of a user"
    return {k:v for k,v in os.environ.items() if k not in ("IN_TEST", "MPLBACKEND")}

def pytest_configure(config):
    if "PYTEST_XDIST_WORKER" not in os.environ: # This is the only process, or the one that starts the workers
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir()) # What tests make with `tmp_path` is looked at when they fail
        config.aside,tempfile.tempdir = tempfile.mkdtemp(prefix="soccerkd-"),None
        os.environ["TMPDIR"] = config.aside # Pages, and programs that tests start, put gigabytes there
        Finalize(None, shutil.rmtree, (config.aside, True), exitpriority=-200) # After `multiprocessing` has removed its own folder there, at -100
    if getattr(config.option, "numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ and hasattr(os, "fork"): # This is the process that starts the workers
        config.forks = start_server(root, users_env())
        os.environ["SOCCERKD_FORKS"] = config.forks[1]
    for o in ("long: a story from the top, several processes, kills, a browser", "slow: takes minutes", "cuda: needs a GPU"): config.addinivalue_line("markers", o)

def pytest_unconfigure(config):
    if hasattr(config, "forks"): end_server(*config.forks)

class ByPage(LoadScopeScheduling):
    "A page's cells share what they made, so one worker runs them, in order; likewise the tests of a file"
    def _split_scope(self, nodeid):
        page = re.search(r"test_notebooks\.py::test_cell\[([\w/]+)-", nodeid)
        return page[1] if page else nodeid.split("::")[0]

@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log): return ByPage(config, log)

@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    "One more than there are cores: a third of the time a worker waits for programs that it started"
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)+1

def pytest_collection_modifyitems(config, items):
    "`@pytest.mark.slow` is to a test what `#| slow` is to a cell"
    on = set(config.getoption("--flags").split())
    off = {"long", "slow", "cuda"}-on-({"long"} if "slow" in on else set()) # What takes hours stands on the pages that take minutes
    for o in items:
        if is_long_page(page_of(o)): o.add_marker("long")
    items.sort(key=lambda o: o.path.stem=="test_notebooks") # The long ones first, so that no worker is left with them at the end
    for o in items:
        for m in off & {m.name for m in o.iter_markers()}: o.add_marker(pytest.mark.skip(reason=m))

def page_of(item):
    "Name of the page that a test is a cell of, such as `04_distill/11_ray`; empty for other tests"
    return item.callspec.params["nb"].name if item.path.stem=="test_notebooks" and hasattr(item, "callspec") else ""

def is_long_page(name): return any(name==o or name.startswith(f"{o}/") for o in LONG_PAGES)

def processor_seconds():
    "Of this process, and of those it waited for"
    return sum(os.times()[:4])

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    "Note what a test cost with its fixtures, under the name of its page or file"
    begin = processor_seconds()
    res = yield
    spent[page_of(item) or item.path.name] += processor_seconds()-begin
    return res

def pytest_sessionfinish(session):
    "A worker tells the process that started it what its tests cost"
    if hasattr(session.config, "workeroutput"): session.config.workeroutput["spent"] = dict(spent)

@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error): spent.update(getattr(node, "workeroutput", {}).get("spent", {}))

PROMISES = {"less than a minute":60, "about a minute":75, "about two minutes":150} # What a tutorial says of two cores, in seconds

def promised(page):
    "How many seconds a page says that it takes on two cores; None if it says nothing"
    text = (root/"nbs"/f"{page}.ipynb").read_text(encoding="utf-8")
    said = re.search(f"(?:from the top in|page takes) ({'|'.join(PROMISES)}) on two cores", text)
    return said and PROMISES[said[1]]

def broken_promises(pages):
    "Pages that took more processor seconds than they promise"
    for name,secs in pages.items():
        limit = promised(name)
        if limit and secs>limit: yield f"{secs:7.1f}  {name}  promises {limit} s on two cores"

def pytest_terminal_summary(terminalreporter):
    "Processor seconds of the most expensive pages and files, and which pages are over their budget or their promise"
    if not spent: return
    pages = {k:v for k,v in spent.items() if not k.endswith(".py")}
    over = sum(v>PAGE_BUDGET for v in pages.values())
    terminalreporter.section("processor seconds")
    for name,secs in spent.most_common(16):
        terminalreporter.write_line(f"{secs:7.1f}  {name}{'  over the budget of a page' if name in pages and secs>PAGE_BUDGET else ''}")
    for line in broken_promises(pages): terminalreporter.write_line(line)
    mean = sum(pages.values())/max(len(pages), 1)
    terminalreporter.write_line(f"{spent.total():7.1f}  in all; pages {mean:.1f} in the mean (budget {MEAN_BUDGET}), {over} of {len(pages)} over {PAGE_BUDGET}")

def give_back_memory():
    "What a page freed goes back to the system, also if it called `keep_memory`, whose advice counts for the rest of a process"
    gc.collect(); gc.freeze() # What is left are modules and what tests share: to look through it each time takes seconds
    if not sys.platform.startswith("linux"): return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"): return # Another C library
    for name,value in ((-4, 65536), (-1, 1<<17), (-2, 1<<17)): libc.mallopt(name, value) # mmap_max, trim_threshold and top_pad as they were
    libc.malloc_trim(0)

def begin(
    config, # Of pytest
):
    "Random numbers as at the start of a program, or as `--start` wants them"
    start = config.getoption("--start")
    if start is None: return
    import numpy as np, torch
    random.seed(start)
    np.random.seed(start)
    torch.manual_seed(start)

@pytest.fixture(scope="module", autouse=True)
def memory(request):
    begin(request.config)
    yield
    give_back_memory()

@pytest.fixture(scope="session", autouse=True)
def clips_once():
    "Clips that several pages draw are drawn once; the function that only draws"
    store = cache/f"drawn-{shared_clips.drawn_by(root/'soccerkd')}"
    for old in cache.glob("drawn-*"):
        if old!=store: shutil.rmtree(old, ignore_errors=True)
    yield shared_clips.share(store)

def code_hash(
    also=(), # Further files that count
):
    "Changes whenever a line of the library does"
    h = hashlib.sha256()
    for f in sorted({*(root/"soccerkd").rglob("*.py"), *also}): h.update(f.relative_to(root).as_posix().encode()+b"\0"+f.read_bytes())
    return h.hexdigest()[:16]

def cached_run(
    name:str, # What is made, such as "small_teacher"
    make, # Called with an empty folder to fill, unless this very code has filled one before
    also=(), # Files outside the library that it is made of too
)->Path: # The filled folder, below `.cache`
    "A folder that takes long to make; made again when the library changes, or when making it was interrupted"
    path = cache/f"{name}-{code_hash(also)}"
    done = path/".done"
    cache.mkdir(exist_ok=True)
    with FileLock(cache/f"{name}.lock"): # Workers may ask at the same time: one makes it, the others wait
        if done.exists(): return path
        for old in cache.glob(f"{name}-*"): shutil.rmtree(old)
        path.mkdir(parents=True)
        make(path)
        done.touch()
    return path

@pytest.fixture(scope="session")
def small_teacher():
    "Folder of a run that `load_run` opens: a small teacher and, in `clips`, what it was trained on"
    def make(path):
        from soccerkd.all import ClipDataLoaders, make_clips, save_run, teacher_learner
        dls = ClipDataLoaders.from_folder(make_clips(path/"clips", per_class=16, seed=0), n_frames=4, size=32, bs=8, seed=0)
        learn = teacher_learner(dls, "tam_resnet18", weights=None)
        learn.fit_one_cycle(2, 4e-3)
        save_run(learn, path)
    return cached_run("small_teacher", make)

@pytest.fixture(scope="session")
def few_clips(small_teacher, tmp_path_factory):
    "Three clips of each class and split, of those that the small teacher was trained on"
    d = tmp_path_factory.mktemp("few")/"clips"
    for o in (small_teacher/"clips").glob("*/*"):
        if not o.is_dir(): continue
        (to := d/o.relative_to(small_teacher/"clips")).mkdir(parents=True)
        for f in sorted(o.glob("*.mp4"))[:3]: (to/f.name).symlink_to(f)
    return d

@pytest.fixture
def script(monkeypatch):
    "Environment of a program that a test starts: a user's, not a test's"
    env = {k:v for k,v in os.environ.items() if k not in ("IN_TEST", "PYTHONPATH", "MPLBACKEND")}
    return dict(env=env, check=True, capture_output=True, text=True)

@pytest.fixture(scope="session")
def programs():
    "Starts a user's programs, with the library imported already"
    yield (o := Programs(root, users_env()))
    o.close()

@pytest.fixture(scope="session")
def small_demo(programs):
    "Folder with `demo`, a demonstration with a class without actions, and with `stdout` and `stderr` of the command that made it"
    def make(path):
        args = ["demo", "--per-class", 4, "--epochs", 1, "--none", "--device", "cpu", "--json", "--out", path/"demo"]
        done = programs.run("-c", "import sys; from soccerkd.deploy.cli import main; sys.exit(main())", *args)
        for o in ("stdout", "stderr"): (path/o).write_text(getattr(done, o))
    return cached_run("small_demo", make)
