"Sphinx's settings: `make docs` runs it on the pages that docs/pages.py makes of the notebooks"
import os, sys
from pathlib import Path
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from sphinx.errors import ExtensionError

sys.path.insert(0, str(Path(__file__).parent))
os.environ["IN_TEST"] = "1" # The cells that nbdev runs for the API draw no progress bars
from pages import Book, cfg, modules

project = html_title = cfg.title
release = cfg.version
language = "en"
extensions = ["myst_nb", "sphinx_copybutton"]
nb_execution_mode = "off" # The notebooks hold their outputs
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "attrs_block"]
suppress_warnings = ["myst.header"] # A symbol is a third-level heading wherever it stands
html_theme,html_static_path,html_css_files = "furo",["static"],["style.css"]
html_show_sourcelink = html_copy_source = html_show_copyright = html_use_index = False
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
    Book().write(Path(app.srcdir))

def setup(app):
    app.add_html_math_renderer("mathml", math("inline"), math("block"))
    app.connect("builder-inited", pages)
    app.connect("html-collect-pages", sources)
