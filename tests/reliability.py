"""Damaged files and killed programs, each in a process with a time limit; `python tests/reliability.py --help`.

The tests take samples of it (`tests/test_reliability.py`); `--out` keeps what a long run found, for nbs/benchmarks/07_reliability.ipynb."""
import os
os.environ.setdefault("OMP_NUM_THREADS", "1") # Before PyTorch is imported: bit-equal weights, and processes that can be forked
os.environ["IN_TEST"] = "1" # Progress bars are silent
import argparse, contextlib, gc, hashlib, io, json, logging, multiprocessing, shutil, signal, sys, tempfile, time, warnings
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent)) # The package beside this folder
warnings.filterwarnings("ignore", category=FutureWarning)
import av, numpy as np, torch
from soccerkd.core import SoccerKDError, data_home, read_json, rng_for, write_json
from soccerkd.deploy.predict import predict_video
from soccerkd.video.stream import stream_windows
from soccerkd.video.index import video_index
from soccerkd.video.reader import open_files, open_video
from soccerkd.video.scan import scan_videos
from soccerkd.video.stamp import stamped_video

fork = multiprocessing.get_context("fork")

# Files as they should be

def films(folder):
    "A small film of each common kind, whose frames differ from each other"
    own = dict(n=36, size=(64, 96), options=dict(g="12", bf="2", sc_threshold="0"))
    kinds = {"a.mp4":dict(movflags="faststart"), "b.mov":{}, "c.mkv":{}, "d.ts":{}, "e.avi":dict(codec="mpeg4", options=dict(g="12")), "f.webm":dict(codec="libvpx-vp9", options={"g":"12", "cpu-used":"8", "deadline":"realtime"}),
        "g.mp4":dict(codec="libx265", options={"x265-params":"log-level=none:keyint=12"}), "h.mpg":dict(codec="mpeg2video", options=dict(g="12", bf="2")), "i.avi":dict(codec="mjpeg", pix_fmt="yuvj420p", options={})}
    for name,kw in kinds.items():
        try: yield stamped_video(folder/name, **{**own, **kw})
        except (av.error.FFmpegError, ValueError): (folder/name).unlink(missing_ok=True) # This FFmpeg lacks the encoder

def real_files():
    "Short clips of matches and playgrounds, and films that are hard to read, if they are there"
    home = data_home()
    clips = [f for d in ("pitch", "plaza", "broadcast") for f in sorted((home/"clips"/d).rglob("*.mp4"))[::5]]
    return [f for f in [*clips, *sorted((home/"video_edge_cases").glob("*.m*"))] if f.stat().st_size<600_000]

@dataclass
class Intact:
    "What is known of a file before it is damaged"
    path:Path # The file
    prints:list # Fingerprint of each frame looked at
    at:list # Its moment in the file's own units of time, in seconds
    frames:int # How many frames the file has
    shown:list # Fingerprint of each as a network sees it

side = 32 # Of what a network sees, in pixels
short = round(side*1.125)
def center(a):
    "The middle square of a small picture"
    for k in (short, side): y,x = max(a.shape[0]-k, 0)//2,max(a.shape[1]-k, 0)//2; a = a[y:y+k,x:x+k]
    return a
def fingerprint(frame): return hashlib.blake2b(np.ascontiguousarray(frame).tobytes(), digest_size=8).hexdigest()
def moments(index): return [round(float(o*index.time_base), 4) for o in index.pts.tolist()]
def looked_at(n, most=14): return sorted(set(np.linspace(0, n-1, min(n, most)).round().astype(int).tolist()))

def intact(path):
    "Fingerprints of all frames of a good file; None if it is not good to begin with"
    try:
        with open_video(path, resize=48) as v: prints = [fingerprint(v.get([i])[0]) for i in range(len(v))]
        with open_video(path, resize=short) as v: shown = [fingerprint(center(v.get([i])[0])) for i in range(len(v))]
        return Intact(path, prints, moments(video_index(path)), len(prints), shown)
    except SoccerKDError: return None

# Damage

