"The widgets, clicked in JupyterLab in a browser; and the report of a run, opened in one"
import json, os, re, shutil, socket, subprocess, sys, time
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen
import pandas as pd
import pytest
from conftest import root

chromium = shutil.which("chromium") or shutil.which("chromium-browser")
lacks = [k for k,v in dict(chromium=chromium, playwright=find_spec("playwright"), jupyterlab=find_spec("jupyterlab")).items() if not v]
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(lacks), reason=f"needs {', '.join(lacks)}")]

setup = """
import json, os, matplotlib.pyplot as plt, numpy as np, pandas as pd
from ipywidgets.widgets.widget import _instances
from soccerkd.data.splits import clips_from_folder
from soccerkd.core import rng_for
from soccerkd.evaluate.report import report_of
from soccerkd.evaluate.widgets import ClipBrowser
from soccerkd.evaluate.mistakes import MistakesBrowser
from soccerkd.evaluate.explorer import AlphaExplorer
clips,rng = [c for o in ("train", "val") for c in clips_from_folder(f"clips/{o}")],rng_for("lab", 0)
vocab = sorted({c.label for c in clips})
y = np.array([vocab.index(c.label) for c in clips])
def said(wrong): return report_of(3*np.eye(4)[np.where(np.arange(len(y))%4<wrong, (y+1)%4, y)]+rng.normal(0, .3, (len(y),4)), y, vocab)
reports = dict(teacher=said(1), student=said(2))
studied = pd.DataFrame([dict(alpha=a, temperature=T, seed=s, accuracy=.6+.2*a+.01*s) for a in (0,.5,1) for T in (1.,4.) for s in range(3)])
def target(f):
    try: return os.readlink(f"/proc/self/fd/{f}")
    except OSError: return ""
def count(): return [len(_instances), sum(target(f).endswith(".mp4") for f in os.listdir("/proc/self/fd")), len(plt.get_fignums())]
counts = []
"""
cells = [setup, "ClipBrowser(clips, reports)", "AlphaExplorer(clips, reports, studied=studied, teacher_accuracy=.9, what='(invented)')", "MistakesBrowser(clips, reports, 'new.csv')",
    "counts.append(count()); open('counts.json', 'w').write(json.dumps(counts))"]

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def reachable(url, proc, seconds=90):
    "Wait until the server answers"
    end = time.time()+seconds
    while time.time()<end and proc.poll() is None:
        try: return urlopen(url, timeout=2).status==200
        except OSError: time.sleep(.2)
    return False

@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Clips, a notebook, and settings that load nothing from elsewhere"
    from soccerkd.world.clips import make_clips
    d = tmp_path_factory.mktemp("lab")
    make_clips(d/"clips", per_class=4, seed=0, size=96, splits=(.5,.5,0.), workers=1)
    nb = dict(nbformat=4, nbformat_minor=5, metadata=dict(kernelspec=dict(name="python3", display_name="python3", language="python")),
        cells=[dict(cell_type="code", id=f"cell{i}", metadata={}, execution_count=None, outputs=[], source=o.strip()) for i,o in enumerate(cells)])
    (d/"widgets.ipynb").write_text(json.dumps(nb))
    for name,o in {"notebook-extension/tracker":dict(windowingMode="none"), "apputils-extension/notification":dict(fetchNews="false", checkForUpdates=False), "docmanager-extension/plugin":dict(autosave=False)}.items():
        f = d/"settings"/"@jupyterlab"/f"{name}.jupyterlab-settings"
        f.parent.mkdir(parents=True, exist_ok=True); f.write_text(json.dumps(o))
    return d

@pytest.fixture(scope="module")
def lab(folder):
    "Address of a JupyterLab that serves the folder"
    own = {k:str(folder/v) for k,v in dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="runtime", IPYTHONDIR="ipython", JUPYTERLAB_SETTINGS_DIR="settings", JUPYTERLAB_WORKSPACES_DIR="workspaces").items()}
    env = {**{k:v for k,v in os.environ.items() if k not in ("IN_TEST", "MPLBACKEND")}, **own, "PYTHONPATH":str(root), "OMP_NUM_THREADS":"1"}
    port = free_port()
    with open(folder/"lab.log", "w") as log:
        p = subprocess.Popen([sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0", "--ip=127.0.0.1", "--IdentityProvider.token=", "--ServerApp.password=",
            "--allow-root", f"--ServerApp.root_dir={folder}"], cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        assert reachable(f"http://127.0.0.1:{port}/api", p), (folder/"lab.log").read_text()[-2000:]
        yield f"http://127.0.0.1:{port}"
    finally:
        p.terminate()
        try: p.wait(10)
        except subprocess.TimeoutExpired: p.kill()

@pytest.fixture(scope="module")
def chrome():
    "A browser without a window"
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        yield b
        b.close()

class Page:
    "A browser's page with what went wrong in it, and the addresses it asked for"
    def __init__(self, chrome, **kw):
        self.page,self.bad,self.asked = chrome.new_page(**kw),[],[]
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda e: self.bad.append(str(e)))
        self.page.on("console", lambda m: self.bad.append(m.text) if m.type=="error" and "debugger state" not in m.text else None) # JupyterLab asks a busy kernel about its debugger
        self.page.on("request", lambda r: self.asked.append(r.url))

