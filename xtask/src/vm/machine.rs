//! The machine itself: qemu's command line, and what becomes of the process.
//!
//! It has a serial console, an entropy source, what it is given and nothing else: no network, no display.

use super::console::{self, Ended, Show};
use crate::build::Arch;
use crate::setup::{self, Program};
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A machine to be booted.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) arch: Arch,
    pub(crate) accelerator: Accelerator,
    pub(crate) memory_mib: u32,
    /// Raw disk images, written to; the machine sees them as `/dev/vda`, `/dev/vdb` and so on.
    pub(crate) disks: Vec<PathBuf>,
    /// Whether it has a network interface, which leads nowhere.
    pub(crate) interface: bool,
    /// A file for what the machine writes to the virtio-serial port `pipkin.status`.
    pub(crate) status: Option<PathBuf>,
    /// What its clock shows at the start, as qemu reads it; the time here when left out.
    pub(crate) clock: Option<&'static str>,
    /// What is typed on the console: each text once the words before it were said, in this order.
    pub(crate) typed: &'static [(&'static str, &'static str)],
}

/// What the kernel says, long before PID 1, of an emulated timer that did not tick in time: qemu had no processor to run
/// on. It tells of the machine outside, and that machine is booted again.
const NO_TIMER: &str = "IO-APIC + timer doesn't work!";
const TRIES: u32 = 3;

/// Who executes the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accelerator {
    /// qemu itself: slow, everywhere, any architecture.
    Emulation,
    /// The processor, where this machine's kernel lends it.
    Kvm,
}

/// What is booted on it.
pub(super) struct Boot<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// The kernel's command line after what every machine needs on it.
    pub(super) arguments: &'a str,
}

impl Machine {
    /// The machine of the tests: the same one everywhere.
    pub(crate) fn new(arch: Arch) -> Machine {
        Machine {
            arch,
            accelerator: Accelerator::Emulation,
            memory_mib: 1024,
            disks: Vec::new(),
            interface: false,
            status: None,
            clock: None,
            typed: &[],
        }
    }

    /// Boots without input but what is to be typed.
    ///
    /// # Errors
    /// qemu missing or failing, or the deadline. The machine is gone then.
    pub(super) fn run(&self, boot: &Boot<'_>, timeout: Duration, show: Show) -> Result<Ended> {
        let mut tries = 0;
        loop {
            let mut qemu = self.qemu(boot)?;
            qemu.args(["-chardev", "stdio,id=console", "-serial", "chardev:console", "-monitor", "none"]);
            let ended = console::watch(&mut qemu, self.typed, timeout, show)?;
            tries += 1;
            if tries == TRIES || ended.status.is_some() || !ended.output.contains(NO_TIMER) {
                return Ok(ended);
            }
        }
    }

    /// Boots with this terminal as the console. Ctrl-A X switches the machine off, Ctrl-A C is qemu's own prompt.
    ///
    /// # Errors
    /// qemu missing or failing.
    pub(super) fn run_on_terminal(&self, boot: &Boot<'_>) -> Result<Option<u8>> {
        let log = tempfile::NamedTempFile::new().context("making a file for the console's output")?;
        let mut chardev = OsString::from("stdio,id=console,mux=on,signal=off,logfile=");
        chardev.push(option_value(log.path()));
        let mut qemu = self.qemu(boot)?;
        qemu.arg("-chardev").arg(chardev).args(["-serial", "chardev:console", "-mon", "chardev=console"]);
        let status = qemu.status().context("starting qemu")?;
        if !status.success() {
            bail!("qemu: {status}");
        }
        let said = std::fs::read(log.path()).context("reading the console's output")?;
        Ok(console::exit_status(&String::from_utf8_lossy(&said)))
    }