kinds = "truncated", "flipped", "spliced", "renamed"

def damage(n, seed, files, folder):
    "Case number `n`: the kind, the file it began as, what was done, and the path of the damaged file"
    rng,kind = rng_for("mutation", seed, n),kinds[n%len(kinds)]
    src = files[int(rng.integers(len(files)))]
    data,path = src.read_bytes(),folder/f"{n:04} {src.name}"
    if kind=="renamed": return kind,src,*renamed(rng, n, src, data, folder)
    size = len(data)
    if kind=="truncated":
        data = data[:max(1, int(size*rng.uniform(.01, .995)))]
        how = f"the first {len(data)} of {size} bytes"
    elif kind=="flipped":
        data,k = bytearray(data),int(rng.choice([1, 3, 10, 40]))
        for i in rng.integers(size, size=k): data[i] ^= 1<<int(rng.integers(8))
        how = f"{k} bit{'s'*(k>1)} turned over"
    else:
        other = files[int(rng.integers(len(files)))].read_bytes()
        k = int(min(size, len(other))*rng.uniform(.01, .4))
        a,b = int(rng.integers(size-k+1)),int(rng.integers(len(other)-k+1))
        grow = bool(rng.integers(2))
        data = data[:a]+other[b:b+k]+data[a if grow else a+k:]
        how = f"{k} bytes of another file put {'in' if grow else 'over its own'} at {a} of {size}"
    path.write_bytes(data)
    return kind,src,how,path

def renamed(rng, n, src, data, folder):
    "A file that is not what its name says"
    how = ("another suffix", "a text", "nothing in it", "a folder", "a link to itself", "a picture")[int(rng.choice(6, p=(.5, .1, .1, .1, .1, .1)))]
    path = folder/f"{n:04} {src.stem}{rng.choice(['.mp4', '.avi', '.mkv', '.ts', '.webm', '.mpg'])}"
    if how=="another suffix": path.write_bytes(data)
    elif how=="a text": path.write_text("Dear coach,\n"*int(rng.integers(1, 500)))
    elif how=="nothing in it": path.touch()
    elif how=="a folder": path.mkdir()
    elif how=="a link to itself": path.symlink_to(path.name)
    else:
        from PIL import Image
        with open(path, "wb") as f: Image.fromarray(rng.integers(0, 255, (40, 60, 3), np.uint8)).save(f, "png")
    return how,path

# What must hold of a damaged file

@lru_cache(maxsize=1)
def warned(path):
    "Moments at which FFmpeg's decoder complains, by its own log: another way to it than the reader's"
    bad = set()
    with contextlib.suppress(av.error.FFmpegError), av.open(str(path), metadata_errors="replace") as c:
        s = c.streams.best("video")
        if s is None or s.codec_context is None: return bad
        s.codec_context.thread_count = 1
        av.logging.set_level(av.logging.ERROR)
        for p in c.demux(s):
            with av.logging.Capture() as said:
                try: list(p.decode())
                except (av.error.FFmpegError, ValueError): pass
            if p.pts is not None and any("decoding MB" in o[2] or "concealing" in o[2] or "damaged" in o[2] for o in said): bad.add(round(float(p.pts*p.time_base), 4))
    av.logging.set_level(None)
    return bad

