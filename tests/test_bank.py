"A teacher bank that several processes fill at once, one of which is killed"
import os, subprocess, sys, time
import numpy as np
import pytest
from conftest import root

pytest.importorskip("zarr", reason="zarr is not installed")

fill = """
import sys
from soccerkd.all import *
from soccerkd.distill.bank import TeacherBank
path,run,part,slow = sys.argv[1],sys.argv[2],int(sys.argv[3]),float(sys.argv[4])
class Slow(torch.nn.Module):
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): time.sleep(slow); return self.net(x)
import time
learn = load_run(run, device="cpu")
dls = ClipDataLoaders.from_folder(run+"/clips", n_frames=4, size=32, bs=8, seed=0, device="cpu")
learn.model.precision = "fp32"
TeacherBank.make(path, dls, Slow(learn.model), views=2, block=8, part=(part, 2))
"""

def filling(path, run, part, env, slow=0.):
    return subprocess.Popen([sys.executable, "-c", fill, str(path), str(run), str(part), str(slow)], cwd=root, env={**env, "OMP_NUM_THREADS":"1"}, stderr=subprocess.PIPE, text=True)

def test_two_writers_and_a_kill(small_teacher, tmp_path, script):
    "Two processes fill one bank; a third, killed in between, harms nobody; the answers are those of a bank that one process filled"
    from soccerkd.all import ClipDataLoaders, load_run
    from soccerkd.distill.bank import TeacherBank
    dead = filling(tmp_path/"bank", small_teacher, 0, script["env"], .3)
    while not (tmp_path/"bank"/"logits"/"c").exists() and dead.poll() is None: time.sleep(.05)
    assert dead.poll() is None, dead.stderr.read()
    dead.kill(); dead.wait()
    writers = [filling(tmp_path/"bank", small_teacher, i, script["env"]) for i in (0, 1)]
    for w in writers: assert w.wait()==0, w.stderr.read()
    assert filling(tmp_path/"alone", small_teacher, 0, script["env"]).wait()==0
    bank,alone = (TeacherBank(tmp_path/o) for o in ("bank", "alone"))
    assert not bank.missing().any() and bank.settings==alone.settings and set(bank.row)==set(alone.row)
    assert not list((tmp_path/"bank").rglob(".lock"))
    for m,i in alone.row.items():
        for v in range(2): assert np.allclose(bank.answer([bank.row[m]], [v]), alone.answer([i], [v]), atol=1e-4)

features = """
import sys
from soccerkd.all import *
path,run,part = sys.argv[1],sys.argv[2],int(sys.argv[3])
dls = ClipDataLoaders.from_folder(run+"/clips", n_frames=4, size=32, bs=8, seed=0, device="cpu")
bank_features(path, dls, load_run(run, device="cpu").use_precision("fp32"), views=2, block=8, part=(part, 2))
"""

def test_two_write_features(small_teacher, tmp_path, script):
    "Two processes bank the features of both sets of clips together, and all of them are there"
    from soccerkd.all import ClipDataLoaders, frozen, load_run
    from soccerkd.distill.feature_bank import TeacherBank
    writers = [subprocess.Popen([sys.executable, "-c", features, str(tmp_path/"bank"), str(small_teacher), str(i)], cwd=root, env={**script["env"], "OMP_NUM_THREADS":"1"}, stderr=subprocess.PIPE, text=True) for i in (0, 1)]
    for w in writers: assert w.wait()==0, w.stderr.read()
    bank,model = TeacherBank(tmp_path/"bank"),load_run(small_teacher, device="cpu").use_precision("fp32").model
    dls = ClipDataLoaders.from_folder(small_teacher/"clips", n_frames=4, size=32, bs=8, seed=0, device="cpu")
    for o,dl in ((bank, dls.train), (bank.valid, dls.valid)):
        rows = o.check(dls, model, "features")
        x = dl.batch_of([(0, o.views-1)], seeds=o.store["seeds"][:][rows])[0]
        with frozen(model): assert np.allclose(o.answer(rows[:1], [o.views-1]), model.body_features(x), atol=1e-4)
    assert not list((tmp_path/"bank").rglob(".lock"))
