"Two processes on this machine: the command line, uneven batches, a checkpoint, and a process that fails"
import re, json, socket, subprocess, sysconfig
from pathlib import Path
import pytest
from conftest import root

pytestmark = pytest.mark.long
scripts = Path(sysconfig.get_path("scripts"))

def free_port():
    with socket.socket() as o: o.bind(("127.0.0.1", 0)); return o.getsockname()[1]

def start(programs, args, n=2):
    "The same program in `n` processes, as a launcher starts them"
    port = free_port()
    def one(r): return programs.start(*args, env={"IN_TEST":"1", "RANK":str(r), "WORLD_SIZE":str(n), "MASTER_ADDR":"127.0.0.1", "MASTER_PORT":str(port)})
    return [(p, *p.communicate(timeout=240)) for p in [one(r) for r in range(n)]]

train = """
import sys
from soccerkd.all import *
out,case = Path(sys.argv[1]),sys.argv[2]
rank,world = join_machines("cpu", seconds=60)
bs = int(sys.argv[3])
dls = ClipDataLoaders.from_folder(out/"clips", n_frames=2, size=32, bs=bs, seed=0, device="cpu")
dls.train.drop_last = False # 17 clips: an uneven last batch
seed_everything(0)
teacher = create_model("tam_resnet18", n_classes=4, n_frames=2)
class AtRest(Callback):
    order = 100
    def before_train(self): self.learn.model.apply(lambda m: m.eval() if isinstance(m, nn.modules.batchnorm._BatchNorm) else None)
class Fails(Callback):
    def after_batch(self):
        if case=="fails" and rank==1: raise SoccerKDError.of("clip 7", "is too much for process 1", "leave it out")
class Stop(Callback):
    order = 70 # After the checkpoint
    def after_epoch(self):
        if case=="resumed" and self.epoch==0: raise KeyboardInterrupt
def learner():
    seed_everything(1); dls.reseed(1)
    learn = teacher_learner(dls, "resnet18", n_frames=2, precision="fp32", opt_func=SGD, cbs=[AtRest(), Fails(), CSVLogger(out/f"{case}{world}-{rank}.csv")])
    return learn.distill_features(teacher, alpha=.5)
def fit(learn, cbs, start_epoch=0):
    with learn.together(), learn.no_bar(), learn.no_logging(): learn.fit(2, 1e-2, cbs=cbs, start_epoch=start_epoch)
file = out/f"{case}{world}.pt"
try: fit(learn := learner(), [Checkpoint(file), Stop()])
except KeyboardInterrupt:
    gathered(None) # The first one may still be writing
    assert type(learn.model).__name__=="FrameNet" and not isinstance(dls.train, PartDL) # As it was, after an interrupt too
    kept = Checkpoint(file)
    assert kept.epochs_done==1
    fit(learn := learner(), kept, 1)
except SoccerKDError as e: print(e, file=sys.stderr); sys.exit(1)
save_run(learn, out/f"run-{case}{world}")
torch.save(dict(w=learn.model.state_dict(), p=learn.distill.state_dict(), table=[list(map(float, o)) for o in learn.recorder.values]), out/f"{case}{world}-{rank}.w")
leave_machines()
"""

@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    "17 clips to train on and 11 to validate on, in two groups for each class"
    from soccerkd.all import make_clips
    d = tmp_path_factory.mktemp("machines")
    make_clips(d/"clips", per_class=8, seed=0, size=48, splits=(.625,.375,0))
    for o in sorted((d/"clips"/"train"/"kick").glob("*.mp4"))[:3]: o.unlink()
    next((d/"clips"/"val"/"run").glob("*.mp4")).unlink()
    (d/"train.py").write_text(train)
    return d

def same(a, b, eps=1e-4): return max((x.double()-y.double()).abs().max().item() for x,y in zip(a.values(), b.values()))<eps

def test_uneven_batches_and_features(clips, programs):
    "With crops and colours that are drawn, a last batch that doesn't divide, and a feature loss whose projection lies outside the network, two processes do what one does; interrupted and gone on with, too"
    import torch
    two,again,one = (start(programs, [clips/"train.py", clips, case, bs], n) for case,bs,n in (("whole", 4, 2), ("resumed", 4, 2), ("whole", 8, 1)))
    for p,_,err in [*two, *again, *one]: assert not p.returncode, err
    def kept(name): return torch.load(clips/f"{name}.w", weights_only=True)
    a,b,c,d = map(kept, ("whole2-0", "whole2-1", "whole1-0", "resumed2-1"))
    for k in ("w", "p"): assert same(a[k], b[k], 1e-12) and same(a[k], c[k]) and same(a[k], d[k], 1e-12)
    assert a["table"]==b["table"] and len(a["table"])==2
    assert all(abs(x-y)<1e-4 for r,s in zip(a["table"], c["table"]) for x,y in zip(r, s))
    names = {o.name for o in clips.iterdir()}
    assert {"whole2-0.csv", "run-whole2", "whole2.pt"}<=names and "whole2-1.csv" not in names # One of them writes

def test_a_process_fails(clips, programs):
    "The others end, with a sentence, instead of waiting"
    res = start(programs, [clips/"train.py", clips, "fails", 4])
    assert [p.returncode for p,_,_ in res]==[1, 1]
    assert "too much for process 1" in res[1][2] and "has lost another one" in res[0][2]

program = "import sys; from soccerkd.deploy.cli import main; sys.exit(main())"
how = "--teacher resnet18 --student resnet18 --epochs 1 --n-frames 2 --size 32 --bs 4 --folds 2 --device cpu".split()

def one_of_each(said, folder):
    "One table, one set of files"
    assert len(re.findall(r"student (?:alone|\+ KD): resnet18, 1 epochs", said))==2*2+1 and said.count("best network: ")==1
    done = json.loads((folder/"counts.json").read_text())
    assert {"teacher", "student_alone", "student_kd"}<=set(done) and done["teacher"]["n"]==17
    assert json.loads((folder/"fold0"/"teacher"/"config.json").read_text())["settings"]["processes"]==2

def test_command_line(clips, programs):
    "`soccerkd distill` twice, with the variables that a launcher sets: one table, one set of files, one sentence if it fails"
    res = start(programs, ["-c", program, "distill", clips/"clips"/"train", "--out", clips/"distill", *how])
    assert not any(p.returncode for p,_,_ in res), res
    one_of_each("".join(out for _,out,_ in res), clips/"distill")
    failed = start(programs, ["-c", program, "distill", clips/"nowhere", *how])
    assert all(p.returncode for p,_,_ in failed) and sum(err.count("soccerkd: ") for _,_,err in failed)==1

@pytest.mark.slow
def test_launcher(clips, script):
    "The same by `accelerate launch`"
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    cmd = [scripts/"accelerate", "launch", "--multi_gpu", "--num_machines", "1", "--num_processes", "2", "--main_process_ip", "127.0.0.1", "--main_process_port", str(free_port()), "--mixed_precision", "no", "--dynamo_backend", "no", "--no_python", scripts/"soccerkd", "distill", clips/"clips"/"train", "--out", clips/"launched", *how]
    res = subprocess.run([*map(str, cmd)], cwd=root, env={**script["env"], "OMP_NUM_THREADS":"1", "PYTHONPATH":str(root)}, capture_output=True, text=True, timeout=240)
    assert not res.returncode, res.stderr
    one_of_each(res.stdout, clips/"launched")
