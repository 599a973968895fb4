//! `--security-opt landlock=…`, `apparmor=…` and `label=…`: what the kernel's security modules are asked for.

use super::keep;
use super::privilege::{CONTRADICTION, settle};
use super::quantity::Why;
use super::volume::place;
use pipkin::spec::{Confinement, PathRule};

/// What was asked for so far.
#[derive(Default)]
pub(super) struct Asked<'a> {
    rules: Vec<PathRule<'static>>,
    best_effort: bool,
    apparmor: Option<&'a str>,
    /// User, role, type and level of SELinux.
    label: [Option<&'a str>; 4],
    /// Whether there is to be none.
    unlabelled: bool,
}

/// What SELinux is told of what is not given: the label that distributions have for containers.
const LABEL: [&str; 4] = ["system_u", "system_r", "container_t", "s0"];
const PARTS: [&str; 4] = ["user", "role", "type", "level"];

impl<'a> Asked<'a> {
    /// Takes one option; whether it was one of these.
    pub(super) fn take(&mut self, text: &'a str) -> Result<bool, Why> {
        let (name, value) = text.split_once(['=', ':']).unwrap_or((text, ""));
        match name {
            "landlock" => value.split(',').try_for_each(|word| self.rule(word))?,
            "apparmor" if !value.is_empty() => settle(&mut self.apparmor, value)?,
            "apparmor" => return Err("give apparmor=PROFILE or =unconfined"),
            "label" => self.label(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn rule(&mut self, word: &str) -> Result<(), Why> {
        const WHY: Why = "give landlock=ro:PATH,rw:PATH,..., maybe with best-effort, in front";
        if word == "best-effort" {
            self.best_effort = true;
            return Ok(());
        }
        let (mode, path) = word.split_once(':').ok_or(WHY)?;
        let write = match mode {
            "ro" => false,
            "rw" => true,
            _ => return Err(WHY),
        };
        let path = if path == "/" { c"/" } else { place(path)? };
        if self.rules.iter().any(|rule| rule.path == path && rule.write != write) {
            return Err(CONTRADICTION);
        }
        self.rules.push(PathRule { path, write });
        Ok(())
    }

    fn label(&mut self, value: &'a str) -> Result<(), Why> {
        if value == "disable" {
            self.unlabelled = true;
        } else {
            let (part, given) = value.split_once(':').unwrap_or_default();
            let known = PARTS.iter().position(|known| *known == part).filter(|_| !given.is_empty());
            let slot = known.and_then(|known| self.label.get_mut(known));
            const WHY: Why = "give label=type:TYPE, level:LEVEL, user:USER, role:ROLE or disable";
            settle(slot.ok_or(WHY)?, given)?;
        }
        if self.unlabelled && self.is_labelled() { Err(CONTRADICTION) } else { Ok(()) }
    }

    fn is_labelled(&self) -> bool {
        self.label.iter().any(Option::is_some)
    }

    /// All of it.
    pub(super) fn confinement(self) -> Result<Confinement<'static>, Why> {
        if self.best_effort && self.rules.is_empty() {
            return Err("best-effort alone limits nothing: give rules, as landlock=best-effort,ro:/");
        }
        let label = self.is_labelled().then(|| {
            let parts = self.label.iter().zip(LABEL).map(|(given, usual)| given.unwrap_or(usual));
            parts.collect::<Vec<_>>().join(":")
        });
        let profile = self.apparmor.filter(|profile| *profile != "unconfined");
        Ok(Confinement {
            paths: keep::list(self.rules),
            best_effort: self.best_effort,
            apparmor: profile.and_then(keep::text),
            selinux: label.and_then(keep::text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Result<Confinement<'static>, Why> {
        let mut asked = Asked::default();
        for word in words {
            assert!(asked.take(word)?);
        }
        asked.confinement()
    }

    #[test]
    fn rules_of_paths() {
        let rule = |path, write| PathRule { path, write };
        let got = of(&["landlock=ro:/,rw:/work", "landlock=rw:/tmp/x/"]).unwrap();
        assert_eq!(got.paths, [rule(c"/", false), rule(c"/work", true), rule(c"/tmp/x", true)]);
        assert!(!got.best_effort && of(&["landlock=best-effort,ro:/"]).unwrap().best_effort);
        for bad in
            ["landlock", "landlock=", "landlock=ro", "landlock=rx:/", "landlock=ro:x", "landlock=best-effort"]
        {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(of(&["apparmor=web"]).unwrap().apparmor, Some(c"web"));
        assert_eq!(of(&["apparmor=unconfined"]), Ok(Confinement::NONE));
        let label = of(&["label=type:web_t", "label=level:s0:c1,c2"]).unwrap().selinux;
        assert_eq!(label, Some(c"system_u:system_r:web_t:s0:c1,c2"));
        assert_eq!(of(&["label=disable", "label=disable"]), Ok(Confinement::NONE));
        for bad in ["apparmor", "label=", "label=x:y", "label=type:", "label=type"] {
            assert!(of(&[bad]).is_err(), "{bad}");
        }
        assert_eq!(Asked::default().take("seccomp=x"), Ok(false));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for both in [
            ["apparmor=web", "apparmor=unconfined"],
            ["label=type:web_t", "label=disable"],
            ["label=disable", "label=level:s0"],
            ["label=type:web_t", "label=type:db_t"],
            ["landlock=ro:/work", "landlock=rw:/work/"],
        ] {
            assert_eq!(of(&both), Err(CONTRADICTION), "{both:?}");
            assert!(of(&[both[0]; 2]).is_ok() && of(&[both[1]; 2]).is_ok(), "{both:?}");
        }
    }
}
