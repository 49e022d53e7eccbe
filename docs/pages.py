"""The notebooks as pages of the book, through the processors that `nbdev-docs` uses.

`docs/conf.py` writes the pages; `python docs/pages.py` writes README.md, and with `-` it prints it."""
import ast, os, re, shutil, sys
from base64 import b64decode
from functools import lru_cache
from importlib import import_module
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from fastcore.basics import AttrDict
from fastcore.docments import DocmentTbl, docstring
from fastcore.foundation import L
from fastcore.nbio import mk_cell, read_nb, write_nb
from fastcore.xtras import working_directory
from nbdev.config import get_config, nbpath2html
from nbdev.doclinks import nbglob, patch_name
from nbdev.process import Processor
from nbdev.processors import FilterDefaults, add_fold, clean_magics, exec_show_docs, insert_warning, mv_exports, rm_export
from PIL import Image

cfg = get_config(Path(__file__).parent)
root,nbs = cfg.config_path,cfg.nbs_path
texts = ["CONTRIBUTING.md", "CHANGELOG.md"] # Beside the notebooks, pages of the book too
widget = "application/vnd.jupyter.widget-view+json"
parts = {"tutorials": "Tutorials", ".": "Foundation", "benchmarks": "Benchmarks"} # The numbered folders stand before the last

def part(f):
    "Title of the part of the book that a notebook belongs to"
    folder = f.relative_to(nbs).parent.as_posix()
    return parts.get(folder) or re.sub(r"^\d+[a-z]?_", "", folder).capitalize()

def order(f):
    "Sorts notebooks as they are read: the front page, the tutorials, the first floor, the numbered folders, the benchmarks"
    folder = f.relative_to(nbs).parent.as_posix()
    return f.name!=cfg.readme_nb, list(parts).index(folder) if folder in parts else 1, folder, f.name

def chapters():
    "Address of each page, without suffix -> its notebook, in reading order"
    return {nbpath2html(f.relative_to(nbs)).with_suffix("").as_posix():f for f in sorted(nbglob(nbs, as_path=True), key=order)}

def slug(page, name=""):
    "Where links to the symbol `name` on a page lead"
    return re.sub(r"[^a-z0-9]+", "-", f"{page}-{name}".lower()).strip("-")

class Symbols(Processor):
    "Keep the symbol that a `show_doc` cell is about, out of the module that the notebook makes, rather than run the notebook for it"
    def begin(self): self.mod = module(self.nb)
    def __call__(self, cell):
        m = re.search(r"^show_doc\(([\w.]+)", cell.source, re.M) if cell.cell_type=="code" else None
        if m: cell.sym = symbol(m[1], import_module(self.mod))

def symbol(nm, mod):
    "Name, object and docstring of what a module calls `nm`"
    sym = attrgetter(nm)(mod)
    sym = getattr(sym, "fget", sym) # Of a property
    return SimpleNamespace(nm=nm, sym=getattr(sym, "__wrapped__", sym), docs=docstring(sym))

class BookProcs(FilterDefaults):
    "nbdev's processors, but exported code stays where the notebook explains it, and nothing is run"
    def base_procs(self):
        res = [o for o in super().base_procs() if o not in (rm_export, add_fold, mv_exports, insert_warning, clean_magics)]
        return [Symbols if o is exec_show_docs else o for o in res]

def relink(
    md:str, # Markdown
    at:Path, # Folder that its links start from
    to, # Called with a file inside the project and the part after #; the new link, or None to leave it
):
    "Change the links to files of the project"
    def f(m):
        path = Path(os.path.normpath(at/m[1])) if m[1] else None
        new = to(path, m[2][1:]) if path and path.is_relative_to(root) else None
        return f"]({new})" if new else m[0]
    return re.sub(r"\]\(([^)\s#:]*)(#[^)\s]*|)\)", f, md)

