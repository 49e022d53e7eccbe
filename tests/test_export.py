"ONNX files of every kind of network, and their use where PyTorch is not installed"
import errno, json, os, re, shutil, signal, subprocess, sys, time, venv
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import pytest
from conftest import root
from soccerkd.video.stamp import stamped_video
from test_package import closure, dist, link # The fixture `dist` builds the wheel

page = (root/"nbs"/"06_deploy"/"10_onnx.ipynb").read_text(encoding="utf-8")
needs = re.search(r"pip install (numpy [\w ]+)", page)[1].split() # What a predictor needs besides `soccerkd --no-deps`, as its page says
small = [("jointnet18", 2, 32, {}), ("mc3_18", 2, 32, {})] # An image network is that of `exported`
tam = [("tam_resnet18", t, 32, dict(kw)) for t,kw in ((4, {}), (8, dict(temporal_pool="max")), (8, dict(temporal_pool="avg")), (4, dict(method="max")), (4, dict(depthwise=False)), (1, dict(single_frame="replicate")), (4, dict(r=5)), (4, dict(one_way=True)))]
shift = [("tsm_resnet18", 4, 32, {}), ("tsm_resnet10_050", 4, 32, dict(one_way=True)), ("tsm_timm/regnety_002", 2, 64, {}), ("tam_timm/mobilenetv4_conv_small_035", 2, 64, {})]
image = "tam_mobilenet_v2 tam_mnasnet0_5 tam_efficientnet_b0 tam_regnet_y_400mf tam_convnext_tiny mobilenet_v3_small densenet121 shufflenet_v2_x0_5 timm/convnext_atto".split()
large = [("squeezenet1_0", 2, 32, {}), ("alexnet", 2, 64, {}), ("vgg11", 2, 64, {}), ("googlenet", 2, 64, {}), ("inception_v3", 2, 96, {}), ("vit_b_16", 2, 32, dict(image_size=32)), ("timm/vit_tiny_patch16_224", 2, 224, {}), ("swin_t", 1, 224, {}), ("swin_v2_t", 1, 256, {}), ("maxvit_t", 1, 224, {})]
video = [("r2plus1d_18", 4, 64, {}), ("r3d_18", 4, 64, {}), ("s3d", 16, 224, {}), ("swin3d_t", 4, 64, {}), ("mvit_v1_b", 16, 224, {}), ("mvit_v2_s", 16, 224, {})]
rest = [*tam, *shift, *((o, 2, 64, {}) for o in image), *large, *video, ("jointnet50", 8, 64, dict(temporal_pool="max"))]

def learner(name, t, size, kw):
    "A network of the zoo with answers that are not all alike, in what `export_onnx` needs of a Learner"
    import torch
    from soccerkd.models.zoo import create_model
    torch.manual_seed(0)
    model,x = create_model(name, 4, n_frames=t, **kw),torch.cat([torch.rand(2, 3, t, size, size), *(torch.full((1, 3, t, size, size), o) for o in (0., 1.))])
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, torch.nn.modules.batchnorm._BatchNorm): m.momentum = None
        model.train()(x) # Statistics of a batch, without which some bodies give next to nothing, or far too much for frames of one colour
        for m in model.head.modules():
            if isinstance(m, torch.nn.Linear): torch.nn.init.normal_(m.weight, std=m.in_features**-.5) # Some begin with zeros
    config = dict(n_frames=t, size=size, margin=1.125, fit="crop", slots=3)
    valid = SimpleNamespace(one_batch=lambda: (x, torch.zeros(4)))
    return SimpleNamespace(clip_seconds=lambda: None, model=model.eval(), dls=SimpleNamespace(vocab=list("abcd"), config=config, valid=valid))

@pytest.mark.parametrize("case", [*small, *(pytest.param(o, marks=pytest.mark.slow) for o in rest)], ids=lambda o: " ".join([o[0], *map(str, o[3].values())]))
def test_zoo(case, tmp_path):
    "Exported for any number of clips, and equal to PyTorch"
    import torch
    from soccerkd.deploy.export import export_onnx, for_export
    from soccerkd.deploy.onnx_clips import OnnxClips
    learn = learner(*case)
    made = export_onnx(learn, tmp_path/"net.onnx")
    assert made.difference<1e-4
    net,ref = OnnxClips(made.path),for_export(learn.model)
    frames = np.random.default_rng(1).integers(0, 256, (3, case[1], case[2], case[2], 3), dtype=np.uint8)
    frames[1] //= 4
    with torch.inference_mode(): want = ref(torch.as_tensor(frames)).numpy()
    assert want.std(0).max()>1e-6, "answers that are all alike prove nothing"
    for n in (1, 3): np.testing.assert_allclose(net.logits(frames[:n]), want[:n], atol=1e-4*max(1, np.abs(want).max()))

streams = [("tam_resnet10_025", 4, 32, {}), ("gru_mobilenet_v3_small", 4, 32, {}), *(("tam_resnet10_025", 4, 32, dict(o)) for o in (dict(r=5), dict(method="max"), dict(depthwise=False), dict(single_frame="replicate"))), ("tam_mobilenet_v2", 2, 32, {}), ("gru_timm/convnext_atto", 2, 32, dict(layers=2))]

