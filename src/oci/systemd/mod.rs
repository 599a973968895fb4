//! Cgroups that systemd makes and owns: transient scopes, by a D-Bus client of our own (org.freedesktop.systemd1(5)).
//!
//! Duty: name the scope, ask for it with the limits that systemd knows itself, and let go of it. The container's process
//! is born in the scope's cgroup, which a placeholder keeps alive until then; limits are written to its files all the
//! same, since `Delegate` leaves it to us.
//!
//! | module | duty |
//! |---|---|
//! | `wire` | messages as bytes |
//! | `bus` | the connection |
//! | `property` | limits in systemd's words |

mod bus;
mod property;
mod wire;

pub(crate) use bus::Why;

use super::caller;
use bus::Bus;
use pipkin::plan::HostStep;
use rustix::io::Errno;
use wire::{Object, Reader, Writer};

const MANAGER: Object = Object {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// The scope that a container's `cgroupsPath` names: `SLICE:PREFIX:NAME`, each of which may be empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    slice: String,
    /// The unit's name.
    pub(crate) unit: String,
}

impl Scope {
    /// Reads it; `None` for anything else. The container's `id` is its name where none is given.
    pub(crate) fn new(path: &str, id: &str) -> Option<Self> {
        let mut parts = path.splitn(3, ':');
        let (slice, prefix, name) = match (parts.next()?, parts.next(), parts.next()) {
            ("", None, None) => ("", "pipkin", id),
            (slice, Some(prefix), Some(name)) => (slice, prefix, if name.is_empty() { id } else { name }),
            _ => return None,
        };
        let usual = if caller::session().is_none() { "system.slice" } else { "user.slice" };
        let slice = if slice.is_empty() { usual } else { slice };
        let dash = if prefix.is_empty() { "" } else { "-" };
        // A unit that is a slice would hold no process.
        (slice.ends_with(".slice") && !name.ends_with(".slice"))
            .then(|| Self { slice: slice.to_owned(), unit: [prefix, dash, name, ".scope"].concat() })
    }
}

/// The manager of the system, or without root's rights of the user.
pub(crate) struct Manager(Bus);

impl Manager {
    /// Connects to it: over the bus, or where there is none to systemd itself.
    ///
    /// # Errors
    /// Why the bus cannot be reached.
    pub(crate) fn connect() -> Result<Self, Why> {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let (named, run) = match caller::session() {
            Some(run) => ("DBUS_SESSION_BUS_ADDRESS", run),
            None if rustix::process::geteuid().is_root() => ("DBUS_SYSTEM_BUS_ADDRESS", "/run".to_owned()),
            None => return Err(Errno::NOENT.into()),
        };
        if let Some(address) = variable(named) {
            // unix:path=/run/bus,guid=…;unix:…
            let path = address.split([';', ',']).find_map(|part| part.strip_prefix("unix:path="));
            let path = path.ok_or_else(|| Why::Words([named, " has no unix:path="].concat().into()))?;
            return Self::subscribe(Bus::connect(path, false)?);
        }
        let bus = if run == "/run" { "/dbus/system_bus_socket" } else { "/bus" };
        let connected = match Bus::connect(&[&run, bus].concat(), false) {
            Err(Why::Kernel(Errno::NOENT | Errno::CONNREFUSED)) => {
                Bus::connect(&[&run, "/systemd/private"].concat(), true)
            }
            connected => connected,
        };
        Self::subscribe(connected?)
    }

    /// To be told of the ends of jobs.
    fn subscribe(bus: Bus) -> Result<Self, Why> {
        let mut manager = Self(bus);
        manager.call("Subscribe", "", &Writer::default())?;
        Ok(manager)
    }

    fn call(&mut self, member: &str, signature: &str, body: &Writer) -> Result<wire::Message, Why> {
        self.0.call(&MANAGER, member, signature, body)
    }

