"Whole programs, as a user starts them: the command line on a run folder, and a demonstration that is killed"
import json, shutil, time
import pytest

command = ("-c", "import sys; from soccerkd.deploy.cli import main; sys.exit(main())")
@pytest.fixture
def soccerkd(programs): return lambda *args, **kw: programs.run(*command, *args, **kw)

def test_evaluate_a_run(small_teacher, tmp_path, soccerkd):
    "A run folder and a folder of clips in, scores as JSON out; clips that were held back are looked at once"
    run,test = shutil.copytree(small_teacher, tmp_path/"run", ignore=shutil.ignore_patterns("clips")),small_teacher/"clips"/"test"
    def look(*args, **kw): return soccerkd("evaluate", run, test, "--json", *args, **kw)
    m = json.loads(look().stdout.splitlines()[-1])
    assert m["n"]==8 and 0<=m["interval"][0]<=m["clip_accuracy"]<=m["interval"][1]<=1
    assert m["split"]=="test" and m["test_looks"]==1 and m["synthetic"] is True
    done = look(check=False)
    assert done.returncode==1 and "looked at before (1 time)" in done.stderr and "Traceback" not in done.stderr
    assert json.loads(look("--again").stdout.splitlines()[-1])["test_looks"]==2
    assert json.loads((run/"config.json").read_text())["record"]["test_looks"]==2

def test_predict_in_python(small_teacher):
    "A Learner from the run folder answers for one file, with probabilities that sum to one"
    from soccerkd.all import load_run
    learn = load_run(small_teacher, device="cpu")
    label,idx,probs = learn.predict(next((small_teacher/"clips"/"test"/"kick").glob("*.mp4")))
    assert label==learn.dls.vocab[int(idx)] and abs(float(probs.sum())-1)<1e-4

def test_one_sentence(tmp_path, soccerkd):
    "What can't work says why, without a traceback, and says so to the shell"
    done = soccerkd("evaluate", tmp_path, tmp_path, check=False)
    assert done.returncode==1 and "Traceback" not in done.stderr and str(tmp_path) in done.stderr

def test_distill_on_a_folder(few_clips, soccerkd, tmp_path):
    "Groups held out in turn: a table with all networks, and the same numbers from what was kept"
    args = ["distill", few_clips, "--out", tmp_path/"out", "--teacher", "tam_resnet18", "--epochs", 1, "--folds", 2, "--n-frames", 2, "--size", 32]
    first = soccerkd(*args).stdout
    n = len(list(few_clips.rglob("*.mp4")))
    assert all(o in first for o in ("teacher", "student alone", "student + KD", f"of {n}"))
    m = json.loads(soccerkd(*args, "--json").stdout)
    roles = ["teacher", "student_alone", "student_kd"]
    assert list(m)==[*roles, "best", "final"] and m["teacher"]["n"]==n and f"{m['teacher']['right']} of {n}" in first
    assert m["best"] in roles and f"--model {tmp_path/'out'}" in first
    for k in roles: # What went wrong stands under the table too
        assert all(o in first for o in m[k]["faults"])
    trained = json.loads((tmp_path/"out"/"final"/"student"/"config.json").read_text())["settings"]
    assert trained["role"] in ("student_alone", "student_kd") and str(tmp_path/"out"/"final"/"student")==m["final"]
    film,found = next(few_clips.rglob("*.mp4")),tmp_path/"events.json"
    soccerkd("predict", film, "--model", tmp_path/"out", "--out", found)
    assert found.exists()

def test_demo_for_programs(small_demo, tmp_path, soccerkd):
    "The demonstration with a class without actions: standard output is JSON and nothing else, and its report can be made again, elsewhere"
    m,demo = json.loads((small_demo/"stdout").read_text()),shutil.copytree(small_demo/"demo", tmp_path/"demo")
    assert "SYNTHETIC" in (small_demo/"stderr").read_text() and m["synthetic"] is True and m["student_kd"]["n"]==5 and list(m["student_kd"]["recall"])==["dribble", "kick", "none", "run", "walk"]
    report = demo/"report.html"
    before = report.read_text()
    few = "The students had labels for 5 of 10 training clips (50%), the teacher for all"
    said = " ".join((small_demo/"stderr").read_text().split())
    assert few in said and few in before and "McNemar's test on the same clips" in said and "McNemar's test on the same clips" in before
    assert m["recipe"]["labelled"]==.1 and m["comparison"]["only_kd"]-m["comparison"]["only_alone"]==round(5*(m["student_kd"]["clip_accuracy"]-m["student_alone"]["clip_accuracy"]))
    report.unlink()
    again = json.loads(soccerkd("report", demo, "--json", "--device", "cpu").stdout)
    assert again["report"]==str(report) and again["student_kd"]["nll"]==m["student_kd"]["nll"] and again["teacher"]["test_looks"]==1
    assert "SYNTHETIC" in before and all(o in report.read_text() for o in ("Report of demo", "SYNTHETIC", "hardest clips", few))

def test_distill_as_published(few_clips, soccerkd, tmp_path):
    "The authors' procedure from a folder to the published numbers"
    args = ["distill", few_clips, "--out", tmp_path/"out", "--variant", "faithful", "--teacher", "jointnet18", "--teacher-epochs", 1, "--epochs", 1, "--size", 32]
    said = soccerkd(*args).stdout
    assert "student, yours" in said and "published (logs)" in said
    m = json.loads((tmp_path/"out"/"metrics.json").read_text())
    assert m["recipe"]["alpha"]==.95 and m["clips"]==dict(train=12, test=4) and 0<=m["student"]["clip_majority"]<=1

@pytest.mark.slow
@pytest.mark.parametrize("when", ["teacher/checkpoint.pt", "teacher/config.json", "student_alone/checkpoint.pt", "student_kd/checkpoint.pt"])
def test_killed_demo_goes_on(tmp_path, soccerkd, programs, when):
    "Killed while it trains, the demonstration keeps what is finished and ends with the same weights as one that was left alone"
    args = ["demo", "--per-class", 8, "--epochs", 2, "--device", "cpu", "--out"]
    p = programs.start(*command, *args, tmp_path/"a")
    while not (tmp_path/"a"/when).exists() and p.poll() is None: time.sleep(.2)
    assert p.poll() is None, "it ended before it could be killed"
    p.kill(); p.wait()
    assert not (tmp_path/"a"/"report.html").exists()
    for o in ("a", "b"): soccerkd(*args, tmp_path/o)
    for role in ("teacher", "student_alone", "student_kd"):
        a,b = (json.loads((tmp_path/o/role/"config.json").read_text())["weights_sha256"] for o in ("a", "b"))
        assert a==b, role
