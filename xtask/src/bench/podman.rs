//! podman's seccomp profile, resolved for a container as podman does it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Where the distribution has it.
pub(super) const PROFILE: &str = "/usr/share/containers/seccomp.json";

/// What Go calls this architecture, and what the profile's section for it is called.
#[cfg(target_arch = "aarch64")]
const ARCH: (&str, &str) = ("arm64", "SCMP_ARCH_AARCH64");
#[cfg(not(target_arch = "aarch64"))]
const ARCH: (&str, &str) = ("amd64", "SCMP_ARCH_X86_64");

/// Adds it to the configuration in `bundle`, as it is for that container's capabilities.
///
/// # Errors
/// A file that cannot be read or is not what it must be.
pub(super) fn add_filter(bundle: &Path) -> Result<()> {
    let path = bundle.join("config.json");
    let mut config = read(&path)?;
    let capabilities = strings(&config, "/process/capabilities/bounding");
    let filter = resolve(&read(Path::new(PROFILE))?, &capabilities);
    let linux = config.get_mut("linux").and_then(Value::as_object_mut).context("looking for linux")?;
    linux.insert("seccomp".to_owned(), filter);
    let text = serde_json::to_vec_pretty(&config).context("writing JSON")?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
}

/// The strings of the array at `pointer`; none where there is none.
fn strings(value: &Value, pointer: &str) -> Vec<String> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn resolve(profile: &Value, capabilities: &[String]) -> Value {
    let (arch, section) = ARCH;
    let maps = profile.get("archMap").and_then(Value::as_array);
    let own = maps.into_iter().flatten().find(|map| map.get("architecture") == Some(&json!(section)));
    let mut arches = vec![section.to_owned()];
    arches.extend(own.map(|map| strings(map, "/subArchitectures")).unwrap_or_default());
    let rules = profile.get("syscalls").and_then(Value::as_array);
    let rules: Vec<Value> = rules
        .into_iter()
        .flatten()
        .filter(|rule| applies(rule, arch, capabilities))
        .map(|rule| {
            let mut rule = rule.clone();
            if let Some(members) = rule.as_object_mut() {
                let kept = ["names", "action", "errnoRet", "args"];
                members.retain(|name, value| {
                    kept.contains(&name.as_str()) && *value != json!([]) && !value.is_null()
                });
            }
            rule
        })
        .collect();
    json!({
        "defaultAction": profile.get("defaultAction"),
        "defaultErrnoRet": profile.get("defaultErrnoRet"),
        "architectures": arches,
        "syscalls": rules
    })
}

fn applies(rule: &Value, arch: &str, capabilities: &[String]) -> bool {
    let arches = |part: &str| strings(rule, &["/", part, "/arches"].concat());
    let wanted = arches("includes");
    (wanted.is_empty() || wanted.iter().any(|name| name == arch))
        && !arches("excludes").iter().any(|name| name == arch)
        && strings(rule, "/includes/caps").iter().all(|name| capabilities.contains(name))
        && !strings(rule, "/excludes/caps").iter().any(|name| capabilities.contains(name))
}

#[cfg(test)]
mod tests {
    use super::{ARCH, resolve};
    use serde_json::json;

    #[test]
    fn rules_for_others_are_left_out() {
        let rule = |name: &str, key: &str, part: serde_json::Value| json!({"names": [name], "action": "A", key: part});
        let profile = json!({"defaultAction": "E", "defaultErrnoRet": 38, "syscalls": [
            rule("a", "includes", json!({"caps": ["CAP_KILL"]})), rule("b", "excludes", json!({"caps": ["CAP_KILL"]})),
            rule("c", "includes", json!({"arches": ["s390"]})), rule("d", "args", json!([])),
        ]});
        let resolved = resolve(&profile, &["CAP_KILL".to_owned()]);
        assert_eq!(
            resolved["syscalls"],
            json!([{"names": ["a"], "action": "A"}, {"names": ["d"], "action": "A"}])
        );
        assert_eq!(resolved["architectures"], json!([ARCH.1]));
    }
}
