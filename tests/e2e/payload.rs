//! What this program does inside a container, or in front of one. Static, so it runs in any image.

use crate::network::payload as network;
use pipkin::sys::signal::{SignalSet, receive, set_mask, signalfd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{ioctl_tiocsctty, setsid};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// Runs the payload that `words` name and give arguments to.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["session", command @ ..] => session(command),
        ["signals", count] => signals(count.parse().expect("a number")),
        ["hungry", mebibytes] => hungry(mebibytes.parse().expect("a number")),
        ["bomb"] => bomb(),
        ["burn"] => burn(),
        ["limits", files @ ..] => limits(files),
        ["server", port] => server(port),
        ["client", port] => client(port),
        ["answer", ports @ ..] => answer(ports),
        ["ask", transport, to, patience] => ask(transport, to, patience),
        ["fault"] => fault(),
        ["who"] => who(),
        ["list", folder] => list(folder),
        ["swap", place, link, target] => swap(place, link, target),
        ["watch", stop] => watch(stop),
        ["climb", jail] => climb(jail),
        ["overwrite", file] => overwrite(file),
        ["deface", pid] => deface(pid),
        ["spy", pid] => spy(pid),
        ["under-filter", call, errno, command @ ..] => under_filter(call, errno, command),
        ["show", file] => show(file),
        ["type", text, width] => type_ahead(text, *width == "wide"),
        ["unbounded"] => unbounded(),
        ["securebits"] => securebits(),
        ["advertise", interface] => advertise(interface),
        ["from-group", group, user, command @ ..] => from_group(group, user, command),
        ["under-securebits", bits, command @ ..] => under_securebits(bits, command),
        _ => panic!("no payload {words:?}"),
    }
}

/// Becomes `command` in a session of its own, whose terminal is standard input.
fn session(command: &[&str]) -> ExitCode {
    setsid().expect("a session");
    ioctl_tiocsctty(std::io::stdin()).expect("a controlling terminal");
    let error = Command::new(command[0]).args(&command[1..]).exec();
    panic!("{command:?}: {error}");
}

/// Becomes `command`, in this cgroup and as this user.
fn from_group(group: &str, user: &str, command: &[&str]) -> ExitCode {
    fs::write(format!("{group}/cgroup.procs"), "0").expect("the cgroup");
    let user = user.parse().expect("a user id");
    let error = Command::new(command[0]).args(&command[1..]).uid(user).gid(user).exec();
    panic!("{command:?}: {error}");
}

/// Says `ready`, then the number of each of `count` signals.
fn signals(count: usize) -> ExitCode {
    set_mask(SignalSet::ALL).expect("a mask");
    let signals = signalfd(SignalSet::ALL).expect("a signalfd");
    println!("ready");
    for _ in 0..count {
        poll(&mut [PollFd::new(&signals, PollFlags::IN)], None).expect("a poll");
        let received = receive(&signals).expect("a signal").expect("one that was there");
        println!("{}", received.signal);
    }
    ExitCode::SUCCESS
}

/// Says its real and its effective user id.
fn who() -> ExitCode {
    println!("{} {}", rustix::process::getuid(), rustix::process::geteuid());
    ExitCode::SUCCESS
}

/// Ends by a fault of its own: as PID 1, abort(3) gets past its own signal, which does nothing there, to an
/// instruction that the processor refuses.
fn fault() -> ExitCode {
    std::process::abort()
}

/// Says what is in a folder.
fn list(folder: &str) -> ExitCode {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names.iter().for_each(|name| println!("{}", name.display()));
    ExitCode::SUCCESS
}

/// Lets a directory and a link to `target` take each other's place, again and again.
fn swap(place: &str, link: &str, target: &str) -> ExitCode {
    fs::create_dir(place).expect("a directory");
    std::os::unix::fs::symlink(target, link).expect("a link");
    println!("ready");
    loop {
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, place, rustix::fs::CWD, link, exchange)
            .expect("an exchange");
    }
}