class Book:
    "All pages, and where the symbols are that they explain"
    def __init__(self):
        self.chapters,self.symbols,self.pages,self.leads,self.files = chapters(),{},{},{},set()
        self.address = {f:nm for nm,f in self.chapters.items()}|{root/o:Path(o).stem.lower() for o in texts}
        for nm,f in self.chapters.items(): self.pages[nm] = self.page(nm, f)

    def page(self, nm, fn):
        "The notebook `fn` with a title, the exported code under headings and without what is hidden"
        nb = read_nb(fn)
        with working_directory(root): BookProcs()(nb)
        fm,mod = getattr(nb, "frontmatter_", {}),module(nb)
        title,lead = self.leads[nm] = fm.get("title", fn.stem),fm.get("description", "")
        self.title,self.told = title,"" # What stands above a figure says what it shows
        name = fn.relative_to(root).as_posix()
        where = f"Notebook <a href=\"{self.file(nm, name)}\"{' download'*(not online())}><code>{name}</code></a>"+(f", module <a href=\"{source(nm, mod)}\"><code>{mod}</code></a>" if mod else "")
        head = mk_cell(f"# {title}\n\n{{.lead}}\n{lead}\n\n{{.where}}\n{where}", "markdown")
        nb.cells = [head]+[o for c in groups(nb.cells) for o in self.cells(nm, mod, *c)]
        nb.metadata.pop("widgets", None)
        nb.metadata["myst"] = {"html_meta": {"description": re.sub(r"[`*]", "", lead)}}
        return nb

    def cells(self, nm, mod, c, docs):
        "What the cell `c` becomes, with the `show_doc` cells that nbdev put after it"
        dirs,body = c.directives_,re.sub(r"^#\|.*\n?", "", c.source, flags=re.M).strip()
        if c.cell_type=="raw" or "hide" in dirs: return []
        if c.cell_type=="markdown":
            self.told = beginning(body) or self.told
            return [mk_cell(body, "markdown")]
        if hasattr(c, "sym"): c,docs,body = mk_cell(""),[c],""
        heads,tables = [self.heading(nm, mod, o.sym) for o in docs],[table(o.sym, len(docs)>1) for o in docs]
        c.outputs = [o for o in map(tidy, map(still, c.get("outputs", []))) if o and o.get("name")!="stderr"]
        if body and only_imports(body): return [mk_cell(folded("Imports", f"```python\n{body}\n```"), "markdown")]
        tags = ["exported"]*("export" in dirs)+["remove-input"]*("echo" in dirs)
        c.source,c.metadata = body,{"tags": tags}
        if pictures(c): c.metadata["mystnb"] = {"image": {"alt": f"{self.title}: {self.told}"}}
        if w := figure_width(c): c.metadata["mystnb"]["image"]["width"] = f"{w}px"
        return [mk_cell(o, "markdown") for o in heads]+([c] if body else [])+[mk_cell(o, "markdown") for o in tables if o]

    def heading(self, nm, mod, doc):
        "Heading of a symbol that links lead to, with the way to its source"
        line = lines(mod).get(doc.nm)
        key = slug(nm, doc.nm)
        while key in self.symbols: key += "-2" # `McNemar` and `mcnemar`
        self.symbols[key] = mod,doc.nm,doc.docs.split("\n\n")[0]
        src = f'\n<div class="source"><a href="{source(nm, mod)}#L-{line}">source</a></div>\n' if line else ""
        return f"({key})=\n### `{doc.nm}`\n{src}"

    def link(self, at, path, part):
        "Where the page `at` finds a file of the project; `/page.html#symbol` is a link that nbdev made"
        if path in self.address: return os.path.relpath(self.address[path], Path(at).parent)+(".md" if path.suffix==".md" else ".ipynb")+(f"#{part}" if part else "")
        if path.is_relative_to(nbs) or not path.exists(): return
        return self.file(at, path.relative_to(root).as_posix())

    def file(self, at, name):
        "Where the page `at` finds a file of the project: in its repository, if that has an address, else in a copy that comes with the site"
        if online(): return f"{cfg.git_url}/blob/{cfg.branch}/{name}"
        self.files.add(name)
        return f"{'../'*at.count('/')}files/{name}"

    def symbol(self, page, name):
        "Link to a symbol, to its class if the symbol has no heading of its own, else to the page"
        return next((f"#{o}" for o in (slug(page, name), slug(page, name.rpartition(".")[0])) if o in self.symbols), f"/{page}.ipynb")

    def links(self, md, at, start):
        "`md` with the links of a page of the book"
        base = re.escape(cfg.doc_host+cfg.doc_baseurl.rstrip("/"))
        md = re.sub(r"\[\[(`[^`]+`)\]\([^)]*\)([^\]]*)\]\(", r"[\1\2](", md) # nbdev linked a name inside a link
        md = re.sub(rf"\]\({base}/([\w/]+)\.html#([^)]+)\)", lambda m: f"]({self.symbol(m[1], m[2])})", md)
        md = re.sub(r"^(:::+) *\{\.callout-(\w+).*\}", r"\1{\2}", md, flags=re.M) # Quarto's callouts
        return relink(md, start, lambda path,part: self.link(at, path, part))

    def names(self):
        "A page that lists the symbols by module"
        mods = {}
        for key,(mod,nm,doc) in self.symbols.items(): mods.setdefault(mod, []).append(f"| [`{nm}`](#{key}) | {' '.join(doc.split())} |")
        return "# API\n\n{.lead}\nEvery public name, with the page that explains it\n"+"".join(
            f"\n## {mod}\n\n| | |\n|---|---|\n"+"\n".join(rows)+"\n" for mod,rows in mods.items())

    def parts(self):
        "Title of each part of the book -> its pages"
        res = {}
        for nm,f in self.chapters.items():
            if nm!="index": res.setdefault(part(f), []).append(nm)
        return res|{"Reference": ["names", *(Path(o).stem.lower() for o in texts)]}

    def toc(self):
        "The contents: each part with its pages and what they say about themselves"
        def shown(k, v): return f"### {k}\n\n:::{{container}} chapters\n"+"".join("- **[{1}]({0}.ipynb)** {2}\n".format(o, *self.leads[o]) for o in v)+":::\n"
        def tree(k, v): return f"```{{toctree}}\n:caption: {k}\n:maxdepth: 1\n:hidden:\n\n"+"\n".join(v)+"\n```\n"
        return "## Contents\n\n"+"\n".join(shown(k, v) for k,v in self.parts().items() if k!="Reference")+"\n"+"\n".join(tree(k, v) for k,v in self.parts().items())

    def write(self, dest:Path):
        "Write all pages and the pictures into the empty folder `dest`"
        self.pages["index"].cells.append(mk_cell(self.toc(), "markdown"))
        for nm,nb in self.pages.items():
            for c in nb.cells:
                if c.cell_type=="markdown": c.source = self.links(c.source, nm, self.chapters[nm].parent)
            (dest/nm).parent.mkdir(parents=True, exist_ok=True)
            write_nb(nb, dest/f"{nm}.ipynb")
        for o in texts: (dest/o.lower()).write_text(self.links((root/o).read_text(encoding="utf-8"), "index", root), encoding="utf-8")
        (dest/"names.md").write_text(self.names(), encoding="utf-8")
        for o in self.files: copied(root/o, dest/"files"/o)
        for d in nbs.rglob("images"): shutil.copytree(d, dest/d.relative_to(nbs), dirs_exist_ok=True)

