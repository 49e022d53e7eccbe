"""Synthetic clips that several pages and tests ask for are drawn once: a store addressed by what makes a clip.

`share(store)` puts it between `make_clips` and the renderer; programs that a test starts draw their own."""
import hashlib, json, os, shutil
from pathlib import Path

def drawn_by(package):
    "Changes with the code that draws"
    h = hashlib.sha256()
    for f in sorted([*(package/"world").glob("*.py"), package/"core.py"]): h.update(f.name.encode()+f.read_bytes())
    return h.hexdigest()[:16]

def key_of(row, film):
    "Name of a clip in the store: what it shows, and how it is filmed"
    about = [row["label"], row["seed"], row["match"], sorted(film.items())]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]

def copy_whole(a, b):
    "A copy that is there whole or not at all"
    tmp = b.with_name(f".{b.name}.{os.getpid()}")
    shutil.copyfile(a, tmp)
    os.replace(tmp, b)

class Store:
    "Films and truths by what made them"
    def __init__(self, folder): self.folder = Path(folder); self.folder.mkdir(parents=True, exist_ok=True)
    def pairs(self, row, film, root):
        "Places in the store and in a set, of the truth and of the film"
        out,name = Path(root)/row["file"],key_of(row, film)
        return [(self.folder/f"{name}{o}", out.with_suffix(o)) for o in (".npz", ".mp4")]
    def bring(self, row, film, root):
        "Copy a clip into a set, if it is kept and not there"
        pairs = self.pairs(row, film, root)
        if not all(kept.exists() and not out.exists() for kept,out in pairs): return
        for kept,out in pairs:
            out.parent.mkdir(parents=True, exist_ok=True)
            copy_whole(kept, out)
    def keep(self, row, film, root):
        "Take a clip of a set into the store"
        for kept,out in self.pairs(row, film, root):
            if not kept.exists(): copy_whole(out, kept)

def share(folder):
    "From now on `make_clips` takes from the store what is there, and leaves there what it draws; returns the function that only draws"
    from soccerkd.world import clips as world
    store,render = Store(folder),world._render_all
    def render_all(plan, root, workers, **film):
        before = {r["file"] for r in plan if (Path(root)/r["file"]).exists()} # Made by somebody else: not to be kept
        for r in plan: store.bring(r, film, root)
        left = sum(not (Path(root)/r["file"]).exists() for r in plan)
        for done in render(plan, root, min(workers, max(left//8, 1)), **film):
            if done["file"] not in before: store.keep(next(r for r in plan if r["file"]==done["file"]), film, root)
            yield done
    world._render_all = render_all
    return render
