//! Many commands at once on a few containers: no deadlock, no record lost, no wrong state, nothing left.
//!
//! A few seconds here; `PIPKIN_SOAK=300` makes it five minutes of 50 workers on 20 containers.

use crate::harness::{Case, Outcome, Running, alpine, cases, eventually, has_children, pipkin, reap_orphans};
use crate::program;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [any_verbs_at_once])
}

/// Why a verb may be refused while others change the same container. Each is a sentence that a user understands.
const REFUSALS: [&str; 15] = [
    "there is no such container",
    "there is none",
    "this name is in use",
    "it does not run",
    "it is paused",
    "it is running",
    "it is being started again",
    "another command starts it or takes it away just now",
    "it is being started or removed",
    "nobody saw how it ended",
    "it runs in the foreground",
    "No such process",
    "it has no cgroup of its own",
    "it was killed before its command ran",
    "it was made to be removed when it ends",
];

/// Numbers that look random; the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// One step: the words of a verb on container `name`.
fn words<'a>(dice: &mut Dice, name: &'a str, other: &'a str, image: &'a str) -> Vec<&'a str> {
    let run = ["run", "-d", "--net", "none", "--name", name];
    match dice.roll(22) {
        0..5 => [&run, &[image, "sleep", "1000"][..]].concat(),
        5 => [&run, &["--restart", "always", image, "sh", "-c", "sleep 0.2; exit 1"][..]].concat(),
        6 => [&run, &["--rm", image, "sleep", "0.1"][..]].concat(),
        7 => vec!["stop", "-t", "0", name],
        8 => vec!["kill", name],
        9 => vec!["rm", name],
        10 => vec!["rm", "-f", name],
        11 => vec!["pause", name],
        12 => vec!["resume", name],
        13 => vec!["start", name],
        14 => vec!["restart", "-t", "0", name],
        15 => vec!["exec", name, "true"],
        16 => vec!["logs", name],
        17 => vec!["inspect", name],
        18 => vec!["rename", name, other],
        19 => vec!["top", name],
        20 => vec!["stats", "--no-stream", name],
        _ => vec!["ps", "-a"],
    }
}

fn act(words: &[&str]) -> Outcome {
    let mut command = program::pipkin();
    command.args(words);
    Running::start(command, None).wait()
}

/// Refusals that nobody would understand.
fn judge(outcome: Outcome) {
    let told = outcome.told();
    // A command that runs inside may be killed with it.
    let killed = outcome.status.code() == Some(137) && told.is_empty();
    let known = outcome.status.success() || killed || REFUSALS.iter().any(|refusal| told.contains(refusal));
    assert!(known, "{outcome}");
}

/// What is listed is there: who is said to run has a process, unless that has just changed.
fn look_around() {
    let listed = || act(&["ps", "-a", "--format", "json"]).succeeds().json();
    let is_gone = |one: &serde_json::Value| {
        one["Status"] == "running" && !std::path::Path::new(&format!("/proc/{}", one["PID"])).exists()
    };
    let before = listed();
    let wrong: Vec<&serde_json::Value> =
        before.as_array().unwrap().iter().filter(|one| is_gone(one)).collect();
    if wrong.is_empty() {
        return;
    }
    std::thread::sleep(Duration::from_secs(2));
    let now = listed();
    for one in wrong {
        let same = now
            .as_array()
            .unwrap()
            .iter()
            .find(|other| other["ID"] == one["ID"] && other["PID"] == one["PID"]);
        assert!(same.is_none_or(|same| !is_gone(same)), "{same:?}");
    }
}

/// Counts a worker off when it ends, however that is.
struct Done<'a>(&'a AtomicU64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn any_verbs_at_once() {
    let seconds: Option<u64> = std::env::var("PIPKIN_SOAK").ok().and_then(|text| text.parse().ok());
    let (workers, containers) = if seconds.is_some() { (50, 20) } else { (6, 4) };
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(4));
    let image = alpine().unwrap();
    let image = image.to_str().unwrap();
    let names: Vec<String> = (0..containers).map(|number| format!("soak{number}")).collect();
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let (steps, working) = (Mutex::new(0_u64), AtomicU64::new(workers));
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (names, steps, working) = (&names, &steps, &working);
            scope.spawn(move || {
                // Also when it fails: nobody waits for it then.
                let _done = Done(working);
                let mut dice = Dice(seed ^ (worker + 1) << 32 | 1);
                while Instant::now() < end {
                    let name = &names[dice.roll(names.len())];
                    let other = &names[dice.roll(names.len())];
                    judge(act(&words(&mut dice, name, other, image)));
                    if dice.roll(10) == 0 {
                        look_around();
                    }
                    *steps.lock().unwrap() += 1;
                }
            });
        }
        // A command that enters one which was paused at that moment waits until it goes on.
        while working.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(200));
            if Instant::now() > end {
                names.iter().for_each(|name| judge(act(&["resume", name])));
            }
        }
    });
    let steps = steps.into_inner().unwrap();
    assert!(steps > workers, "{steps} steps");
    if seconds.is_some() {
        eprintln!("{steps} steps of {workers} workers on {containers} containers");
    }
    let all = pipkin(&["ps", "-aq"]).succeeds().words();
    let words: Vec<&str> = ["rm", "-f"].into_iter().chain(all.iter().map(String::as_str)).collect();
    if !all.is_empty() {
        pipkin(&words).succeeds();
    }
    pipkin(&["ps", "-aq"]).prints("");
    eventually("all is reaped", &mut || {
        reap_orphans();
        !has_children()
    });
}
