"What users, disks and bad luck do to files and programs: one sentence, and nothing lost. `tests/reliability.py` makes the damage"
import contextlib, errno, json, os, pickle, re, shutil, signal, subprocess, sys, time, zipfile
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from conftest import root, users_env
import reliability as rel
from soccerkd.core import SoccerKDError, file_sha256, read_json, write_json
from soccerkd.video.reader import open_video
from soccerkd.video.scan import scan_videos
from soccerkd.video.stamp import stamped_video

unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")

def sentence(e, *words):
    "The error is one sentence with a remedy, and says these words"
    said = str(e.value)
    assert isinstance(e.value, SoccerKDError) and "\n" not in said and ";" in said, said
    assert all(str(o) in said for o in words), said

@pytest.fixture(scope="session")
def measured(programs):
    "What `python tests/reliability.py` finds, in a process without a test's threads"
    def found(*args):
        programs.run(root/"tests"/"reliability.py", *args[:-1], "--out", args[-1], timeout=3600)
        return json.loads(Path(args[-1]).read_text())
    return found

def no_faults(rows, count):
    assert len(rows)==count and {r["kind"] for r in rows}==set(rel.kinds)
    assert not [r for r in rows if r["fault"]]
    assert sum(rel.outcome(r)=="refused" for r in rows)>count/5 and sum(r.get("loaders")=="used" for r in rows)>count/10

# Damaged files, and programs that are stopped

@pytest.fixture(scope="module")
def sample(tmp_path_factory, measured):
    "A small sample of all, by one process"
    pytest.importorskip("zarr")
    return measured("--mutations", 50, "--cheap", "--kills", 2, "--jobs", "training,bank", "--pairs", "training", tmp_path_factory.mktemp("sample")/"found.json")

@pytest.mark.long
@unix
def test_damaged_files(sample):
    "Fifty damaged files through scan, reader, loaders and a step of training"
    no_faults(sample["mutations"]["rows"], 50)

@unix
@pytest.mark.slow
def test_five_hundred_damaged_files(tmp_path, measured):
    no_faults(measured("--mutations", 500, tmp_path/"found.json")["mutations"]["rows"], 500)

def same_again(rows):
    assert rows and not [r for r in rows if not r["same"]], rows
    assert [r["ended"] for r in rows if not r["note"]]

@pytest.mark.long
@unix
def test_two_kills(sample):
    "A training and a bank, killed at random moments, end as those that were left alone"
    assert [r["job"] for r in sample["kills"]]==["training", "bank"]
    same_again(sample["kills"])

@pytest.mark.long
@unix
def test_two_in_one_folder(sample):
    "Two processes that train into one run folder both end well, and what is there is right"
    assert [r["job"] for r in sample["pairs"]]==["training"] and all(r["same"] for r in sample["pairs"]), sample["pairs"]

@unix
@pytest.mark.slow
def test_twenty_kills(tmp_path, measured):
    pytest.importorskip("zarr")
    same_again(measured("--kills", 20, tmp_path/"found.json")["kills"])

@unix
@pytest.mark.slow
def test_twenty_interrupts_and_pairs(tmp_path, measured):
    "Ctrl-C at random moments, and two processes in one folder"
    pytest.importorskip("zarr")
    found = measured("--interrupts", 20, "--pairs", tmp_path/"found.json")
    same_again(found["interrupts"])
    assert all(r["ended"]==130 for r in found["interrupts"] if not r["note"]) and all(r["same"] for r in found["pairs"]), found["pairs"]

@pytest.mark.long
@unix
def test_interrupted_scan(tmp_path, programs):
    "Ctrl-C: exit status 130, one sentence, and the same command goes on from what was seen"
    whole = stamped_video(tmp_path/"a.mp4", n=12)
    for i in range(800): os.link(whole, tmp_path/f"{i:03}.mp4")
    cmd = ["-c", "import sys; from soccerkd.deploy.cli import main; sys.exit(main())", "scan", str(tmp_path), "--csv", str(tmp_path/"out.csv")]
    p = programs.start(*cmd)
    part = tmp_path/"out.csv.part"
    while (not part.exists() or part.stat().st_size<2000) and p.poll() is None: time.sleep(.01)
    p.send_signal(signal.SIGINT)
    said = p.communicate()[1]
    assert p.returncode==130 and "interrupted" in said and "Traceback" not in said
    rows = len(part.read_text().splitlines())-1
    assert 0<rows<801 and not (tmp_path/"out.csv").exists()
    done = programs.run(*cmd)
    assert "801 of 801" in done.stdout and len(pd.read_csv(tmp_path/"out.csv"))==801 and not part.exists()