def read(path, kind, was, rng):
    "Open, read, compare; what was seen, and what must not be in `fault`"
    res = dict(frames=0, refused=0, changed=0, said="", fault="")
    try:
        with open_video(path, resize=48) as v:
            idxs,got = looked_at(len(v)),{}
            for i in idxs: got[i] = _print_of(v, i)
            index,n = video_index(path),len(v)
            if len(v.times)!=n or any(b<=a for a,b in zip(v.times, v.times[1:])): res["fault"] = "times that don't rise"
        with open_video(path, resize=48) as v: alone = {i:_print_of(v, i) for i in rng.permutation(idxs)[:6].tolist()}
    except SoccerKDError as e: return dict(res, said=_sentence(e, path))
    given = {i:p for i,p in got.items() if p}
    res.update(frames=n, refused=len(got)-len(given), said=index.note)
    at,expect,exact = moments(index),dict(zip(was.at, was.prints)),kind in ("truncated", "renamed")
    def right(i, p): return i<was.frames and p==was.prints[i] and at[i]==was.at[i] if exact else p==expect.get(at[i])
    wrong = sorted({i for o in (given, alone) for i,p in o.items() if p and not right(i, p)})
    res["changed"],res["missing"] = len(wrong),max(was.frames-n, 0)
    if wrong and exact: res["fault"] = f"frame {wrong[0]} is another than in the whole file"
    if odd := [i for i,p in alone.items() if p and got[i] and p!=got[i] and right(i, p)!=right(i, got[i])]: res["fault"] = f"frame {odd[0]} is right or wrong by the way it is read"
    if kind=="truncated" and n<was.frames and not index.note: res["fault"] = f"{was.frames-n} frames are missing and nothing says so"
    if index.stored is not None and len(bad := warned(path)) and (seen := [i for i in given if at[i] in bad]): res["fault"] = f"frame {seen[0]} was given out though the decoder complained of it"
    return res

def _print_of(v, i):
    "Fingerprint of a frame; None if it is refused, in one sentence"
    try: return fingerprint(v.get([i])[0])
    except SoccerKDError as e: _sentence(e, v.path)

def _sentence(e, path):
    "The error as text, if it is one sentence that names the file"
    said = str(e)
    if "\n" in said or said.count(";")<1 or str(path) not in said: raise AssertionError(f"no clear sentence: {said}")
    return said.replace(str(path), path.name).replace(str(path.parent), ".")

class Witness:
    "A network that remembers what it was shown"
    def __init__(self, net): self.__dict__.update(vars(net), net=net, prints=[])
    def __call__(self, frames): self.prints += [[fingerprint(f) for f in o] for o in frames]; return self.net(frames)

def watched(path, kind, was, net):
    "Predict, and compare each picture that the network was shown with the whole film's at that moment"
    how,eye = dict(length=.4, hop=.2, end=4., threads=1),Witness(net)
    with contextlib.redirect_stdout(io.StringIO()): ev = predict_video(path, eye, bs=1, **how)
    if not np.isfinite(ev.windows[list(net.vocab)].to_numpy()).all(): raise AssertionError("prediction gives no numbers")
    with stream_windows(path, net.recipe, **how) as s: windows = list(s)
    if [[fingerprint(f) for f in w.frames] for w in windows]!=eye.prints or [w.start for w in windows]!=ev.windows.start.tolist(): raise AssertionError("the network was shown something else than the windows")
    exact,at,known = kind in ("truncated", "renamed"),was.at,None
    with contextlib.suppress(SoccerKDError): known = video_index(path)
    if known and not exact: at = moments(known) # A damaged clock is a clock
    rel = np.array(at)-at[0]
    def frame(t): return int(np.searchsorted(rel, min(t, s.until-1/s.rate if s.until else t)+1e-4, "right"))-1 # The last picture stands until the end of its window
    given = {(frame(t), p) for w,o in zip(windows, eye.prints) for t,p in zip(w.times, o)}
    expect = dict(zip(was.at, was.shown))
    wrong = sorted({i for i,p in given if p!=(was.shown[i] if exact else expect.get(at[i]))})
    if wrong and exact: raise AssertionError(f"prediction saw another frame {wrong[0]} than that of the whole file")
    if (seen := sorted({i for i,_ in given if at[i] in warned(path)})): raise AssertionError(f"prediction saw frame {seen[0]} though the decoder complained of it")
    return dict(predict=f"{len(windows)} windows", shown=len({i for i,_ in given}), strange=len(wrong), lost="; ".join(ev.attrs["notes"]).replace(str(path), path.name))

