"Frames, windows and films as a viewer sees them: pixels that are not square, HDR, odd side data; and what is no file"
import io
from fractions import Fraction
import av, numpy as np, pytest
from PIL import Image, ImageDraw
from soccerkd.core import SoccerKDError, data_home
from soccerkd.data.events import find_events
from soccerkd.deploy.predict import predict_video
from soccerkd.video.stream import stream_windows
from soccerkd.video.windows import clip_recipe
from soccerkd.video.index import video_index
from soccerkd.video.looks import ToRGB, ordinary_colours
from soccerkd.video.reader import why_missing, open_video
from soccerkd.video.scan import scan_videos
from soccerkd.video.stamp import read_stamp, rotate_mp4, stamp_frame

def if_there(name): return pytest.param(name, marks=pytest.mark.skipif(bool(why_missing(name)), reason=f"{name} can't be used here: {why_missing(name)}"))
backends = ["pyav", if_there("decord"), if_there("torchcodec")]
whole = clip_recipe(dict(n_frames=2, size=96, margin=1., fit="whole"))


class Net:
    "A network that knows nothing"
    recipe,vocab,id,temperature,length = whole,["a", "b"],"x",1.,1.
    def __call__(self, frames): return np.full((len(frames), 2), .5, np.float32)

def write(path, pictures, codec="libx264", pix_fmt="yuv420p", pixel=1, options=None, tags=(), kind="rgb24"):
    "Pictures as a film; `tags` are primaries, transfer and matrix"
    with av.open(str(path), "w") as c:
        s = c.add_stream(codec, rate=25, options=options or dict(qp="12", bf="2", g="12"))
        s.height,s.width,s.pix_fmt = *pictures[0].shape[:2],pix_fmt
        cc = s.codec_context
        cc.sample_aspect_ratio = Fraction(pixel)
        if tags: cc.color_primaries,cc.color_trc,cc.colorspace = tags
        for i,o in enumerate(pictures):
            f = av.VideoFrame.from_ndarray(np.ascontiguousarray(o), format=kind)
            f = f.reformat(format=pix_fmt, **(dict(dst_colorspace="BT2020") if tags else {}))
            f.pts,f.time_base = i,Fraction(1, 25)
            if tags: f.color_primaries,f.color_trc,f.colorspace = tags
            c.mux(s.encode(f))
        c.mux(s.encode())
    return path

def ball(at, size):
    "A round ball on grass, as it is seen at 192x108, squeezed into `size`"
    im = Image.new("RGB", (768, 432), (40, 120, 50))
    ImageDraw.Draw(im).ellipse([160+8*at, 120, 360+8*at, 320], fill=(235, 235, 230))
    return np.asarray(im.resize(size[::-1], Image.Resampling.BOX))

def balls(path, size, pixel=1, **kw): return write(path, [ball(i, size) for i in range(50)], pixel=pixel, **kw)

def apart(a, b): return np.abs(np.asarray(a, float)-np.asarray(b, float)).mean()

def round_part(frame):
    "Width over height of what is bright"
    ys,xs = np.nonzero(np.asarray(frame).min(-1)>150)
    return np.ptp(xs)/np.ptp(ys)

def windows(path, recipe=whole, **kw):
    with stream_windows(path, recipe, length=1., hop=1., **kw) as w: return np.stack([o.frames for o in w]),w.notes

def film(path, out):
    ev = find_events(np.array([[.1, .9]], np.float32), [.4], [.6], ["none", "kick"], video=str(path))
    ev.film(out)
    with av.open(str(out)) as c: return next(c.decode(video=0)).to_ndarray(format="rgb24")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    d = tmp_path_factory.mktemp("balls")
    return balls(d/"narrow.mp4", (108, 144), "4/3"),balls(d/"square.mp4", (108, 192))


@pytest.mark.parametrize("backend", backends)
@pytest.mark.parametrize("resize", [None, 54])
def test_narrow_frames(pair, backend, resize):
    with open_video(pair[0], backend, resize) as v, open_video(pair[1], backend, resize) as w:
        assert v.size==w.size==((108, 192) if resize is None else (54, 96)) and v.backend==w.backend
        a,b = v.get([0, 30, 49]),w.get([0, 30, 49])
    assert apart(a, b)<3 and .95<round_part(a[1])<1.05


def test_narrow_windows_and_films(pair, tmp_path):
    (a,notes),(b,_) = (windows(o) for o in pair)
    assert a.shape==b.shape and apart(a, b)<3 and not notes
    with open_video(pair[0], resize=96) as v: assert np.array_equal(a[0][0], v.read_at([.25])[0, :, 37:133])
    region = dict(roi=(.1, .2, .5, .6))
    assert apart(windows(pair[0], **region)[0], windows(pair[1], **region)[0])<4
    x,y = (film(o, tmp_path/f"{o.stem}.film.mp4") for o in pair)
    assert x.shape==y.shape and apart(x, y)<4


