"One account of a video: the reader of numbered frames and the stream of windows mean the same picture by the same second"
import io, logging, struct, subprocess, sys
from fractions import Fraction
from functools import lru_cache
import av, numpy as np, pytest
from conftest import root
from test_reader import closed, cut_mp4, film, front_cut, ways
from soccerkd.core import SoccerKDError, data_home, rng_for
from soccerkd.video.stream import stream_windows
from soccerkd.video.windows import _seen, clip_recipe
from soccerkd.video.backends import PyAVReader
from soccerkd.video.index import video_index
from soccerkd.video.reader import open_video
from soccerkd.video.sampling import frames_at, segment_times, window_times
from soccerkd.video.stamp import read_stamp, spoil_packet, stamped_video

windows = clip_recipe(dict(n_frames=4, size=32, margin=1.)) # Of four frames
singles = clip_recipe(dict(n_frames=1, size=32, margin=1., slots=1)) # Of one
rare = { # Containers and codecs whose key flags nobody vouches for, or that tell no times
    "a.flv": dict(codec="flv1", options=dict(g="12")), "b.flv": dict(options=closed), "a.nut": dict(codec="mpeg4", options=dict(g="12", bf="2")),
    "a.asf": dict(codec="wmv2", options=dict(g="12")), "a.wmv": dict(codec="msmpeg4v3", options=dict(g="12")), "a.mxf": dict(codec="mpeg2video", options=dict(g="12", bf="2")),
    "b.mxf": dict(options=closed), "a.gif": dict(codec="gif", pix_fmt="rgb8"), "a.apng": dict(codec="apng", pix_fmt="rgb24"), "a.m2v": dict(codec="mpeg2video", options=dict(g="12", bf="2")),
    "a.mpg": dict(codec="mpeg1video", options=dict(g="12", bf="2")), "a.ivf": dict(codec="libvpx", options={"g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "a.3gp": dict(codec="h263", size=(96, 128), options=dict(g="12")), "a.mjpeg": dict(codec="mjpeg", pix_fmt="yuvj420p"), "m4.mkv": dict(codec="mpeg4", options=dict(g="12", bf="2")),
}


@lru_cache(8)
def pictures(path):
    "All frames as the network sees them, None for those that are damaged"
    with open_video(path, "pyav", resize=32) as v:
        try: return [_seen(o, windows) for o in v.get(range(len(v))).numpy()]
        except SoccerKDError: pass
        res = []
        for i in range(len(v)):
            try: res.append(_seen(v.get([i]).numpy()[0], windows))
            except SoccerKDError: res.append(None)
        return res


def agree(path, recipe=windows, length=1., hop=.5, source=None):
    "The windows of a stream are the frames of the reader at the same moments; its notes"
    index,frames = video_index(path),pictures(path)
    duration = index.times[-1]+index.stays
    with stream_windows(path if source is None else source, recipe, length=length, hop=hop) as s: got = {w.number:w for w in s}
    assert abs(s.until-duration)<1e-6
    slots = recipe["slots"]
    for i,span in enumerate(window_times(duration, length, hop)):
        times = segment_times(*span, recipe["n_frames"]*slots)[slots//2::slots]
        at = frames_at(times, index.times)
        want = [frames[j] for j in at]
        if i in got: assert np.allclose(got[i].times, times) and all((a==b).all() for a,b in zip(got[i].frames, want)), (path.name, i)
        else: # A frame is damaged, or it stands where a damaged one is missing
            assert any(frames[k] is None for j in at for k in (j, min(j+1, len(frames)-1))) or any("no pictures" in o for o in s.notes), (path.name, i, s.notes)
    assert not got or max(got)<=i
    return s


@pytest.mark.parametrize("name", [*ways, *rare])
def test_reader_and_stream(film, name):
    "Windows and single frames of every container and codec; and frames in any order are those that come from front to end"
    path = film(name, **(ways|rare)[name])
    with av.open(str(path)) as c: frame = float(1/(c.streams.video[0].average_rate or 25))
    assert agree(path).notes==[] and agree(path, singles, frame, frame).notes==[]
    frames = pictures(path)
    with open_video(path, "pyav", resize=32) as v:
        for i in rng_for("any", name).permutation(len(v))[:8].tolist(): assert (_seen(v.get([i]).numpy()[0], windows)==frames[i]).all(), i


def test_flags_of_rare_containers_are_not_believed(film):
    "A picture of an animated PNG calls itself a key frame and is drawn over the one before"
    path = film("a.apng", **rare["a.apng"])
    assert len(video_index(path).keys)==0
    with av.open(str(path)) as c: assert sum(o.is_keyframe for o in c.demux(video=0))>1
    assert len(video_index(film("a.mxf", **rare["a.mxf"])).keys)>3 # The decoder says the same
    assert len(video_index(film("closed.mp4", **ways["closed.mp4"])).keys)==8


def joined(dest, *parts):
    dest.write_bytes(b"".join(o if isinstance(o, bytes) else o.read_bytes() for o in parts))
    return dest


@pytest.mark.parametrize("name", ["tv.ts", "open.ts", "hevc.ts", "disc.mpg", "closed.mkv", "raw.h264"])
@pytest.mark.parametrize("part", [1, .8])
def test_recordings_joined_with_cat(film, tmp_path, name, part):
    "Nothing that follows is lost, time goes on, and it is said; the first recording may have been cut off"
    first = film(name, **ways[name])
    second = stamped_video(tmp_path/f"second{first.suffix}", **{**ways[name], "n": 60})
    data = first.read_bytes()
    n = 1 if name=="closed.mkv" else 2 # FFmpeg reads no third Matroska
    path = joined(tmp_path/f"joined{first.suffix}", data[:int(len(data)*part)], *[second]*n)
    s = agree(path)
    agree(path, singles, .04, .04)
    index = video_index(path)
    assert abs(s.until-index.times[-1]-index.stays)<1e-6 and abs(np.median(np.diff(index.times))-.04)<1e-3
    if part==1:
        assert len(index.pts)==90+60*n and abs(s.until-3.6-2.4*n)<.1
        with open_video(path, "pyav") as v: assert [read_stamp(o) for o in v.get([89, 90, 149])]==[89, 0, 59]
    if name!="raw.h264": assert "begins anew" in index.note and any("begins anew" in o for o in s.notes)


def test_joined_on_the_line(film, tmp_path):
    "A live source gives what the file gives"
    first = film("tv.ts", **ways["tv.ts"])
    path = joined(tmp_path/"joined.ts", first, first)
    class Line:
        def __init__(self): self.f = open(path, "rb")
        def read(self, n): return self.f.read(n)
    assert len(agree(path, source=Line()).notes)==1


def test_resumed_behind_a_joint(tmp_path):
    "A time that occurs twice is not looked for in the middle"
    part = stamped_video(tmp_path/"part.ts", n=400, size=(48, 48), options=closed)
    path = joined(tmp_path/"joined.ts", part, part)
    with stream_windows(path, windows) as s: whole = {w.number:w.frames for w in s}
    with stream_windows(path, windows, first=20) as s: later = {w.number:w.frames for w in s}
    assert [*later]==[*whole][20:] and len(later)==11 and all((later[k]==whole[k]).all() for k in later)


@pytest.mark.parametrize("name", ["closed.mkv", "open.mkv", "tv.ts", "open.ts", "hevc.ts", "fragments.mp4", "live.mkv", "disc.ts", "disc.mpg", "old_b.avi", "h264.avi"])
def test_cut_off(film, tmp_path, name):
    "Where the reader gives what is there, the stream gives the same; where it refuses, the stream says why"
    data = film(name, **ways[name]).read_bytes()
    for part in (.6, .8, .95):
        path = tmp_path/f"{part}_{name}"
        path.write_bytes(data[:int(len(data)*part)|1])
        try: note = video_index(path).note
        except SoccerKDError as e:
            with stream_windows(path, windows, length=1., hop=.5) as s: list(s)
            assert "cut off" in str(e) and any("cut off" in o for o in s.notes), (part, str(e), s.notes)
        else:
            s = agree(path)
            assert bool(note)==bool(s.notes), (part, note, s.notes)


def test_edited_damaged_and_begun_late(film, tmp_path):
    src = film("closed.mp4", **ways["closed.mp4"])
    agree(front_cut(src, tmp_path/"front.mp4"))
    for i,parts in enumerate(([(.6, 2)], [(.4, 1.2), (2, 2.8)], [(0, .8), (.4, 1.2)])):
        path = tmp_path/f"edit{i}.mp4"
        path.write_bytes(src.read_bytes())
        agree(cut_mp4(path, parts))
    hurt = agree(spoil_packet(stamped_video(tmp_path/"hurt.mp4", n=100, options=dict(bf="0", g="25", sc_threshold="0")), 40))
    assert len(hurt.lost)==2
    for name in ("tv.ts", "open.ts"): # It begins in the middle of a group
        with av.open(str(film(name, **ways[name]))) as a, av.open(str(tmp_path/name), "w") as b:
            new = b.add_stream_from_template(a.streams.video[0])
            for i,p in enumerate(a.demux(video=0)):
                if i>=7 and p.size: p.stream = new; b.mux(p)
        agree(tmp_path/name)


def sounding(path, sound=8, start=0):
    "A second of pictures, more of sound"
    with av.open(str(path), "w") as c:
        v,a = c.add_stream("libx264", rate=25),c.add_stream("aac", rate=16000)
        v.width,v.height,v.pix_fmt,v.codec_context.time_base = 64,64,"yuv420p",Fraction(1, 25)
        for i in range(25):
            f = av.VideoFrame.from_ndarray(np.full((64, 64, 3), i*8, np.uint8), format="rgb24")
            f.pts,f.time_base = start*25+i,v.codec_context.time_base
            c.mux(v.encode(f))
        c.mux(v.encode(None))
        for i in range(sound):
            f = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
            f.rate,f.pts = 16000,(start+i)*16000
            c.mux(a.encode(f))
        c.mux(a.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "ts", "flv"])
@pytest.mark.parametrize("start", [0, 3600])
def test_longer_sound_and_late_clocks_are_no_cut(tmp_path, suffix, start):
    "Steps are announced for the pictures, and nothing is called cut off"
    path = sounding(tmp_path/f"s.{suffix}", start=start)
    s = agree(path)
    assert s.notes==[] and not video_index(path).note and abs(s.until-1)<.05
    if suffix!="flv": assert len(s)<=2 # FLV tells the length of all


def test_a_last_picture_may_stay(film, tmp_path):
    "As long as the container says; a header that counts it is no sign of a cut"
    src = film("no_b.mp4", **ways["no_b.mp4"])
    for suffix in ("mp4", "mkv"):
        path = tmp_path/f"still.{suffix}"
        with av.open(str(src)) as a, av.open(str(path), "w") as b:
            new = b.add_stream_from_template(a.streams.video[0])
            packets = [p for p in a.demux(video=0) if p.size]
            packets[-1].duration = round(20/packets[-1].time_base)
            for p in packets: p.stream = new; b.mux(p)
        s = agree(path)
        assert s.notes==[] and not video_index(path).note
        with open_video(path) as v: assert len(v)==90 and abs(v.duration-s.until)<1e-6 and v.duration>20


def test_a_header_that_counts_more_is_no_cut(film, tmp_path):
    "The sizes of a Matroska say that all of it is there; that its header tells twenty seconds more is a still at the end"
    data = film("no_b.mkv", **ways["no_b.mp4"]).read_bytes()
    at = data.index(b"\x44\x89\x88")+3 # Duration, in milliseconds
    path = tmp_path/"still.mkv"
    path.write_bytes(data[:at]+struct.pack(">d", 23_600)+data[at+8:])
    with av.open(str(path)) as c: assert c.duration>23e6
    assert agree(path).notes==[] and not video_index(path).note


def test_a_seek_that_is_refused_is_no_damage(film, monkeypatch, caplog):
    "Then the reader starts from the front, and so does the stream"
    class Refusing:
        def __init__(self, c): self.c = c
        def seek(self, *args, **kw): raise av.error.PermissionError(1, "Operation not permitted")
        def __getattr__(self, name): return getattr(self.c, name)
    whole = pictures(path := film("no_b.mp4", **ways["no_b.mp4"]))
    plain = PyAVReader._reopen
    def reopen(self): plain(self); self._c = Refusing(self._c)
    monkeypatch.setattr(PyAVReader, "_reopen", reopen)
    caplog.set_level(logging.INFO, "soccerkd.video")
    with PyAVReader(video_index(path), 32) as v:
        for i in (60, 10, 85): assert (_seen(v.get([i]).numpy()[0], windows)==whole[i]).all()
    assert "read from the front" in caplog.text


def test_sources(film, tmp_path):
    "An ordinary MP4: read where it can be rewound, one sentence where it can't"
    path = stamped_video(tmp_path/"late index.mp4", n=90, size=(96, 160), options=dict(crf="4"))
    with open(path, "rb") as f: assert agree(path, source=f).notes==[]
    agree(path, source=io.BytesIO(path.read_bytes()))
    code = f"import sys; sys.path.insert(0, {str(root)!r})\nfrom soccerkd.video.stream import *\nfrom soccerkd.video.windows import clip_recipe\n" \
        "s = stream_windows(sys.stdin.buffer.raw, clip_recipe(dict(n_frames=4, size=32)))\nprint(len(list(s)), len(s))"
    def run(stdin): return subprocess.run([sys.executable, "-c", code], stdin=stdin, capture_output=True, text=True)
    with open(path, "rb") as f: assert run(f).stdout.split()==["3", "3"] # soccerkd predict - < film.mp4
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as p: said = run(p.stdout).stderr
    assert "is an MP4 with its index at the end" in said and "faststart" in said


def real_files(folder):
    files = sorted(o for o in (data_home()/folder).glob("*") if o.suffix not in (".md", ".png"))
    if not files: pytest.skip(f"no {folder} here; set SOCCERKD_DATA")
    return files


def real_file(path):
    s = agree(path)
    with av.open(str(path)) as c: frame = float(1/c.streams.video[0].average_rate)
    agree(path, singles, frame, frame)
    if path.name=="three_segments.ts": assert abs(s.until-18)<.1 and len(s.notes)==1 and "begins anew 2 times" in s.notes[0]
    elif path.name in ("audio_longer.mkv", "late_clock.mkv"): assert len(s)<=2
    lacking = [o for o in s.notes if "HDR" not in o] # What colours a film has says nothing against its frames
    if path.name not in ("three_segments.ts", "match_a.mp4", "decord_corrupted.mp4"): assert lacking==[], (path.name, lacking)


def test_real_files():
    "What was found, and the small ones among the edge cases of others"
    for path in real_files("found"): real_file(path)
    for path in real_files("video_edge_cases"):
        if path.stat().st_size<20_000: real_file(path)


@pytest.mark.slow
def test_large_real_files():
    for path in real_files("video_edge_cases"): real_file(path)