def in_terminal(args, env):
    "Standard output of a program, and what a terminal gets of its error stream"
    import pty # Not on Windows
    ours,its = pty.openpty()
    p = subprocess.Popen([sys.executable, *map(str, args)], stdout=subprocess.PIPE, stderr=its, env=env, text=True)
    os.close(its)
    said = b""
    with contextlib.suppress(OSError): # What Linux says when the program has ended
        while part := os.read(ours, 4096): said += part
    os.close(ours)
    return p.communicate()[0],said.decode()

@pytest.mark.long
@unix
def test_bar_of_a_user(tmp_path, programs):
    "Who waits at a terminal sees how far it is and how long it will take; a log gets no bar"
    for i in range(40): stamped_video(tmp_path/f"{i:02}.mp4", n=2, size=(48, 48))
    args = ["-c", "import sys; from soccerkd.deploy.cli import main; sys.exit(main())", "scan", tmp_path, "--json"]
    out,err = in_terminal(args, {**users_env(), "PYTHONPATH":str(root)})
    shown = re.findall(r"(\d+\.\d+)% \[(\d+)/40 (\d\d:\d\d)<(\d\d:\d\d)", err)
    assert len(shown)>1 and shown[-1][:2]==("100.00", "40"), err[-500:]
    assert [int(o[1]) for o in shown]==sorted(int(o[1]) for o in shown) and len(json.loads(out))==40
    assert "%" not in programs.run(*args).stderr

@pytest.mark.long
@unix
def test_nobody_renders_for_a_dead_parent(tmp_path, programs):
    "The processes of `make_clips` end when it is killed"
    code = "import sys\nfrom soccerkd.world.clips import make_clips\nif __name__=='__main__': make_clips(sys.argv[1], per_class=64, size=224, workers=2)"
    (tmp_path/"run.py").write_text(code)
    p = programs.start(tmp_path/"run.py", tmp_path/"set")
    def kids(): return [int(o) for o in Path(f"/proc/{p.pid}/task/{p.pid}/children").read_text().split()]
    while not list(tmp_path.glob("set/*/*/*.mp4")) and p.poll() is None: time.sleep(.05)
    left = kids()
    p.kill(); p.wait()
    def alive(pid):
        try: return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]!="Z"
        except FileNotFoundError: return False
    until = time.time()+20
    while any(map(alive, left)) and time.time()<until: time.sleep(.1)
    assert left and not any(map(alive, left))

# Disks

@pytest.fixture(scope="module")
def few(tmp_path_factory):
    "Loaders of a few clips and a small network"
    from soccerkd.all import ClipDataLoaders, make_clips, teacher_learner
    path = make_clips(tmp_path_factory.mktemp("few")/"clips", per_class=6, size=64, n_frames=8, classes=("kick", "walk"), splits=(.6, .2, .2), workers=1)
    dls = ClipDataLoaders.from_folder(path, n_frames=2, size=32, slots=1, bs=4, seed=0, device="cpu")
    return path,dls,teacher_learner(dls, "tam_resnet18", precision="fp32")

