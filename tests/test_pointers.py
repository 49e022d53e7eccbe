"Whatever opens a file says so if it is only a pointer of Git LFS or git-annex"
import pytest
from soccerkd.core import SoccerKDError, read_json

texts = {"Git LFS":"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 123456\n",
    "git-annex":"/annex/objects/SHA256E-s123456--4d7a.bin\n"}

def video(f):
    from soccerkd.video.reader import open_video
    open_video(f)

def scanned(f):
    from soccerkd.video.scan import scan_videos
    raise SoccerKDError(scan_videos(f).reason[0])

def frames(f):
    from soccerkd.video.reader import open_video
    open_video(f.parent, fps=25)

def weights(f):
    from soccerkd.models.weights import read_state
    read_state(f)

def header(f):
    from soccerkd.models.weights import weights_metadata
    weights_metadata(f)

def run_folder(f):
    from soccerkd.distill.runs import load_run
    load_run(f.parent)

def run_facts(f):
    from soccerkd.deploy.predictor import load_predictor
    load_predictor(f.parent)

def onnx(f):
    from soccerkd.deploy.onnx_clips import OnnxClips
    OnnxClips(f)

def table(f):
    from soccerkd.data.splits import read_table
    read_table(f)

def split(f):
    from soccerkd.data.splits import read_split
    read_split(f, f.parent)

def boxes(f):
    from soccerkd.deploy.predict import read_boxes
    read_boxes(f)

def track(f):
    from soccerkd.data.tracks import open_track
    open_track(f, fps=2)

def network(f):
    from soccerkd.evaluate.networks import as_network
    as_network(f)

def events(f):
    from soccerkd.data.events import read_events
    read_events(f)

openers = [(video, "match.mp4"), (scanned, "match.mkv"), (frames, "frame_0001.jpg"), (weights, "net.pth"), (weights, "net.safetensors"),
    (header, "net.safetensors"), (run_folder, "config.json"), (run_folder, "model.safetensors"), (run_facts, "model.safetensors"), (run_facts, "split.csv"),
    (onnx, "net.onnx"), (table, "labels.csv"), (split, "split.csv"), (boxes, "boxes.csv"), (track, "track.npy"), (track, "track.npz"), (network, "net.onnx"), (events, "events.csv"), (events, "events.json"), (read_json, "any.json")]

@pytest.mark.parametrize("kind", texts)
@pytest.mark.parametrize("opener,name", openers, ids=[f"{f.__name__}-{n}" for f,n in openers])
def test_pointer_is_named(opener, name, kind, tmp_path):
    if opener in (run_folder, run_facts) and name!="config.json": (tmp_path/"config.json").write_text("{}")
    (tmp_path/name).write_text(texts[kind])
    with pytest.raises(SoccerKDError) as e: opener(tmp_path/name)
    assert f"{name}: is a pointer of {kind}" in str(e.value).replace(f"{tmp_path}/", "") and ("git lfs pull" in str(e.value) or "git annex get" in str(e.value))
