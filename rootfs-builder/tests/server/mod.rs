//! A registry of one image on this machine that behaves as a test wants it to, well or badly.

#![allow(dead_code, reason = "a module of several test programs, each of which uses a part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// With its query.
    pub(crate) path: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte wanted.
    pub(crate) fn from(&self) -> usize {
        let range = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        range.map_or(0, |from| from.parse().unwrap())
    }
}

/// What it is answered.
pub(crate) enum Answer {
    /// Status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// A body that ends after so many bytes though its length says more.
    Cut(Vec<u8>, usize),
    /// The head of an answer, then nothing.
    Silent,
    /// A body in so many pieces, each after a pause.
    Drip(Vec<u8>, usize, Duration),
}

pub(crate) struct Server {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers every request by `answer` until the test program ends.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    log.lock().unwrap().push(request.clone());
                    // A client that has gone away is some tests' very point.
                    drop(write(stream, answer(&request)));
                });
            }
        });
        Server { address, asked }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_lowercase(), value.to_owned()))
    });
    Some(Asked { path, headers: headers.collect() })
}

fn write(mut stream: TcpStream, answer: Answer) -> std::io::Result<()> {
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} x\r\nConnection: close\r\nContent-Length: {length}\r\n")
    };
    match answer {
        Answer::Whole(status, headers, body) => {
            let mut text = head(status, body.len());
            for (name, value) in headers {
                text += &format!("{name}: {value}\r\n");
            }
            stream.write_all(format!("{text}\r\n").as_bytes())?;
            stream.write_all(&body)?;
        }
        Answer::Cut(body, length) => {
            stream.write_all(format!("{}\r\n", head(200, body.len())).as_bytes())?;
            stream.write_all(&body[..length])?;
        }
        Answer::Silent => {
            stream.write_all(format!("{}\r\n", head(200, 1000)).as_bytes())?;
            std::thread::sleep(Duration::from_secs(5));
        }
        Answer::Drip(body, pieces, pause) => {
            stream.write_all(format!("{}\r\n", head(200, body.len())).as_bytes())?;
            for piece in body.chunks(body.len().div_ceil(pieces)) {
                std::thread::sleep(pause);
                stream.write_all(piece)?;
            }
        }
    }
    stream.shutdown(Shutdown::Write)
}

/// An image layout as a registry gives it: `index.json` under every tag, blobs by digest and, if asked so, from a byte
/// on.
pub(crate) fn honest(layout: &Path, asked: &Asked) -> Answer {
    let path = asked.path.strip_prefix("/v2/team/app/").unwrap_or_default();
    let typed = |bytes: Vec<u8>| {
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let is_index = document.get("manifests").is_some();
        let media_type = if is_index { crate::layout::INDEX } else { crate::layout::MANIFEST };
        Answer::Whole(200, vec![("Content-Type", media_type.to_owned())], bytes)
    };
    let blob = |digest: &str| std::fs::read(layout.join("blobs").join(digest.replace(':', "/")));
    if let Some(version) = path.strip_prefix("manifests/") {
        let bytes = if version.starts_with("sha256:") {
            blob(version)
        } else {
            std::fs::read(layout.join("index.json"))
        };
        return bytes.map_or_else(|_| missing(), typed);
    }
    let Some(bytes) = path.strip_prefix("blobs/").and_then(|digest| blob(digest).ok()) else {
        return missing();
    };
    match asked.from() {
        0 => Answer::Whole(200, Vec::new(), bytes),
        from => Answer::Whole(206, Vec::new(), bytes[from..].to_vec()),
    }
}

fn missing() -> Answer {
    Answer::Whole(404, Vec::new(), Vec::new())
}
