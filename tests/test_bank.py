"A teacher bank that several processes fill at once, one of which is killed"
import time
import numpy as np
import pytest

pytest.importorskip("zarr", reason="zarr is not installed")

fill = """
import sys
from soccerkd.all import *
from soccerkd.distill.bank import TeacherBank
path,run,part,slow = sys.argv[1],sys.argv[2],int(sys.argv[3]),float(sys.argv[4]) # Then the clips
class Slow(torch.nn.Module):
    def __init__(self, net): super().__init__(); self.net = net
    def forward(self, x): time.sleep(slow); return self.net(x)
import time
learn = load_run(run, device="cpu")
dls = ClipDataLoaders.from_folder(sys.argv[-1], n_frames=4, size=32, bs=8, seed=0, device="cpu")
learn.model.precision = "fp32"
TeacherBank.make(path, dls, Slow(learn.model), views=2, block=4, part=(part, 2))
"""

def filling(programs, clips, path, run, part, slow=0.): return programs.start("-c", fill, path, run, part, slow, clips)

def ends_well(p): assert p.wait()==0, p.communicate()[1]

def test_two_writers_and_a_kill(small_teacher, few_clips, tmp_path, programs):
    "Two processes fill one bank; a third, killed in between, harms nobody; the answers are those of a bank that one process filled"
    from soccerkd.all import ClipDataLoaders, load_run
    from soccerkd.distill.bank import TeacherBank
    dead = filling(programs, few_clips, tmp_path/"bank", small_teacher, 0, .3)
    while not (tmp_path/"bank"/"logits"/"c").exists() and dead.poll() is None: time.sleep(.05)
    assert dead.poll() is None, dead.communicate()[1]
    dead.kill(); dead.wait()
    writers = [filling(programs, few_clips, tmp_path/"bank", small_teacher, i) for i in (0, 1)]
    for w in writers: ends_well(w)
    ends_well(filling(programs, few_clips, tmp_path/"alone", small_teacher, 0))
    bank,alone = (TeacherBank(tmp_path/o) for o in ("bank", "alone"))
    assert not bank.missing().any() and bank.settings==alone.settings and set(bank.row)==set(alone.row)
    assert not list((tmp_path/"bank").rglob(".lock"))
    for m,i in alone.row.items():
        for v in range(2): assert np.allclose(bank.answer([bank.row[m]], [v]), alone.answer([i], [v]), atol=1e-4)

features = """
import sys
from soccerkd.all import *
path,run,part = sys.argv[1],sys.argv[2],int(sys.argv[3])
dls = ClipDataLoaders.from_folder(sys.argv[-1], n_frames=4, size=32, bs=8, seed=0, device="cpu")
bank_features(path, dls, load_run(run, device="cpu").use_precision("fp32"), views=2, block=4, part=(part, 2))
"""

def test_two_write_features(small_teacher, few_clips, tmp_path, programs):
    "Two processes bank the features of both sets of clips together, and all of them are there"
    from soccerkd.all import ClipDataLoaders, frozen, load_run
    from soccerkd.distill.feature_bank import TeacherBank
    writers = [programs.start("-c", features, tmp_path/"bank", small_teacher, i, few_clips) for i in (0, 1)]
    for w in writers: ends_well(w)
    bank,model = TeacherBank(tmp_path/"bank"),load_run(small_teacher, device="cpu").use_precision("fp32").model
    dls = ClipDataLoaders.from_folder(few_clips, n_frames=4, size=32, bs=8, seed=0, device="cpu")
    for o,dl in ((bank, dls.train), (bank.valid, dls.valid)):
        rows = o.check(dls, model, "features")
        x = dl.batch_of([(0, o.views-1)], seeds=o.store["seeds"][:][rows])[0]
        with frozen(model): assert np.allclose(o.answer(rows[:1], [o.views-1]), model.body_features(x), atol=1e-4)
    assert not list((tmp_path/"bank").rglob(".lock"))
