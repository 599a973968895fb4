//! What boot mode has prepared, seen from the command it runs. These cases exist only in the test machine.

use libtest_mimic::{Failed, Trial};
use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) fn cases() -> Vec<Trial> {
    if std::env::var_os("PIPKIN_VM").is_none() {
        return Vec::new();
    }
    vec![
        Trial::test("machine::pid_1_is_pipkin", pid_1_is_pipkin),
        Trial::test("machine::has_the_name_it_was_given", has_the_name_it_was_given),
        Trial::test("machine::listed_modules_are_loaded", listed_modules_are_loaded),
        Trial::test("machine::controllers_are_handed_down", controllers_are_handed_down),
        Trial::test("machine::root_can_be_replaced", root_can_be_replaced),
    ]
}

fn pid_1_is_pipkin() -> Result<(), Failed> {
    let same = fs::read("/proc/1/exe")? == fs::read("/usr/bin/pipkin")?;
    if same { Ok(()) } else { Err("PID 1 is another program".into()) }
}

/// By `pipkin.hostname=` on the kernel command line.
fn has_the_name_it_was_given() -> Result<(), Failed> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")?;
    if name.trim() == "pipkin-vm" { Ok(()) } else { Err(format!("it is {name}").into()) }
}

fn listed_modules_are_loaded() -> Result<(), Failed> {
    let list = fs::read_to_string("/etc/pipkin/modules")?;
    let names = list.lines().filter_map(|line| Path::new(line).file_stem()?.to_str());
    let absent: Vec<&str> = names.filter(|name| !Path::new("/sys/module").join(name).exists()).collect();
    if list.is_empty() || !absent.is_empty() {
        return Err(format!("not loaded: {absent:?} of {list}").into());
    }
    Ok(())
}

fn controllers_are_handed_down() -> Result<(), Failed> {
    let given = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")?;
    for wanted in ["cpu", "cpuset", "io", "memory", "pids"] {
        if !given.split_whitespace().any(|name| name == wanted) {
            return Err(format!("no {wanted} in {given}").into());
        }
    }
    Ok(())
}

/// An initramfs is unpacked to the one mount that pivot_root(2) refuses to replace.
fn root_can_be_replaced() -> Result<(), Failed> {
    let script = "mount -t tmpfs none /mnt && cd /mnt && mkdir old && pivot_root . old";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script]).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}