def writers(few, folder):
    "All that writes, by name"
    from soccerkd.all import Checkpoint, ClipCache, DecodeClip, TeacherBank, clips_from_folder, evaluate, make_clips, save_run, save_split
    path,dls,learn = few
    from soccerkd.deploy.predict import predict_video
    vars(learn).pop("run_path", None)
    film,seen = next((path/"train").rglob("*.mp4")),dict(length=.2, hop=.1, threshold=0., device="cpu")
    def train():
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4, cbs=Checkpoint(folder/"c"/"checkpoint.pt"))
    return dict(clips=lambda: make_clips(folder/"s", per_class=1, size=64, n_frames=4, workers=1), json=lambda: write_json(folder/"a.json", {}), run=lambda: save_run(learn, folder/"run"), checkpoint=train,
        cache=lambda: ClipCache.build(folder/"cache", DecodeClip(2, 36), clips_from_folder(path/"train"), workers=0), report=lambda: evaluate(learn, timing=False).save(folder/"r.npz"),
        split=lambda: save_split(dls.table, folder/"split.csv"), scan=lambda: scan_videos(path, keep=folder/"scan.part"), bank=lambda: TeacherBank.make(folder/"bank", dls, learn, views=1),
        predict=lambda: predict_video(film, learn, folder/"p"/"events.json", **seen), film=lambda: predict_video(film, learn, **seen).film(folder/"events.mp4"))

names = "clips json run checkpoint cache report split scan bank predict film".split() # `export` has its test in test_export.py, where a network is exported already

@pytest.mark.parametrize("name", names)
def test_full_disk(few, tmp_path, name):
    "Files can't grow any more: one sentence, and neither half a file nor a lost one"
    import resource
    if name=="bank": pytest.importorskip("zarr")
    kept = tmp_path/"kept.json"; kept.write_text("{}")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, old[1]))
        with pytest.raises(SoccerKDError) as e: writers(few, tmp_path)[name]()
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, old); signal.signal(signal.SIGXFSZ, before)
    sentence(e, tmp_path, "written")
    assert kept.read_text()=="{}" and not [f for f in tmp_path.rglob("*") if f.is_file() and f.suffix not in (".json", ".lock", ".part", ".windows") and f.stat().st_size==0 and not f.name.startswith(".")]
    writers(few, tmp_path)[name]() # There is room again: the same call goes on

@pytest.mark.parametrize("name", names)
def test_read_only_folder(few, tmp_path, name):
    "A folder that may not be written to"
    if name=="bank": pytest.importorskip("zarr")
    if not hasattr(os, "geteuid"): pytest.skip("no users here")
    closed = tmp_path/"closed"; closed.mkdir(); closed.chmod(0o555)
    me = os.geteuid()
    for o in [tmp_path, *tmp_path.parents, few[0].parent] if me==0 else []: # Others may look, as on most machines
        if o.stat().st_uid==0 and "pytest-" in str(o): o.chmod(o.stat().st_mode | 0o055)
    todo = writers(few, closed)[name]
    if me==0: os.seteuid(65534) # The owner of the machine may write anywhere
    try:
        with pytest.raises(SoccerKDError) as e: todo()
    finally:
        if me==0: os.seteuid(me)
        closed.chmod(0o755)
    sentence(e, closed)
    assert not list(closed.iterdir())

def test_overwritten_run_on_a_full_disk(few, tmp_path, monkeypatch):
    "A run that can't be replaced is still the old one"
    from soccerkd.all import load_run, save_run
    from soccerkd.distill import runs
    _,dls,learn = few
    save_run(learn, tmp_path/"run")
    sha = read_json(tmp_path/"run"/"config.json")["weights_sha256"]
    def full(o, path): Path(path).write_bytes(b"half"); raise OSError(errno.ENOSPC, "No space left on device", str(path))
    def no_config(path, o): raise SoccerKDError.of(path, "can't be written (No space left on device)", "make room") # As `write_json` does
    for name,writes,f in (("config.json", "write_json", no_config), ("model.safetensors", "save_weights", full)): # The first with room for the weights
        with monkeypatch.context() as m:
            m.setattr(runs, writes, f)
            with torch.no_grad(): next(learn.model.parameters()).add_(1e-3) # The old run has other weights
            with pytest.raises(SoccerKDError) as e: save_run(learn, tmp_path/"run")
        sentence(e, name, "No space left on device", "make room")
        assert load_run(tmp_path/"run", device="cpu") and read_json(tmp_path/"run"/"config.json")["weights_sha256"]==sha
    assert sorted(o.name for o in (tmp_path/"run").iterdir())==["config.json", "model.safetensors", "split.csv"] or (tmp_path/"run"/"history.csv").exists()