class Bench:
    "Takes damaged files through scan, reading, loaders, a training step and prediction"
    def __init__(self, folder, cheap=False):
        from soccerkd.all import make_clips
        self.folder = Path(folder)
        self.clips = make_clips(self.folder/"clips", per_class=5, size=64, n_frames=16, classes=("kick", "walk"), splits=(.6, .2, .2), workers=1)
        (self.folder/"films").mkdir()
        files = [*films(self.folder/"films"), *sorted(self.clips.glob("train/*/*.mp4"))[:2], *[f for f in real_files() if not cheap or f.stat().st_size<60_000]]
        known = {f:intact(f) for f in files}
        self.files,self.known,self.model = [f for f in files if known[f]],known,None

    def case(self, n, seed):
        "One row about one damaged file"
        kind,src,how,path = damage(n, seed, self.files, self.folder)
        row = dict(n=n, kind=kind, file=src.name, how=how, fault="")
        try:
            rows = scan_videos(path.parent/path.name if not path.is_dir() else [path]) if how!="a folder" else scan_videos([path])
            row["scan"] = "no video in it" if not len(rows) else "ok" if rows.ok[0] else "refused"
            row.update({k:v for k,v in read(path, kind if how!="a picture" else "", self.known[src], rng_for("order", seed, n)).items() if v})
            if row["scan"]=="ok" and not row.get("frames"): row["fault"] = f"scan says ok, the reader: {row['said']}"
            row.update(self.train(path, kind if how!="a picture" else "", self.known[src]))
        except AssertionError as e: row["fault"] = str(e)
        finally:
            if path.is_dir() and not path.is_symlink(): path.rmdir()
            else: path.unlink()
        return row

    def train(self, path, kind, was):
        "Loaders with the damaged file among good ones, and a step on its batch"
        from soccerkd.all import Clip, ClipDataLoaders, TorchClips, clips_from_folder, teacher_learner
        good,held = clips_from_folder(self.clips/"train"),clips_from_folder(self.clips/"val")
        with contextlib.redirect_stdout(io.StringIO()):
            dls = ClipDataLoaders.from_clips([*good, Clip(path, label="kick", group="damaged")], held, n_frames=2, size=side, slots=1, bs=len(good)+1, device="cpu", num_workers=0)
            learn = teacher_learner(dls, self.model or "tam_resnet18", precision="fp32")
            self.model = learn.model
            with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
        used = not len(dls.bad)
        if not used: _sentence(dls.bad.reason[0], path)
        if not torch.isfinite(learn.recorder.values[-1][0] if torch.is_tensor(learn.recorder.values[-1][0]) else torch.tensor(learn.recorder.values[-1][0])): raise AssertionError("the loss is not finite")
        return dict(loaders="used" if used else "left out", **self.predict(path, kind, was, TorchClips(learn)))

    def predict(self, path, kind, was, net):
        "What the damaged file's windows show, or one sentence"
        if path.is_dir(): return {}
        try: return {k:v for k,v in watched(path, kind, was, net).items() if v}
        except SoccerKDError as e: return dict(predict="refused", why=_sentence(e, path))

def worker(bench, pipe, seed):
    "Answer for one case after the other"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2) # FFmpeg says much about such files
    logging.disable(logging.WARNING)
    while (n := pipe.recv()) is not None:
        try: pipe.send(bench.case(n, seed))
        except Exception as e: pipe.send(dict(n=n, kind=kinds[n%len(kinds)], fault=f"{type(e).__name__}: {e}"[:300]))

def mutations(count, seed=0, limit=60, first=0, say=lambda row: None, cheap=False):
    "A row for each of `count` damaged files; what crashes or takes longer than `limit` seconds is a row, too"
    rows = []
    with tempfile.TemporaryDirectory(prefix="soccerkd-") as d:
        bench,p = Bench(d, cheap),None
        for n in range(first, first+count):
            if p is None:
                here,there = fork.Pipe()
                p = fork.Process(target=worker, args=(bench, there, seed), daemon=True); p.start(); there.close()
            here.send(n)
            since = time.monotonic()
            try: row = here.recv() if here.poll(limit) else dict(n=n, kind=kinds[n%4], fault=f"no answer in {limit} s")
            except EOFError: p.join(); row = dict(n=n, kind=kinds[n%4], fault=f"the process died ({p.exitcode})")
            if "file" not in row and not p.is_alive() or "no answer" in row["fault"]: p.kill(); p.join(); p = None
            rows.append(dict(row, seconds=round(time.monotonic()-since, 2)))
            say(rows[-1])
        if p: here.send(None); p.join(5)
    return rows