def run_all(lab, chrome, name, seconds=90):
    "A notebook opened in JupyterLab, all of its cells run from the top"
    from playwright.sync_api import TimeoutError
    page = Page(chrome, viewport=dict(width=1500, height=2600))
    page.page.goto(f"{lab}/lab/tree/{name}?reset")
    page.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.page.wait_for_function("document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status=='idle'")
    prompts = page.page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-prompt")
    def told(): return [o.strip() for o in prompts.all_inner_texts()]
    errors = page.page.locator("[data-mime-type$='jupyter.error'], [data-mime-type$='jupyter.stderr']") # JupyterLab shows an error as text of the second kind
    def failed(): return [o for o in errors.all_inner_texts() if re.search(r"Traceback|Error\b", o)]
    def closed(): # A slow machine's lab complains that the kernel is not connected yet
        for o in page.page.locator(".jp-Dialog button.jp-mod-accept").all(): o.click()
    for _ in range(20):
        closed()
        try:
            page.page.locator(".lm-MenuBar-item:has-text('Run')").click(timeout=2000)
            page.page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click(timeout=2000)
        except TimeoutError: continue # A complaint lies over the menu
        page.page.wait_for_timeout(1500)
        if told()[0]!="[ ]:": break
    closed()
    try:
        wait(lambda: failed() or all(re.fullmatch(r"\[\d+\]:", o) for o in told()), seconds)
        assert not failed()
    finally:
        if out := os.environ.get("SOCCERKD_SCREENSHOTS"):
            page.page.wait_for_timeout(1500)
            page.page.screenshot(path=f"{out}/{Path(name).stem}.png")
    return page

@pytest.fixture(scope="module")
def book(lab, chrome):
    "The notebook of this test, all of its cells run"
    return run_all(lab, chrome, "widgets.ipynb")

def wait(f, seconds=45):
    "Wait until `f()` is true"
    end = time.time()+seconds
    while time.time()<end:
        if res := f(): return res
        time.sleep(.05)
    assert f(), "waited in vain"

def cell(book, i): return book.page.locator(".jp-Notebook .jp-CodeCell").nth(i)
def drawn(img): return img.evaluate("o => o.complete && o.naturalWidth>0") and img.get_attribute("src")
def choose(place, label, option):
    "Choose from a list by what it says, whatever the spaces are"
    lst = place.locator(f".widget-dropdown:has(label:text-is('{label}')) select")
    lst.select_option(index=[o.replace("\xa0", " ") for o in lst.locator("option").all_inner_texts()].index(option.replace("\xa0", " ")))

def test_clip_browser(book):
    "The slider scrubs, the button plays to the end, the list and the arrows change the clip, and its answers stand beside it"
    c = cell(book, 1)
    img,clock = c.locator("img.widget-image").first,c.locator(".widget-label", has_text=re.compile(r"^\d+\.\d\d s$"))
    first = wait(lambda: drawn(img))
    assert clock.inner_text().endswith(" s") and img.evaluate("o => o.naturalWidth")==160
    handle = c.locator(".noUi-handle")
    handle.focus(); handle.press("ArrowRight"); handle.press("ArrowRight")
    start = wait(lambda: (t := float(clock.inner_text().split()[0]))>.1 and t)
    assert wait(lambda: drawn(img))!=first
    c.locator(".jupyter-widgets.widget-play button, .widget-play button").first.click()
    wait(lambda: float(clock.inner_text().split()[0])>start+.5)
    options = [o.replace("\xa0", " ") for o in c.locator("select option").all_inner_texts()]
    assert len(options)==16 and options[0].startswith("1 of 16")
    choose(c, "clip", options[5])
    wait(lambda: options[5].split(": ")[1] in c.locator(".widget-html").first.inner_text())
    wait(lambda: float(clock.inner_text().split()[0])<.1)
    book.page.wait_for_timeout(400)
    assert float(clock.inner_text().split()[0])<.1 # It waits at its start
    told = c.locator(".widget-html").first.inner_text()
    assert "teacher" in told and "student" in told and told.count("%")==8 and "\u2713" in told
    c.locator("button[title='the next clip']").click()
    wait(lambda: options[6].split(": ")[1] in c.locator(".widget-html").first.inner_text())

