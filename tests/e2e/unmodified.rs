//! Programs of a distribution, as it ships them, under the default filter and capabilities: they notice nothing.
//!
//! Their files are those of this machine: a root of nothing but `/usr` and `/etc`, read-only. What each is made to do is
//! what runtimes of its kind do to a kernel: threads and their names, pools of processes, event loops, timers,
//! sockets, other users.

use crate::program::pipkin;
use libtest_mimic::{Completion, Failed, Trial};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs};

pub(crate) fn cases() -> Vec<Trial> {
    // The test machine has no distribution in it.
    if env::var_os("PIPKIN_VM").is_some() {
        return Vec::new();
    }
    PROGRAMS
        .iter()
        .map(|program| {
            Trial::ignorable_test(format!("unmodified::{}", program.name), move || program.try_it())
        })
        .collect()
}

struct Program {
    name: &'static str,
    file: &'static str,
    /// For the shell of the distribution; what it prints last is `fine`.
    script: &'static str,
}

const PROGRAMS: [Program; 6] = [
    Program {
        name: "python",
        file: "/usr/bin/python3",
        script: r#"exec python3 -c '
import asyncio, ctypes, mmap, multiprocessing, os, select, signal, socket, subprocess, threading, time
# The name of a thread (prctl PR_SET_NAME), which a debugger shows.
ctypes.CDLL(None).prctl(15, b"kettle")
assert open("/proc/thread-self/comm").read() == "kettle\n"
threads = [threading.Thread(target=time.sleep, args=(0.01,)) for _ in range(16)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
with multiprocessing.get_context("fork").Pool(4) as pool:
    assert pool.map(abs, range(-9, 0)) == list(range(9, 0, -1))
assert subprocess.run(["true"]).returncode == 0
page = mmap.mmap(-1, 4096); page[:4] = b"tea!"; page.close()
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname())
client.sendall(b"x"); assert server.accept()[0].recv(1) == b"x"
left, right = socket.socketpair(); poll = select.epoll(); poll.register(left); right.send(b"x"); assert poll.poll(1)
caught = []; signal.signal(signal.SIGALRM, lambda *_: caught.append(1)); signal.setitimer(signal.ITIMER_REAL, 0.01)
asyncio.run(asyncio.sleep(0.05)); assert caught
os.sched_setaffinity(0, os.sched_getaffinity(0)); os.memfd_create("x"); os.getrandom(8)
os.setresgid(33, 33, 33); os.setresuid(33, 33, 33); assert os.getuid() == 33
print("fine")'"#,
    },
    Program {
        name: "node",
        file: "/usr/bin/node",
        script: r#"exec node -e '
const { Worker } = require("worker_threads"), crypto = require("crypto"), fs = require("fs"), http = require("http");
process.title = "kettle";
const work = new Promise((done) => new Worker("require(\"worker_threads\").parentPort.postMessage(7)", { eval: true }).on("message", done));
const pool = Promise.all([1, 2, 3, 4, 5].map((n) => new Promise((done) => crypto.pbkdf2("a", String(n), 1000, 32, "sha256", done))));
const file = fs.promises.readFile("/etc/passwd");
const web = new Promise((done) => { const server = http.createServer((_, answer) => answer.end("tea")).listen(0, "127.0.0.1", () =>
    http.get({ port: server.address().port, host: "127.0.0.1" }, (answer) => { answer.resume(); answer.on("end", () => { server.closeAllConnections(); server.close(); done(); }); })); });
const child = new Promise((done) => require("child_process").exec("true", done));
Promise.all([work, pool, file, web, child]).then(() => { console.log("fine"); process.exit(0); });'"#,
    },
    Program {
        name: "go",
        file: "/usr/bin/fzf",
        script: "seq 100000 | GOMAXPROCS=4 fzf --filter 4242 | grep -qx 4242 && echo fine",
    },
    Program {
        name: "openssl",
        file: "/usr/bin/openssl",
        script: "cd /tmp; openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=pot -days 1 2> log || cat log
            openssl s_server -accept 4433 -key key -cert cert -quiet -www > log 2>&1 &
            for attempt in $(seq 100); do
                echo GET / | openssl s_client -connect 127.0.0.1:4433 -CAfile cert -verify_return_error > said 2>&1 && break
                sleep 0.2
            done
            grep -q 'Verify return code: 0' said && openssl speed -seconds 1 -multi 2 -bytes 64 sha256 > log 2>&1 && echo fine || cat said log",
    },
    Program {
        name: "nginx",
        file: "/usr/sbin/nginx",
        script: r#"cd /tmp; mkdir -p logs www; echo tea > www/pot; chmod -R a+rX www
            cat > nginx.conf <<-END
            user www-data; worker_processes 2; pid /tmp/pid; error_log /tmp/log; events { worker_connections 64; }
            http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
                uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; sendfile on;
                server { listen 127.0.0.1:8080; root /tmp/www; } }
END
            nginx -c /tmp/nginx.conf || cat log
            for attempt in $(seq 100); do
                bash -c 'exec 3<> /dev/tcp/127.0.0.1/8080; printf "GET /pot HTTP/1.0\r\n\r\n" >&3; cat <&3' > said 2> /dev/null && break
                sleep 0.2
            done
            nginx -c /tmp/nginx.conf -s quit; grep -qx tea said && echo fine || cat said log"#,
    },
    Program {
        name: "perl",
        file: "/usr/bin/perl",
        script: r#"exec perl -MSocket -MPOSIX -e '$0 = "kettle"; my $pid = fork // die; exit 3 unless $pid; waitpid $pid, 0;
            die unless WEXITSTATUS($?) == 3; socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
            local $SIG{ALRM} = sub { print "fine\n"; exit 0 }; alarm 1; select undef, undef, undef, 5'"#,
    },
];

impl Program {
    fn try_it(&self) -> Result<Completion, Failed> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Completion::ignored_with("only root can run a container here"));
        }
        if !Path::new(self.file).exists() {
            return Ok(Completion::ignored_with(format!("needs {}", self.file)));
        }
        let image = image()?;
        let mut run = pipkin();
        run.args(["run", "--rm", "-v", "/usr:/usr:ro", "-v", "/etc:/etc:ro", "--tmpfs", "/tmp:exec"]);
        run.args(["-e", "PATH=/usr/bin:/usr/sbin"]).arg(&image).args(["/usr/bin/sh", "-c", self.script]);
        let output = run.output();
        fs::remove_dir_all(&image)?;
        let output = output?;
        if output.status.success() && output.stdout.ends_with(b"fine\n") {
            return Ok(Completion::Completed);
        }
        Err(format!("{output:?}").into())
    }
}

/// A root without anything but places.
fn image() -> Result<PathBuf, Failed> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let image = env::temp_dir().join(format!("pipkin-unmodified-{}-{number}", std::process::id()));
    for folder in ["usr", "etc", "tmp", "proc", "sys", "dev", "root", "var"] {
        fs::create_dir_all(image.join(folder))?;
    }
    for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
        symlink(format!("usr/{name}"), image.join(name))?;
    }
    Ok(image)
}
