"What a command writes when nobody looks: lines, each fault once, no bars, no warnings of libraries"
import os, subprocess, sys
import pytest

script = """
import sys
from pathlib import Path
from soccerkd.deploy.cli import main
from soccerkd.world.clips import make_clips
d = Path(sys.argv[1])
clips = make_clips(d/"clips", per_class=6, seed=0, size=48, n_frames=12, workers=1, splits=(.5, .25, .25))
film = next((clips/"train"/"kick").glob("*.mp4"))
(clips/"train"/"kick"/"torn.mp4").write_bytes(b"no video"*50)
small = "--epochs 1 --n-frames 2 --size 32 --device cpu".split()
def run(*args):
    print("$", args[0], flush=True); print("$", args[0], file=sys.stderr, flush=True)
    print("status", main([str(o) for o in args]), flush=True)
run("train-teacher", clips, "--model", "tam_resnet18", "--out", d/"run", *small)
run("evaluate", d/"run", clips/"val", "--calibrate", clips)
run("scan", clips)
run("predict", f"{film},{clips/'train'/'kick'/'torn.mp4'}", "--model", d/"run", "--out", d/"results")
run("predict", film, "--model", d/"run", "--film", d/"film.mp4", "--threshold", .2)
"""

distilled = script.split('run("train')[0]+"""
run("distill", clips, "--teacher", "tam_resnet18", "--folds", 2, "--out", d/"distill", *small)
"""

def output(script, folder):
    "Output and errors of each command, with its name"
    env = {k:v for k,v in os.environ.items() if k not in ("PYTHONWARNINGS", "IN_TEST")} # As at a user's
    p = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, env=env)
    assert p.returncode==0, p.stderr[-2000:]
    parts = [o.split("\n$ ")[1:] for o in ("\n"+p.stdout, "\n"+p.stderr)]
    return [(a.split("\n", 1)[0], a, b) for a,b in zip(*parts)]

@pytest.fixture(scope="module")
def logs(tmp_path_factory): return output(script, tmp_path_factory.mktemp("logs"))

def test_no_bars(logs):
    assert [o for o,*_ in logs]==["train-teacher", "evaluate", "scan", "predict", "predict"]
    for name,out,err in logs: assert "█" not in out+err and "\r" not in out+err, name

def test_no_warnings_of_libraries(logs):
    for name,out,err in logs: assert "Warning" not in err, (name, err)

def test_each_fault_once(logs):
    for name,out,err in (logs[0], logs[3]): assert (out+err).count("torn")==1, (name, out, err)

def test_status(logs):
    assert [out.split("status ")[1][0] for _,out,_ in logs]==["0", "0", "0", "1", "0"]

@pytest.mark.slow
def test_a_clip_in_two_folds_is_told_once(tmp_path):
    [(_,out,err)] = output(distilled, tmp_path)
    assert (out+err).count("torn")==1 and "status 0" in out and "█" not in out