# Folders and tables

def put(folder, *names, n=4):
    for o in names: (folder/o).parent.mkdir(parents=True, exist_ok=True); stamped_video(folder/o, n=n, size=(48, 48))

def load(path, **kw):
    from soccerkd.all import ClipDataLoaders
    return ClipDataLoaders.from_folder(path, n_frames=2, size=32, slots=1, bs=2, device="cpu", **kw)

def test_class_folders(tmp_path):
    "A class that is missing, too many, or empty"
    put(tmp_path, "train/kick/1.mp4", "train/run/1.mp4", "valid/kick/2.mp4")
    (tmp_path/"train"/"walk").mkdir(); (tmp_path/"train"/"notes").mkdir(); (tmp_path/"train"/"notes"/"readme.txt").write_text("to do")
    assert list(load(tmp_path).vocab)==["kick", "run"] # `run` is missing in validation, `walk` is empty, `notes` is no class
    put(tmp_path, "valid/walk/1.mp4")
    with pytest.raises(SoccerKDError) as e: load(tmp_path)
    sentence(e, "class walk", "no clip to train on")
    with pytest.raises(SoccerKDError) as e: load(tmp_path/"train"/"walk")
    sentence(e, "no folder with videos")

def test_one_clip_only(tmp_path):
    put(tmp_path, "kick/1.mp4")
    with pytest.raises(SoccerKDError) as e: load(tmp_path)
    sentence(e, "one group", "validation set")
    put(tmp_path, "valid/kick/2.mp4")
    dls = load(tmp_path)
    assert len(dls.train)==1 and dls.one_batch()[0].shape[0]==1

def test_odd_clips(tmp_path):
    "Clips of one frame and of 3840 x 2160 pixels are trained on like any other"
    from soccerkd.all import teacher_learner
    put(tmp_path, "train/kick/1.mp4", "valid/kick/2.mp4", "train/run/one.mp4", n=1)
    stamped_video(tmp_path/"train"/"run"/"4k.mp4", n=2, size=(2160, 3840), options=dict(preset="ultrafast"))
    dls = load(tmp_path)
    learn = teacher_learner(dls, "tam_resnet18", precision="fp32")
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
    assert not len(dls.bad) and np.isfinite(learn.recorder.values[-1][0])
    with open_video(tmp_path/"train"/"run"/"one.mp4") as v: assert len(v)==1 and v.duration>0 and v.get([0]).shape==(1, 48, 48, 3)
    table = scan_videos(tmp_path/"train"/"run")
    assert table.ok.all() and sorted(table.frames)==[1, 2] and table.height.max()==2160

def test_names_with_anything_in_them(tmp_path):
    "Spaces, umlauts, Japanese and a picture in every path, from clips to a run that is loaded again"
    from soccerkd.all import load_run, make_clips, save_run, teacher_learner
    path = make_clips(tmp_path/"Fuß ball 足球 ⚽"/"set, 1", per_class=4, size=64, n_frames=6, classes=("kick", "walk"), splits=(.5, .25, .25), workers=1)
    dls = load(path)
    learn = teacher_learner(dls, "tam_resnet18", precision="fp32")
    run = save_run(learn, tmp_path/"läufe"/"run 1")
    one = next((path/"test").rglob("*.mp4"))
    again = load_run(run, device="cpu")
    assert again.predict(one)[0] in dls.vocab and scan_videos(path).ok.all() and len(scan_videos(path))==8

def test_links_that_go_round(tmp_path):
    "Links to themselves and to the folder above end nowhere"
    put(tmp_path, *[f"kick/{i}.mp4" for i in range(1, 7)])
    (tmp_path/"kick"/"up").symlink_to(tmp_path); (tmp_path/"loop.mp4").symlink_to("loop.mp4"); (tmp_path/"kick"/"round.mp4").symlink_to("round.mp4")
    table = scan_videos(tmp_path)
    assert sorted(Path(o).name for o in table[table.ok].file)==[f"{i}.mp4" for i in range(1, 7)] and len(table)<=8
    with pytest.raises(SoccerKDError) as e: open_video(tmp_path/"loop.mp4")
    sentence(e, "loop.mp4")
    dls = load(tmp_path, seed=1)
    assert len(dls.bad)<=1 and len(dls.train.items)+len(dls.valid.items)==6