@pytest.mark.parametrize("case", [streams[0], *(pytest.param(o, marks=pytest.mark.slow) for o in streams[1:])], ids=lambda o: " ".join([o[0], *map(str, o[3].values())]))
def test_stream(case, tmp_path):
    "A one-way network as a file that remembers, over videos longer than a clip, equals one pass by PyTorch"
    import torch
    from soccerkd.deploy.export_stream import export_stream
    from soccerkd.deploy.onnx_stream import OnnxStream
    name,t,size,kw = case
    learn = learner(name, t, size, dict(kw, one_way=True))
    net = OnnxStream(export_stream(learn, tmp_path/"net.onnx").path, threads=1)
    frames = np.random.default_rng(1).integers(0, 256, (2, 3*t, size, size, 3), dtype=np.uint8)
    with torch.inference_mode(): want = learn.model.frame_logits(torch.as_tensor(frames).permute(0, 4, 1, 2, 3)/255).numpy()
    assert want.std(1).max()>1e-6, "answers that are all alike prove nothing"
    got = np.concatenate([net.frame_logits(o) for o in np.split(frames, [1, t], axis=1)], 1)
    np.testing.assert_allclose(got, want, atol=1e-4*max(1, np.abs(want).max()))

def test_learner_from_a_pickle(tmp_path):
    "What `learn.export()` writes holds no teacher and no clip, and serves for a video and for ONNX as the Learner did"
    import torch
    from fastai.learner import load_learner
    from soccerkd.all import ClipDataLoaders, Clip, distill_learner, export_onnx, predict_video, teacher_learner
    def clips(n, part): return [Clip(torch.randint(0, 255, (8, 64, 64, 3), dtype=torch.uint8), label="ab"[i%2], group=f"{part}{i}") for i in range(n)]
    dls = ClipDataLoaders.from_clips(clips(40, "train"), clips(4, "valid"), n_frames=2, size=32, bs=4, num_workers=0, device="cpu")
    teacher = teacher_learner(dls, "tam_resnet34", precision="fp32")
    learn = distill_learner(dls, "resnet18", teacher=teacher, alpha=lambda progress: .5, precision="fp32")
    with learn.no_bar(), learn.no_logging(): learn.fit(1)
    learn.path = tmp_path
    learn.export()
    weights = sum(o.numel()*o.element_size() for o in learn.model.state_dict().values())
    assert weights<(tmp_path/"export.pkl").stat().st_size<weights+1e6
    with pytest.warns(UserWarning, match="insecure"): loaded = load_learner(tmp_path/"export.pkl")
    film = stamped_video(tmp_path/"film.mp4", n=75)
    one,two = (predict_video(film, o, length=1., threshold=0.) for o in (learn, loaded))
    assert len(one) and one.equals(two) and one.windows.equals(two.windows)
    assert export_onnx(loaded, tmp_path/"student.onnx").difference<1e-4
    assert predict_video(film, tmp_path/"student.onnx", length=1., threshold=0.).label.tolist()==one.label.tolist()

program = """
import sys, json, importlib.util
import numpy as np
from soccerkd.deploy.onnx_clips import OnnxClips
from soccerkd.video.index import open_container, decoded, video_index
from soccerkd.video.sampling import frames_at, segment_times
net = OnnxClips(sys.argv[1], threads=1)
t,size = net.recipe["n_frames"],net.recipe["size"]
at = frames_at(segment_times(0, 1, t), video_index(sys.argv[2]).times)
with open_container(sys.argv[2]) as (c, s): every = [o.reformat(size, size, format="rgb24").to_ndarray() for o in decoded(c.demux(s))]
clip = np.stack([every[i] for i in at])[None]
np.savez(sys.argv[3], clip=clip, p=net(clip))
from soccerkd.deploy.cli import main
from soccerkd.deploy.predict import predict_video
ev = predict_video(sys.argv[2], sys.argv[1], out=sys.argv[3]+".json", length=1., hop=.5, threads=1, threshold=0.)
status = main(["predict", sys.argv[2], "--model", sys.argv[1], "--out", sys.argv[3]+".csv", "--length", "1", "--hop", ".5", "--threshold", "0"])
assert status==0 and len(ev) and len(ev.windows)
ev.film(sys.argv[3]+".mp4")
assert [main(["doctor"]), main(["scan", sys.argv[2]])]==[0, 0]
assert main(["export", "runs/demo"])==1
there = [o for o in ("torch", "torchvision", "fastai", "onnx", "matplotlib") if importlib.util.find_spec(o)]
print(json.dumps(dict(there=there, torch="torch" in sys.modules, vocab=net.vocab)))
"""

@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    "An exported network, the network, and a video"
    from soccerkd.world.clips import make_clips
    from soccerkd.deploy.export import export_onnx
    d = tmp_path_factory.mktemp("exported")
    learn = learner("squeezenet1_0", 4, 32, {})
    return export_onnx(learn, d/"net.onnx").path, learn, next(make_clips(d/"clips", per_class=1, seed=0, size=64, splits=(1,0,0), workers=1).rglob("*.mp4"))

