//! What passes between a container and the host, and between two containers, beside links made by hand.

use super::super::contender::Ground;
use super::super::figure::{Bar, Figure, Findings};
use super::super::sample::percentile;
use super::super::standing::{NAME, Standing, WAIT};
use crate::command;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Measurements of each way, in turns, a second each: what a single one shows differs by a tenth and more.
const ROUNDS: usize = 25;
const DEADLINE: Duration = Duration::from_secs(10);

/// Two places, one of which serves the other.
struct Way {
    name: &'static str,
    /// Whose network the server has.
    server: u32,
    /// Where it listens.
    address: String,
    /// Whose network the client has.
    client: u32,
}

/// Measures with iperf3, where it is.
///
/// # Errors
/// Links that cannot be made, an iperf3 that fails.
pub(super) fn measure(ground: &Ground, standing: &Standing<'_>) -> Result<Findings> {
    let mut text = String::from("\n# TCP, by iperf3\n\n");
    if Command::new("iperf3").arg("--version").stdout(Stdio::null()).status().is_err() {
        writeln!(text, "iperf3 is not installed here.")?;
        return Ok(Findings { text, ..Findings::default() });
    }
    let second = Second::start(ground)?;
    let by_hand = [ByHand::new("172.20.250.1", "hand1")?, ByHand::new("172.20.250.2", "hand2")?];
    let host = std::process::id();
    let own = address(ground, NAME)?;
    let way = |name, server, address: &str, client| Way { name, server, address: address.to_owned(), client };
    let [one, other] = &by_hand;
    let ways = [
        way("host to container", standing.pid, &own, host),
        way("host to a pair made by hand", one.pid(), one.address, host),
        way("container to container", standing.pid, &own, second.pid),
        way("between pairs made by hand", one.pid(), one.address, other.pid()),
    ];
    let mut seen = vec![Vec::new(); ways.len()];
    for round in 0..ROUNDS {
        // Neither of two that are compared is always the first.
        for place in [[0, 1, 2, 3], [1, 0, 3, 2]][round % 2] {
            seen[place].push(ways[place].measure()?);
        }
    }
    writeln!(text, "{ROUNDS} rounds in turns, of a second each.\n\n| way | Mbit/s, median |\n|---|---:|")?;
    let medians: Vec<u64> = seen.iter().map(|seen| percentile(seen, 50)).collect();
    for (way, median) in ways.iter().zip(&medians) {
        writeln!(text, "| {} | {median} |", way.name)?;
    }
    let [to_host, to_hand, between, between_hands] = &seen[..] else { return Ok(Findings::default()) };
    // Round by round, since the whole machine is faster in one than in another.
    let figure = |what, own: &[u64], other: &[u64]| {
        let ratios: Vec<u64> = own.iter().zip(other).map(|(own, other)| own * 1000 / other.max(&1)).collect();
        Figure { what, seen: percentile(&ratios, 50) as f64 / 1000.0, bar: Bar::AtLeast(0.97) }
    };
    let figures = vec![
        figure("host to container, to a pair made by hand", to_host, to_hand),
        figure("container to container, to pairs made by hand", between, between_hands),
    ];
    Ok(Findings { text, picture: None, figures })
}

impl Way {
    /// Megabits in a second.
    fn measure(&self) -> Result<u64> {
        let of = |pid: u32| {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/proc/{pid}/ns/net")).arg("iperf3");
            command
        };
        let mut server = of(self.server);
        server.args(["--server", "--bind", &self.address]).stdout(Stdio::null());
        let _server = Ended(server.spawn().context("starting iperf3")?);
        let start = Instant::now();
        loop {
            let mut client = of(self.client);
            client.args(["--client", &self.address, "--time", "1", "--json", "--connect-timeout", "1000"]);
            let told = client.output().context("starting iperf3")?;
            // With an error it has no such number, and yet ends with 0.
            let said: Option<Value> = serde_json::from_slice(&told.stdout).ok();
            let bits =
                said.as_ref().and_then(|said| said.pointer("/end/sum_received/bits_per_second")?.as_f64());
            if let Some(bits) = bits {
                return Ok((bits / 1e6) as u64);
            }
            // It may not listen yet.
            if start.elapsed() > DEADLINE {
                anyhow::bail!("iperf3 does not work here: {}", String::from_utf8_lossy(&told.stdout));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A second container.
struct Second<'g> {
    ground: &'g Ground,
    pid: u32,
}

const SECOND: &str = "pipkin-bench-second";

impl<'g> Second<'g> {
    fn start(ground: &'g Ground) -> Result<Self> {
        let mut run = Command::new(&ground.pipkin);
        command::output(run.args(["run", "-d", "--name", SECOND]).arg(&ground.rootfs).args(WAIT))?;
        let pid = fact(ground, SECOND, "/PID")?.as_u64().context("its pid")?;
        Ok(Self { ground, pid: u32::try_from(pid)? })
    }
}

impl Drop for Second<'_> {
    fn drop(&mut self) {
        let mut remove = Command::new(&self.ground.pipkin);
        if command::output(remove.args(["rm", "-f", SECOND])).is_err() {
            eprintln!("xtask: {SECOND} is left behind");
        }
    }
}

fn fact(ground: &Ground, name: &str, path: &str) -> Result<Value> {
    let told = command::output(Command::new(&ground.pipkin).args(["inspect", name]))?;
    let told: Value = serde_json::from_str(&told).context("reading what inspect says")?;
    told.pointer(path).cloned().with_context(|| format!("looking for {path}"))
}

fn address(ground: &Ground, name: &str) -> Result<String> {
    let address = fact(ground, name, "/Network/IP")?;
    let address = address.as_str().and_then(|address| address.split_once('/')).context("its address")?;
    Ok(address.0.to_owned())
}

/// A process in a network namespace, joined to the bridge as `ip` does it.
struct ByHand {
    process: Ended,
    address: &'static str,
}

impl ByHand {
    fn new(address: &'static str, link: &str) -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sleep", "100000"]).stdin(Stdio::null());
        let by_hand = Self { process: Ended(unshare.spawn().context("starting unshare")?), address };
        let pid = by_hand.pid().to_string();
        let own = std::fs::read_link("/proc/self/ns/net")?;
        let start = Instant::now();
        while std::fs::read_link(format!("/proc/{pid}/ns/net"))? == own && start.elapsed() < DEADLINE {
            std::thread::sleep(Duration::from_millis(1));
        }
        let far = format!("peer name eth0 netns {pid}");
        let near = format!("link add {link} master {} type veth {far}", super::BRIDGE);
        for words in [near, format!("link set {link} up")] {
            command::run(Command::new("ip").args(words.split(' ')))?;
        }
        let add = format!("address add {address}/16 dev eth0");
        for words in ["link set lo up", &add, "link set eth0 up"] {
            let mut enter = Command::new("nsenter");
            enter.arg(format!("--net=/proc/{pid}/ns/net")).arg("ip").args(words.split(' '));
            command::run(&mut enter)?;
        }
        Ok(by_hand)
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// A program that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only for a process that has been waited for.
        if self.0.kill().is_ok() && self.0.wait().is_err() {}
    }
}
