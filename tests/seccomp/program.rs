//! The programs, and what each must manage to do.

use super::UNDER_FILTER;
use libtest_mimic::{Completion, Failed, Trial};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// CPython: threads with names, child processes, event loop, sockets, shared memory, TLS library.
const PYTHON: &str = r"
import asyncio, concurrent.futures, ctypes, mmap, multiprocessing, os, resource, signal, socket, ssl, subprocess
import tempfile, threading, time
assert subprocess.run(['true']).returncode == 0
assert subprocess.check_output('echo deep', shell=True) == b'deep\n'
thread = threading.Thread(target=lambda: ctypes.CDLL(None).prctl(15, b'named', 0, 0, 0)); thread.start(); thread.join()
assert ctypes.CDLL(None).prctl(15, b'named', 0, 0, 0) == 0
assert open('/proc/self/comm').read() == 'named\n'
with concurrent.futures.ThreadPoolExecutor(8) as pool: assert sum(pool.map(lambda x: x * x, range(100))) == 328350
with multiprocessing.Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]
async def echo():
    server = await asyncio.start_server(lambda r, w: w.close(), '127.0.0.1', 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b''
    process = await asyncio.create_subprocess_exec('true')
    assert await process.wait() == 0
asyncio.run(echo())
socket.getaddrinfo('localhost', 80); socket.if_nameindex(); ssl.create_default_context()
with tempfile.TemporaryFile() as file:
    file.write(b'x' * 4096); file.flush(); os.sendfile(file.fileno(), file.fileno(), 0, 10)
    assert mmap.mmap(file.fileno(), 4096)[0] == 120
signal.setitimer(signal.ITIMER_REAL, 10); resource.getrlimit(resource.RLIMIT_NOFILE); os.sched_getaffinity(0)
os.memfd_create('m'); os.eventfd(0); os.pidfd_open(os.getpid()); os.getrandom(8); os.nice(0)
print('managed')
";

/// Node: worker threads, child processes, HTTP over loopback, files.
const NODE: &str = r"
const { Worker } = require('worker_threads'), http = require('http'), fs = require('fs'), os = require('os');
require('child_process').execFileSync('true'); os.networkInterfaces(); os.cpus();
const server = http.createServer((q, r) => r.end('served')).listen(0, '127.0.0.1', () => {
  http.get({ port: server.address().port }, r => r.on('data', d => {
    const worker = new Worker('require(\'worker_threads\').parentPort.postMessage(40 + 2)', { eval: true });
    worker.on('message', async m => {
      await fs.promises.readFile('/proc/self/status');
      console.log(d + '' === 'served' && m === 42 ? 'managed' : 'failed'); process.exit();
    });
  }));
});
";

/// Java: a compiled class, its garbage collector and compiler threads, a process, a socket, a direct buffer.
const JAVA: &str = r#"
import java.net.*;
public class Managed {
  public static void main(String[] a) throws Exception {
    Thread[] threads = new Thread[16];
    for (int i = 0; i < 16; i++) { threads[i] = new Thread(() -> { byte[] b = new byte[1 << 20]; }, "worker"); threads[i].start(); }
    for (Thread t : threads) t.join();
    if (new ProcessBuilder("true").start().waitFor() != 0) throw new Exception("process");
    try (ServerSocket s = new ServerSocket(0); Socket c = new Socket("127.0.0.1", s.getLocalPort())) { s.accept().close(); }
    NetworkInterface.getNetworkInterfaces(); java.nio.ByteBuffer.allocateDirect(1 << 20); System.gc();
    System.out.println("managed");
  }
}
"#;

/// Busybox's shell and tools, as in a small image.
const SHELL: &str = "set -e; d=$(mktemp -d); cd $d; trap 'rm -r $d' EXIT; mkdir a; echo x > a/b; ln -s b a/c; \
    cp -a a e; tar cf t e; tar tf t | grep -q e/b; ( sleep 0 & wait ); mkfifo f; (echo y > f &) ; test $(cat f) = y; \
    chmod 700 a; touch -d 2001-01-01 a/b; ps >/dev/null; ifconfig lo >/dev/null; hostname >/dev/null; dd if=/dev/zero \
    of=z bs=4k count=2 2>/dev/null; find . | sort | wc -l >/dev/null; echo managed";

const NGINX: &str = "daemon off; pid nginx.pid; error_log error.log; worker_processes 2;
events { worker_connections 16; }
http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;
       scgi_temp_path s; sendfile on; aio threads;
       server { listen unix:socket; location / { root .; } } }
";

pub(super) fn cases() -> Vec<Trial> {
    vec![
        printing("python", &["python3", "-c", PYTHON]),
        printing("node", &["node", "-e", NODE]),
        printing("busybox", &["busybox", "sh", "-c", SHELL]),
        printing(
            "perl",
            &["perl", "-e", "system('true') == 0 or die; fork // die; wait; print \"managed\\n\" if $$"],
        ),
        case("java", java),
        case("openssl", openssl),
        case("go", go),
        case("nginx", nginx),
    ]
}

