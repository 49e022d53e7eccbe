"Rules of sampling, held against clips that Hypothesis makes up"
import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from soccerkd.core import rng_for
from soccerkd.video.sampling import dense_times, frames_at, segment_times, window_times

settings.register_profile("soccerkd", max_examples=300, deadline=None)
settings.load_profile("soccerkd")
starts = st.floats(0, 6000, allow_nan=False)
lengths = st.floats(.02, 600, allow_nan=False)
counts = st.integers(1, 64)
rates = st.sampled_from([12.5, 23.976, 24., 25., 29.97, 30., 50., 59.94])


@st.composite
def frame_times(draw):
    "Times of the frames of a video, steady or not"
    n,fps = draw(st.integers(1, 300)),draw(rates)
    if draw(st.booleans()): return [i/fps for i in range(n)]
    gaps = draw(st.lists(st.floats(.001, .3), min_size=n-1, max_size=n-1))
    return [0., *np.cumsum(gaps).tolist()]


@given(starts, lengths, counts, st.integers(0, 2**31))
def test_segments_stay_in_order_in_their_place(start, length, n, seed):
    end = start+length
    for ts in (segment_times(start, end, n), segment_times(start, end, n, jitter=True, rng=rng_for(seed))):
        assert len(ts)==n and ts==sorted(ts)
        assert start<=ts[0] and ts[-1]<end
        edges = start+np.arange(n+1)*length/n
        assert all(a-1e-4<=t<=b+1e-4 for t,a,b in zip(ts, edges, edges[1:]))


@given(starts, lengths, counts)
def test_without_jitter_nothing_is_random(start, length, n):
    assert segment_times(start, start+length, n)==segment_times(start, start+length, n)
    assert dense_times(start, start+length, n)==dense_times(start, start+length, n)
    middle = np.mean(segment_times(start, start+length, n))
    assert abs(middle-(start+length/2))<1e-4


@given(starts, lengths, counts, rates, st.integers(0, 2**31))
def test_dense_runs_keep_their_rate_and_never_start_again(start, length, n, fps, seed):
    end = start+length
    for ts in (dense_times(start, end, n, fps), dense_times(start, end, n, fps, jitter=True, rng=rng_for(seed))):
        assert len(ts)==n and ts==sorted(ts) and start<=ts[0] and ts[-1]<end
        inside = [t for t in ts if t<end-1e-4]
        assert np.allclose(np.diff(inside), 1/fps, atol=1e-6)


@given(frame_times(), st.lists(st.floats(-1, 200, allow_nan=False), min_size=1, max_size=30))
def test_frame_on_the_screen(times, ask):
    ask = sorted(ask)
    got = frames_at(ask, times)
    assert got==sorted(got) and all(0<=i<len(times) for i in got)
    for t,i in zip(ask, got):
        if t>=times[0]: assert times[i]<=t+1e-6
        if i+1<len(times): assert times[i+1]>t+1e-7 or i==len(times)-1


@given(frame_times(), counts)
def test_whole_clip_is_covered_and_nothing_wraps(times, n):
    duration = times[-1]+.04
    got = frames_at(segment_times(0, duration, n), times)
    assert len(got)==n and got==sorted(got)
    if n==1: return
    piece = duration/n
    assert times[got[0]]<=piece and (times[got[-1]]>=duration-2*piece-.35 or got[-1]==len(times)-1)


@given(st.integers(1, 64), rates)
def test_as_many_moments_as_frames_shows_every_frame(n, fps):
    times = [i/fps for i in range(n)]
    assert frames_at(segment_times(0, n/fps, n), times)==list(range(n))
    if n>1: assert len(set(frames_at(segment_times(0, n/fps, n-1), times)))==n-1 # Fewer moments: no frame twice
    assert set(frames_at(segment_times(0, n/fps, 2*n), times))==set(range(n)) # More moments: every frame


@given(st.floats(.04, 6000), st.floats(.04, 100), st.floats(.05, 1))
def test_windows_cover_a_file(duration, window, part):
    assume(duration/(window*part)<20_000)
    ws = window_times(duration, window, window*part)
    assert ws[0][0]==0 and duration-1e-4<=ws[-1][1]<duration+window*part+1e-4
    assert all(abs(b-a-min(window, duration))<1e-6 for a,b in ws)
    assert all(a<c<=b+1e-6 for (a,b),(c,_) in zip(ws, ws[1:]))
