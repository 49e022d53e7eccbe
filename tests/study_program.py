"What the processes of test_study.py do; imported once by a server that they are forked from, which is quicker than a dozen interpreters"
import tempfile, time
from pathlib import Path
import soccerkd.evaluate.study as s

with tempfile.TemporaryDirectory() as tmp: s.open_database(s.study_url(f"{tmp}/first.db")) # Brings in Optuna and SQLAlchemy

def work(
    url, # Of the database
    log, # File with a line for each trial that begins or ends: `begin 0.5 1 here`
    hang, # While there is such a file, the trial that is named in it doesn't end
    place, # `here`, or the name of another machine
    patience, # Seconds
):
    if place!="here": s._pid_space = lambda: place
    def note(what, cell):
        with open(log, "a") as f: f.write(f"{what} {cell['alpha']:g} {cell['seed']} {place}\n")
    def run(**cell):
        note("begin", cell)
        while (wanted := Path(hang)).exists() and wanted.read_text()==f"{cell['alpha']:g} {cell['seed']}": time.sleep(.02)
        time.sleep(.03)
        note("end", cell)
        return dict(accuracy=cell["alpha"])
    res = s.study(dict(alpha=[0,.5,1]), run, seeds=range(4), storage=url, patience=patience)
    assert len(res.table)==12 and not res.missing, res