    /// Has it make `scope` with the limits of `steps` around process `pid`, and waits until it has.
    ///
    /// # Errors
    /// What it says.
    pub(crate) fn start(
        &mut self,
        scope: &Scope,
        pid: u32,
        id: &str,
        steps: &[HostStep<'_>],
    ) -> Result<(), Why> {
        let mut body = Writer::default();
        body.string(scope.unit.as_bytes()).string(b"fail").array(8, &mut |properties| {
            for (name, text) in
                [("Description", &["Pipkin container ", id].concat()), ("Slice", &scope.slice)]
            {
                property::begin(properties, name, b"s").string(text.as_bytes());
            }
            property::begin(properties, "PIDs", b"au").array(4, &mut |pids| {
                pids.number(pid);
            });
            for (name, on) in [
                ("Delegate", 1),
                ("DefaultDependencies", 0),
                ("CPUAccounting", 1),
                ("MemoryAccounting", 1),
                ("TasksAccounting", 1),
                ("IOAccounting", 1),
            ] {
                property::begin(properties, name, b"b").number(on);
            }
            property::limits(properties, steps);
        });
        // No auxiliary units.
        body.array(8, &mut |_| {});
        let answer = self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", &body)?;
        self.finish(&answer)
    }

    /// Waits until a job is done.
    fn finish(&mut self, answer: &wire::Message) -> Result<(), Why> {
        let job = Reader { bytes: &answer.body, at: 0 }.string().unwrap_or_default();
        loop {
            let removed = self.0.signal(b"JobRemoved")?;
            let mut reader = Reader { bytes: &removed.body, at: 0 };
            let (_, ended, unit, result) =
                (reader.number(), reader.string(), reader.string(), reader.string());
            if ended != Some(job) {
                continue;
            }
            let (unit, result) = (unit.unwrap_or_default(), result.unwrap_or_default());
            let why = || Why::Words([b"its job for ", unit, b" ended as ", result].concat());
            return if result == b"done" { Ok(()) } else { Err(why()) };
        }
    }

    /// Tells it the limits of `steps`, which it would otherwise put back when it is reloaded.
    ///
    /// # Errors
    /// What it says.
    pub(crate) fn update(&mut self, unit: &[u8], steps: &[HostStep<'_>]) -> Result<(), Why> {
        let mut body = Writer::default();
        // Until the machine is started again.
        body.string(unit).number(1).array(8, &mut |properties| property::limits(properties, steps));
        self.call("SetUnitProperties", "sba(sv)", &body).map(drop)
    }

    /// Has it forget a scope whose processes are gone; one that it has forgotten already is no error.
    ///
    /// # Errors
    /// When it cannot be spoken to any more.
    pub(crate) fn forget(&mut self, unit: &[u8]) -> Result<(), Why> {
        let mut body = Writer::default();
        body.string(unit).string(b"replace");
        let stopped = self.call("StopUnit", "ss", &body).and_then(|answer| self.finish(&answer));
        let mut body = Writer::default();
        body.string(unit);
        let reset = self.call("ResetFailedUnit", "s", &body).map(drop);
        // What it has words for is that it knows no such unit any more.
        [stopped, reset].into_iter().find(|done| matches!(done, Err(Why::Kernel(_)))).unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_named_by_three_parts() {
        let scope = |path| Scope::new(path, "id").map(|scope| (scope.slice, scope.unit));
        let made = |slice: &str, unit: &str| Some((slice.to_owned(), unit.to_owned()));
        assert_eq!(scope("machine.slice:libpod:abc"), made("machine.slice", "libpod-abc.scope"));
        assert_eq!(
            scope("kubepods-besteffort.slice:cri:"),
            made("kubepods-besteffort.slice", "cri-id.scope")
        );
        assert_eq!(scope("a.slice::x"), made("a.slice", "x.scope"));
        assert_eq!(scope("").unwrap().1, "pipkin-id.scope");
        for wrong in ["/a/b", "a:b", "a:b:c", "a.slice:b:c.slice"] {
            assert_eq!(scope(wrong), None, "{wrong}");
        }
    }
}
