"A cache of clips that several processes build at once, that is killed, that is larger than memory"
import json, os, subprocess, sys, time, zlib
from pathlib import Path
import numpy as np
import pytest
from conftest import root

build = """
import os, sys, time
from soccerkd.data.cache import *
from soccerkd.data.decode import *
from soccerkd.data.labelled import *
from soccerkd.data.splits import *
path,clips,slow,workers = sys.argv[1],sys.argv[2],float(sys.argv[3]),int(sys.argv[4])
class Slow(DecodeClip):
    def planes(self, o): time.sleep(slow); return super().planes(o)
if __name__=="__main__":
    dec = Slow(4, 36)
    while sys.argv[5:] and not os.path.exists(sys.argv[5]): time.sleep(.01)
    cache = ClipCache.build(path, dec, clips_from_folder(clips+"/train"), workers=workers, block_bytes=bytes_needed(dec, 1)) # Small blocks: by chance, two builders decode as many twice as 1 + 1/2 + … + 1/blocks
    print(len(cache))
"""

def blocks(path): return [json.loads(o.read_text()) for o in Path(path).glob("[!.]*.json") if o.name!="cache.json"]
def alive(pid): # A process that ended, but was not waited for, counts as ended
    try: return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]!="Z"
    except FileNotFoundError: return False

def test_two_builders_and_a_kill(small_teacher, tmp_path, programs, script):
    "A builder is killed with its workers at work; two go on at once and share the rest; every clip is there, as decoded"
    from soccerkd.all import ClipCache, DecodeClip, clip_mark, clips_from_folder
    clips,path = clips_from_folder(small_teacher/"clips"/"train"),tmp_path/"cache"
    env = {**script["env"], "OMP_NUM_THREADS":"1", "IN_TEST":"1"}
    dead = subprocess.Popen([sys.executable, "-c", build, *map(str, (path, small_teacher/"clips", .05, 2))], cwd=root, env=env) # Not forked: its workers start from what it is
    while not (path.exists() and blocks(path)) and dead.poll() is None: time.sleep(.02)
    assert dead.poll() is None
    kids = [int(o) for o in Path(f"/proc/{dead.pid}/task/{dead.pid}/children").read_text().split()] if sys.platform=="linux" else []
    dead.kill(); dead.wait()
    first = sum(len(b["marks"]) for b in blocks(path))
    assert 0<first<len(clips)
    two = [programs.start("-c", build, path, small_teacher/"clips", .02, 0, tmp_path/"go", env={"IN_TEST":"1"}) for _ in range(2)]
    (tmp_path/"go").touch()
    for p in two:
        out,err = p.communicate()
        assert p.returncode==0 and int(out)==len(clips), err
    until = time.time()+20
    while any(map(alive, kids)) and time.time()<until: time.sleep(.2)
    assert not any(map(alive, kids)) # Nothing goes on decoding for a process that is gone
    cache,dec = ClipCache(path),DecodeClip(4, 36)
    assert not len(cache.verify()) and not cache.broken
    written = sum(len(b["marks"]) for b in blocks(path))
    assert written<len(clips)+.5*(len(clips)-first) # Two that know nothing of each other would write all of the rest twice
    for c in clips:
        (a,s),(b,t) = cache.get(clip_mark(c)),dec.planes(c)
        assert (a==b).all() and (s==t).all()

def test_left_behind(small_teacher, tmp_path):
    "What a killed builder left goes away when it is old, and not before: another may be at work"
    from soccerkd.all import ClipCache, DecodeClip, clips_from_folder
    clips,dec = clips_from_folder(small_teacher/"clips"/"train")[:6],DecodeClip(4, 36)
    ClipCache.build(tmp_path, dec, clips[:3], workers=0)
    old,new,orphan = [tmp_path/o for o in (".old.1-1.npy", ".new.2-2.npy", "0123.npy")]
    for o in (old, new, orphan): o.write_bytes(b"x")
    for o in (old, orphan): os.utime(o, (time.time()-3600,)*2)
    assert len(ClipCache.build(tmp_path, dec, clips, workers=0))==6
    assert [o.exists() for o in (old, new, orphan)]==[False, True, False]

