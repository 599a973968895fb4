//! A bundle, and the runtime called on it.

use crate::harness::{Folder, Outcome, Running, alpine, reap_orphans};
use crate::program;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// A bundle whose root is Alpine, read-only; the runtime's root is beside it, and both go with this value.
pub(super) struct Bundle {
    folder: Folder,
    config: Value,
}

impl Bundle {
    /// With this command.
    pub(super) fn new(args: &[&str]) -> Self {
        let plain = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
        let namespaces =
            ["pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": args,
                "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "cwd": "/",
                "noNewPrivileges": true,
                "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] }
            },
            "root": { "path": alpine().expect("Alpine"), "readonly": true },
            "hostname": "bundle",
            "annotations": { "org.example.a": "b" },
            "mounts": [
                plain("/proc", "proc", &["nosuid", "noexec", "nodev"]),
                plain("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
                plain("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
                plain("/tmp", "tmpfs", &["nosuid"]),
                plain("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"])
            ],
            "linux": { "namespaces": namespaces, "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"] }
        });
        Self { folder: Folder::new(), config }
    }

    /// The command is a script.
    pub(super) fn sh(script: &str) -> Self {
        Self::new(&["/bin/sh", "-c", script])
    }

    /// Sets what `pointer` (RFC 6901) leads to; a null takes it away.
    #[track_caller]
    pub(super) fn set(mut self, pointer: &str, value: Value) -> Self {
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
        let parent = self.config.pointer_mut(parent).expect("the object above");
        match parent {
            Value::Array(elements) if name == "-" => elements.push(value),
            _ => parent[name] = value,
        }
        self
    }

    /// The path of a file beside the bundle.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the configuration.
    pub(super) fn written(self) -> Self {
        let text = serde_json::to_vec(&self.config).expect("JSON");
        self.with_text(&text)
    }

    /// Writes this in its place.
    pub(super) fn with_text(self, text: &[u8]) -> Self {
        self.folder.file("bundle/config.json", text);
        self
    }

    /// A call of the runtime, not yet made.
    pub(super) fn command(&self, words: &str) -> Command {
        self.spelled(program::pipkin(), words)
    }

    fn spelled(&self, mut command: Command, words: &str) -> Command {
        command.env_clear().arg("--root").arg(self.path("state")).args(words.split_whitespace());
        command.current_dir(self.path("bundle"));
        command
    }

    /// Calls the runtime.
    #[track_caller]
    pub(super) fn call(&self, words: &str) -> Outcome {
        Running::start(self.command(words), None).wait()
    }

    /// Calls the runtime with the named defences, between commas, taken away.
    #[track_caller]
    pub(super) fn call_without(&self, defences: &str, words: &str) -> Outcome {
        let mut command = self.spelled(Command::new(program::hooks()), words);
        command.env("PIPKIN_WITHOUT", defences);
        Running::start(command, None).wait()
    }

    /// Starts the runtime.
    #[track_caller]
    pub(super) fn start(&self, words: &str) -> Running {
        Running::start(self.command(words), None)
    }

    /// Makes the container `c`. What it prints goes into no pipe, whose end it would keep open after the call.
    #[track_caller]
    pub(super) fn create(&self, options: &str) {
        let told = self.path("told");
        let file = std::fs::File::create(&told).expect("a file for messages");
        let mut command = self.command(&format!("create {options} c"));
        let null = std::process::Stdio::null;
        let status = command.stdin(null()).stdout(null()).stderr(file).status().expect("the runtime");
        assert!(status.success(), "create {options}: {:?}", std::fs::read_to_string(told));
    }

    /// The word for what `c` is up to.
    #[track_caller]
    pub(super) fn status(&self) -> String {
        self.call("state c").succeeds().json()["status"].as_str().expect("a word").to_owned()
    }

    /// Waits until `c` is up to this.
    #[track_caller]
    pub(super) fn await_status(&self, wanted: &str) {
        for _ in 0..3000 {
            if self.status() == wanted {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{} and not {wanted}", self.status());
    }

    /// No container is left.
    #[track_caller]
    pub(super) fn is_clean(&self) {
        let state = self.path("state");
        let left: Vec<_> = std::fs::read_dir(state).map_or(Vec::new(), |entries| entries.flatten().collect());
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            // What outlived the call that made it has become our child.
            reap_orphans();
        });
    }
}