@pytest.mark.parametrize("text,words", [("clip,begin,stop,action\na,0,1,kick\n", "lacks the column"), ("", "is no table"), ("file,start,end,label\nm.mp4,soon,5,kick\n", "m.mp4"), ("file,start,end,label\nm.mp4,0,4,kick\nm.mp4,0,4,run\n", "twice"),
    ("file,start,end,label\nm.mp4,0,4,\n", "no label"), ('file,start,end,label\n"m.mp4,0,4,kick\n', ""), ("file,start,end,label\nm.mp4,0,4,kick,far,too,many\n", ""), ("file,start,end,label\n,0,4,kick\n", "")])
def test_tables(tmp_path, text, words):
    "Tables with other columns, with nothing in them, with rows that can't be right, with one stretch under two labels"
    from soccerkd.all import clips_from_labels_csv
    put(tmp_path, "m.mp4", n=10)
    (tmp_path/"labels.csv").write_text(text)
    with pytest.raises(SoccerKDError) as e: clips_from_labels_csv(tmp_path/"labels.csv")
    sentence(e, words)

def test_two_clips_of_one_name(tmp_path):
    "A kept split can't tell them apart, and says so"
    from soccerkd.all import Clip, load_split, save_split, split_table
    one,two = Clip(tmp_path/"a"/"kick"/"1.mp4", label="kick", group="a"),Clip(tmp_path/"b"/"kick"/"1.mp4", label="kick", group="b")
    file = save_split(split_table(train=[one]), tmp_path/"split.csv")
    assert load_split(file, [one])["train"][0].path==one.path
    with pytest.raises(SoccerKDError) as e: load_split(file, [one, two])
    sentence(e, "kick/1", "two clips")

# Training

def test_nan_loss_keeps_the_checkpoint(few, tmp_path):
    "Training stops with epoch, batch and remedy; the checkpoint is that of the epoch before, and the training can go on from it"
    from soccerkd.all import Checkpoint, seed_everything, teacher_learner
    _,dls,_ = few
    seed_everything(0)
    learn = teacher_learner(dls, "tam_resnet18", precision="fp32")
    true = learn.loss_func
    learn.loss_func = lambda x,y: true(x, y)*(float("nan") if learn.training and learn.epoch==1 and learn.iter==1 else 1.)
    with pytest.raises(SoccerKDError) as e, learn.no_bar(), learn.no_logging(): learn.fit(3, 1e-3, cbs=Checkpoint(tmp_path/"c.pt"))
    sentence(e, "epoch 2 of 3, batch 2 of", "nan", "learning rate")
    kept = Checkpoint(tmp_path/"c.pt")
    assert kept.epochs_done==1 and all(torch.isfinite(o).all() for o in kept.kept["model"].values())
    learn.loss_func = true
    with learn.no_bar(), learn.no_logging(): learn.fit(3, 1e-3, cbs=kept, start_epoch=1)
    assert Checkpoint(tmp_path/"c.pt").epochs_done==3

def test_nan_loss_on_a_gpu_is_told_at_the_end_of_the_epoch(few):
    "Where looking at each loss would wait for the GPU, the losses of the epoch are looked at together"
    from soccerkd.all import teacher_learner
    _,dls,_ = few
    learn = teacher_learner(dls, "tam_resnet18", precision="fp32")
    learn.recorder.before_backward = lambda: None
    true = learn.loss_func
    learn.loss_func = lambda x,y: true(x, y)*(float("nan") if learn.training and learn.iter==1 else 1.)
    with pytest.raises(SoccerKDError) as e, learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    sentence(e, "epoch 1 of 1, batch 2 of")

