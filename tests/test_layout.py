"The floors of the house: a room imports only from floors below its own"
import ast, io, json, re, tokenize
from collections import Counter
import pytest
from conftest import broken_promises, promised, root

FLOORS = [["core"], ["video", "world", "models"], ["data"], ["distill"], ["evaluate"], ["spot", "pose", "pitch"], ["deploy"], ["all"]]
STRANGERS = {("data", "models"), ("data", "world")} # Of different floors, and yet one knows nothing of the other
MATCH = {f"data.{o}" for o in "played film match season".split()} # Where a simulated match becomes files and tables: these know the world
floor = {room:i for i,rooms in enumerate(FLOORS) for room in rooms}
modules = sorted(o for o in (root/"soccerkd").rglob("*.py") if not o.name.startswith("_"))
pages = sorted(o for o in (root/"nbs").rglob("*.ipynb") if not any(p[0] in "._" for p in o.relative_to(root/"nbs").parts))

def name(o): return o.relative_to(root).as_posix()
def room(o): return o.relative_to(root/"soccerkd").with_suffix("").parts[0]

def imports(tree, path=root/"soccerkd"/"core.py"):
    "Dotted names that `tree`, the code of `path`, imports, within functions too; `from a import b` gives `a.b`"
    for n in ast.walk(tree):
        if isinstance(n, ast.Import): yield from (o.name for o in n.names)
        if isinstance(n, ast.ImportFrom): # nbdev writes imports of siblings with dots
            here = path.relative_to(root).parts[:-n.level] if n.level else ()
            yield from (".".join([*here, *filter(None, [n.module]), o.name]) for o in n.names)

def code(nb):
    "Syntax trees of the code cells of a notebook, without those that hold magics"
    for c in json.loads(nb.read_text(encoding="utf-8"))["cells"]:
        src = "".join(c["source"])
        if c["cell_type"]=="code" and not re.search(r"^\s*[%!]", src, re.M): yield ast.parse(src)

def may(a, b):
    "May a module of room `a` import from room `b`?"
    return floor[a]>floor[b] and (a, b) not in STRANGERS

@pytest.mark.parametrize("path", modules, ids=name)
def test_floor(path):
    used = imports(ast.parse(path.read_text(encoding="utf-8")), path)
    rooms = {o.split(".")[1] for o in used if o.startswith("soccerkd.")} - {room(path), "__version__"}
    if module_of("soccerkd."+".".join(path.relative_to(root/"soccerkd").with_suffix("").parts)) in MATCH: rooms -= {"world"}
    assert not [o for o in rooms if not may(room(path), o)]

# What a notebook user does not name: the inside of the decoders, of the synthetic world, of a fast convolution and of fastai
inside = set("video.clock video.looks video.whole video.index video.backends video.stamp video.source video.packets video.windows world.field world.gait world.players world.ball world.look world.figures world.render world.arena world.sprites world.props world.rates world.shape world.chain world.rules world.causes world.motion world.laws world.play world.broadcast world.cameras data.played data.film data.season data.match models.speed distill.inside".split())

def test_all():
    "`from soccerkd.all import *` brings every module but those of the inside and the commands"
    used = {o.removeprefix("soccerkd.").removesuffix(".*") for o in imports(ast.parse((root/"soccerkd"/"all.py").read_text(encoding="utf-8")))}
    mods = {".".join(o.relative_to(root/"soccerkd").with_suffix("").parts) for o in modules if room(o) not in ("all", "deploy")}
    assert mods-used==inside

def test_floors_can_fail():
    "A lesson that imports a model from the data room would be found"
    used = list(imports(ast.parse("def f():\n    from ..models.tam import TAM"), root/"soccerkd"/"data"/"clips.py"))
    assert used==["soccerkd.models.tam.TAM"] and not may("data", "models")
    assert may("data", "video") and not may("video", "data") and not may("models", "video")

def module_of(o):
    "The module in which an imported name is defined, or that it is"
    parts = o.removeprefix("soccerkd.").split(".")
    known = {".".join(p.relative_to(root/"soccerkd").with_suffix("").parts) for p in modules}
    return next((m for n in (len(parts), len(parts)-1) if (m := ".".join(parts[:n])) in known), None)

def circle(graph):
    "Modules that import each other in a circle, one after the other; empty if there is none"
    done = set()
    def visit(m, way):
        if m in way: return way[way.index(m):]
        if m in done: return []
        found = next((c for o in sorted(graph.get(m, ())) if (c := visit(o, [*way, m]))), [])
        done.add(m)
        return found
    return next((c for m in sorted(graph) if (c := visit(m, []))), [])

def test_circles():
    "No module is needed by one that it needs, imports inside functions counted"
    graph = {}
    for path in modules:
        used = imports(ast.parse(path.read_text(encoding="utf-8")), path)
        ours = {module_of(o) for o in used if o.startswith("soccerkd.")}
        graph[module_of("soccerkd."+".".join(path.relative_to(root/"soccerkd").with_suffix("").parts))] = ours-{None}
    del graph["all"]
    assert len(graph)>50 and circle(graph)==[]
    assert circle(dict(a={"b"}, b={"c"}, c={"b"}))==["b", "c"]

def test_numbers():
    "A number stands for one page in its folder, and no two pages get one address"
    for d in {o.parent for o in pages}:
        nums = Counter(m[0] for o in d.iterdir() if (m := re.match(r"\d+[a-z]?", o.name)))
        assert not [k for k,v in nums.items() if v>1], f"numbers used twice in {name(d)}"
    urls = Counter((o.parent, re.sub(r"^\d+[a-zA-Z0-9]*_", "", o.name.lower())) for o in pages)
    assert max(urls.values())==1

