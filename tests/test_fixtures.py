"What the other tests lean on"
import random, re
from types import SimpleNamespace
import numpy as np
import pytest
import torch
import conftest, shared_clips
from conftest import begin, root

@pytest.fixture
def runs(tmp_path, monkeypatch):
    "`cached_run` on a cache of its own, with a list of the folders that were made"
    monkeypatch.setattr(conftest, "cache", tmp_path)
    monkeypatch.setattr(conftest, "code_hash", lambda also=(): "a")
    made = []
    def make(path): made.append(path); (path/"weights").touch()
    return lambda fail=None: (conftest.cached_run("teacher", fail or make), made)

def test_made_once(runs):
    path,made = runs()
    assert runs()==(path, [path]) and (path/"weights").exists()

def test_code_changes(runs, monkeypatch):
    old,_ = runs()
    monkeypatch.setattr(conftest, "code_hash", lambda also=(): "b")
    new,made = runs()
    assert made==[old, new] and not old.exists()

def test_interrupted(runs):
    "Half a folder is not taken for a whole one"
    def stop(path): (path/"half").touch(); raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): runs(stop)
    path,made = runs()
    assert made==[path] and not (path/"half").exists()

def test_hash_follows_code(monkeypatch, tmp_path):
    (tmp_path/"soccerkd").mkdir()
    monkeypatch.setattr(conftest, "root", tmp_path)
    seen = set()
    for s in ("a = 1", "a = 2", "a = 1"):
        (tmp_path/"soccerkd"/"m.py").write_text(s); seen.add(conftest.code_hash())
    assert len(seen)==2

@pytest.mark.parametrize("start", (1, 2))
def test_start(start):
    "`--start` decides with which random numbers a page begins; without it nothing is touched"
    def config(n): return SimpleNamespace(getoption=lambda name: n)
    def drawn(): return torch.rand(1).item(), np.random.rand(), random.random()
    begin(config(start)); first = drawn()
    begin(config(start)); again = drawn()
    begin(config(None)); later = drawn()
    assert first==again and not set(first) & set(later)

def test_what_is_long():
    "What `make test` leaves to `make test-all` and to jobs of their own: this list, and nothing else"
    def marked(f): return set(re.findall(r"@pytest\.mark\.long\n(?:@.*\n)*def (test_\w+)", f.read_text(encoding="utf-8")))
    tests = sorted((root/"tests").glob("test_*.py"))
    whole = {o.stem for o in tests if re.search(r"^pytestmark = .*mark\.long", o.read_text(encoding="utf-8"), re.M)}
    parts = {o.stem:found for o in tests if (found := marked(o))}
    assert whole=={"test_machines", "test_ray", "test_study", "test_widgets"}
    assert parts==dict(
        test_match={"test_processes"},
        test_reliability={"test_bar_of_a_user", "test_damaged_files", "test_interrupted_scan", "test_nobody_renders_for_a_dead_parent", "test_two_in_one_folder", "test_two_kills"},
        test_site={"test_a_bad_page_is_seen", "test_a_styled_table_has_a_style", "test_code_fits", "test_dark_mode", "test_pages", "test_search", "test_source"})
    assert conftest.LONG_PAGES==("tutorials", "benchmarks", "04_distill/11_ray")
    assert conftest.is_long_page("tutorials/01_first_distillation") and not conftest.is_long_page("04_distill/10_machines")

def test_clips_are_drawn_once(tmp_path, monkeypatch, clips_once):
    "A second set of the same clips is copied; its files are those that drawing gives, and a changed copy leaves the store alone"
    from soccerkd.world import clips as world
    film = dict(per_class=1, seed=9, size=32, n_frames=3, splits=(1,0,0), classes=("kick", "run"), workers=1)
    def bytes_of(path): return {o.name:o.read_bytes() for o in path.rglob("*") if o.suffix in (".mp4", ".npz", ".csv")}
    monkeypatch.setattr(world, "_render_all", clips_once)
    drawn = bytes_of(world.make_clips(tmp_path/"drawn", **film))
    shared_clips.share(tmp_path/"store") # `monkeypatch` puts back what stood there before
    first = bytes_of(world.make_clips(tmp_path/"first", **film))
    monkeypatch.setattr(world, "make_scene", None) # Nothing can be drawn any more
    second = world.make_clips(tmp_path/"second", **film)
    assert drawn==first==bytes_of(second) and len(drawn)==5
    clip = next(second.rglob("*.mp4"))
    clip.write_bytes(b"damaged")
    assert bytes_of(world.make_clips(tmp_path/"third", **film))==first
    with pytest.raises(TypeError): world.make_clips(tmp_path/"other", **{**film, "seed":8})