def test_being_written(small_teacher, tmp_path):
    "What another builder is writing at the moment is neither read nor deleted"
    from soccerkd.all import ClipCache, DecodeClip, clips_from_folder
    clips,dec = clips_from_folder(small_teacher/"clips"/"train")[:6],DecodeClip(4, 36)
    ClipCache.build(tmp_path, dec, clips[:3], workers=0)
    half,whole = tmp_path/".0123.7-1.json",tmp_path/".4567.7-2.json"
    half.write_text('{"of": "')
    whole.write_text(json.dumps(blocks(tmp_path)[0]))
    cache = ClipCache(tmp_path)
    assert (len(cache), len(cache.blocks), cache.broken)==(3, 1, [])
    assert len(ClipCache.build(tmp_path, dec, clips, workers=0))==6 and half.exists() and whole.exists()

def test_written_since_opening(small_teacher, tmp_path, monkeypatch):
    "What another builder writes while this one looks at its clips is not decoded again"
    from soccerkd.all import ClipCache, DecodeClip, clips_from_folder
    from soccerkd.data import cache as lib
    clips,dec,first = clips_from_folder(small_teacher/"clips"/"train")[:6],DecodeClip(4, 36),lib.clip_mark
    def meanwhile(c):
        monkeypatch.setattr(lib, "clip_mark", first)
        ClipCache.build(tmp_path, dec, clips[:3], workers=0)
        return first(c)
    monkeypatch.setattr(lib, "clip_mark", meanwhile)
    assert len(ClipCache.build(tmp_path, dec, clips, workers=0))==sum(len(b["marks"]) for b in blocks(tmp_path))==6

def test_larger_than_memory(tmp_path):
    "Opening 45 GB and taking a clip of each block reads those clips and nothing else"
    psutil = pytest.importorskip("psutil")
    from soccerkd.data.cache import ClipCache, _digest, decode_settings
    from soccerkd.all import DecodeClip
    settings,shape = decode_settings(DecodeClip(8, 126)),(1000,3,24,126,126)
    (tmp_path/"cache.json").write_text(json.dumps(settings))
    zero = zlib.crc32(bytes(int(np.prod(shape[1:]))))
    for b in range(40):
        f = tmp_path/f"{b}.npy"
        np.lib.format.open_memmap(f, mode="w+", dtype=np.uint8, shape=shape) # A file with holes: it takes no room on the disk
        about = dict(marks=[f"{b}/{i}" for i in range(shape[0])], crc32=[zero]*shape[0], times=[[i/24 for i in range(24)]]*shape[0])
        f.with_suffix(".json").write_text(json.dumps(dict(of=_digest(settings), frames=f.name, bytes=f.stat().st_size, shape=shape, **about)))
    del about
    me = psutil.Process()
    before = me.memory_info().rss
    cache = ClipCache(tmp_path)
    opened = me.memory_info().rss
    assert len(cache)==40_000 and sum(b["bytes"] for b in cache.blocks)>45e9
    taken = [cache.get(f"{b}/{b}")[0] for b in range(40)]
    assert sum(int(o[0,0].sum()) for o in taken)==0
    assert opened-before<60e6 and me.memory_info().rss-opened<150e6, (opened-before, me.memory_info().rss-opened)

def test_bank_and_cache(small_teacher, tmp_path):
    "A bank made without a cache is good for the same loaders with one, and training with either is the same"
    pytest.importorskip("zarr")
    import torch
    from soccerkd.all import ClipDataLoaders, TeacherBank, load_run, plain
    from soccerkd.distill.marks import preprocessing
    learn = load_run(small_teacher, device="cpu")
    learn.model.precision = "fp32"
    kw = dict(n_frames=4, size=32, bs=8, seed=0, device="cpu")
    without,cached = (ClipDataLoaders.from_folder(small_teacher/"clips", **kw, **o) for o in ({}, dict(cache=tmp_path/"cache")))
    assert preprocessing(without)==preprocessing(cached) and without.config==cached.config and without.content==cached.content
    bank = TeacherBank.make(tmp_path/"bank", without, learn, views=2)
    (a,r),(b,s) = bank.attach(without),bank.attach(cached)
    assert (r==s).all()
    for dls in (a, b): dls.reseed(1)
    for (x,y),(u,v) in zip(a.train, b.train):
        assert torch.equal(plain(x), plain(u)) and torch.equal(x.seeds, u.seeds) and torch.equal(plain(y), plain(v))
