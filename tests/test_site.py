"The book as a site: it builds without a warning, nothing in it leads nowhere or asks another host, and a browser shows it as it should"
import ast, os, re, shutil, subprocess, sys
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit
import pytest, yaml
from fastcore.xtras import working_directory
from conftest import cached_run, root

chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
switches = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync".split()
here = Path(__file__).parent

def made_of():
    "The files of the book beside the library"
    for d in ("nbs", "docs"):
        yield from (o for o in (root/d).rglob("*") if o.is_file() and not {"runs", "clips", "__pycache__", ".ipynb_checkpoints"} & set(o.parts))
    yield from (root/o for o in ("CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml"))

@pytest.fixture(scope="session")
def book():
    "Folder of the site, which builds without a warning"
    def make(d):
        (d/"pages").mkdir()
        env = {k:v for k,v in os.environ.items() if k!="PYTHONPATH"}
        res = subprocess.run([sys.executable, "-m", "sphinx", "-qEW", "--keep-going", "-c", root/"docs", d/"pages", d/"html"],
            cwd=root, env=env, capture_output=True, text=True)
        assert not res.returncode, res.stderr
    return cached_run("book", make, also=made_of()).resolve()/"html"

@pytest.fixture(scope="session")
def pages(book):
    "File -> text of each page"
    return {o:o.read_text(encoding="utf-8") for o in sorted(book.rglob("*.html"))}

# Without a browser

tag = re.compile(r"<([a-z]+)\b([^<>]*)>")
attribute = re.compile(r'(?<![\w-])(href|src|srcset|poster|data|action)="([^"]*)"')

def addresses(s):
    "Tag and address of each thing that a page leads to or loads"
    for t in tag.finditer(s):
        for _,url in attribute.findall(t[2]): yield t[1],unescape(url)

def lost(page, url, ids):
    "Why the address leads nowhere, or None"
    u = urlsplit(url)
    if u.scheme or u.netloc: return
    to = (page.parent/unquote(u.path)).resolve() if u.path else page
    if not to.is_file(): return "no such file"
    if u.fragment and to.suffix==".html" and unquote(u.fragment) not in ids[to]: return "no such place"

def test_every_link_leads_somewhere(book, pages):
    ids = {o:set(re.findall(r'<[^<>]* id="([^"]+)"', s)) for o,s in pages.items()}
    found = {o:set(addresses(s)) for o,s in pages.items()}
    bad = [f"{o.name}: {url}: {why}" for o,urls in found.items() for _,url in urls if (why := lost(o, url, ids))]
    assert not bad
    assert len(pages)>70 and "source" in {o.parent.name for o in pages}
    assert sum(t=="img" for urls in found.values() for t,_ in urls)>50
    assert [lost(book/"index.html", o, ids) for o in ("gone.html", "names.html#gone", "names.html")]==["no such file", "no such place", None]

def test_no_link_to_an_address_that_is_none(pages, writer):
    "Names that are kept for examples lead nowhere; without a repository the notebook comes with the site"
    assert not [o.name for o,s in pages.items() if re.search(r'href="https?://([\w.-]+\.)?example\b', s)]
    if not writer.online():
        where = {o:re.search(r'<p class="where">Notebook <a href="([^"]+\.ipynb)" download', s) for o,s in pages.items()}
        assert sum(map(bool, where.values()))==len(writer.chapters())
        assert all((o.parent/m[1]).is_file() for o,m in where.items() if m)

def test_where_a_file_is_found(writer, monkeypatch):
    "In the repository if it has an address, else beside the pages"
    book = object.__new__(writer.Book)
    book.files = set()
    monkeypatch.setattr(writer, "cfg", type("Cfg", (), dict(git_url="https://github.com/somebody/soccerkd", branch="main")))
    assert book.file("01_video/reader", "nbs/a.ipynb")=="https://github.com/somebody/soccerkd/blob/main/nbs/a.ipynb" and not book.files
    for o in ("https://example.com/customer/soccerkd", "https://git.example.org/a", "http://localhost/a", ""):
        writer.cfg.git_url = o
        assert book.file("01_video/reader", "nbs/a.ipynb")=="../files/nbs/a.ipynb" and book.files=={"nbs/a.ipynb"}