@pytest.mark.parametrize("name,codec,pix_fmt", [("a.mkv", "libx264", "yuv420p"), ("a.ts", "libx264", "yuv420p"), ("a.mov", "prores_ks", "yuv422p10le"),
    ("a.mpg", "mpeg2video", "yuv420p"), ("a.avi", "mpeg4", "yuv420p")])
def test_narrow_in_every_container(tmp_path, name, codec, pix_fmt):
    path = balls(tmp_path/name, (108, 144), "4/3", codec=codec, pix_fmt=pix_fmt, options={})
    with open_video(path) as v: frame = v.get([20])[0]
    assert frame.shape==(108, 192, 3) and .93<round_part(frame)<1.07
    with open_video(path, resize=96) as v: assert apart(windows(path)[0][0, 0], v.read_at([.25])[0, :, 37:133])<12


def test_narrow_and_turned(pair, tmp_path):
    path = tmp_path/"turned.mp4"
    path.write_bytes(pair[0].read_bytes())
    rotate_mp4(path, 90)
    with open_video(path) as v, open_video(pair[0]) as w:
        assert v.size==(192, 108)
        assert np.array_equal(v.get([7])[0], np.rot90(w.get([7])[0], -1))


def test_scan_names_narrow_pixels(pair, tmp_path):
    t = scan_videos(list(pair))
    assert t.ok.all() and t.width.tolist()==[192, 192] and t.reason[1]==""
    assert "144x108" in t.reason[0] and "192x108" in t.reason[0] and "4:3" in t.reason[0]
    odd = scan_videos([balls(tmp_path/"odd.mp4", (108, 144), 100)])
    assert odd.width[0]==144 and "100:1" in odd.reason[0]


def test_square_pixels_as_ever(pair):
    "Ordinary films take one conversion, straight to the size wanted"
    with av.open(str(pair[1])) as c: f = next(c.decode(video=0))
    rgb = ToRGB(video_index(pair[1]).look)
    for h,w in ((108, 192), (54, 96)):
        assert np.array_equal(rgb(f, (h, w)), f.reformat(width=w, height=h, format="rgb24", interpolation="BILINEAR").to_ndarray())


# HDR: by the inverse formulas of ITU-R BT.2100, written down here once more

to_2020 = np.array([[.6274, .3293, .0433], [.0691, .9195, .0114], [.0164, .0880, .8956]])
colours = [(40, 140, 50), (200, 160, 120), (255, 255, 255), (128, 128, 128), (220, 40, 40), (60, 60, 200)]

def patches(): return np.repeat(np.repeat(np.array(colours, np.uint8)[None], 64, 0), 32, 1)

def pq(light):
    y = (light*203/10_000)**(2610/16384)
    return ((3424/4096+18.8515625*y)/(1+18.6875*y))**(2523/32)

def hlg(light):
    scene = (light*203/1000)**(1/1.2)
    return np.where(scene<=1/12, np.sqrt(3*scene), .17883277*np.log(np.maximum(12*scene-.28466892, 1e-9))+.55991073)

@pytest.fixture(scope="module", params=["PQ", "HLG"])
def hdr(request, tmp_path_factory):
    light = (patches()/255)**2.4@to_2020.T
    signal = dict(PQ=pq, HLG=hlg)[request.param](light)
    picture = (signal*65535+.5).astype(np.uint16)
    path = tmp_path_factory.mktemp("hdr")/"hdr.mp4"
    tags = 9,dict(PQ=16, HLG=18)[request.param],9
    return request.param,write(path, [picture]*50, pix_fmt="yuv420p10le", tags=tags, kind="rgb48le", options=dict(qp="0"))

