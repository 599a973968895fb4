//! The engine's programs: when, where and with what they run.

use super::bundle::Bundle;
use crate::harness::{Case, Folder, cases};
use serde_json::{Value, json};
use std::fs;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            hooks_run_in_order_with_the_state,
            hooks_see_their_own_side,
            a_failing_hook_ends_the_container,
            a_slow_hook_is_ended
        ]
    )
}

/// A hook that adds a line to the file `log`: its word, the status it reads, its hostname and what it sees.
fn hook(bundle: &Bundle, word: &str) -> Value {
    let log = bundle.path("log").display().to_string();
    let script = format!(
        "status=$(sed 's/.*\"status\":\"\\([a-z]*\\)\".*/\\1/'); echo {word} $status $(hostname) \
         $(cat /etc/alpine-release >/dev/null 2>&1 && echo inside || echo outside) $(env | grep -c .) >> {log}"
    );
    json!({ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin", "X=y"] })
}

fn hooks_run_in_order_with_the_state() {
    let bundle = Bundle::sh("exit 0");
    fs::write(bundle.path("log"), "").unwrap();
    let mut hooks = json!({});
    for kind in ["poststop", "poststart", "createRuntime", "prestart"] {
        hooks[kind] = json!([hook(&bundle, &format!("{kind}1")), hook(&bundle, &format!("{kind}2"))]);
    }
    let bundle = bundle.set("/hooks", hooks).written();
    bundle.call("run c").exits(0);
    let log = fs::read_to_string(bundle.path("log")).unwrap();
    let words: Vec<&str> = log.lines().flat_map(|line| line.split(' ').take(2)).collect();
    assert_eq!(
        words,
        [
            "prestart1",
            "created",
            "prestart2",
            "created",
            "createRuntime1",
            "created",
            "createRuntime2",
            "created",
            "poststart1",
            "running",
            "poststart2",
            "running",
            "poststop1",
            "stopped",
            "poststop2",
            "stopped"
        ]
    );
}

fn hooks_see_their_own_side() {
    let bundle = Bundle::sh("cat /tmp/from-start; hostname");
    let log = bundle.path("log").display().to_string();
    fs::write(&log, "").unwrap();
    // Its program is found on the host and it is in the container's namespaces, which have a name of their own.
    let early =
        format!("cat > /dev/null; echo $(hostname) $(ls {}) >> {log}", bundle.path("bundle").display());
    let create = json!([{ "path": "/bin/sh", "args": ["sh", "-c", early], "env": ["PATH=/bin:/usr/bin"] }]);
    let late = "cat > /tmp/from-start; test -e /etc/alpine-release";
    let start = json!([{ "path": "/bin/busybox", "args": ["sh", "-c", late] }]);
    let bundle =
        bundle.set("/hooks", json!({ "createContainer": create, "startContainer": start })).written();
    let outcome = bundle.call("run c").exits(0);
    let text = outcome.text();
    assert!(text.contains("\"status\":\"created\"") && text.ends_with("bundle\n"), "{outcome}");
    assert_eq!(fs::read_to_string(&log).unwrap(), "bundle config.json\n");
}

fn a_failing_hook_ends_the_container() {
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        let bundle = Bundle::sh("while :; do sleep 0.1; done");
        fs::write(bundle.path("log"), "").unwrap();
        let mut hooks = json!({ "poststop": [hook(&bundle, "poststop")] });
        hooks[kind] = json!([{ "path": "/bin/false" }]);
        let bundle = bundle.set("/hooks", hooks).written();
        bundle.call("run c").fails(1, &[kind, "it ended with status 1"]);
        assert!(fs::read_to_string(bundle.path("log")).unwrap().starts_with("poststop stopped"), "{kind}");
        bundle.is_clean();
    }
    // Why it could not be executed at all, on either side.
    let plain = Folder::new();
    let text = plain.file("text", b"text");
    for kind in ["createRuntime", "createContainer", "poststart"] {
        for (path, why) in [("/nosuch/hook", "No such file"), (text.to_str().unwrap(), "Permission denied")] {
            let hooks = json!({ kind: [{ "path": path }] });
            let bundle = Bundle::sh("while :; do sleep 0.1; done").set("/hooks", hooks).written();
            bundle.call("run c").fails(1, &[kind, path, why]);
            bundle.is_clean();
        }
    }
    let bundle = Bundle::new(&["true"]);
    fs::write(bundle.path("log"), "").unwrap();
    let hooks = json!([{ "path": "/bin/false" }, { "path": "/nosuch/hook" }, hook(&bundle, "last")]);
    let bundle = bundle.set("/hooks", json!({ "poststop": hooks })).written();
    let outcome = bundle.call("run c").exits(0);
    for failure in ["poststop hook /bin/false", "poststop hook /nosuch/hook"] {
        assert!(outcome.told().contains(failure), "{outcome}");
    }
    assert!(fs::read_to_string(bundle.path("log")).unwrap().starts_with("last stopped"));
    bundle.is_clean();
}

fn a_slow_hook_is_ended() {
    let slow = json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }]);
    let bundle = Bundle::new(&["true"]).set("/hooks", json!({ "prestart": slow })).written();
    bundle.call("run c").fails(1, &["prestart", "timed out"]);
    bundle.is_clean();
}
