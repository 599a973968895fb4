//! A distribution's registry on this machine, and who vouches for it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[track_caller]
pub(crate) fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A distribution's registry on a free port, ended with this.
pub(crate) struct Distribution {
    child: Child,
    pub(crate) address: String,
}

impl Distribution {
    /// `more` is what else its `http` is told.
    pub(crate) fn start(folder: &Path, more: &str) -> Distribution {
        // Free a moment ago; nobody else on this machine asks for ports by number here.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.join("registry.yml");
        let storage = folder.join("storage");
        let text = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n{more}",
            storage.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Distribution { child: command.spawn().unwrap(), address };
        let start = Instant::now();
        while std::net::TcpStream::connect(&registry.address).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "the registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }
}

impl Distribution {
    /// Has skopeo put the image there, as `team/app:both`, whoever vouches for it.
    pub(crate) fn push(&self, layout: &Path, home: &Path) {
        let target = format!("docker://{}/team/app:both", self.address);
        let source = format!("oci:{}", layout.display());
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["copy", "--quiet", "--all", "--dest-tls-verify=false", "--insecure-policy"]);
        succeeds(skopeo.args([&source, &target]).env("HOME", home));
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A key like any, for `openssl req`.
pub(crate) const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pots";

/// An authority of its own and a server's certificate from it: `ca.pem`, `server.pem` and `server.key`.
pub(crate) fn certificates(folder: &Path) {
    let script = format!(
        "openssl req -x509 {KEY} -keyout ca.key -out ca.pem
        openssl req {KEY} -subj /CN=registry -keyout server.key -out server.csr
        printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' >extensions
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out server.pem"
    );
    succeeds(Command::new("sh").args(["-ec", &script]).current_dir(folder));
}