def outcome(row):
    "What became of a damaged file, in some words"
    if row.get("fault"): return "FAULT: "+row["fault"]
    if not row.get("frames"): return "refused"
    if row["how"]=="a picture": return "a film of one picture"
    res = [f"{row['refused']} pictures refused"] if row.get("refused") else []
    if row.get("changed"): res.append("pictures changed, unseen by the decoder")
    if row.get("missing"): res.append("frames missing, "+("and it is said" if row.get("said") else "unseen"))
    return ", ".join(res and [o.split(" ", 1)[1] if o[0].isdigit() else o for o in res]) or "the same pictures"

# Long work that is stopped

def clips_job(folder, room):
    "Render a set"
    from soccerkd.all import make_clips
    make_clips(folder/"set", per_class=4, size=64, n_frames=12, seed=3, workers=1)
    return {f.relative_to(folder).as_posix():hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("[!.]*.mp4"))}, (folder/"set"/"clips.csv").read_text()

def scan_job(folder, room):
    "Look at many files from front to end"
    return scan_videos(sorted((room/"many").iterdir()), full=True, keep=folder/"scan.part").to_csv(index=False),

def small_loaders(room):
    from soccerkd.all import ClipDataLoaders
    return ClipDataLoaders.from_folder(room/"clips", n_frames=2, size=32, slots=1, bs=4, seed=0, device="cpu")

def train_job(folder, room):
    "Train one network of a recipe, with a checkpoint after each epoch"
    from soccerkd.all import Recipe, train_role
    learn = train_role(Recipe("tam_resnet18", "tam_resnet18", student_epochs=3, lr=1e-3, precision="fp32", seed=0), "student_alone", small_loaders(room), folder/"run", quiet=True)
    return read_json(folder/"run"/"config.json")["weights_sha256"], read_json(folder/"run"/"config.json")["model"]

def bank_job(folder, room):
    "Ask a teacher about all views of all clips"
    from soccerkd.all import TeacherBank, create_model, seed_everything
    dls = small_loaders(room)
    seed_everything(1)
    bank = TeacherBank.make(folder/"bank", dls, create_model("tam_resnet18", n_classes=2, n_frames=2, precision="fp32"), views=8, block=2)
    return {m:hashlib.sha256(np.ascontiguousarray(bank.store["logits"][i]).tobytes()).hexdigest() for m,i in sorted(bank.row.items())}, int(bank.missing().sum())

def cache_job(folder, room):
    "Decode all clips into a cache"
    from soccerkd.all import ClipCache, DecodeClip, clip_mark, clips_from_folder
    clips = clips_from_folder(room/"clips"/"train")
    cache = ClipCache.build(folder/"cache", DecodeClip(8, 48), clips, workers=0, block_bytes=1)
    return {clip_mark(c):hashlib.sha256(cache.get(clip_mark(c))[0].numpy().tobytes()).hexdigest() for c in clips}, len(cache.verify())

def predict_job(folder, room):
    "Windows and events of a film"
    from soccerkd.deploy.predict import predict_video
    ev = predict_video(room/"long.mp4", room/"run", out=folder/"events.json", length=.4, hop=.08, bs=2, threads=1, device="cpu")
    return json.loads((folder/"events.json").read_text()), ev.windows.to_csv(index=False)

def demo_job(folder, room):
    "The demonstration: clips, teacher, two students, report"
    from soccerkd.deploy.demo import demo
    demo(folder/"demo", per_class=8, epochs=1, device="cpu")
    return [read_json(folder/"demo"/o/"config.json")["weights_sha256"] for o in ("teacher", "student_alone", "student_kd")], (folder/"demo"/"report.html").exists()

jobs = dict(clips=clips_job, scan=scan_job, training=train_job, bank=bank_job, cache=cache_job, predict=predict_job, demo=demo_job)