/// Looks at every other process, until there is a file called `stop`, for directories that are not ours: open ones, the
/// working directory and the root. Says how many processes it looked at.
fn watch(stop: &str) -> ExitCode {
    println!("ready");
    let top = fs::metadata("/").expect("the root");
    let mut seen = std::collections::BTreeSet::new();
    let mut program = None;
    while fs::metadata(stop).is_err() {
        for process in fs::read_dir("/proc").expect("the processes").flatten() {
            let number = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            let Some(number) = number.filter(|number| *number != 1) else { continue };
            seen.insert(number);
            let open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            refuse_writing(&process.path().join("exe"), &mut program);
            let links = ["cwd", "root"].map(|link| process.path().join(link));
            for link in open.map(|entry| entry.path()).chain(links) {
                if let Some(found) = fs::metadata(&link).ok().filter(fs::Metadata::is_dir) {
                    let target = fs::read_link(&link);
                    assert_eq!(found.dev(), top.dev(), "{}: {target:?}", link.display());
                }
            }
        }
    }
    // Those who ran it are gone: it can no longer be busy.
    if let Some(program) = program {
        println!("held");
        let held = format!("/proc/self/fd/{}", program.as_raw_fd());
        let target = fs::read_link(&held);
        let opened = fs::OpenOptions::new().append(true).open(held);
        assert!(opened.is_err(), "their program, {target:?}, can be written to");
    }
    println!("processes {}", seen.len());
    ExitCode::SUCCESS
}

/// Makes sure that a process's program cannot be written to, unless it is one of the container's, and holds on to it: the
/// path of the link leads to something else here, or nowhere. One of the container's is not tried: it can be written to
/// whenever nobody runs it, and nobody could run it meanwhile.
fn refuse_writing(link: &std::path::Path, held: &mut Option<fs::File>) {
    let (Ok(opened), Ok(target)) = (fs::File::open(link), fs::read_link(link)) else { return };
    let inode = |data: fs::Metadata| (data.dev(), data.ino());
    if fs::metadata(target).map(inode).ok() == opened.metadata().map(inode).ok() {
        return;
    }
    let again = format!("/proc/self/fd/{}", opened.as_raw_fd());
    assert!(fs::OpenOptions::new().append(true).open(again).is_err(), "{} can be written to", link.display());
    if held.is_none() {
        *held = Some(opened);
    }
}

/// Climbs out of a chroot, and says where it came out.
fn climb(jail: &str) -> ExitCode {
    let inode = |path: &str| fs::metadata(path).map(|data| (data.dev(), data.ino())).expect("a folder");
    let container = inode("/");
    rustix::process::chroot(jail).expect("a chroot");
    for _ in 0..64 {
        std::env::set_current_dir("..").expect("a folder above");
    }
    let same = inode(".") == container;
    println!("{}", if same { "the root of the container" } else { "somewhere else" });
    ExitCode::SUCCESS
}

/// Replaces a file's content.
fn overwrite(file: &str) -> ExitCode {
    fs::write(file, "evil").expect("a file written");
    println!("overwritten");
    ExitCode::SUCCESS
}

/// Spoils the program file of a process, its contents or at least its mode, as far as it can.
fn deface(pid: &str) -> ExitCode {
    let exe = format!("/proc/{pid}/exe");
    let written = fs::OpenOptions::new().write(true).open(&exe).and_then(|mut file| file.write_all(b"evil"));
    let changed = fs::set_permissions(&exe, fs::Permissions::from_mode(0o700));
    println!("written: {written:?}, changed: {changed:?}");
    ExitCode::SUCCESS
}