fn case(name: &str, test: fn(&Path) -> Outcome) -> Trial {
    let folder = env::temp_dir().join(format!("pipkin-seccomp-{}-{name}", std::process::id()));
    Trial::ignorable_test(name, move || {
        fs::create_dir(&folder)?;
        let outcome = test(&folder);
        fs::remove_dir_all(&folder)?;
        outcome
    })
}

type Outcome = Result<Completion, Failed>;

/// A case in which `command` prints a last line `managed`.
fn printing(name: &str, command: &'static [&str]) -> Trial {
    Trial::ignorable_test(name, move || {
        let Some(run) = under_filter(command)? else { return absent(command[0]) };
        expect(run, command[0])
    })
}

/// The command that runs `command` under the filter; none when the program is not installed.
fn under_filter(command: &[&str]) -> Result<Option<Command>, Failed> {
    let path = env::var_os("PATH").unwrap_or_default();
    if !env::split_paths(&path).any(|folder| folder.join(command[0]).is_file()) {
        return Ok(None);
    }
    let mut run = Command::new(env::current_exe()?);
    run.arg(UNDER_FILTER).args(command).stdin(Stdio::null());
    Ok(Some(run))
}

fn absent(program: &str) -> Outcome {
    Ok(Completion::ignored_with(format!("{program} is not installed")))
}

fn expect(mut run: Command, what: &str) -> Outcome {
    let output = run.output()?;
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() && said.lines().last() == Some("managed") {
        return Ok(Completion::Completed);
    }
    Err(format!("{what}: {}\n{said}{complained}", output.status).into())
}

fn java(folder: &Path) -> Outcome {
    fs::write(folder.join("Managed.java"), JAVA)?;
    let Some(mut compile) = under_filter(&["javac", "Managed.java"])? else { return absent("javac") };
    if !compile.current_dir(folder).status()?.success() {
        return Err("javac failed".into());
    }
    let Some(mut run) = under_filter(&["java", "Managed"])? else { return absent("java") };
    run.current_dir(folder);
    expect(run, "java")
}

fn openssl(folder: &Path) -> Outcome {
    let line = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout k -out c 2>/dev/null && \
                openssl verify -CAfile c c >/dev/null && openssl speed -seconds 1 -multi 2 sha256 >/dev/null 2>&1 && \
                echo managed";
    if under_filter(&["openssl"])?.is_none() {
        return absent("openssl");
    }
    let Some(mut run) = under_filter(&["sh", "-c", line])? else { return absent("sh") };
    run.current_dir(folder);
    expect(run, "openssl")
}

/// Whatever program in Go the distribution has: its run-time makes threads, timers and an epoll loop at start.
fn go(folder: &Path) -> Outcome {
    for (program, arguments) in [("runc", "spec"), ("podman", "--version"), ("containerd", "--version")] {
        let Some(mut run) = under_filter(&[program, arguments])? else { continue };
        if !run.current_dir(folder).stdout(Stdio::null()).status()?.success() {
            return Err(format!("{program} {arguments} failed").into());
        }
        return Ok(Completion::Completed);
    }
    absent("a program in Go")
}

/// A server that is told to end, with its workers, when the case does.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let told = rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), Signal::TERM);
        let ended = self.0.wait();
        assert!(told.is_ok() && ended.is_ok(), "the server is left: {told:?}, {ended:?}");
    }
}

fn nginx(folder: &Path) -> Outcome {
    fs::write(folder.join("nginx.conf"), NGINX)?;
    fs::write(folder.join("index.html"), "managed\n")?;
    let prefix = format!("{}/", folder.display());
    let Some(mut run) = under_filter(&["nginx", "-p", &prefix, "-c", "nginx.conf", "-e", "error.log"])?
    else {
        return absent("nginx");
    };
    let mut server = Server(run.current_dir(folder).spawn()?);
    let answer = ask(&folder.join("socket"), &mut server)?;
    if answer.ends_with("managed\n") {
        return Ok(Completion::Completed);
    }
    Err(format!("{answer}\n{}", fs::read_to_string(folder.join("error.log"))?).into())
}

/// Asks the server behind `socket` for its index page as soon as it listens.
fn ask(socket: &PathBuf, server: &mut Server) -> Result<String, Failed> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut connection = loop {
        match UnixStream::connect(socket) {
            Ok(connection) => break connection,
            Err(error) if Instant::now() > deadline || server.0.try_wait()?.is_some() => {
                return Err(error.into());
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    };
    connection.set_read_timeout(Some(Duration::from_secs(20)))?;
    connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}