    fn qemu(&self, boot: &Boot<'_>) -> Result<Command> {
        let program = program(self.arch);
        setup::programs(&[program])?;
        // Killed with us, however we end: a forgotten machine would eat a processor until somebody sees it.
        let mut qemu = match setup::find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--", program.name]);
                command
            }
            None => Command::new(program.name),
        };
        qemu.args(self.arguments()?);
        qemu.arg("-kernel").arg(boot.kernel).arg("-initrd").arg(boot.initramfs);
        qemu.args(["-append", &kernel_arguments(self.arch, boot.arguments)]);
        Ok(qemu)
    }

    fn arguments(&self) -> Result<Vec<OsString>> {
        let (board, processor) = match (self.arch, self.accelerator) {
            (Arch::X86_64, Accelerator::Emulation) => ("q35", "max"),
            // Emulating the signing of pointers costs four fifths of the time to boot.
            (Arch::Aarch64, Accelerator::Emulation) => ("virt", "max,pauth=off"),
            (arch, Accelerator::Kvm) if arch != Arch::HOST => {
                bail!("KVM runs machines of this one's architecture only, which is {}", Arch::HOST)
            }
            (Arch::X86_64, Accelerator::Kvm) => ("q35", "host"),
            (Arch::Aarch64, Accelerator::Kvm) => ("virt,gic-version=host", "host"),
        };
        let accelerator = match self.accelerator {
            Accelerator::Emulation => "tcg",
            Accelerator::Kvm => "kvm",
        };
        let memory = format!("{}M", self.memory_mib);
        let fixed = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none"];
        let chosen = ["-M", board, "-cpu", processor, "-accel", accelerator, "-smp", "2", "-m", &memory];
        let mut arguments: Vec<OsString> = fixed.iter().chain(&chosen).map(OsString::from).collect();
        arguments.extend(["-device", "virtio-rng-pci"].map(OsString::from));
        for (number, disk) in self.disks.iter().enumerate() {
            let mut drive = OsString::from(format!("if=none,id=disk{number},format=raw,file="));
            drive.push(option_value(disk));
            let device = format!("virtio-blk-pci,drive=disk{number}");
            arguments.extend(["-drive".into(), drive, "-device".into(), device.into()]);
        }
        if self.interface {
            let words = ["-netdev", "hubport,id=net0,hubid=0", "-device", "virtio-net-pci,netdev=net0"];
            arguments.extend(words.map(OsString::from));
        }
        if let Some(file) = &self.status {
            let mut chardev = OsString::from("file,id=status,path=");
            chardev.push(option_value(file));
            let device = "virtserialport,chardev=status,name=pipkin.status";
            arguments.extend(["-chardev".into(), chardev, "-device".into(), "virtio-serial-pci".into()]);
            arguments.extend(["-device", device].map(OsString::from));
        }
        if let Some(clock) = self.clock {
            arguments.extend(["-rtc".into(), format!("base={clock}").into()]);
        }
        Ok(arguments)
    }
}

/// What runs the machine.
pub(crate) const fn program(arch: Arch) -> Program {
    match arch {
        Arch::X86_64 => Program { name: "qemu-system-x86_64", package: "qemu-system-x86" },
        Arch::Aarch64 => Program { name: "qemu-system-aarch64", package: "qemu-system-arm" },
    }
}

/// `panic=-1` with qemu's `-no-reboot` makes a panic an end instead of a wait.
fn kernel_arguments(arch: Arch, rest: &str) -> String {
    let console = match arch {
        Arch::X86_64 => "ttyS0",
        Arch::Aarch64 => "ttyAMA0",
    };
    format!("console={console} panic=-1 quiet loglevel=3 rdinit=/init {rest}")
}

/// A path as a value among qemu's comma-separated options.
fn option_value(path: &Path) -> OsString {
    let path = path.as_os_str();
    match path.to_str() {
        Some(text) => text.replace(',', ",,").into(),
        None => OsStr::to_os_string(path),
    }
}

#[cfg(test)]
mod tests {
    use super::{Accelerator, Machine, option_value};
    use crate::build::Arch;
    use std::path::Path;

    fn line(machine: &Machine) -> String {
        let arguments = machine.arguments().unwrap();
        arguments.iter().map(|argument| argument.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_machine_has_what_it_was_given_and_no_network() {
        let mut machine = Machine::new(Arch::Aarch64);
        machine.disks = vec!["a,b".into(), "c".into()];
        let line = line(&machine);
        assert!(line.contains("-nodefaults") && line.contains("-nic none") && line.contains("-m 1024M"));
        assert!(line.contains("id=disk0,format=raw,file=a,,b -device virtio-blk-pci,drive=disk0"), "{line}");
        assert!(line.ends_with("file=c -device virtio-blk-pci,drive=disk1"), "{line}");
    }

    #[test]
    fn kvm_is_for_the_own_architecture() {
        for arch in Arch::ALL {
            let machine = Machine { accelerator: Accelerator::Kvm, ..Machine::new(arch) };
            assert_eq!(machine.arguments().is_ok(), arch == Arch::HOST);
        }
    }

    #[test]
    fn commas_in_paths_are_doubled() {
        assert_eq!(option_value(Path::new("/a,b")), "/a,,b");
    }
}
