//! The environment of the process: built from nothing, so that nothing of the caller's leaks in.
//!
//! Later settings replace earlier ones of the same name. A name alone passes the caller's variable on, and removes
//! the container's when the caller has none (docker's rules, for files too).

use super::quantity::Why;

/// docker's `PATH` for images that have none.
pub(super) const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where a variable that is passed on comes from.
pub(super) type Caller<'a> = &'a dyn Fn(&[u8]) -> Option<Vec<u8>>;

/// Variables as `NAME=VALUE`, each name once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Environment {
    variables: Vec<Vec<u8>>,
}

impl Environment {
    /// Sets `name`, in the place of an earlier setting if there is one.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        let text = [name, b"=", value].concat();
        match self.place(name) {
            Some(earlier) => *earlier = text,
            None => self.variables.push(text),
        }
    }

    /// Sets what `-e NAME=VALUE` or `-e NAME` says.
    pub(super) fn option(&mut self, text: &[u8], caller: Caller<'_>) -> Result<(), Why> {
        let end = text.iter().position(|byte| *byte == b'=').unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, b""));
        if name.is_empty() {
            return Err("the name is missing: give NAME=VALUE");
        }
        if text.contains(&0) {
            return Err("it holds a NUL byte");
        }
        match (rest.get(1..), rest.is_empty().then(|| caller(name)).flatten()) {
            (Some(value), _) => self.set(name, value),
            (None, Some(value)) => self.set(name, &value),
            (None, None) => self.variables.retain(|known| !has_name(known, name)),
        }
        Ok(())
    }

    /// Sets what a file says: a variable per line, `#` begins a comment line, nothing is unquoted.
    ///
    /// # Errors
    /// The number of the line, from 1 on, and what is wrong with it.
    pub(super) fn file(&mut self, contents: &[u8], caller: Caller<'_>) -> Result<(), (usize, Why)> {
        let contents = contents.strip_prefix("\u{feff}".as_bytes()).unwrap_or(contents);
        for (place, line) in contents.split(|byte| *byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let name = line.split(|byte| *byte == b'=').next().unwrap_or(line);
            let blank = name.iter().any(u8::is_ascii_whitespace);
            let result = if blank { Err("the name has a blank in it") } else { self.option(line, caller) };
            result.map_err(|why| (place + 1, why))?;
        }
        Ok(())
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let found = self.variables.iter().find(|known| has_name(known, name))?;
        found.get(name.len() + 1..)
    }

    /// All variables in order.
    pub(super) fn into_variables(self) -> Vec<Vec<u8>> {
        self.variables
    }

    fn place(&mut self, name: &[u8]) -> Option<&mut Vec<u8>> {
        self.variables.iter_mut().find(|known| has_name(known, name))
    }
}

fn has_name(variable: &[u8], name: &[u8]) -> bool {
    variable.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &[u8]) -> Option<Vec<u8>> {
        match name {
            b"LANG" => Some(b"C.UTF-8".to_vec()),
            b"RAW" => Some(b"\xff".to_vec()),
            _ => None,
        }
    }

    fn set(options: &[&str]) -> Vec<String> {
        let mut environment = Environment::default();
        options.iter().for_each(|option| environment.option(option.as_bytes(), &caller).unwrap());
        environment.into_variables().into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn the_last_setting_counts_and_names_are_whole() {
        assert_eq!(set(&["A=1", "AB=2", "A=3", "B==x="]), ["A=3", "AB=2", "B==x="]);
        assert_eq!(set(&["A="]), ["A="]);
        assert_eq!(set(&["LANG"]), ["LANG=C.UTF-8"]);
        assert_eq!(set(&["A=1", "B=2", "A"]), ["B=2"]);
        assert!(set(&["UNSET"]).is_empty());
        let mut environment = Environment::default();
        environment.option(b"RAW", &caller).unwrap();
        assert_eq!(environment.get(b"RAW"), Some(&b"\xff"[..]));
        assert_eq!(environment.get(b"RA"), None);
        for bad in [&b"=x"[..], b"", b"A=\0"] {
            assert!(environment.option(bad, &caller).is_err());
        }
    }

    #[test]
    fn a_file_is_read_as_docker_reads_it() {
        let mut environment = Environment::default();
        let file = b"\xef\xbb\xbf# comment\n\nA=1\n  B='two' # kept\r\nLANG\nUNSET\nC=\xff\nA=3";
        environment.file(file, &caller).unwrap();
        let expected = [&b"A=3"[..], b"B='two' # kept", b"LANG=C.UTF-8", b"C=\xff"].map(<[u8]>::to_vec);
        assert_eq!(environment.into_variables(), expected);
        for (file, line) in [(&b"A=1\n=2"[..], 2), (b"A B=1", 1), (b"\n\nA =1", 3), (b"A=\0", 1)] {
            assert_eq!(Environment::default().file(file, &caller).unwrap_err().0, line);
        }
    }
}