def middles(frame):
    a = np.asarray(frame, float)
    w = a.shape[1]/len(colours)
    return np.array([a[a.shape[0]//3:-(a.shape[0]//3), round(w*(i+.35)):round(w*(i+.65))].mean((0, 1)) for i in range(len(colours))])

@pytest.mark.parametrize("backend", backends)
def test_hdr_colours(hdr, backend):
    curve,path = hdr
    with open_video(path, backend) as v:
        assert np.abs(middles(v.get([3])[0])-colours).max()<6
        assert v.backend=="pyav" and (backend=="pyav" or curve in v.reason)

def test_hdr_windows_films_and_notes(hdr, tmp_path):
    curve,path = hdr
    recipe = clip_recipe(dict(n_frames=2, size=64, margin=1., fit="whole"))
    frames,notes = windows(path, recipe)
    with open_video(path, resize=64) as v: assert apart(frames[0, 0], v.read_at([.25])[0, :, 64:128])<1
    assert len(notes)==1 and f"HDR ({curve})" in notes[0]
    assert f"HDR ({curve})" in scan_videos([path]).reason[0]
    assert np.abs(middles(film(path, tmp_path/"film.mp4")[:64])-colours).max()<14 # Its colours are coded anew, in 8 bits

def test_hdr_note_in_predictions(hdr):
    ev = predict_video(hdr[1], Net())
    assert [o for o in ev.attrs["notes"] if f"HDR ({hdr[0]})" in o]

def test_brighter_than_white():
    full = np.full((2, 2, 3), 65535, np.uint16)
    assert (ordinary_colours(full, "PQ")==255).all() and (ordinary_colours(full, "HLG")==255).all()
    assert (ordinary_colours(full*0, "PQ")==0).all() and (ordinary_colours(full*0, "HLG")==0).all()
    ramp = np.arange(0, 65536, 64, dtype=np.uint16)[None, :, None].repeat(3, 2)
    for curve in ("PQ", "HLG"): assert (np.diff(ordinary_colours(ramp, curve)[0, :, 0].astype(int))>=0).all()


found = data_home()/"found"
needs = pytest.mark.skipif(not found.exists(), reason="the found files are not here")

@needs
def test_found_ball():
    a,b = found/"ball_anamorphic.mp4",found/"ball_square.mp4"
    with open_video(a) as v, open_video(b) as w: assert v.size==w.size==(108, 192) and apart(v.get([0, 40]), w.get([0, 40]))<3
    assert apart(windows(a)[0], windows(b)[0])<3

@needs
@pytest.mark.parametrize("name", ["hdr_pq", "hdr_hlg"])
def test_found_hdr(name):
    want = np.asarray(Image.open(found/"patches.png").convert("RGB"))
    inside = [(want==o).all(-1) for o in np.unique(want.reshape(-1, 3), axis=0)]
    with open_video(found/f"{name}.mp4") as v: got = v.get([0])[0].numpy()
    for m in inside:
        ys,xs = np.nonzero(m)
        m = m&(np.arange(m.shape[1])>xs.min()+3)&(np.arange(m.shape[1])<xs.max()-3)
        assert np.abs(np.median(got[m], 0)-want[m][0]).mean()<16 # Read as they are stored, 26 to 93


# Side data that PyAV does not know

def camera(path, orientation, n=30):
    exif = Image.Exif()
    exif[0x112] = orientation
    with av.open(str(path), "w") as c:
        s = c.add_stream("mjpeg", rate=25)
        s.height,s.width,s.pix_fmt = 64,96,"yuvj420p"
        for i in range(n):
            b = io.BytesIO()
            Image.fromarray(stamp_frame(i, (64, 96))).save(b, "JPEG", quality=95, exif=exif)
            p = av.Packet(b.getvalue())
            p.pts,p.dts,p.time_base,p.stream,p.is_keyframe = i,i,Fraction(1, 25),s,True
            c.mux(p)
    return path

undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 6: lambda a: np.rot90(a), 8: lambda a: np.rot90(a, -1)}

@pytest.mark.parametrize("orientation", undo)
@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mp4"])
def test_exif(tmp_path, name, orientation):
    path = camera(tmp_path/name, orientation)
    with open_video(path) as v: assert [read_stamp(undo[orientation](np.asarray(o))) for o in v.get([0, 17])]==[0, 17]
    frames,notes = windows(path)
    high = 64 if orientation<5 else 96
    assert read_stamp(undo[orientation](film(path, tmp_path/"film.mp4")[:high]))==0
    assert len(frames) and not notes and scan_videos([path]).ok.all()


# What is no file

addresses = ["https://a.org/match.mp4", "rtsp://10.0.0.7/1", "www.youtube.com/watch?v=1", "youtu.be/1"]
cameras = [0, "0", "/dev/video0"]

@pytest.mark.parametrize("what", addresses+cameras)
def test_no_file(what, tmp_path):
    kind = "address" if what in addresses else "camera"
    for f in (open_video, video_index, lambda o: predict_video(o, Net()), lambda o: stream_windows(o, whole)):
        with pytest.raises(SoccerKDError, match=f"is an? {kind}.*predict - ") as e: f(what)
        assert "\n" not in str(e.value) and str(what) in str(e.value)
    t = scan_videos([what])
    assert not t.ok[0] and kind in t.reason[0] and "predict - " in t.reason[0]
    assert not scan_videos(what).ok[0]
    res = predict_video([what], Net())
    assert kind in list(res.bad.values())[0]
    ev = find_events(np.array([[.1, .9]], np.float32), [0.], [.2], ["none", "kick"], video=str(what))
    with pytest.raises(SoccerKDError, match=kind): ev.film(tmp_path/"film.mp4")

def test_files_with_such_names(tmp_path, monkeypatch, pair):
    monkeypatch.chdir(tmp_path)
    for o in ("0", "www.mp4"):
        (tmp_path/o).write_bytes(pair[1].read_bytes())
        with open_video(o) as v: assert len(v)==50

def test_commands_refuse_addresses(capsys):
    from soccerkd.deploy.cli import main
    for args in (["scan", "https://a.org/match.mp4"], ["scan", "0"]):
        try: main(args)
        except SystemExit: pass
        said = capsys.readouterr()
        assert "predict - " in said.out+said.err and "Traceback" not in said.err