def test_outputs_are_fit_to_read(pages, writer):
    "No progress bar, no folder that is gone; every figure says what it shows"
    bodies = {o.name:s for o,s in pages.items() if o.parent.name!="source"}
    assert not [k for k,s in bodies.items() if "\u2588\u2588" in s or re.search(r"/tmp/tmp\w{8}", s)]
    alts = [re.search(r' alt="([^"]*)"', t) for s in bodies.values() for t in re.findall(r"<img\b[^>]*>", s)]
    assert len(alts)>50 and all(m and len(m[1])>20 and "_images/" not in m[1] for m in alts)
    bar = dict(output_type="stream", name="stdout", text="\u2588\r |----| 0%\r |\u2588\u2588| 100%\r      ")
    assert writer.tidy(dict(bar)) is None
    assert writer.tidy(dict(bar, text=bar["text"]+"\nkept 3\n"))["text"]=="kept 3\n"
    data = dict(output_type="execute_result", data={"text/plain": "Path('/tmp/tmpab12_xyz/a.mp4')", "image/png": "/tmp/tmpab12_xyz"}, metadata={})
    assert writer.tidy(data)["data"]=={"text/plain": "Path('/tmp/.../a.mp4')", "image/png": "/tmp/tmpab12_xyz"}
    assert writer.beginning("What `f` gives, see [there](a.ipynb): more.")=="What f gives, see there: more."
    assert writer.beginning("word "*50).endswith("word ...") and len(writer.beginning("word "*50))<=164

def test_no_link_is_left_as_markdown(pages):
    raw = re.compile(r"\]\([^)\s<]*\.(ipynb|md|html)")
    assert not [f"{o.name}: {m[0]}" for o,s in pages.items() for m in raw.finditer(re.sub(r"<(pre|code)\b.*?</\1>", "", s, flags=re.S))]
    assert raw.search('see <code>open_video</code>](reader.ipynb)')

def test_no_page_asks_another_host(pages):
    "Pictures, scripts, styles and fonts come with the site; only links lead out of it"
    outer = re.compile(r"(https?:)?//")
    assert not [f"{o.name}: <{t}> {url}" for o,s in pages.items() for t,url in addresses(s) if t!="a" and outer.match(url)]
    styles = {o:o.read_text(encoding="utf-8") for o in next(iter(pages)).parent.rglob("*.css")}|{o:"".join(re.findall(r"<style.*?</style>|style=\"[^\"]*\"", s, re.S)) for o,s in pages.items()}
    urls = {(o, u.strip("'\" ")) for o,s in styles.items() for u in re.findall(r"url\(([^)]*)\)|@import[^;]*", s)}
    assert not [f"{o.name}: {u}" for o,u in urls if outer.match(u)]
    assert not [o.name for o,s in pages.items() if "widget-state+json" in s or "widget-view+json" in s]

def public(src):
    "Names that a module offers"
    found = (ast.literal_eval(o.value) for o in ast.parse(src).body if isinstance(o, ast.Assign) and getattr(o.targets[0], "id", "")=="__all__")
    return {k for names in found for k in names}

def test_the_book_shows_everything(book, pages):
    "A page for each notebook, and a heading for each public function and class"
    names = set(re.findall(r">([\w.]+)</", (book/"names.html").read_text(encoding="utf-8")))
    found = 0
    for f in sorted((root/"soccerkd").rglob("*.py")):
        src = f.read_text(encoding="utf-8")
        if not re.search(r"^# AUTOGENERATED!", src, re.M): continue
        offered = public(src)
        shown = [o.name for o in ast.parse(src).body if getattr(o, "name", "") in offered]
        assert not set(shown)-names, f
        found += len(shown)
    assert found>200 # A page may hold only what other pages need
    assert len(list((root/"nbs").rglob("*.ipynb")))<=len([o for o in pages if o.parent.name!="source"])

@pytest.fixture(scope="module")
def writer():
    "The module that makes pages of notebooks"
    sys.path.insert(0, str(root/"docs"))
    with working_directory(root): import pages
    sys.path.remove(str(root/"docs"))
    return pages

def test_reading_order(book, writer):
    "From the front page through tutorials and chapters to the benchmarks, and each page leads to the next"
    order = list(writer.chapters())
    assert order[0]=="index" and order[1].startswith("tutorials/") and order[-1].startswith("benchmarks/")
    rooms = [o.split("/")[0] for o in order[1:]]
    assert [k for k,o in zip(rooms, [None, *rooms]) if k!=o]==["tutorials", "core", "01_video", "01a_world", "02_data", "03_models", "04_distill", "05_evaluate", "06_deploy", "benchmarks"]
    for a,b in zip(order, order[1:]):
        m = re.search(r'<a class="next-page" href="([^"]+)"', (book/f"{a}.html").read_text(encoding="utf-8"))
        assert (book/f"{a}.html").parent.joinpath(m[1]).resolve()==(book/f"{b}.html").resolve()

