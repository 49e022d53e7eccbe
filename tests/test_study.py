"Studies with real processes that are killed, stopped and started side by side, on SQLite and on a real PostgreSQL"
import glob, multiprocessing, os, pwd, shutil, signal, subprocess, sys, tempfile, time
from collections import Counter
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from uuid import uuid4
import pytest
pytest.importorskip("optuna", reason="optuna is not installed (extra [study])")
from conftest import root
from soccerkd.evaluate.study import StudyStore, read_study, study_url
from study_program import work

pytestmark = pytest.mark.long

@pytest.fixture(scope="module")
def fork():
    "Starts real processes, from a server that has imported what they need"
    ctx = multiprocessing.get_context("forkserver")
    ctx.set_forkserver_preload(["study_program"])
    with pytest.MonkeyPatch.context() as m: # The server does not take over the path of this process
        m.setenv("PYTHONPATH", str(root/"tests"), prepend=os.pathsep)
        ensure_running()
    return ctx.Process

def postgres_programs():
    "Folder of initdb and pg_ctl, or why there is none"
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda o: int(o.split("/")[4])) or [o for o in [shutil.which("initdb")] if o]
    if not found: return None,"PostgreSQL is not installed (Debian: apt install postgresql)"
    try: import psycopg
    except ImportError: return None,"psycopg is not installed (pip install 'psycopg[binary]')"
    if os.getuid()==0:
        try: pwd.getpwnam("postgres")
        except KeyError: return None,"PostgreSQL doesn't run as root, and there is no user postgres"
    return Path(os.path.realpath(found[-1])).parent,""