def module(nb):
    "Full name of the module that a notebook makes, or None"
    exp = next((c.directives_["default_exp"] for c in nb.cells if "default_exp" in getattr(c, "directives_", {})), None)
    return f"{cfg.lib_name}.{exp.strip()}" if exp else None

@lru_cache
def lines(mod):
    "Where the symbols of a module begin"
    defs = [o for o in ast.parse(modules()[mod].read_text(encoding="utf-8")).body if isinstance(o, (ast.FunctionDef, ast.ClassDef))] if mod in modules() else []
    return {nm:o.lineno for o in defs for nm in L(patch_name(o))}

def online():
    "Has the repository an address? Names such as example.com are kept for examples"
    host = urlsplit(cfg.git_url).hostname or ""
    return bool(host) and not re.search(r"(^|\.)(example(\.\w+)?|invalid|test|localhost)$", host)

def copied(file, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, to)

def beginning(md, most=160):
    "What a reader who does not see a figure is told of it: how the text above it begins, without marks"
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(md.split()))
    text = re.sub(r"^#+ *|[`*$\\]", "", text)
    return text if len(text)<=most else text[:most].rsplit(" ", 1)[0]+" ..."

def source(page, mod): return f"{'../'*page.count('/')}source/{mod}.html"

def only_imports(src):
    "Does the code do nothing but import?"
    try: body = ast.parse(src).body
    except SyntaxError: return False
    return all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body)

