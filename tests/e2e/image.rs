//! What a stored image says about how it is to be run.

use crate::harness::{Case, Run, alpine, cases, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

pub(crate) fn cases() -> Vec<Case> {
    cases!(
        Nothing,
        [
            an_image_says_what_is_run,
            what_is_typed_goes_before,
            an_image_cannot_have_the_callers_variables,
            a_config_that_makes_no_sense_is_refused,
        ]
    )
}

/// Alpine as a stored image with this config, until it goes.
pub(crate) struct Stored(PathBuf);

impl Stored {
    pub(crate) fn new(config: &str) -> Stored {
        let path = PathBuf::from("/var/lib/pipkin/images/pot");
        fs::create_dir_all(&path).unwrap();
        symlink(alpine().unwrap(), path.join("rootfs")).unwrap();
        fs::write(path.join("config.json"), config).unwrap();
        Stored(path)
    }

    pub(crate) fn run(&self, options: &str) -> Run {
        run(options).image("pot")
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        crate::harness::undo(|| {
            fs::remove_dir_all(&self.0).unwrap();
            // Made with it, unless there were others.
            drop(self.0.parent().map(fs::remove_dir));
        });
    }
}

const CONFIG: &str = r#"{"config":{"Entrypoint":["/bin/sh","-c"],"Cmd":["id -u; pwd; echo $A"],"Env":["A=image"],
    "User":"guest","WorkingDir":"/usr"}}"#;

fn an_image_says_what_is_run() {
    let image = Stored::new(CONFIG);
    image.run("").command::<&str>(&[]).succeeds().prints("405\n/usr\nimage\n");
}

fn what_is_typed_goes_before() {
    let image = Stored::new(CONFIG);
    image
        .run("-u 7 -w /bin -e A=typed")
        .command(&["echo $A; id -u; pwd"])
        .succeeds()
        .prints("typed\n7\n/bin\n");
    image.run("--entrypoint pwd").command::<&str>(&[]).succeeds().prints("/usr\n");
}

fn an_image_cannot_have_the_callers_variables() {
    let image = Stored::new(r#"{"config":{"Env":["SECRET"]}}"#);
    let told = image.run("").env("SECRET", "mine").command(&["env"]).succeeds().text();
    assert!(!told.contains("SECRET"), "{told}");
}

fn a_config_that_makes_no_sense_is_refused() {
    let image = Stored::new("{\"config\":{\n  \"Cmd\":\"sh\"}}");
    image.run("").command(&["true"]).expect_refusal(&["line 2, column 9: this must be an array"]);
}
