"Sphinx's settings: `make docs` runs it on the pages that docs/pages.py makes of the notebooks"
import sys
from html import escape
from pathlib import Path
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.errors import ExtensionError

sys.path.insert(0, str(Path(__file__).parent))
from pages import Book, cfg, copied, modules, root

project = html_title = cfg.title
release = cfg.version
language = "en"
highlight_language = "none" # Unless a block says what it is
extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off" # The notebooks hold their outputs
nb_ipywidgets_js = {} # No page asks another host for a script
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "attrs_block"]
suppress_warnings = ["myst.header"] # A symbol is a third-level heading wherever it stands
html_theme,html_static_path,html_css_files,html_favicon = "furo",["static"],["style.css"],"static/icon.svg"
html_show_sourcelink = html_copy_source = html_show_copyright = html_use_index = False
exclude_patterns = ["files"] # Copies of notebooks and other files, to be taken away
html_math_renderer = "mathml"

def math(display):
    "Formulas as MathML, which browsers draw without a script"
    def visit(self, node):
        self.body.append(convert(node.astext(), display=display))
        raise SkipNode
    return visit, None

def sources(app):
    "A page for each module, with an anchor at each line"
    fmt = HtmlFormatter(lineanchors="L", nowrap=False)
    for nm,f in modules().items():
        code = highlight(f.read_text(encoding="utf-8"), PythonLexer(), fmt)
        yield f"source/{nm}", dict(title=nm, body=f"<h1>{nm}</h1>\n{code}"), "page.html"

def pages(app):
    if any(Path(app.srcdir).iterdir()): raise ExtensionError(f"{app.srcdir} must be an empty folder: run make docs")
    app.book = Book()
    app.book.write(Path(app.srcdir))

def files(app, failed):
    "The files that pages lead to stand beside them under their own names"
    if failed is None and app.builder.format=="html":
        for o in app.book.files: copied(root/o, Path(app.outdir)/"files"/o)

def navigation(app, page, template, context, doctree):
    "The side bar, with the part that a page belongs to unfolded. Sphinx would take a quarter of the build to make it for every page"
    def item(nm):
        here,to = nm==page and "current ",context["pathto"](nm)
        return f'<li class="toctree-l1 {here or ""}"><a class="{here or ""}reference internal" href="{"#" if here else to}">{escape(app.env.titles[nm].astext())}</a></li>'
    def shown(k, v): return " open"*(page in v or k=="Tutorials")
    def tree(**kw): return "".join(f'<details{shown(k, v)}><summary class="caption"><span class="caption-text">{k}</span></summary><ul>{"".join(map(item, v))}</ul></details>\n' for k,v in app.book.parts().items())
    context["toctree"] = tree

def setup(app):
    app.add_html_math_renderer("mathml", math("inline"), math("block"))
    app.connect("builder-inited", pages)
    app.connect("html-page-context", navigation, priority=100) # Before the theme asks for it
    app.connect("html-collect-pages", sources)
    app.connect("build-finished", files)