def answers_alone(python, exported, tmp_path, **kw):
    "Run `program` with another interpreter; what it says must be what PyTorch says here"
    import torch
    from soccerkd.deploy.export import for_export
    file,learn,video = exported
    env = {k:v for k,v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "IN_TEST")}
    res = subprocess.run([python, "-c", program, file, video, tmp_path/"out.npz"], capture_output=True, text=True, env=env, cwd=tmp_path)
    assert not res.returncode, res.stderr
    with np.load(tmp_path/"out.npz") as f: clip,p = f["clip"],f["p"]
    with torch.inference_mode(): np.testing.assert_allclose(p, for_export(learn.model)(torch.as_tensor(clip)).softmax(1).numpy(), atol=1e-5)
    for o in ("json", "csv", "mp4"): assert (tmp_path/f"out.npz.{o}").exists()
    assert "No module named" not in res.stdout+res.stderr and "torch: is not installed, and this needs it; pip install 'soccerkd'" in res.stderr
    assert "1 of 1 can be read" in res.stdout and "PyTorch is absent" in res.stdout
    assert res.stdout.splitlines()[-1]=='{"there": [], "torch": false, "vocab": ["a", "b", "c", "d"]}'

def bare(folder):
    "An environment with what a predictor needs and nothing else; its interpreter and its folder of packages"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder/"bin"/"python"
    site = Path(subprocess.run([python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True, check=True).stdout.strip())
    link(closure(needs), site)
    return python,site

def test_without_torch(exported, tmp_path):
    "From a video file to probabilities where neither PyTorch nor fastai is installed"
    python,site = bare(tmp_path/"env")
    shutil.copytree(root/"soccerkd", site/"soccerkd", ignore=shutil.ignore_patterns("__pycache__"))
    answers_alone(python, exported, tmp_path)

@pytest.mark.skipif(not hasattr(os, "fork"), reason="such limits are there on Unix")
def test_export_to_a_full_disk(exported, tmp_path, monkeypatch):
    "One sentence where the disk is full or may not be written to, and a file of that name that was there before stays"
    import onnx, resource
    from soccerkd.core import SoccerKDError
    from soccerkd.deploy import export
    file,learn,_ = exported
    monkeypatch.setattr(export, "onnx_model", lambda *args: onnx.load(file)) # What PyTorch's exporter does needs no disk
    out,old = Path(shutil.copy(file, tmp_path/"net.onnx")),resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
        with pytest.raises(SoccerKDError, match="net.onnx: can't be written .*; make room"): export.export_onnx(learn, out)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, old); signal.signal(signal.SIGXFSZ, before)
    def closed(*args): raise PermissionError(errno.EACCES, "Permission denied")
    with monkeypatch.context() as m:
        m.setattr(export, "save_onnx", closed)
        with pytest.raises(SoccerKDError, match="Permission denied"): export.export_onnx(learn, out)
    assert out.read_bytes()==Path(file).read_bytes() and [o.name for o in tmp_path.iterdir()]==["net.onnx"]
    assert export.export_onnx(learn, out).difference<1e-4 # There is room again

@pytest.mark.skipif(not hasattr(os, "fork"), reason="Ctrl-C is a signal")
def test_silent_camera(exported, tmp_path):
    "Ctrl-C while a stream says nothing: what was seen until then is told and kept, and the program ends"
    file,ts = exported[0],tmp_path/"film.ts"
    stamped_video(ts, n=200, size=(64, 64))
    data = ts.read_bytes()
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from soccerkd.deploy.cli import main; sys.exit(main())" # Who is started in the background ignores Ctrl-C
    args = ["predict", "-", "--model", file, "--out", tmp_path/"live.json", "--length", 1, "--bs", 2, "--threshold", 0, "--json"]
    p = subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH":str(root)})
    p.stdin.write(data[:len(data)*3//4]); p.stdin.flush()
    log,until = tmp_path/"live.windows",time.monotonic()+60
    while p.poll() is None and time.monotonic()<until and not (log.exists() and log.read_bytes().count(b"\n")>1): time.sleep(.02)
    p.send_signal(signal.SIGINT)
    until = time.monotonic()+30
    while p.poll() is None and time.monotonic()<until: time.sleep(.02)
    ended = p.poll()
    p.kill()
    out,err = p.communicate()
    assert ended==0, (ended, err[-1500:])
    assert b"Traceback" not in err and b"Fatal" not in err and json.loads(out)["<stdin>"]["events"] and (tmp_path/"live.json").exists()

@pytest.mark.slow
def test_wheel_without_torch(exported, dist, tmp_path):
    "The same with the wheel, installed without its requirements"
    python,_ = bare(tmp_path/"env")
    res = subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", next(dist.glob("*.whl"))], capture_output=True, text=True)
    assert not res.returncode, res.stderr
    answers_alone(python, exported, tmp_path)