def _child(job, folder, room, pipe):
    "A program of its own: what it says goes nowhere, Ctrl-C ends it with 130"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = sys.stderr = open(os.devnull, "w")
    logging.disable(logging.WARNING); warnings.simplefilter("ignore")
    folder.mkdir(exist_ok=True)
    try:
        pipe.send("begins")
        pipe.send(jobs[job](folder, room))
    except KeyboardInterrupt: os._exit(130)
    except BaseException as e: pipe.send(f"{type(e).__name__}: {e}"[:300]); os._exit(1)
    os._exit(0)

class Program:
    "A job that was started"
    def __init__(self, job, folder, room):
        self.pipe,there = fork.Pipe()
        self.p = fork.Process(target=_child, args=(job, folder, room, there))
        self.p.start(); there.close()
        self.pipe.recv() # From here on it can be interrupted
        self.since = time.monotonic()
    def stop(self, how):
        "Send a signal; what to say of a job that was done before, and the exit code"
        def send(sig):
            with contextlib.suppress(ProcessLookupError): os.kill(self.p.pid, sig)
        send(signal.SIGSTOP) # So that it does not end between the look and the signal
        late = None if self.p.exitcode is None and not self.pipe.poll() else "it had ended"
        send(how); send(signal.SIGCONT)
        self.p.join()
        return late,self.p.exitcode
    def result(self):
        "What it gave, or the sentence it ended with"
        try: res = self.pipe.recv()
        except EOFError: res = "it died"
        self.p.join(); self.pipe.close()
        self.seconds = time.monotonic()-self.since
        return res

def make_room(d):
    "Clips and films for the jobs"
    import soccerkd.deploy.demo, soccerkd.deploy.predict # Before the first job is timed
    from soccerkd.all import make_clips, save_run, seed_everything, teacher_learner
    room = Path(d)
    make_clips(room/"clips", per_class=10, size=64, n_frames=16, classes=("kick", "walk"), splits=(.6, .2, .2), workers=1)
    (room/"many").mkdir()
    some = list(films(room/"many"))
    stamped_video(room/"long.mp4", n=500, size=(64, 96), options=dict(g="25", bf="2"))
    seed_everything(2)
    save_run(teacher_learner(small_loaders(room), "tam_resnet18", precision="fp32"), room/"run")
    for i in range(24): shutil.copy(some[i%len(some)], room/"many"/f"{i:02} {some[i%len(some)].name}")
    return room

class Room:
    "A folder with what the jobs need, and what each gives if it is left alone, and how long that takes"
    def __enter__(self):
        self.tmp,self.alone = tempfile.TemporaryDirectory(prefix="soccerkd-"),{}
        self.path = make_room(self.tmp.name)
        return self
    def __exit__(self, *args): self.tmp.cleanup()
    def undisturbed(self, job):
        if job not in self.alone: self.alone[job] = (p := Program(job, self.path/f"{job} alone", self.path)).result(),p.seconds
        return self.alone[job]

def stops(room, count, which, how=signal.SIGKILL, seed=0, say=lambda row: None):
    "Stop jobs at random moments, let the same call go on, and compare with one that was left alone"
    rows = []
    for k in range(count):
        job,rng = which[k%len(which)],rng_for("stop", seed, k, int(how))
        want,took = room.undisturbed(job)
        at,folder = float(rng.uniform(.05, .95))*took,room.path/f"{job} {k} {int(how)}"
        for _ in range(4): # A machine that is less busy than before ends sooner
            p = Program(job, folder, room.path)
            p.p.join(at)
            left,code = p.stop(how)
            if left is None: break
            at = at/2; shutil.rmtree(folder, ignore_errors=True)
        files = sum(f.is_file() for f in folder.rglob("*")) if folder.exists() else 0
        again = Program(job, folder, room.path)
        got = again.result()
        rows.append(dict(job=job, how=signal.Signals(how).name, at=round(at, 2), of=round(took, 2), ended=code, files=files, resumed=round(again.seconds, 2), same=got==want and not isinstance(got, str), note=left or (got if isinstance(got, str) else "")))
        say(rows[-1])
        shutil.rmtree(folder, ignore_errors=True)
    return rows