def groups(cells):
    "Each cell with the `show_doc` cells that nbdev put after it, in the order of the definitions"
    res = []
    for c in cells:
        if getattr(c, "has_sd", False) and res: res[-1][1].insert(0, c)
        else: res.append((c, []))
    return res

def still(o):
    "An output as a page shows it: of a widget, which lives in a running notebook, the figure that was stored with it, or nothing"
    if widget not in o.get("data", {}): return o
    data = {k:v for k,v in o["data"].items() if k not in (widget, "text/plain")}
    return {**o, "data": data} if data else None

def tidy(o):
    "An output without what means nothing to a reader: progress bars, and the names of folders that are gone"
    if not o: return
    if o["output_type"]=="stream":
        text = without_bars("".join(o["text"]))
        return AttrDict(o, text=without_folders(text)) if text.strip() else None
    data = {k:without_folders("".join(v)) if k.startswith("text/") else v for k,v in o.get("data", {}).items()}
    return AttrDict(o, data=AttrDict(data)) if data else o

def without_bars(text):
    "What a terminal shows of it in the end: each line as it was written last"
    lines = [o.split("\r")[-1] for o in text.split("\n")]
    return "\n".join(o for o,old in zip(lines, text.split("\n")) if o.strip() or "\r" not in old)

def without_folders(text): return re.sub(r"(/private)?(/tmp|/var/folders/\w+/\w+/T)/tmp\w{8}\b", "/tmp/...", text)

def pictures(c): return any("image/" in k for o in c.outputs for k in o.get("data", {}))

def figure_width(c):
    "Width that shows a figure of Matplotlib in the size it was drawn for, in pixels of the page, or None"
    for o in c.outputs:
        if "image/png" not in o.get("data", {}): continue
        im = Image.open(BytesIO(b64decode("".join(o.data["image/png"]))))
        if "Software" in im.info and "dpi" in im.info: return round(im.width/im.info["dpi"][0]*96)

def folded(title, md): return f"<details><summary>{title}</summary>\n\n{md}\n\n</details>"

def table(doc, named=False):
    "The parameters of a symbol, folded, with its name if others stand beside it"
    try: md = str(DocmentTbl(doc.sym))
    except (TypeError, ValueError): md = ""
    return folded("Parameters"+f" of <code>{doc.nm}</code>"*named, md) if md else ""

def modules():
    "Name -> file of each module, for the pages that show the source"
    return {".".join(f.relative_to(root).with_suffix("").parts):f for f in sorted(cfg.lib_path.rglob("*.py")) if f.name[0]!="_"}

def readme():
    "The front page for those who see the repository first"
    def to(path, part): return path.relative_to(root).as_posix()+(f"#{part}" if part else "")
    def text(c):
        if c.cell_type!="markdown": return f"```python\n{c.source.strip()}\n```"
        return relink(re.sub(r"\[(`[^`]+`)\]\(/[^)]*\)", r"\1", c.source.strip()), nbs, to)
    def printed(c): return ["".join(o.get("text") or o.data.get("text/plain", "")).strip() for o in c.get("outputs", []) if o.output_type!="error"]
    res = []
    for c in read_nb(nbs/cfg.readme_nb).cells:
        if c.source.strip() and not c.source.startswith("#|"): res += [text(c)]+[f"```\n{o}\n```" for o in printed(c) if o]
    return "\n\n".join(res)+"\n"

if __name__=="__main__":
    if "-" in sys.argv: sys.stdout.write(readme())
    else: (root/"README.md").write_text(readme(), encoding="utf-8")