@pytest.fixture(scope="module")
def postgres():
    "URL of a database server that lives as long as these tests, without its database"
    bins,why = postgres_programs()
    if bins is None: pytest.skip(why)
    place = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp")) # The path of a socket is short
    who = dict(user="postgres", group="postgres", extra_groups=[], cwd="/") if os.getuid()==0 else {}
    if who: shutil.chown(place, "postgres", "postgres")
    def call(name, *args): subprocess.run([bins/name, *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(PATH=os.environ["PATH"], LC_ALL="C"), **who)
    try:
        call("initdb", "-D", place/"data", "-A", "trust", "-U", "me", "-N")
        call("pg_ctl", "-D", place/"data", "-w", "-l", place/"log", "-o", f"-c listen_addresses='' -c fsync=off -k {place}", "start")
        yield f"postgresql+psycopg://me@/{{}}?host={place}"
    finally:
        if (place/"data"/"postmaster.pid").exists(): call("pg_ctl", "-D", place/"data", "-m", "immediate", "stop")
        shutil.rmtree(place)

@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    "A new database, without a table"
    if request.param=="sqlite": return study_url(tmp_path/"study.db")
    import psycopg
    server,name = request.getfixturevalue("postgres"),f"study_{uuid4().hex[:8]}"
    with psycopg.connect(server.format("postgres").replace("+psycopg", ""), autocommit=True) as con: con.execute(f"create database {name}")
    return server.format(name)

class Crew:
    "Processes that work at one study, and what they noted"
    def __init__(self, fork, url, folder): self.fork,self.url,self.log,self.hang,self.all = fork,url,folder/"log",folder/"hang",[]
    def start(self, place="here", patience=60.):
        self.all.append(p := self.fork(target=work, args=(self.url, str(self.log), str(self.hang), place, patience)))
        p.start()
        return p
    def lines(self, what): return [o.split() for o in self.log.read_text().splitlines() if o.startswith(what)] if self.log.exists() else []
    def until(self, *line, n=1, seconds=120):
        "Wait for `n` lines of the log that begin like this"
        end = time.monotonic()+seconds
        while len([o for o in self.lines(line[0]) if o[:len(line)]==list(line)])<n:
            assert time.monotonic()<end, f"no {line} in\n{self.log.read_text() if self.log.exists() else ''}"
            time.sleep(.02)
    def ended(self, p, seconds=120): p.join(seconds); assert p.exitcode==0
    def times(self, what): return Counter(tuple(o[1:3]) for o in self.lines(what))
    def beat(self):
        "Wait until just after somebody has shown a sign of life, when he holds no lock of the database"
        store = StudyStore(self.url, create=False)
        def beats():
            with store.rdb.engine.connect() as con: return con.execute(store.claims.select()).first().beat
        was = beats()
        while beats()==was: time.sleep(.02)
        time.sleep(.08)
    def states(self):
        store = StudyStore(self.url, create=False)
        return Counter(t.state.name for t in store.rdb.get_all_trials(store.id))

@pytest.fixture
def crew(fork, url, tmp_path):
    c = Crew(fork, url, tmp_path)
    yield c
    for p in c.all: p.kill(); p.join()

def test_shared(crew):
    "Three processes that begin at once, on a database without a table: every trial is run by one of them, once"
    for p in [crew.start() for _ in range(3)]: crew.ended(p)
    assert set(crew.times("begin").values())==set(crew.times("end").values())=={1}
    assert len(crew.times("end"))==12 and crew.states()=={"COMPLETE":12}
    table = read_study(crew.url).table
    assert len(table.groupby(["alpha", "seed"]))==12 and (table.accuracy==table.alpha).all()

def test_killed_and_resumed(crew):
    "Killed in the middle of its fifth trial; the same program runs that one and the rest, and nothing else"
    crew.hang.write_text("0.5 1")
    p = crew.start()
    crew.until("begin", "0.5", "1")
    p.kill(); p.join()
    done = crew.times("end")
    assert 4<=len(done)<12 and ("0.5", "1") not in done and read_study(crew.url).table.shape[0]==len(done)
    crew.hang.unlink()
    crew.ended(crew.start())
    assert set(crew.times("end").values())=={1} and len(crew.times("end"))==12
    assert {k:v for k,v in crew.times("begin").items() if v>1}=={("0.5", "1"):2}
    assert crew.states()=={"COMPLETE":12, "FAIL":1}
    crew.ended(crew.start()) # A third time there is nothing to do
    assert sum(crew.times("begin").values())==13

def test_partner_killed(crew):
    "One of two is killed while the other waits for it: the other runs its trial without a further call, and at once"
    crew.hang.write_text("0 0")
    a = crew.start()
    crew.until("begin", "0", "0")
    b = crew.start()
    crew.until("end", n=11)
    time.sleep(.5)
    assert b.is_alive() and crew.times("begin")["0","0"]==1 # Somebody lives who is at it
    a.kill(); a.join()
    crew.hang.unlink()
    crew.ended(b, 50)
    assert crew.times("end")["0","0"]==1 and crew.states()=={"COMPLETE":12, "FAIL":1}

def test_other_machine(crew):
    "Of a process on another machine only signs of life are seen: it keeps its trial while it lives, however long that takes, and loses it when it is silent"
    crew.hang.write_text("0 0")
    a = crew.start("far", 1.5)
    crew.until("begin", "0", "0")
    b = crew.start("near", 1.5)
    crew.until("end", n=11)
    time.sleep(3)
    assert crew.times("begin")["0","0"]==1
    a.kill(); a.join()
    crew.hang.unlink()
    crew.ended(b, 50)
    assert [o[3] for o in crew.lines("end") if o[1:3]==["0","0"]]==["near"]
    assert crew.states()=={"COMPLETE":12, "FAIL":1}

def test_woken_up(crew):
    "A process sleeps, as a closed laptop does, loses its trial, wakes up and finishes it: the result that was there first counts, alone"
    crew.hang.write_text("0 0")
    a = crew.start("far", 3)
    crew.until("begin", "0", "0")
    crew.beat()
    os.kill(a.pid, signal.SIGSTOP)
    crew.hang.unlink()
    crew.ended(crew.start("near", 3))
    assert crew.states()=={"COMPLETE":12, "FAIL":1}
    os.kill(a.pid, signal.SIGCONT)
    crew.ended(a)
    assert crew.times("end")["0","0"]==2 and set(crew.times("end").values())=={1,2}
    assert crew.states()=={"COMPLETE":12, "FAIL":1} and len(read_study(crew.url).table)==12

def test_password_stays(postgres):
    "A server that refuses is told in one sentence, without the password"
    from soccerkd.core import SoccerKDError
    with pytest.raises(SoccerKDError, match="can't be opened") as e: StudyStore(postgres.format("no_such_database").replace("me@", "me:secret@"))
    assert "secret" not in str(e.value) and "\n" not in str(e.value)

@pytest.mark.slow
def test_command(tmp_path):
    "`soccerkd study` with real trainings, killed with -9 twice, then run by two processes at once: the trials are those of a study that nobody disturbed"
    import json
    from soccerkd.core import SoccerKDError
    from soccerkd.world.clips import make_clips
    clips = make_clips(tmp_path/"clips", per_class=16, seed=0, size=64, splits=(.5,.25,.25))
    env = {**{k:v for k,v in os.environ.items() if k!="IN_TEST"}, "PYTHONPATH":str(root), "OMP_NUM_THREADS":"1"}
    def command(out): return [sys.executable, "-c", "import sys; from soccerkd.deploy.cli import main; sys.exit(main())", "study", str(clips), "--out", str(tmp_path/out), "--teacher", "tam_resnet18",
        "--alphas", "0,.5,1", "--labelled", ".5,1", "--unlabelled", "--seeds", "2", "--epochs", "2", "--views", "2", "--n-frames", "2", "--size", "32", "--device", "cpu", "--json"]
    def finished():
        try: return len(read_study(tmp_path/"a"/"study.db").table)
        except SoccerKDError: return 0 # No such file or study yet
    for least in (1, 6):
        p = subprocess.Popen(command("a"), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic()+240
        while finished()<least and time.monotonic()<end: time.sleep(.1)
        p.kill(); p.wait()
        assert least<=finished()<16
    both = [subprocess.Popen(command("a"), env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
    told = [json.loads(p.communicate(timeout=400)[0]) for p in both]
    alone = json.loads(subprocess.run(command("b"), env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
    def results(o): return [{k:v for k,v in t.items() if k!="seconds"} for t in o["trials"]]
    assert len(results(alone))==16 and results(told[0])==results(told[1])==results(alone)
    store = StudyStore(tmp_path/"a"/"study.db", create=False)
    assert Counter(t.state.name for t in store.rdb.get_all_trials(store.id))["COMPLETE"]==16
