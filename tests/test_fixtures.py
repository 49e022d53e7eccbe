"What the other tests lean on"
import random
from types import SimpleNamespace
import numpy as np
import pytest
import torch
import conftest
from conftest import begin

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