def test_quarto_shows_the_same_parts(writer):
    "Those who build the site with Quarto find the parts in the same order, and every notebook in one of them"
    side = yaml.safe_load((root/"nbs"/"_quarto.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    found = []
    for o in side:
        if isinstance(o, str): found.append(root/"nbs"/o); continue
        files = [f for g in o["contents"] for f in (sorted((root/"nbs").glob(g["auto"])) if isinstance(g, dict) else [root/"nbs"/g])]
        assert {writer.part(f) for f in files}=={o["section"]}
        found += files
    assert found==list(writer.chapters().values())

def test_a_widget_leaves_its_figure(writer):
    "What a page without a running notebook can't show is left out, and what it can show stays"
    fig = dict(output_type="display_data", data={writer.widget: {"model_id": "0"}, "text/plain": "VBox()", "image/png": "iVBORw0="}, metadata={})
    assert writer.still(fig)["data"]=={"image/png": "iVBORw0="} and writer.widget in fig["data"]
    assert writer.still(dict(fig, data={writer.widget: {"model_id": "0"}, "text/plain": "VBox()"})) is None
    text = dict(output_type="stream", name="stdout", text="1")
    assert writer.still(text) is text

@pytest.mark.skipif(not (root/".github").exists(), reason="not in the source archive")
def test_workflows():
    "What GitHub runs are targets of the Makefile, and it publishes what `make docs` writes"
    flows = {o.stem:yaml.safe_load(o.read_text(encoding="utf-8")) for o in (root/".github"/"workflows").glob("*.yml")}
    steps = {k:[s for job in f["jobs"].values() for s in job["steps"]] for k,f in flows.items()}
    make = (root/"Makefile").read_text(encoding="utf-8")
    runs = {k:[s["run"] for s in v if "run" in s] for k,v in steps.items()}
    for run in (r for v in runs.values() for r in v if r.startswith("make ")): assert re.search(rf"^{run.split()[1]}:", make, re.M), run
    selected = " or ".join(o["select"] for o in flows["tests"]["jobs"]["long"]["strategy"]["matrix"]["include"]).split(" or ")
    assert selected==["tutorials", "benchmarks", "machines", "ray", "study", "reliability", "widgets", "site"] # All that is marked `long`, see test_what_is_long
    pinned = (root/"constraints.txt").read_text(encoding="utf-8")
    assert "torch==2.13" not in pinned and flows["tests"]["env"]["PIP_CONSTRAINT"]=="constraints.txt" and "env" not in flows["weekly"]
    assert "make docs" in runs["docs"] and ".ci/run" in runs["tests"] and ".ci/run" in runs["weekly"] and os.access(root/".ci"/"run", os.X_OK)
    assert [s["with"]["path"] for s in steps["docs"] if "upload-pages-artifact" in s.get("uses", "")]==["_build/html"]
    assert "_build/html" in re.search(r"^docs:.*(\n\t.*)*", make, re.M)[0]

# In a browser

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@contextmanager
def served(folder):
    "Address at which the files of `folder` are served"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as srv:
        Thread(target=srv.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{srv.server_port}"
        srv.shutdown()

class Tab:
    "A browser's tab that notes what goes wrong"
    def __init__(self, browser, host):
        self.host,self.wrong = host,[]
        self.page = browser.new_page(viewport=dict(width=1280, height=900))
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.wrong.append(m.text))
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url}"))
        self.page.on("response", lambda r: r.status>=400 and self.wrong.append(f"{r.status}: {r.url}"))
        self.page.on("request", lambda r: r.url.startswith((host, "data:", "blob:")) or self.wrong.append(f"another host: {r.url}"))
        self.page.add_init_script(path=here/"site.js")

    def open(self, name):
        self.page.goto(f"{self.host}/{name}", wait_until="load")
        self.page.evaluate("site.unfold()")

    def look(self, name):
        "What is wrong with a page, in light and dark, on a desk and on a telephone"
        self.wrong.clear()
        self.page.set_viewport_size(dict(width=1280, height=900))
        self.open(name)
        bad = self.page.evaluate("site.pictures()")
        for scheme in ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            bad += [f"{scheme}: {o}" for o in self.page.evaluate("site.contrast()")]
        self.page.set_viewport_size(dict(width=390, height=844))
        bad += self.page.evaluate("site.sideways()")
        return [f"{name}: {o}" for o in self.wrong+bad]

@pytest.fixture(scope="module")
def tab(book):
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    if not chromium: pytest.skip("needs a browser: apt install chromium")
    with served(book) as host, api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=switches)
        yield Tab(browser, host)
        browser.close()