def test_lr_find_may_explode(few, tmp_path):
    "It has to see a loss that is no number"
    from soccerkd.all import teacher_learner
    _,dls,_ = few
    learn = teacher_learner(dls, "tam_resnet18", precision="fp32")
    learn.path = tmp_path
    with learn.no_bar(), learn.no_logging(): learn.lr_find(start_lr=1e-3, end_lr=1e6, num_it=8, show_plot=False, suggest_funcs=None)

@pytest.mark.cuda
def test_batch_too_large_for_a_gpu(few):
    "A batch for which no GPU has room: the sentence, and the Learner can be used with a smaller one"
    from soccerkd.all import ClipDataLoaders, teacher_learner
    dls = ClipDataLoaders.from_folder(few[0], n_frames=2, size=32, slots=1, bs=4, seed=0, device="cuda")
    learn = teacher_learner(dls, "tam_resnet18")
    hook = learn.model.body.register_forward_pre_hook(lambda *_: torch.empty(1<<44, device="cuda"))
    with pytest.raises(SoccerKDError) as e, learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
    sentence(e, "4 clips", "cuda", "bs=2")
    hook.remove()
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)

# Files that mean harm

class Trap:
    "Makes a file when it is unpickled"
    def __init__(self, path): self.path = path
    def __reduce__(self): return open, (str(self.path), "w")

@pytest.mark.parametrize("suffix", [".pth", ".pkl", ".safetensors"])
def test_pickle_in_place_of_weights(tmp_path, suffix, few):
    "As weights to start from, in a run folder whose checksum was adapted, as a checkpoint: refused, never run"
    from soccerkd.all import Checkpoint, create_model, load_run, load_weights, read_state, save_run
    out = tmp_path/"out"
    bad = tmp_path/f"weights{suffix}"
    bad.write_bytes(pickle.dumps(dict(weight=Trap(out))))
    for f in (lambda: read_state(bad), lambda: load_weights(create_model("tam_resnet18", n_classes=2, n_frames=2), bad), lambda: load_run(bad)):
        with pytest.raises(SoccerKDError) as e: f()
        sentence(e, bad)
    torch.save(dict(weight=Trap(out)), bad)
    with pytest.raises(SoccerKDError) as e: read_state(bad)
    run = save_run(few[2], tmp_path/"run")
    shutil.copy(bad, run/"model.safetensors")
    write_json(run/"config.json", {**read_json(run/"config.json"), "weights_sha256":file_sha256(bad)})
    with pytest.raises(SoccerKDError) as e: load_run(run, device="cpu")
    sentence(e, "model.safetensors")
    assert Checkpoint(bad).epochs_done==0 and not out.exists()

def test_archives_write_nowhere_else(tmp_path):
    "Nothing in the package unpacks archives; those that are read in place, a report and a file of weights, are not unpacked even if they name other places"
    from soccerkd.all import load_report, read_state
    source = "".join(f.read_text() for f in (root/"soccerkd").rglob("*.py"))
    assert not [o for o in ("extractall", "unpack_archive", "tarfile", ".extract(") if o in source]
    deep = tmp_path/"a"/"b"; deep.mkdir(parents=True)
    with zipfile.ZipFile(deep/"r.npz", "w") as z:
        for o in ("../../out.npy", "../out.npy", "logits.npy"): z.writestr(o, b"x")
    shutil.copy(deep/"r.npz", deep/"w.pth")
    for f in (lambda: load_report(deep/"r.npz"), lambda: read_state(deep/"w.pth")):
        with pytest.raises(SoccerKDError): f()
    assert sorted(o.name for o in tmp_path.rglob("*"))==["a", "b", "r.npz", "w.pth"]

def test_pickle_in_a_report(tmp_path):
    "Arrays of objects are pickles"
    from soccerkd.all import load_report
    np.savez(tmp_path/"r.npz", logits=np.array([Trap(tmp_path/"out")], dtype=object), labels=[0], ids=["a"], vocab=["b"], scores="{}")
    with pytest.raises(SoccerKDError): load_report(tmp_path/"r.npz")
    assert not (tmp_path/"out").exists()