/// Says what it can see of another process, and whether it could change its memory.
fn spy(pid: &str) -> ExitCode {
    let path = |name| format!("/proc/{pid}/{name}");
    for link in ["exe", "root", "cwd", "fd/1"] {
        if fs::read_link(path(link)).is_ok() {
            print!("{link} ");
        }
    }
    for file in ["environ", "maps"] {
        if fs::read(path(file)).is_ok() {
            print!("{file} ");
        }
    }
    // For writing, as only who may trace it can.
    if fs::OpenOptions::new().write(true).open(path("mem")).is_ok() {
        print!("mem ");
    }
    println!();
    ExitCode::SUCCESS
}

/// Becomes `command` under a filter that answers one system call with an errno.
fn under_filter(call: &str, errno: &str, command: &[&str]) -> ExitCode {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let (call, errno) = (number(call), number(errno));
    // BPF_LD the number; BPF_JEQ with it, or skip one; SECCOMP_RET_ERRNO; SECCOMP_RET_ALLOW (linux/filter.h).
    let program =
        [0x20, 0x0100_0015 | call << 32, 0x0005_0000_0000_0006 | errno << 32, 0x7fff_0000_0000_0006];
    pipkin::sys::seccomp::install(&program, pipkin::sys::seccomp::Flags::default()).expect("a filter");
    let error = Command::new(command[0]).args(&command[1..]).exec();
    panic!("{command:?}: {error}");
}

/// Says what is in a file.
fn show(file: &str) -> ExitCode {
    print!("{}", fs::read_to_string(file).expect("a file"));
    ExitCode::SUCCESS
}

/// Types `text` into the terminal it reads from, as if the user had, and says `tried`.
fn type_ahead(text: &str, wide: bool) -> ExitCode {
    let typed = text.bytes().map(|byte| pipkin::sys::attempt::type_ahead(std::io::stdin(), byte, wide));
    let refused = typed.filter(rustix::io::Result::is_err).count();
    println!("tried, refused {refused} times");
    ExitCode::SUCCESS
}

/// Says which writable file systems in memory have no size.
fn unbounded() -> ExitCode {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    // A file of a host's file system in memory, shown by a bind, is not this container's to fill.
    let whole = mounts.lines().filter(|line| line.split(' ').nth(3) == Some("/"));
    let in_memory = whole.filter(|line| line.contains(" - tmpfs ") && !line.contains(" ro,"));
    in_memory.filter(|line| !line.contains("size=")).for_each(|line| println!("{line}"));
    ExitCode::SUCCESS
}

/// Takes and uses memory, a mebibyte at a time.
fn hungry(mebibytes: usize) -> ExitCode {
    let mut held = Vec::new();
    for eaten in 1..=mebibytes {
        held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        println!("{eaten}");
    }
    ExitCode::SUCCESS
}

/// Multiplies until the kernel has refused a hundred times, and says what the group holds then.
fn bomb() -> ExitCode {
    let mut refused = 0;
    while refused < 100 {
        if Command::new("/e2e").args(["--payload", "bomb"]).spawn().is_err() {
            refused += 1;
        }
    }
    if std::process::id() == 1 {
        limits(&["pids.max", "pids.current", "pids.events"]);
    } else {
        // A bomb's children stay: the group is full until PID 1 ends.
        loop {
            rustix::event::pause();
        }
    }
    ExitCode::SUCCESS
}

/// Keeps a CPU busy until the kernel has taken it away three times, and says how often.
fn burn() -> ExitCode {
    loop {
        let stat = fs::read_to_string("/sys/fs/cgroup/cpu.stat").expect("cpu.stat");
        let field = |name: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(name)).expect("a counter");
            line.trim().parse::<u64>().expect("a number")
        };
        if field("nr_throttled ") >= 3 {
            println!("nr_throttled {}", field("nr_throttled "));
            println!("throttled_usec {}", field("throttled_usec "));
            return ExitCode::SUCCESS;
        }
        for number in 0..1_000_000_u64 {
            std::hint::black_box(number);
        }
    }
}

