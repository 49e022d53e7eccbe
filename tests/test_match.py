"A drawn match is the same from any number of processes, and the SoccerNet package reads its files"
import json
import numpy as np
import pytest
from soccerkd.data.label_files import action_classes
from soccerkd.data.match import load_match, make_match
from test_soccernet import soccernet # The fixture

SMALL = dict(minutes=.6, seed=39, size=(36, 64), rates="dense")

@pytest.fixture(scope="module")
def match(tmp_path_factory):
    "A match that one process drew"
    for o in ("cv2", "zarr"): pytest.importorskip(o, reason=f"{o} is not installed: pip install 'soccerkd[match]'")
    return load_match(make_match(tmp_path_factory.mktemp("match"), workers=1, **SMALL))

def test_labels(match, soccernet):
    "The package finds each event in the second and the class where it happened"
    numbers = {o:i for i,o in enumerate(action_classes)}
    file = json.loads((match.path/"Labels-v2.json").read_text())
    found = soccernet.spotting.label2vector(file, 17, 2, 2, numbers)
    events = match.labels
    assert np.abs(found).sum()==len(set(zip(events.half, (events.peak*2).astype(int), events.label)))
    for o in events.itertuples():
        assert abs(found[o.half-1][round(o.peak*1000)*2//1000,numbers[o.label]])==1

def test_links(match):
    "A replay in the camera file names an event of the label file, which was before it"
    labels = {(o["gameTime"], o["label"]) for o in json.loads((match.path/"Labels-v2.json").read_text())["annotations"]}
    shots = json.loads((match.path/"Labels-cameras.json").read_text())["annotations"]
    links = [o for o in shots if "link" in o]
    assert links and all(o["replay"]=="replay" for o in links)
    for o in links:
        link = o["link"]
        assert (f"{link['half']} - {link['time']}", link["label"]) in labels
        assert int(link["position"])<int(o["position"])

@pytest.mark.long
def test_processes(match, tmp_path):
    "Two processes draw the same pixels as one"
    other = load_match(make_match(tmp_path, workers=2, **SMALL))
    for half in (1, 2):
        assert other.videos[half].read_bytes()==match.videos[half].read_bytes()
        assert np.array_equal(other.truth(half)["joints"][:], match.truth(half)["joints"][:], equal_nan=True)