def pairs(room, which, say=lambda row: None):
    "Two processes do the same job in one folder at once"
    rows = []
    for job in which:
        want = room.undisturbed(job)[0]
        got = [p.result() for p in [Program(job, room.path/f"{job} two", room.path) for _ in range(2)]]
        second = [o for o in got if isinstance(o, str) and "is being written by another process" in o] # One works, the other is told
        rows.append(dict(job=job, same=len(second)<2 and all(o==want and not isinstance(o, str) or o in second for o in got), note="; ".join(o for o in got if isinstance(o, str)).replace(f"{room.path}/", "")))
        say(rows[-1])
    return rows

def resident(): return int(Path("/proc/self/statm").read_text().split()[1])*os.sysconf("SC_PAGE_SIZE")/2**20

def cycles(count):
    "Open, read a frame, close: memory and open files after a tenth of the cycles, and after all"
    with tempfile.TemporaryDirectory(prefix="soccerkd-") as d:
        some,seen = list(films(Path(d))),[]
        for i in range(count):
            with open_video(some[i%len(some)]) as v: v.get([i%len(v)])
            if i in (count//10, count-1): gc.collect(); seen.append((round(resident(), 1), open_files()))
    return dict(count=count, kinds=len(some), megabytes=[o[0] for o in seen], files=[o[1] for o in seen])

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--mutations", type=int, default=0, help="damaged files")
    p.add_argument("--kills", type=int, default=0, help="kill -9 at random moments")
    p.add_argument("--interrupts", type=int, default=0, help="Ctrl-C at random moments")
    p.add_argument("--pairs", nargs="?", const=",".join(jobs), help="two processes in one folder; all jobs, or those named")
    p.add_argument("--jobs", help="which jobs to stop, separated by commas: "+", ".join(jobs))
    p.add_argument("--cheap", action="store_true", help="damage only files that are read in no time")
    p.add_argument("--cycles", type=int, default=0, help="open, read, close")
    p.add_argument("--first", type=int, default=0, help="number of the first damaged file, to look at one alone")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--limit", type=float, default=60, help="seconds for each damaged file")
    p.add_argument("--out", help="JSON file to add the results to")
    a = p.parse_args()
    found,chosen = {},a.jobs and a.jobs.split(",")
    if a.mutations:
        def say(row): print(row["n"], row["kind"], row.get("file", ""), row.get("how", ""), "|", outcome(row), f"| {row['seconds']} s", flush=True)
        rows = mutations(a.mutations, a.seed, a.limit, a.first, say, a.cheap)
        found["mutations"] = dict(seed=a.seed, count=len(rows), rows=rows)
        for k,n in sorted(Counter((r["kind"], outcome(r)) for r in rows).items()): print(f"{n:5}  {k[0]}: {k[1]}")
    def tell(row): print(row, flush=True)
    if a.kills or a.interrupts or a.pairs:
        with Room() as room:
            if a.kills: found["kills"] = stops(room, a.kills, chosen or killed, signal.SIGKILL, a.seed, tell)
            if a.interrupts: found["interrupts"] = stops(room, a.interrupts, chosen or interrupted, signal.SIGINT, a.seed, tell)
            if a.pairs: found["pairs"] = pairs(room, a.pairs.split(","), tell)
    if a.cycles: found["cycles"] = cycles(a.cycles); tell(found["cycles"])
    if a.out:
        kept = read_json(a.out) if Path(a.out).exists() else {}
        write_json(a.out, {**kept, **found, "made":{**kept.get("made", {}), **{k:dict(date=time.strftime("%Y-%m-%d"), command=" ".join(["python", "tests/reliability.py", *sys.argv[1:]])) for k in found}}})

killed = ["demo", "training", "bank", "predict"]
interrupted = ["clips", "scan", "training", "bank", "cache", "predict"]

if __name__=="__main__": main()