/// Says which group it is in, then what these files of it hold, one line each.
fn limits(files: &[&str]) -> ExitCode {
    let own = fs::read_to_string("/proc/self/cgroup").expect("our group");
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).expect("a v2 group").to_owned();
    println!("{own}");
    for file in files {
        let text = fs::read_to_string(format!("/sys/fs/cgroup/{file}")).unwrap_or_else(|e| e.to_string());
        println!("{file} {}", text.trim().replace('\n', " "));
    }
    ExitCode::SUCCESS
}

/// Sends one client back what it says, in capitals.
fn server(port: &str) -> ExitCode {
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("a port");
    println!("listening");
    let (mut client, _) = listener.accept().expect("a client");
    let mut said = String::new();
    client.read_to_string(&mut said).expect("what it says");
    client.write_all(said.to_uppercase().as_bytes()).expect("an answer");
    ExitCode::SUCCESS
}

/// Answers on these ports under the name of this host, for ever.
fn answer(ports: &[&str]) -> ExitCode {
    let ports: Vec<u16> = ports.iter().map(|port| port.parse().expect("a port")).collect();
    network::answer(&rustix::system::uname().nodename().to_string_lossy(), &ports);
    loop {
        rustix::event::pause();
    }
}

/// Says what one that answers said, or why it did not.
fn ask(transport: &str, to: &str, patience: &str) -> ExitCode {
    let patience = if patience == "long" { network::LONG } else { network::SHORT };
    match network::ask(transport, to.parse().expect("where"), patience) {
        Ok(answer) => println!("{answer}"),
        Err(why) => println!("{why:?}"),
    }
    ExitCode::SUCCESS
}

/// Says something to the server and prints the answer.
fn client(port: &str) -> ExitCode {
    let mut server = TcpStream::connect(format!("127.0.0.1:{port}")).expect("a server");
    server.write_all(b"hello from the client").expect("a word sent");
    server.shutdown(std::net::Shutdown::Write).expect("the end of it");
    let mut answer = String::new();
    server.read_to_string(&mut answer).expect("an answer");
    println!("{answer}");
    ExitCode::SUCCESS
}

/// Says its securebits (capabilities(7)).
fn securebits() -> ExitCode {
    println!("{:#x}", rustix::thread::capabilities_secure_bits().expect("the bits").bits());
    ExitCode::SUCCESS
}

/// Becomes `command`, with all the capabilities that it has and these securebits.
fn under_securebits(bits: &str, command: &[&str]) -> ExitCode {
    use rustix::thread::{self, CapabilitiesSecureBits};
    let mut sets = thread::capabilities(None).expect("the sets");
    sets.inheritable = sets.permitted;
    thread::set_capabilities(None, sets).expect("inheritable ones");
    for set in sets.permitted.iter() {
        thread::configure_capability_in_ambient_set(set, true).expect("an ambient one");
    }
    let bits = CapabilitiesSecureBits::from_bits_retain(bits.parse().expect("a number"));
    thread::set_capabilities_secure_bits(bits).expect("securebits");
    let error = Command::new(command[0]).args(&command[1..]).exec();
    panic!("{command:?}: {error}");
}

/// Claims to everybody on the network of `interface` to be a router (RFC 4861, 4.2), a few times: at first the interface
/// has no address that such a claim can come from.
fn advertise(interface: &str) -> ExitCode {
    use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};
    const ALL_NODES: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    // Type 134, checksum by the kernel, 64 hops, half an hour as the default router.
    const CLAIM: [u8; 16] = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let index = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).expect("its number");
    let to = std::net::SocketAddrV6::new(ALL_NODES, 0, 0, index.trim().parse().expect("a number"));
    let socket = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).expect("a raw socket");
    // Routers are believed only when no other router has passed it on.
    sockopt::set_ipv6_multicast_hops(&socket, 255).expect("255 hops");
    for _ in 0..12 {
        sendto(&socket, &CLAIM, SendFlags::empty(), &to).map(drop).unwrap_or(());
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    ExitCode::SUCCESS
}
