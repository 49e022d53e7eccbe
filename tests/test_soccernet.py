"What we write is read by the SoccerNet package's own code, and scores what a perfect answer scores"
import json, zipfile
import numpy as np
import pytest
from soccerkd.core import data_home, rng_for
from soccerkd.data.events import Events, find_events, read_events
from soccerkd.data.frame_labels import read_frame_labels
from soccerkd.data.label_files import action_classes, ball_classes, header_classes, label_table, write_game_labels
from soccerkd.data.shot_files import write_cameras
from soccerkd.data.soccernet import SpottingGame, games_of_frames, read_games

package = pytest.importorskip("SoccerNet", reason="the SoccerNet package is not installed: pip install 'soccerkd[test]'")

@pytest.fixture
def soccernet(monkeypatch):
    "The package's evaluation as it was written for: old NumPy's names, no progress bars, and a list of games of our own"
    with np.errstate(): # Imported, the package changes what NumPy says for the whole process
        from SoccerNet.Evaluation import ActionSpotting, ReplayGrounding, utils
    if not hasattr(np, "float"): monkeypatch.setattr(np, "float", float, raising=False)
    for o in (ActionSpotting, ReplayGrounding): monkeypatch.setattr(o, "tqdm", lambda items, **kwargs: items)
    class Package:
        "Modules of the package, and its answers"
        spotting,replays,files = ActionSpotting,ReplayGrounding,utils
        @staticmethod
        def only(games):
            "The official list holds these games alone"
            for o in (ActionSpotting, ReplayGrounding): monkeypatch.setattr(o, "getListGames", lambda *args, **kwargs: list(games))
    with np.errstate(divide="ignore", invalid="ignore"): yield Package # It divides by the number of answers, which may be 0

NAMES = "spain_laliga/2015-2016/2015-09-20 - 21-30 Alpha 2 - 1 Beta", "england_epl/2014-2015/2015-02-21 - 18-00 Gamma 0 - 0 Delta"

def random_labels(seed, classes, n=60):
    "Labels at moments of the two halves, none of a class within 3 s of another one"
    rng = rng_for("soccernet", seed)
    return [dict(half=int(rng.integers(1, 3)), time=float(3*t+rng.integers(0, 999)/1000), label=classes[i%len(classes)],
                 team=str(rng.choice(["home", "away"])), visibility="not shown" if i%5==0 else "visible")
            for i,t in enumerate(rng.choice(900, n, replace=False))]

