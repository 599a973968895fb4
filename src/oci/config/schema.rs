//! The properties of `config.json` that are looked at, and what each must be.
//!
//! One text is the whole table, and one function compares a document with it. What reads the document afterwards can
//! rely on every type and has only meaning left to judge.

use crate::oci::json::{Fault, Value};
use std::str::SplitAsciiWhitespace;

/// Names and kinds. `s` is a string, `p` an absolute path, `b` true or false, `u` a number of 32 bits, `U` one of 64,
/// `i` one of 64 that may be below zero; `[` an array of what follows, `*` an object of any names with what follows,
/// `{ … }` an object with these. A name with `!` must be there. Names that do not stand here are passed over.
pub(super) const CONFIG: &str = "{
ociVersion! s hostname s domainname s annotations * s
root { path! s readonly b }
process {
  terminal b consoleSize { height! u width! u }
  cwd! p args [ s env [ s
  user { uid u gid u umask u additionalGids [ u }
  rlimits [ { type! s soft! U hard! U }
  capabilities { bounding [ s effective [ s permitted [ s inheritable [ s ambient [ s }
  noNewPrivileges b oomScoreAdj i apparmorProfile s selinuxLabel s
  scheduler { policy! s nice i priority i flags [ s runtime U deadline U period U }
  ioPriority { class! s priority! i }
  execCPUAffinity { initial s final s }
}
mounts [ { destination! s type s source s options [ s uidMappings [ { containerID! u hostID! u size! u }
  gidMappings [ { containerID! u hostID! u size! u } }
hooks { prestart [ { path! p args [ s env [ s timeout i } createRuntime [ { path! p args [ s env [ s timeout i }
  createContainer [ { path! p args [ s env [ s timeout i } startContainer [ { path! p args [ s env [ s timeout i }
  poststart [ { path! p args [ s env [ s timeout i } poststop [ { path! p args [ s env [ s timeout i } }
linux {
  namespaces [ { type! s path p }
  uidMappings [ { containerID! u hostID! u size! u } gidMappings [ { containerID! u hostID! u size! u }
  timeOffsets * { secs i nanosecs u }
  devices [ { type! s path! p major i minor i fileMode u uid u gid u }
  cgroupsPath s rootfsPropagation s maskedPaths [ p readonlyPaths [ p mountLabel s sysctl * s
  personality { domain! s flags [ s }
  resources {
    devices [ { allow! b type s major i minor i access s }
    memory { limit i reservation i swap i kernel i kernelTCP i swappiness U disableOOMKiller b useHierarchy b
      checkBeforeUpdate b }
    cpu { shares U quota i period U burst U idle i cpus s mems s realtimeRuntime i realtimePeriod U }
    pids { limit! i }
    blockIO { weight u leafWeight u weightDevice [ { major! u minor! u weight u leafWeight u }
      throttleReadBpsDevice [ { major! u minor! u rate! U } throttleWriteBpsDevice [ { major! u minor! u rate! U }
      throttleReadIOPSDevice [ { major! u minor! u rate! U } throttleWriteIOPSDevice [ { major! u minor! u rate! U } }
    hugepageLimits [ { pageSize! s limit! U }
    network { classID u priorities [ { name! s priority! u } }
    rdma * { hcaHandles u hcaObjects u }
    unified * s
  }
  intelRdt { } memoryPolicy { mode s nodes s flags [ s } netDevices * { name s } seccomp { }
} }";

/// What `--process` of `exec` gives: the member `process` alone.
pub(super) const PROCESS: &str = "process {";

/// What `update` is given.
pub(super) const RESOURCES: &str = "resources {";

/// Compares `value` with a kind of the table.
///
/// # Errors
/// The first value of another kind, or the object that lacks a member.
pub(super) fn check(kinds: &mut SplitAsciiWhitespace<'_>, value: Option<&Value<'_>>) -> Result<(), Fault> {
    let kind = kinds.next().unwrap_or_default();
    match kind {
        "{" => check_members(kinds, value),
        "[" | "*" => {
            let each = kinds.clone();
            check(kinds, None)?;
            let Some(value) = value else { return Ok(()) };
            if kind == "[" {
                return value.array()?.iter().try_for_each(|element| check(&mut each.clone(), Some(element)));
            }
            value.get("")?;
            value.members().iter().try_for_each(|(name, member)| {
                if name.is_empty() {
                    return Err(member.fault("a name must not be empty"));
                }
                check(&mut each.clone(), Some(member))
            })
        }
        _ => value.map_or(Ok(()), |value| check_plain(kind, value)),
    }
}

fn check_members(kinds: &mut SplitAsciiWhitespace<'_>, value: Option<&Value<'_>>) -> Result<(), Fault> {
    loop {
        let word = kinds.next().unwrap_or("}");
        if word == "}" {
            // An object without known members has to be one all the same.
            return value.map_or(Ok(()), |value| value.get("").map(|_| ()));
        }
        let name = word.strip_suffix('!').unwrap_or(word);
        let member = match value {
            Some(value) => value.get(name)?,
            None => None,
        };
        if let (Some(value), None) = (value, member)
            && name != word
        {
            return Err(value.fault([name, " is missing"].concat()));
        }
        check(kinds, member)?;
    }
}

fn check_plain(kind: &str, value: &Value<'_>) -> Result<(), Fault> {
    match kind {
        "b" if !value.is_boolean() => Err(value.fault("this must be true or false")),
        "b" => Ok(()),
        "u" => value.whole(u32::MAX.into()).map(|_| ()),
        "U" => value.whole(u64::MAX).map(|_| ()),
        "i" => value.signed().map(|_| ()),
        _ => {
            let text = value.text()?;
            if kind == "p" && !text.starts_with('/') {
                return Err(value.fault("this must be an absolute path"));
            }
            // Every string ends up with the kernel, where it would end at the NUL.
            if text.contains('\0') { Err(value.fault("this must not hold a NUL")) } else { Ok(()) }
        }
    }
}
