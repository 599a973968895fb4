//! Writes image layouts and archives, honest ones and others.

#![allow(dead_code, unreachable_pub, reason = "a module of several test programs, each of which uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rootfs_builder::compress::{Compression, Encoder};
use rootfs_builder::digest::Digest;
use rootfs_builder::tree::Tree;
use serde_json::{Value, json};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).unwrap().prefixed()
}

pub fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(compression, Vec::new()).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layout being written.
pub struct LayoutDirectory {
    pub path: PathBuf,
}

impl LayoutDirectory {
    pub fn new(path: &Path) -> LayoutDirectory {
        std::fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        LayoutDirectory { path: path.to_owned() }
    }

    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.path.join("blobs").join(digest.replace(':', "/"))
    }

    /// Stores a blob and returns its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        std::fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    pub fn config(&self, layers: &[Vec<u8>], architecture: &str) -> Value {
        let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        json!({
            "architecture": architecture, "os": "linux", "config": { "Cmd": ["/bin/sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
    }

    /// Stores an image of these uncompressed layers and returns its manifest's descriptor.
    pub fn image(&self, layers: &[Vec<u8>], architecture: &str) -> Value {
        let config = self.config(layers, architecture);
        let ways = [Compression::Gzip, Compression::None, Compression::Zstd];
        let descriptors: Vec<_> = layers
            .iter()
            .zip(ways.iter().cycle())
            .map(|(layer, &compression)| {
                let suffix = match compression {
                    Compression::Gzip => "+gzip",
                    Compression::Zstd => "+zstd",
                    _ => "",
                };
                let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
                self.blob(&media_type, &compressed(compression, layer))
            })
            .collect();
        self.manifest(&config, &descriptors)
    }

    pub fn manifest(&self, config: &Value, layers: &[Value]) -> Value {
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    pub fn index(&self, manifests: &[Value]) {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        std::fs::write(self.path.join("index.json"), index.to_string()).unwrap();
    }
}

pub fn with(mut descriptor: Value, key: &str, value: Value) -> Value {
    descriptor[key] = value;
    descriptor
}

pub fn named(descriptor: Value, name: &str) -> Value {
    with(descriptor, "annotations", json!({ "org.opencontainers.image.ref.name": name }))
}

pub fn for_platform(descriptor: Value, architecture: &str, os: &str) -> Value {
    with(descriptor, "platform", json!({ "architecture": architecture, "os": os }))
}

/// What a mount of the layers shows, lowest first. The mount is in a namespace of its own.
pub fn overlay_view(layers: &[PathBuf], at: &Path) -> Tree {
    let lower: Vec<_> = layers.iter().rev().map(|layer| layer.to_str().unwrap()).collect();
    // An overlay needs two lower directories when there is no upper one.
    let empty = at.join("empty");
    let (mount, copy) = (at.join("mount"), at.join("copy"));
    for path in [&empty, &mount, &copy] {
        std::fs::create_dir_all(path).unwrap();
    }
    let script = "mount -t overlay overlay -o \"lowerdir=$1\" \"$2\" && cp -a \"$2/.\" \"$3\"";
    let lowers = format!("{}:{}", lower.join(":"), empty.display());
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh", &lowers])
        .args([&mount, &copy])
        .status()
        .unwrap();
    assert!(status.success(), "the overlay cannot be mounted");
    let mut tree = Tree::new();
    tree.host_directory("/", &copy).unwrap();
    tree
}