def test_alpha_explorer(book):
    "Both sliders change the words and the picture"
    c = cell(book, 2)
    words,picture = c.locator(".widget-html").first,c.locator(".widget-html img")
    first = wait(lambda: drawn(picture))
    assert "= 0.5 x" in words.inner_text() and "temperature 4" in words.inner_text()
    alpha,temperature = (c.locator(f".widget-slider:has(label:text-is('{o}')) .noUi-handle") for o in ("alpha", "temperature"))
    alpha.focus(); alpha.press("ArrowRight")
    wait(lambda: "= 0.55 x" in words.inner_text())
    second = wait(lambda: (o := drawn(picture))!=first and o)
    temperature.focus()
    for _ in range(4): temperature.press("ArrowLeft")
    wait(lambda: "temperature 1:" in words.inner_text())
    assert wait(lambda: (o := drawn(picture)) not in (first, second) and o)
    assert "studied (invented) at alpha 0.5" in words.inner_text()
    before = words.inner_text()
    choose(c, "clip", c.locator("select option").all_inner_texts()[3])
    wait(lambda: words.inner_text()!=before)

def test_mistakes_browser(book, folder):
    "Filters leave the clips they name; a new label is written; a table that is there stays as it is"
    c = cell(book, 3)
    listed = c.locator(".widget-select select option")
    assert listed.count()==16
    choose(c, "answers", "student wrong")
    wait(lambda: listed.count()==8)
    choose(c, "label", "run")
    wait(lambda: listed.count()==4)
    assert all("run, walk" in o.replace("\xa0", " ") for o in listed.all_inner_texts())
    c.locator(".widget-select select").select_option(index=1)
    name = listed.nth(1).inner_text().replace("\xa0", " ").split("%")[1].split(":")[0].strip()
    wait(lambda: name in c.locator(".widget-html").first.inner_text())
    choose(c, "it is", "walk")
    c.locator("button:has-text('Relabel')").click()
    wait(lambda: "1 relabelled" in c.inner_text())
    c.locator("button:has-text('Write')").click()
    wait(lambda: (folder/"new.csv").exists())
    table = pd.read_csv(folder/"new.csv")
    assert table[["label", "was"]].values.tolist()==[["walk", "run"]] and Path(table.file[0]).stem==name.split("/")[1]
    (folder/"theirs.csv").write_text("file,start,end,label\n")
    c.locator(".widget-text input").fill("theirs.csv"); c.locator(".widget-text input").press("Tab")
    c.locator("button:has-text('Write')").click()
    wait(lambda: "did not write" in c.inner_text())
    assert (folder/"theirs.csv").read_text()=="file,start,end,label\n"
    if out := os.environ.get("SOCCERKD_SCREENSHOTS"): book.page.screenshot(path=f"{out}/lab2.png")

def test_run_again(book, folder):
    "However often a cell is run, there are as many widgets, open clips and figures as after the first time"
    def run(i, times=1):
        cell(book, i).locator(".jp-InputArea-editor").click()
        for _ in range(times): book.page.keyboard.press("Control+Enter")
    def counts(): return json.loads((folder/"counts.json").read_text())
    for i,n in ((1, 8), (2, 3), (3, 3)): run(i, n)
    run(4)
    wait(lambda: len(counts())==2, 90)
    first,last = counts()
    assert last==first and first[1:]==[0, 0]
    assert cell(book, 1).locator("img.widget-image").count()==1

def test_nothing_went_wrong(book, lab):
    "No error in the browser, and nothing asked of anybody else"
    assert not [o for o in book.asked if not o.startswith((lab, lab.replace("http", "ws"), "data:", "blob:"))]
    assert not book.bad

@pytest.fixture(scope="module")
def report(small_demo): return small_demo/"demo"/"report.html"

def test_report_opens_alone(report, chrome, tmp_path):
    "Moved to another folder and opened without a network: all is there, nothing is missing, and it fits a phone"
    alone = shutil.copy(report, tmp_path/"alone.html")
    o = Page(chrome, viewport=dict(width=390, height=800), offline=True)
    o.page.goto(Path(alone).as_uri())
    heads = o.page.locator("h2").all_inner_texts()
    for part in ("Results", "Clips", "hardest clips", "mixed up", "Training", "Data", "Cost", "How it was made"): assert any(part in h for h in heads), part
    assert o.page.evaluate("[...document.images].every(o => o.complete && o.naturalWidth>0 && o.alt)") and o.page.locator("img").count()>=10
    assert o.page.evaluate("document.documentElement.scrollWidth<=innerWidth")
    assert [u for u in o.asked if not u.startswith("data:")]==[Path(alone).as_uri()] and not o.bad
    if out := os.environ.get("SOCCERKD_SCREENSHOTS"):
        o.page.screenshot(path=f"{out}/phone.png", full_page=True)
        o.page.set_viewport_size(dict(width=1100, height=900)); o.page.screenshot(path=f"{out}/wide.png", full_page=True)