sample = """index names search contributing tutorials/first_distillation core 01_video/reader 02_data/transforms 03_models/tam 04_distill/losses 05_evaluate/figures
    06_deploy/cli benchmarks/labels benchmarks/speed 05_evaluate/widgets source/soccerkd.distill.callback""".split()

@pytest.mark.long
@pytest.mark.parametrize("which", ["sample", pytest.param("all", marks=pytest.mark.slow)])
def test_pages(tab, book, which):
    """No error in the console, no failed request, every picture drawn, text that can be read in light and dark (WCAG 2, AA),
    and on a telephone nothing that scrolls sideways but tables and code in their own boxes"""
    names = [f"{o}.html" for o in sample] if which=="sample" else [o.relative_to(book).as_posix() for o in sorted(book.rglob("*.html"))]
    assert [o for name in names for o in tab.look(name)]==[]

@pytest.mark.long
@pytest.mark.parametrize("width", [1280, 1366, 1440, 1920])
def test_code_fits(tab, book, width):
    """On a laptop and on a wide screen no page scrolls sideways, and a line of 120 columns needs no scrolling"""
    tab.page.set_viewport_size(dict(width=width, height=900))
    for name in sample[4:10]:
        tab.open(f"{name}.html")
        assert tab.page.evaluate("document.scrollingElement.scrollWidth<=document.documentElement.clientWidth"), name
        columns = tab.page.evaluate("site.columns()")
        assert columns is None or columns>=120, f"{name}: {columns} columns at {width} pixels"
    assert columns

@pytest.mark.long
def test_a_styled_table_has_a_style(tab):
    "Tables of pandas look the same with and without a style of their own"
    tab.open("benchmarks/speed.html")
    looks = tab.page.evaluate("""() => [...document.querySelectorAll(".output.text_html table")].map(o => [o.id.slice(0, 2), getComputedStyle(o.querySelector("tbody td")).textAlign])""")
    assert {k for k,_ in looks}=={"", "T_"} and {v for _,v in looks}=={"right"}

@pytest.mark.long
def test_a_bad_page_is_seen(tab, book):
    "The checks of the browser find what they are for"
    tab.open("index.html"); tab.wrong.clear()
    tab.page.evaluate("""() => document.querySelector("article").insertAdjacentHTML("beforeend",
        `<p style="color: #999; background: #fff">pale</p><p style="width: 900px">wide</p><img src="gone.png"><img src="https://example.com/far.png">`)""")
    tab.page.wait_for_timeout(300)
    tab.page.set_viewport_size(dict(width=390, height=844))
    assert "pale" in str(tab.page.evaluate("site.contrast()")) and "wide" in str(tab.page.evaluate("site.sideways()"))
    assert "gone.png" in str(tab.page.evaluate("site.pictures()"))
    assert "404" in str(tab.wrong) and "another host: https://example.com/far.png" in tab.wrong

@pytest.mark.long
def test_search(tab):
    "The search box of the front page finds a function, and the result leads to its page"
    tab.page.set_viewport_size(dict(width=1280, height=900))
    tab.open("index.html"); tab.wrong.clear()
    tab.page.fill("input.sidebar-search", "distill_learner")
    tab.page.press("input.sidebar-search", "Enter")
    found = tab.page.locator("#search-results li a[href*='04_distill/learner.html']").first
    tab.page.wait_for_load_state("networkidle") # It reads the pages that it found
    found.click()
    tab.page.wait_for_url("**/04_distill/learner.html**")
    assert "distill_learner" in tab.page.inner_text("article") and not tab.wrong

@pytest.mark.long
def test_dark_mode(tab):
    "The button changes light to dark, and the next page remembers it"
    tab.page.emulate_media(color_scheme="light")
    tab.open("index.html")
    def ground(): return tab.page.evaluate("site.ground()")
    assert ground()>.8
    for _ in range(3):
        if tab.page.evaluate("document.body.dataset.theme")!="dark": tab.page.locator(".theme-toggle-content button, .theme-toggle-header button").locator("visible=true").first.click()
    tab.open("names.html")
    assert tab.page.evaluate("document.body.dataset.theme")=="dark" and ground()<.1
    tab.page.evaluate("localStorage.clear()")

@pytest.mark.long
def test_source(tab):
    "From a function's heading to its line in the source"
    tab.open("04_distill/learner.html"); tab.wrong.clear()
    tab.page.locator(".source a").first.click()
    tab.page.wait_for_url("**/source/soccerkd.distill.learner.html#L-*")
    line = tab.page.evaluate("document.getElementById(location.hash.slice(1)).parentElement.innerText.split('\\n')[Number(location.hash.slice(3))-1]")
    assert line.startswith(("def ", "class ", "@")) and not tab.wrong