@pytest.mark.parametrize("path", pages, ids=name)
def test_page(path):
    """A page exports to the room it lies in; tutorials and benchmarks export nothing and use no private name.
    A cell of the page that imports does nothing else: the book runs it, but not the cells before it."""
    for t in code(path): assert len({isinstance(o, (ast.Import, ast.ImportFrom)) for o in t.body})<2, f"imports and code in one cell:\n{ast.unparse(t)}"
    src = path.read_text(encoding="utf-8")
    exp = re.search(r"#\| *default_exp +([\w.]+)", src)
    folder = re.sub(r"^\d+[a-z]?_", "", path.relative_to(root/"nbs").parts[0])
    if exp: assert exp[1].split(".")[0]==re.sub(r"\.ipynb$", "", folder)
    if folder in ("tutorials", "benchmarks"):
        assert not exp
        used = [o.split(".") for t in code(path) for o in imports(t) if o.startswith("soccerkd")]
        assert not [o for o in used if any(p.startswith("_") and p!="__version__" for p in o)]

@pytest.mark.parametrize("path", pages, ids=name)
def test_head(path):
    "A page opens with one cell that holds its title and what it gives, which the book shows in lists and search engines read"
    head = next("".join(c["source"]) for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"]=="markdown")
    assert re.match(r"# .+\n+> .{10}", head)

def too_long(nb, columns=100):
    "Lines of more than `columns` in cells that only show; flags may be longer"
    for c in json.loads(nb.read_text(encoding="utf-8"))["cells"]:
        src = "".join(c["source"])
        if c["cell_type"]!="code" or re.search(r"^#\| *export", src, re.M): continue
        yield from (f"{c['id']}: {o}" for o in src.split("\n") if len(o)>columns and not o.startswith("#|"))

@pytest.mark.parametrize("path", pages, ids=name)
def test_lines(path):
    "Cells that only show fit a laptop's screen: 100 columns, so that nothing scrolls sideways at 1,366 pixels"
    assert not list(too_long(path))

def test_long_lines_are_found(tmp_path):
    cells = [dict(cell_type=k, id=k, source=o) for k,o in (("code", "x = "+"1"*97), ("markdown", "x"*200))]
    exported = dict(cell_type="code", id="e", source="#| export\nx = "+"1"*97)
    (nb := tmp_path/"a.ipynb").write_text(json.dumps(dict(cells=[*cells, exported])))
    assert [o.split(":")[0] for o in too_long(nb)]==["code"]

def private(tree, path):
    "Private names that `tree`, the code of `path`, takes from another of our modules"
    for o in imports(tree, path):
        if o.startswith("soccerkd.") and re.match(r"_[^_]", o.split(".")[-1]): yield o

@pytest.mark.parametrize("path", modules, ids=name)
def test_private(path):
    "What a module keeps for itself is used nowhere else"
    assert not list(private(ast.parse(path.read_text(encoding="utf-8")), path))

def test_private_is_found():
    assert list(private(ast.parse("from ..core import _refusal, track"), root/"soccerkd"/"data"/"clips.py"))==["soccerkd.core._refusal"]

def code_lines(source):
    "Length of each line of code, without its comment and without empty lines"
    cut = {t.start[0]:t.start[1] for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type==tokenize.COMMENT}
    lines = [o[:cut.get(i, len(o))].rstrip() for i,o in enumerate(source.splitlines(), 1)]
    return [len(o) for o in lines if o]

def nodes_per_line(source):
    "Nodes of the syntax tree that begin on each line: what a reader takes apart at once"
    return list(Counter(n.lineno for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.expr, ast.stmt))).values())

def at_share(numbers, share): return sorted(numbers)[int(share*(len(numbers)-1))]

def test_readable_lines():
    "The library's lines are as easy to take in as fastcore's: their length, and how much stands on each"
    sources = {name(o):o.read_text(encoding="utf-8") for o in modules}
    lengths = {k:code_lines(s) for k,s in sources.items()}
    assert not {k:max(v) for k,v in lengths.items() if max(v)>140}
    every = [o for v in lengths.values() for o in v]
    assert sum(o>120 for o in every)<=.03*len(every)
    nodes = [o for s in sources.values() for o in nodes_per_line(s)]
    assert at_share(nodes, .9)<=14 and at_share(nodes, .99)<=23

def test_dense_lines_are_found():
    assert code_lines("x = 1 # why\n\n    # only why\n")==[5]
    assert nodes_per_line("x = 1\ny = f(a, b)")==[3, 6]

def test_modules_are_short():
    "A module holds one subject: 500 lines that are not empty, and no more"
    assert not {name(o):n for o in modules if (n := sum(bool(l.strip()) for l in o.read_text(encoding="utf-8").splitlines()))>500}

def test_promises():
    "Each tutorial says how long it takes, in words that a run compares with what it took"
    tutorials = [o.relative_to(root/"nbs").with_suffix("").as_posix() for o in pages if o.parent.name=="tutorials"]
    assert all(map(promised, tutorials)) and promised("02_data/10_tracks") is None
    assert list(broken_promises({"tutorials/09_own_task":149., "02_data/10_tracks":999.}))==[]
    assert "promises 60" in next(broken_promises({"tutorials/01_first_distillation":61.}))
