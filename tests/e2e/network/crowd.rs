//! Many containers on one bridge, and Pipkin killed while it makes a network.

use crate::harness::{Case, Footprint, Running, cases, reap_orphans, run};

pub(crate) fn cases() -> Vec<Case> {
    cases!(Nothing, [addresses_are_never_shared, killed_at_each_step])
}

/// How many run at the same time, out of 29 addresses, and how many in all.
const AT_ONCE: usize = 20;
const ALL: usize = 300;

/// Two sets of containers that start and end in parallel; each says when it had its address.
fn addresses_are_never_shared() {
    let script =
        "now() { cut -d' ' -f1 /proc/uptime; }; address=$(ip -o -4 addr show eth0 | awk '{print $4}')
        begin=$(now); sleep 0.0$(($$ % 7 + 2)); echo $address $begin $(now)";
    let start = || run("--net few --subnet 10.9.8.0/27").start_sh(script);
    let mut running: Vec<Running> = (0..AT_ONCE).map(|_| start()).collect();
    let mut told = Vec::new();
    for number in 0..ALL {
        let container = running.remove(0);
        told.push(container.wait().succeeds().text());
        if number + AT_ONCE < ALL {
            running.push(start());
        }
    }
    assert!(running.is_empty());
    let mut spans: Vec<(String, f64, f64)> = told.iter().map(|line| span(line)).collect();
    spans.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    assert_eq!(spans.len(), ALL);
    for pair in spans.windows(2) {
        // The clock has hundredths.
        assert!(pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1 + 0.01, "{pair:?}");
    }
}

fn span(line: &str) -> (String, f64, f64) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [address, begin, end] = words[..] else { panic!("{line:?}") };
    assert!(address.starts_with("10.9.8.") && address.ends_with("/27"), "{line:?}");
    (address.to_owned(), begin.parse().expect("a time"), end.parse().expect("a time"))
}

/// On two bridges, with ports and names of its own: the next command leaves nothing of it.
fn killed_at_each_step() {
    let options = "--net red --net blue -p 8090-8099:90-99 -p 8090:90/udp --add-host a:1.2.3.4";
    for step in 0.. {
        let before = Footprint::take();
        let container = run(options).paused("HOST", step).start(&["true"]);
        if !container.tells("paused") {
            container.wait().prints("");
            assert!(step > 9, "{step} steps");
            return;
        }
        container.kill();
        run("--net none").command(&["true"]).prints("");
        reap_orphans();
        before.assert_unchanged();
    }
}
