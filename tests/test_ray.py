"A bank filled by a Ray cluster of two workers on this machine, one of which dies"
import subprocess, sys
import pytest
from conftest import root

pytestmark = pytest.mark.long
pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("zarr", reason="zarr is not installed")

fill = """
import os, sys, tempfile
from fastcore.test import test_close
from soccerkd.all import *
out = Path(sys.argv[1])
class Mortal(nn.Module):
    "A teacher whose worker dies at its third batch, once"
    def __init__(self, net, flag): super().__init__(); self.net,self.flag,self.asked = net,flag,0
    def forward(self, x):
        self.asked += 1
        if self.flag and self.asked==3 and not Path(self.flag).exists():
            Path(self.flag).touch(); os._exit(1)
        return self.net(x)
make_clips(out/"clips", per_class=8, seed=0, size=48, splits=(.75,.25,0), workers=1)
dls = ClipDataLoaders.from_folder(out/"clips", n_frames=2, size=32, bs=4, seed=0, device="cpu")
seed_everything(0)
net = create_model("resnet18", n_classes=4, n_frames=2)
start_ray(2, _temp_dir=tempfile.mkdtemp(prefix="r", dir="/tmp"))
bank = ray_bank(out/"bank", dls, Mortal(net, str(out/"died")), views=2, block=4)
alone = TeacherBank.make(out/"alone", dls, Mortal(net, None), views=2, block=4)
assert (out/"died").exists() and len(bank)==24 and not bank.missing().any()
i,v = np.repeat(np.arange(24), 2),np.tile([0,1], 24)
test_close(bank.answer(bank.rows_of(dls)[i], v), alone.answer(alone.rows_of(dls)[i], v), 1e-6)
(out/"fine").touch()
"""

@pytest.mark.slow # The page on Ray fills a bank by two workers in every run of the tests
def test_a_worker_dies(tmp_path, script):
    res = subprocess.run([sys.executable, "-c", fill, str(tmp_path)], cwd=root, capture_output=True, text=True, timeout=300,
        env={**script["env"], "OMP_NUM_THREADS":"1", "IN_TEST":"1", "PYTHONPATH":str(root), "RAY_USAGE_STATS_ENABLED":"0"})
    assert (tmp_path/"fine").exists(), res.stderr

def test_a_slow_start(monkeypatch):
    "Ray gives itself half a minute to start: it gets a second one, and no third"
    import ray
    from soccerkd.distill.ray_bank import start_ray
    asked = []
    def init(**kw): asked.append(kw); raise Exception("The current node timed out during startup.")
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(Exception, match="timed out"): start_ray()
    assert len(asked)==2 and asked[0]==asked[1]
    monkeypatch.setattr(ray, "init", lambda **kw: asked.append(kw) or (_ for _ in ()).throw(ValueError("no such address")))
    with pytest.raises(ValueError, match="no such address"): start_ray()
    assert len(asked)==3
