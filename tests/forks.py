"""Programs that tests start. Importing PyTorch and fastai takes each of them five seconds, so a process that has done it forks itself for every program.

`python tests/forks.py SOCKET` is that process: a line of JSON in for each program to start, its process id out; how a program ended is written to `code` in its folder."""
import gc, json, os, select, shutil, signal, socket, subprocess, sys, tempfile, time, types
from pathlib import Path

def start_server(cwd, env):
    "The process that forks itself, and the socket that it listens at; it ends when its standard input does"
    address = tempfile.mkdtemp(prefix="forks-")+"/socket"
    env = {**env, "OMP_NUM_THREADS":"1", "OPENBLAS_NUM_THREADS":"1", "PYTHONPATH":str(cwd)}
    return subprocess.Popen([sys.executable, __file__, address], cwd=cwd, env=env, stdin=subprocess.PIPE),address

def end_server(server, address):
    server.stdin.close(); server.wait()
    shutil.rmtree(Path(address).parent, ignore_errors=True)

class Programs:
    "Start Python programs that find the library imported; all test workers share a server, at `$SOCCERKD_FORKS`"
    def __init__(self, cwd, env):
        self.cwd,self.env = cwd,{**env, "OMP_NUM_THREADS":"1", "OPENBLAS_NUM_THREADS":"1", "PYTHONPATH":str(cwd)}
        self.server,self.line = None,None
    def connect(self):
        "A line to the server, once it has imported the library"
        address = os.environ.get("SOCCERKD_FORKS")
        if not address: self.server = start_server(self.cwd, self.env); address = self.server[1]
        s,until = socket.socket(socket.AF_UNIX),time.monotonic()+300
        while True:
            try: s.connect(address); break
            except OSError:
                if time.monotonic()>until: raise
                time.sleep(.05)
        return s.makefile("rw")
    def start(self, *args, env=None):
        "The program that `python *args` is, in the folder and with the variables of a user"
        env = {**self.env, **(env or {})}
        if not hasattr(os, "fork"): return subprocess.Popen([sys.executable, *map(str, args)], cwd=self.cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.line,d = self.line or self.connect(),tempfile.mkdtemp(prefix="program-")
        self.line.write(json.dumps(dict(args=list(map(str, args)), env=env, cwd=str(self.cwd), dir=d))+"\n"); self.line.flush()
        return Program(args, int(self.line.readline()), Path(d))
    def run(self, *args, check=True, timeout=300, **kw):
        "Like `subprocess.run` of `python *args` with its output captured as text"
        p = self.start(*args, **kw)
        out,err = p.communicate(timeout=timeout)
        if check and p.returncode: raise AssertionError(f"{' '.join(map(str, args))[-300:]} ended with {p.returncode}:\n{out[-2000:]}\n{err[-4000:]}")
        return subprocess.CompletedProcess(args, p.returncode, out, err)
    def close(self):
        if self.line: self.line.close()
        if self.server: end_server(*self.server)

class Program:
    "As much of `subprocess.Popen` as tests use"
    def __init__(self, args, pid, folder): self.args,self.pid,self.folder,self.returncode = args,pid,folder,None
    def poll(self):
        if self.returncode is None and (self.folder/"code").exists(): self.returncode = int((self.folder/"code").read_text())
        return self.returncode
    def wait(self, timeout=300):
        until = time.time()+timeout
        while self.poll() is None:
            if time.time()>until: self.kill(); raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(.02)
        return self.returncode
    def send_signal(self, sig):
        if self.poll() is None: os.kill(self.pid, sig)
    def kill(self): self.send_signal(signal.SIGKILL)
    def communicate(self, timeout=300):
        self.wait(timeout)
        return tuple((self.folder/o).read_text() for o in ("out", "err"))

def become(o):
    "Be the program that was asked for: what to run, and its globals"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(o["cwd"])
    os.environ.clear(); os.environ.update(o["env"])
    for fd,name in ((1, "out"), (2, "err")):
        f = os.open(Path(o["dir"])/name, os.O_WRONLY|os.O_CREAT|os.O_APPEND)
        os.dup2(f, fd); os.close(f)
    os.dup2(null := os.open(os.devnull, os.O_RDONLY), 0); os.close(null)
    main,args = types.ModuleType("__main__"),o["args"]
    if args[0]=="-c": src,sys.argv,sys.path[0] = args[1],["-c", *args[2:]],""
    else: src,sys.argv,sys.path[0],main.__file__ = Path(args[0]).read_text(),args,str(Path(args[0]).parent),args[0]
    sys.modules["__main__"] = main
    return compile(src, getattr(main, "__file__", "<string>"), "exec"),main.__dict__

def serve(address):
    "Fork for every line; the program to be, in the process that is to be it"
    import soccerkd.all, soccerkd.deploy.cli # What programs would wait for
    gc.collect(); gc.freeze() # Programs need not look through it
    door = socket.socket(socket.AF_UNIX)
    door.bind(address); door.listen()
    left,lines = {},{} # Programs that run; what came in so far, by connection
    while True:
        for o in select.select([0, door, *lines], [], [], .02)[0]:
            if o==0: return None # Whoever started this has ended
            if o is door: lines[door.accept()[0]] = b""; continue
            if not (got := o.recv(1<<16)): del lines[o]; o.close(); continue
            *whole,lines[o] = (lines[o]+got).split(b"\n")
            for line in whole:
                asked = json.loads(line)
                if not (pid := os.fork()):
                    for c in (door, *lines): c.close()
                    return asked
                left[pid] = Path(asked["dir"])
                o.sendall(f"{pid}\n".encode())
        while left:
            pid,status = os.waitpid(-1, os.WNOHANG)
            if not pid: break
            (d := left.pop(pid)).joinpath("code.part").write_text(str(os.waitstatus_to_exitcode(status)))
            (d/"code.part").rename(d/"code")

if __name__=="__main__":
    if (asked := serve(sys.argv[1])): exec(*become(asked)) # As the outermost frame, so that it ends as a program does