def vector(labels, classes, fps=2):
    "What the package makes of labels, made here by itself: `[2,14400,K]`"
    res = np.zeros((2, 120*60*fps, len(classes)))
    for half,t,label,seen in zip(labels["half"], labels["peak"], labels["label"], labels["visibility"]):
        res[half-1,round(t*1000)*fps//1000,classes.index(label)] = -1 if seen=="not shown" else 1
    return res

@pytest.mark.parametrize("name,classes", [("Labels-v2.json", action_classes), ("Labels-ball.json", ball_classes), ("Labels-Header.json", header_classes)])
def test_labels(soccernet, tmp_path, name, classes):
    "Each label is where it was, and what it was, in the package's own order of classes"
    labels = label_table(random_labels(name, classes), classes, NAMES[0])
    file = write_game_labels(tmp_path/NAMES[0]/name, labels)
    numbers = {o:i for i,o in enumerate(classes)}
    if classes is action_classes: assert numbers==soccernet.files.EVENT_DICTIONARY_V2
    if classes is ball_classes: assert numbers==soccernet.files.EVENT_DICTIONARY_BALL
    found = soccernet.spotting.label2vector(json.loads(file.read_text()), len(classes), 2, 2, numbers)
    assert np.array_equal(found, vector(labels, classes))
    assert np.abs(found).sum()==60

def predicted(labels, **kwargs):
    "A sure prediction at each label"
    rows = {k:list(labels[k]) for k in ("start", "end", "label", "peak", "half")}
    return Events(dict(rows, score=1., **kwargs), vocab=action_classes)

def test_perfect(soccernet, tmp_path):
    "Labels of two games from our files, answered with themselves: 1.0 wherever the official evaluation can give it"
    games = [SpottingGame(o, labels=random_labels(o, action_classes, 85)) for o in NAMES]
    for o in games:
        o.to_folder(tmp_path/"labels")
        predicted(o.labels).to_soccernet(tmp_path/"answers", o.name)
    soccernet.only(NAMES)
    found = soccernet.spotting.evaluate(str(tmp_path/"labels"), str(tmp_path/"answers"), metric="tight")
    assert found["a_mAP"]==pytest.approx(1) and found["a_mAP_visible"]==pytest.approx(1)
    late = games[0].labels.assign(peak=games[0].labels["peak"]+100)
    predicted(late).to_soccernet(tmp_path/"answers", games[0].name)
    assert soccernet.spotting.evaluate(str(tmp_path/"labels"), str(tmp_path/"answers"), metric="tight")["a_mAP"]<.9

def test_zip(soccernet, tmp_path):
    "The package's reader of zips finds our files"
    game = SpottingGame(NAMES[0], labels=random_labels(0, action_classes))
    file = game.to_folder(tmp_path)/"Labels-v2.json"
    with zipfile.ZipFile(tmp_path/"a.zip", "w") as z: z.write(file, f"{game.name}/Labels-v2.json")
    assert soccernet.files.LoadJsonFromZip(tmp_path/"a.zip", f"{game.name}/Labels-v2.json")==json.loads(file.read_text())

def shots():
    "A camera file with three replays, of two actions"
    rows = [dict(half=1, end=100., label="Main camera center", change_type="logo")]
    for end,half,t,label in ((107.2, 1, 95.3, "Goal"), (115.9, 1, 95.3, "Goal"), (2006.4, 2, 1990., "Shots on target")):
        link = dict(link_half=half, link_time=t, link_label=label, link_team="home", link_visibility="visible")
        if half==2: rows.append(dict(half=2, end=2000., label="Main camera left", change_type="abrupt"))
        rows.append(dict(half=half, end=end, label="Close-up behind the goal", change_type="smooth", replay="replay", **link))
    return rows

def test_replays(soccernet, tmp_path):
    "The package ties each replay of our camera file to its action, and gives 1.0 for the right moment"
    write_cameras(tmp_path/NAMES[0]/"Labels-cameras.json", shots(), NAMES[0])
    replays = SpottingGame.from_folder(tmp_path/NAMES[0]).replays
    def answer(shift):
        "Moments for all replays"
        rows = [dict(half=h, start=int(a), end=int(b), detection=[dict(time=int(t)+shift, score=.9)])
                for h,a,b,t in zip(replays["half"], replays["start"], replays["end"], replays["link_time"])]
        (tmp_path/NAMES[0]/"Detection-replays.json").write_text(json.dumps({"Game:":NAMES[0], "Replays":rows}))
        return soccernet.replays.evaluate(str(tmp_path), str(tmp_path), metric="tight")["a_AP"]
    soccernet.only(NAMES[:1])
    truth,_ = soccernet.replays.replay_from_json(str(tmp_path), str(tmp_path), "test", 2) if answer(0) else (None, None)
    assert [int(np.flatnonzero(o)[0]) for o in truth]==[190, 190, 3980]
    assert answer(0)==pytest.approx(1) and answer(1)==pytest.approx(.875) and answer(10)==0

def test_lists(soccernet, tmp_path):
    "A split by its name gives the games of the package's list"
    from SoccerNet.utils import getListGames
    names = getListGames("test")
    for o in (*names[:3], NAMES[0]): SpottingGame(o, labels=random_labels(o, action_classes, 3)).to_folder(tmp_path)
    games = read_games(tmp_path, "test")
    assert [o.name for o in games]==sorted(names[:3])
    assert len(games.notes)==98 and games.notes[-1]=="1 of another split left out"

def test_real(soccernet, tmp_path):
    "Real labels of the test games and a published baseline's answers to them, through our files: the published figure"
    home = data_home()/"soccernet_v2"
    if not home.exists(): pytest.skip("no real data: set SOCCERKD_DATA")
    games = games_of_frames(*read_frame_labels(home/"spot_labels"/"test.json"))[:6]
    with zipfile.ZipFile(home/"netvlad_test_predictions"/"results_spotting_test.zip") as z: z.extractall(tmp_path/"real")
    for o in games:
        o.to_folder(tmp_path/"labels")
        read_events(tmp_path/"real"/o.name/"results_spotting.json").to_soccernet(tmp_path/"ours", o.name)
    soccernet.only([o.name for o in games])
    scores = [soccernet.spotting.evaluate(str(tmp_path/"labels"), str(tmp_path/o), metric="at5")["a_mAP"] for o in ("real", "ours")]
    assert scores[0]==scores[1]>0