def test_report_prints(report, chrome):
    "On paper it takes some pages, and no table is wider than one"
    o = Page(chrome, viewport=dict(width=688, height=1000)) # A4 without its margins
    o.page.goto(report.as_uri())
    o.page.emulate_media(media="print")
    assert o.page.evaluate("[...document.querySelectorAll('table, img')].every(o => o.getBoundingClientRect().right<=innerWidth+1)")
    assert o.page.evaluate("getComputedStyle(document.querySelector('details')).display")=="none"
    pdf = o.page.pdf(format="A4")
    assert pdf.startswith(b"%PDF") and 2<=len(re.findall(rb"/Type\s*/Page\b", pdf))<=9
    if out := os.environ.get("SOCCERKD_SCREENSHOTS"): Path(out, "report.pdf").write_bytes(pdf)

# The book's own pages

@pytest.fixture(scope="module")
def opened(lab, chrome, folder):
    "Opens a page of the book in JupyterLab and runs it from the top; the page, and its last cell that shows a widget"
    def f(name):
        nb = json.loads((root/"nbs"/"05_evaluate"/f"{name}.ipynb").read_text(encoding="utf-8"))
        for c in nb["cells"]:
            if c["cell_type"]=="code": c["outputs"] = [] # What is seen was made here
        (folder/f"{name}.ipynb").write_text(json.dumps(nb))
        page = run_all(lab, chrome, f"{name}.ipynb", 300)
        c = page.page.locator(".jp-CodeCell:has(.jp-OutputArea .widget-box)").last
        c.scroll_into_view_if_needed()
        return page,c
    return f

def test_a_failing_cell_is_seen(lab, chrome, folder):
    "`run_all` stops where a cell fails, as a reader would see it"
    nb = json.loads((folder/"widgets.ipynb").read_text())
    nb["cells"] = [dict(nb["cells"][0], id=f"bad{i}", source=o) for i,o in enumerate(["1", "1/0", "2"])]
    (folder/"bad.ipynb").write_text(json.dumps(nb))
    with pytest.raises(AssertionError, match="ZeroDivisionError"): run_all(lab, chrome, "bad.ipynb", 20)

@pytest.mark.slow
def test_page_of_the_browser(opened):
    "The page on looking at clips, run from the top, ends with a browser that plays and goes on"
    page,c = opened("09_widgets")
    says,clock = c.locator(".widget-html").first,c.locator(".widget-label", has_text=re.compile(r"^\d+\.\d\d s$"))
    wait(lambda: drawn(c.locator("img.widget-image").first))
    first = says.inner_text()
    c.locator(".widget-play button").first.click()
    wait(lambda: float(clock.inner_text().split()[0])>.3)
    c.locator("button[title='the next clip']").click()
    wait(lambda: says.inner_text()!=first)
    assert not page.bad

@pytest.mark.slow
def test_page_of_mistakes(opened):
    "The page on mistakes, run from the top, shows its lists and its pen, and both work"
    page,c = opened("09a_mistakes")
    listed = c.locator(".widget-select select option")
    n = wait(listed.count)
    choose(c, "answers", "all")
    wait(lambda: listed.count()>n)
    choose(c, "label", "kick")
    wait(lambda: listed.count()==4)
    choose(c, "it is", "walk")
    c.locator("button:has-text('Relabel')").click()
    wait(lambda: "not yet written" in c.inner_text())
    assert not page.bad

@pytest.mark.slow
def test_page_of_the_explorer(opened):
    "The page on alpha, run from the top, has an explorer that draws when a slider is released, and not while it is dragged"
    page,c = opened("09b_explorer")
    words,picture = c.locator(".widget-html").first,c.locator(".widget-html img")
    was,shown = words.inner_text(),wait(lambda: drawn(picture))
    box = c.locator(".widget-slider:has(label:text-is('alpha')) .noUi-handle").bounding_box()
    mouse,x,y = page.page.mouse,box["x"]+box["width"]/2,box["y"]+box["height"]/2
    mouse.move(x, y)
    mouse.down()
    mouse.move(x+30, y, steps=10)
    page.page.wait_for_timeout(2000)
    assert (words.inner_text(), drawn(picture))==(was, shown)
    mouse.up()
    wait(lambda: words.inner_text()!=was and drawn(picture)!=shown)
    assert not page.bad
