"A size of height and width on its whole way: clips, loaders, a step of training, a run, windows, an ONNX file, a bank"
import json
import av, numpy as np, pandas as pd, pytest, torch
from soccerkd.core import pair_of, read_json, seed_everything
from soccerkd.data.cache import decode_settings
from soccerkd.data.clips import ClipDataLoaders
from soccerkd.data.splits import Clip
from soccerkd.data.transforms import plain
from soccerkd.deploy.export import check_clips, clip_bytes, export_onnx
from soccerkd.deploy.onnx_clips import OnnxClips
from soccerkd.deploy.predict import predict_video
from soccerkd.deploy.predictor import load_predictor
from soccerkd.distill.bank import TeacherBank
from soccerkd.distill.learner import teacher_learner
from soccerkd.distill.marks import changed_input, preprocessing
from soccerkd.distill.runs import load_run, save_run
from soccerkd.evaluate.attribution import attribute
from soccerkd.evaluate.views import view_answers
from soccerkd.evaluate.watch import video_track
from soccerkd.video.stream import stream_windows
from soccerkd.video.windows import clip_recipe

high,wide = 36,64
data = dict(n_frames=2, size=(high, wide), bs=4, seed=0, device="cpu", num_workers=0)


def film(path, where, size=(90, 160), n=25):
    "A second of noise, with light at the left, or at the top"
    h,w = size
    rng = np.random.default_rng(n+len(where))
    with av.open(str(path), "w") as c:
        s = c.add_stream("libx264", rate=25)
        s.height,s.width,s.pix_fmt = h,w,"yuv420p"
        for i in range(n):
            a = rng.integers(0, 90, (h//5, w//5, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
            part = a[:,:w//3] if where=="left" else a[:h//3]
            part += np.uint8(60+4*i%60)
            c.mux(s.encode(av.VideoFrame.from_ndarray(a, format="rgb24")))
        c.mux(s.encode(None))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    d = tmp_path_factory.mktemp("films")
    return [Clip(film(d/f"{k}{i}.mp4", k, n=25+i), 0., 1., label=k, group=f"{k}{i}") for i in range(3) for k in ("left", "top")]


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    "Loaders, a learner after a step, and its folder"
    dls = ClipDataLoaders.from_clips(clips[:4], clips[4:], **data)
    seed_everything(0)
    learn = teacher_learner(dls, "squeezenet1_0", precision="fp32")
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    return learn,save_run(learn, tmp_path_factory.mktemp("run")/"run")


def test_loaders_and_run(run, clips, tmp_path):
    "Height comes first in batches, in the file of the run, and in the loaders that are made of it"
    learn,path = run
    x = plain(learn.dls.valid.one_batch()[0])
    assert x.shape==(2, 3, 2, high, wide)
    left,top = (o.mean((0, 1)) for o in x)
    assert left[:,:wide//4].mean()>1.3*left[:,wide//2:].mean() and top[:high//4].mean()>1.3*top[high//2:].mean()
    assert read_json(path/"config.json")["data"]["size"]==[high, wide]
    again = load_run(path, device="cpu")
    assert again.dls.config==learn.dls.config and again.dls.config["size"]==(high, wide)
    assert torch.equal(torch.cat([plain(b[0]) for b in again.dls.test_dl(clips[4:])]), x)
    cached = ClipDataLoaders.from_clips(clips[:4], clips[4:], **data, cache=tmp_path/"cache")
    assert torch.equal(plain(cached.valid.one_batch()[0]), x)


@pytest.mark.parametrize("fit", ["crop", "pad", "whole"])
@pytest.mark.parametrize("size", [(36, 64), (40, 56), (56, 40), 32])
def test_windows_and_loaders(clips, fit, size, tmp_path):
    "The frames of a window are those of the loaders, whatever the shape of the film"
    config = json.loads(json.dumps(dict(vocab=["left", "top"], n_frames=2, size=size, bs=2, seed=0, fit=fit)))
    dls = ClipDataLoaders.blank(config, "cpu")
    for path in (clips[4].path, film(tmp_path/"tall.mp4", "top", (160, 90))):
        want = clip_bytes([(dls.test_dl([Clip(path, 0., 1.)]).one_batch()[0], torch.zeros(1))])[0][0]
        with stream_windows(path, clip_recipe(config), length=1., hop=1.) as s: got = next(iter(s)).frames
        assert got.shape==(2, *pair_of(size), 3) and (got==want).all()


def probabilities(video, network): return predict_video(video, network, length=1., hop=1., threshold=0.).windows[["left", "top"]].to_numpy()


def test_every_form_says_the_same(run, clips, tmp_path):
    "The Learner, its folder and its ONNX file, asked for a film and for frames"
    learn,path = run
    made = export_onnx(learn, tmp_path/"net.onnx")
    net = OnnxClips(made.path)
    assert made.difference<1e-4 and net.session.get_inputs()[0].shape[1:]==[2, high, wide, 3]
    forms = [load_predictor(o) for o in (learn, path, made.path)]
    assert [o.recipe for o in forms]==[forms[0].recipe]*3 and forms[0].recipe["size"]==(high, wide)
    frames = check_clips(learn, 2, (high, wide))
    want = forms[0](frames)
    assert want.std(0).max()>1e-3, "answers that are all alike prove nothing"
    for o in forms[1:]: np.testing.assert_allclose(o(frames), want, atol=1e-4)
    for c in clips[4:]:
        with torch.inference_mode(): own = learn.model.eval()(plain(learn.dls.test_dl([c]).one_batch()[0])).softmax(1).numpy()
        for o in (learn, path, made.path): np.testing.assert_allclose(probabilities(c.path, o)[:1], own, atol=2e-3) # Loaders give floats of bytes
        track = video_track(c.path, path, length=1., fps=1.)
        assert track.values.shape[1]==2 and np.isfinite(track.values).all()


def test_a_player_is_seen_in_the_networks_shape(run, clips):
    "The region around boxes has the height that they need, and the shape of the network's picture"
    boxes = pd.DataFrame([dict(time=t/4, x=70, y=30, w=10, h=20) for t in range(4)])
    h = 20*1.125
    w = h*wide/high
    by_hand = predict_video(clips[4].path, run[1], roi=(75-w/2, 40-h/2, w, h), length=1., threshold=0.)
    by_boxes = predict_video(clips[4].path, run[1], boxes=boxes, length=1., threshold=0.)
    names = ["left", "top"]
    np.testing.assert_allclose(by_boxes.windows[names].to_numpy(), by_hand.windows[names].to_numpy(), atol=1e-6)


def test_what_stands_beside_the_network(run):
    "A bank, views and maps of wide clips; and the same loaders with height and width swapped are others"
    learn,_ = run
    dls = learn.dls
    settings = json.loads(json.dumps(preprocessing(dls), default=str))
    assert settings["size"]==[high, wide] and not changed_input(dls, settings)
    swapped = ClipDataLoaders.blank({**dls.config, "size":(wide, high)}, "cpu")
    assert set(changed_input(swapped, settings))=={"size", "transforms"}
    z,_ = view_answers(learn, dls.valid, 1, 3)
    assert z.shape==(2, 3, 2)
    seen = attribute(learn, plain(dls.valid.one_batch()[0]), stage="body.features.2")
    h,w = seen.maps.shape[-2:]
    assert abs(w/h-wide/high)<.3 and seen.overlay(0).shape==(2, high, wide, 3)


def test_bank(run, clips, tmp_path):
    "A bank begun with a tuple is gone on with by loaders whose size came from JSON"
    learn,_ = run
    bank = TeacherBank.make(tmp_path/"bank", learn.dls, learn, views=1)
    config = json.loads(json.dumps(learn.dls.config))
    again = ClipDataLoaders.from_clips(clips[:4], clips[4:], device="cpu", num_workers=0, **config)
    assert (bank.check(again, learn.model)>=0).all()
    with pytest.raises(ValueError, match="another size"): bank.check(ClipDataLoaders.from_clips(clips[:4], clips[4:], **{**data, "size":(wide, high)}))


def test_squares_are_as_they_were(clips):
    "What is written down of a square is its number, however it was given"
    settings = []
    for size in (32, (32, 32), [32, 32]):
        dls = ClipDataLoaders.from_clips(clips[:4], clips[4:], **{**data, "size":size})
        assert dls.config["size"]==32 and clip_recipe(dls.config)["size"]==32
        settings.append((json.dumps(decode_settings(dls.train.item_steps()["clip"][0])), json.dumps(preprocessing(dls), default=str)))
    assert len(set(settings))==1 and '"size": 36' in settings[0][0] and '"size": 32' in settings[0][1]
