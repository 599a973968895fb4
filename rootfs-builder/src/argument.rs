//! What can be typed.

use std::str::FromStr;

use argh::FromArgs;
use rootfs_builder::account::User;
use rootfs_builder::alpine::Arch;
use rootfs_builder::compress::{Compression, Limits};
use rootfs_builder::filesystem::Filesystem;
use rootfs_builder::registry::Reference;
use rootfs_builder::store::ImageName;
use rootfs_builder::unpack::{Devices, Options};

/// Makes root file systems for Pipkin: directories, stored images, initramfs archives.
#[derive(FromArgs, Debug)]
pub(crate) struct Arguments {
    #[argh(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(FromArgs, Debug)]
#[argh(subcommand)]
pub(crate) enum Verb {
    Alpine(Alpine),
    Unpack(Unpack),
    Import(Import),
    Pull(Pull),
    Customise(Box<Customise>),
    Images(Images),
    Rmi(Rmi),
    Initramfs(Initramfs),
    Export(Export),
}

impl Verb {
    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Verb::Customise(verb) => verb.json,
            Verb::Alpine(Alpine { json, .. })
            | Verb::Unpack(Unpack { json, .. })
            | Verb::Import(Import { json, .. })
            | Verb::Pull(Pull { json, .. })
            | Verb::Images(Images { json, .. })
            | Verb::Rmi(Rmi { json, .. })
            | Verb::Initramfs(Initramfs { json, .. })
            | Verb::Export(Export { json, .. }) => *json,
        }
    }
}

/// Gets an Alpine minirootfs: from $PIPKIN_ROOTFS_DIR, the cache, or a mirror. Without -o and --store only the
/// tarball is fetched.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "alpine")]
pub(crate) struct Alpine {
    /// x86_64 or aarch64; this machine's if not given
    #[argh(option, default = "Arch::HOST")]
    pub(crate) arch: Arch,
    /// release, as 3.22.1
    #[argh(option)]
    pub(crate) version: Option<String>,
    /// mirror to download from instead of Alpine's own (also: $PIPKIN_ALPINE_MIRROR)
    #[argh(option)]
    pub(crate) mirror: Option<String>,
    /// SHA-256 digest that the tarball must have
    #[argh(option)]
    pub(crate) sha256: Option<String>,
    /// never download
    #[argh(switch)]
    pub(crate) offline: bool,
    /// unpack it as this directory
    #[argh(option, short = 'o')]
    pub(crate) output: Option<String>,
    /// store it as the image of this name
    #[argh(option)]
    pub(crate) store: Option<ImageName>,
    /// replace a stored image of that name
    #[argh(switch)]
    pub(crate) replace: bool,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Unpacks a tarball (gzip, zstd, xz or plain) as a directory, which must not be there yet or be empty.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "unpack")]
pub(crate) struct Unpack {
    /// tarball
    #[argh(positional)]
    pub(crate) tarball: String,
    /// directory to make
    #[argh(positional)]
    pub(crate) directory: String,
    /// leave device nodes out
    #[argh(switch)]
    pub(crate) skip_devices: bool,
    /// most bytes to unpack; 16 GiB if not given
    #[argh(option, default = "Limits::default().size_max")]
    pub(crate) size_max: u64,
    /// most bytes to unpack for each compressed byte; 200 if not given
    #[argh(option, default = "Limits::default().ratio_max")]
    pub(crate) ratio_max: u64,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Stores a root file system as an image: a tarball, a directory, an OCI image layout (a directory or an archive of
/// it), a `docker save` or `podman save` archive.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "import")]
pub(crate) struct Import {
    /// tarball, directory, layout or archive
    #[argh(positional)]
    pub(crate) source: String,
    /// image name, as alpine:3.22
    #[argh(positional)]
    pub(crate) name: ImageName,
    /// keep an image's layers apart, for overlay mounts, instead of merging them
    #[argh(switch)]
    pub(crate) layers: bool,
    /// of an image for several: x86_64 or aarch64; this machine's if not given
    #[argh(option, default = "Arch::HOST")]
    pub(crate) arch: Arch,
    /// of several images: the one of this name (in a layout) or tag (in an archive)
    #[argh(option, long = "ref")]
    pub(crate) reference: Option<String>,
    /// replace a stored image of that name
    #[argh(switch)]
    pub(crate) replace: bool,
    /// leave a tarball's device nodes out
    #[argh(switch)]
    pub(crate) skip_devices: bool,
    /// most bytes to unpack; 16 GiB if not given
    #[argh(option, default = "Limits::default().size_max")]
    pub(crate) size_max: u64,
    /// most bytes to unpack for each compressed byte; 200 if not given
    #[argh(option, default = "Limits::default().ratio_max")]
    pub(crate) ratio_max: u64,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Stores an image from a registry, over TLS, or plain http where the registry is this machine. Credentials are those
/// of `docker login` or `podman login`. An interrupted download goes on where it ended.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "pull")]
pub(crate) struct Pull {
    /// image, as alpine:3.22, registry.example/a/b or localhost:5000/a@sha256:...
    #[argh(positional)]
    pub(crate) reference: Reference,
    /// image name here; if not given, the reference without its host
    #[argh(positional)]
    pub(crate) name: Option<ImageName>,
    /// file of certificates (PEM) that vouch for the registry, instead of the usual ones; this machine's registry is
    /// then reached over TLS as well
    #[argh(option)]
    pub(crate) cacert: Option<String>,
    /// keep the layers apart, for overlay mounts, instead of merging them
    #[argh(switch)]
    pub(crate) layers: bool,
    /// of an image for several: x86_64 or aarch64; this machine's if not given
    #[argh(option, default = "Arch::HOST")]
    pub(crate) arch: Arch,
    /// replace a stored image of that name
    #[argh(switch)]
    pub(crate) replace: bool,
    /// most bytes to download, and to unpack; 16 GiB if not given
    #[argh(option, default = "Limits::default().size_max")]
    pub(crate) size_max: u64,
    /// most bytes to unpack for each compressed byte; 200 if not given
    #[argh(option, default = "Limits::default().ratio_max")]
    pub(crate) ratio_max: u64,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Stores a root file system with something added: files, users, packages, and how it is to be run.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "customise")]
pub(crate) struct Customise {
    /// directory, tarball, image layout or archive, the name of a stored image, or scratch for an empty one
    #[argh(positional)]
    pub(crate) source: String,
    /// image name, as web:1
    #[argh(positional)]
    pub(crate) name: ImageName,
    /// file or directory to add, as HOST:PATH; can be given several times
    #[argh(option)]
    pub(crate) add: Vec<Addition>,
    /// user to add, as NAME[:UID[:GID]]; can be given several times
    #[argh(option)]
    pub(crate) user: Vec<User>,
    /// package to install, by name or as a file NAME.apk; can be given several times
    #[argh(option)]
    pub(crate) apk: Vec<String>,
    /// mirror to get packages from instead of Alpine's own (also: $PIPKIN_ALPINE_MIRROR)
    #[argh(option)]
    pub(crate) mirror: Option<String>,
    /// URL or directory of packages, instead of those that the root file system names; can be given several times
    #[argh(option)]
    pub(crate) repository: Vec<String>,
    /// public key that vouches for packages as well, named as in their signatures; can be given several times
    #[argh(option)]
    pub(crate) key: Vec<String>,
    /// the pipkin that runs apk, if not the one in PATH
    #[argh(option)]
    pub(crate) pipkin: Option<String>,
    /// program to put in as /sbin/init
    #[argh(option)]
    pub(crate) init: Option<String>,
    /// what the command is given to: a program, or a JSON array of it and its first arguments
    #[argh(option)]
    pub(crate) entrypoint: Option<Words>,
    /// command when none is typed: a program, or a JSON array of it and its arguments
    #[argh(option)]
    pub(crate) cmd: Option<Words>,
    /// variable, as NAME=VALUE; can be given several times
    #[argh(option)]
    pub(crate) env: Vec<String>,
    /// user that runs it, as USER[:GROUP]
    #[argh(option)]
    pub(crate) run_as: Option<String>,
    /// directory it starts in
    #[argh(option)]
    pub(crate) workdir: Option<String>,
    /// signal that asks it to end, as SIGQUIT
    #[argh(option)]
    pub(crate) stop_signal: Option<String>,
    /// of an image for several: x86_64 or aarch64; this machine's if not given
    #[argh(option, default = "Arch::HOST")]
    pub(crate) arch: Arch,
    /// of several images: the one of this name or tag
    #[argh(option, long = "ref")]
    pub(crate) reference: Option<String>,
    /// replace a stored image of that name
    #[argh(switch)]
    pub(crate) replace: bool,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Something of this machine and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Addition {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl FromStr for Addition {
    type Err = String;

    fn from_str(text: &str) -> Result<Addition, String> {
        match text.rsplit_once(':') {
            Some((host, path)) if !host.is_empty() && path.starts_with('/') => {
                Ok(Addition { host: host.to_owned(), path: path.to_owned() })
            }
            _ => Err(format!("{text:?} is not HOST:PATH with an absolute PATH")),
        }
    }
}

/// A program with arguments.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Words, String> {
        if !text.trim_start().starts_with('[') {
            return Ok(Words(vec![text.to_owned()]));
        }
        let words = serde_json::from_str(text).map(Words);
        words.map_err(|_| format!("{text:?} is no JSON array of strings"))
    }
}

/// Lists the stored images.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "images")]
pub(crate) struct Images {
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Removes a stored image that nothing uses.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "rmi")]
pub(crate) struct Rmi {
    /// image name
    #[argh(positional)]
    pub(crate) name: ImageName,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Writes a root file system as an initramfs (newc cpio). All times are $SOURCE_DATE_EPOCH, or 1970. Needs no root:
/// owners and devices go from archive to archive.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "initramfs")]
pub(crate) struct Initramfs {
    /// directory, tarball, image layout or archive, the name of a stored image, or scratch for an empty one
    #[argh(positional)]
    pub(crate) source: String,
    /// file to write
    #[argh(option, short = 'o')]
    pub(crate) output: String,
    /// gz (if not given), zst, xz or none
    #[argh(option, default = "Compression::Gzip")]
    pub(crate) compress: Compression,
    /// program to put in as /init
    #[argh(option)]
    pub(crate) init: Option<String>,
    /// of an image for several: x86_64 or aarch64; this machine's if not given
    #[argh(option, default = "Arch::HOST")]
    pub(crate) arch: Arch,
    /// of several images: the one of this name or tag
    #[argh(option, long = "ref")]
    pub(crate) reference: Option<String>,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Writes a root file system in another form. No time in it is later than $SOURCE_DATE_EPOCH, where that is set.
#[derive(FromArgs, Debug)]
#[argh(subcommand, name = "export")]
pub(crate) struct Export {
    /// directory, tarball, image layout or archive, the name of a stored image, or scratch for an empty one
    #[argh(positional)]
    pub(crate) source: String,
    /// file or directory to write
    #[argh(option, short = 'o')]
    pub(crate) output: String,
    /// directory, tar, squashfs, erofs, ext4, oci (an image layout) or oci-archive (which podman and Docker load)
    #[argh(option)]
    pub(crate) format: Format,
    /// of a tar: gz, zst, xz or none (if not given)
    #[argh(option, default = "Compression::None")]
    pub(crate) compress: Compression,
    /// of an ext4: its size in bytes, if not as much as the files need
    #[argh(option)]
    pub(crate) size: Option<u64>,
    /// of an oci or oci-archive: the image's name; the one of a stored image if not given
    #[argh(option)]
    pub(crate) name: Option<String>,
    /// program to put in as /sbin/init
    #[argh(option)]
    pub(crate) init: Option<String>,
    /// x86_64 or aarch64: what the root file system is for; this machine's if not given
    #[argh(option, default = "Arch::HOST")]
    pub(crate) arch: Arch,
    /// of several images: the one of this name or tag
    #[argh(option, long = "ref")]
    pub(crate) reference: Option<String>,
    /// directory of images, if not the usual one
    #[argh(option)]
    pub(crate) images: Option<String>,
    /// print JSON
    #[argh(switch)]
    pub(crate) json: bool,
}

/// What to write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Directory,
    Tar,
    Filesystem(Filesystem),
    Oci,
    OciArchive,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        match text {
            "directory" => Ok(Format::Directory),
            "tar" => Ok(Format::Tar),
            "oci" => Ok(Format::Oci),
            "oci-archive" => Ok(Format::OciArchive),
            _ => text.parse().map(Format::Filesystem).map_err(|_| {
                let known = "directory, tar, squashfs, erofs, ext4, oci or oci-archive";
                format!("unknown format {text:?}: {known}")
            }),
        }
    }
}

impl Unpack {
    pub(crate) fn options(&self) -> Options {
        options(self.skip_devices, self.size_max, self.ratio_max)
    }
}

impl Pull {
    pub(crate) fn options(&self) -> Options {
        options(false, self.size_max, self.ratio_max)
    }
}

impl Import {
    pub(crate) fn options(&self) -> Options {
        options(self.skip_devices, self.size_max, self.ratio_max)
    }
}

fn options(skip_devices: bool, size_max: u64, ratio_max: u64) -> Options {
    let devices = if skip_devices { Devices::Skip } else { Devices::Make };
    Options { limits: Limits { size_max, ratio_max, ..Limits::default() }, devices }
}

/// `--option=value` as two words, which is how argh reads it; nothing after `--` is touched.
pub(crate) fn separate_values(words: Vec<String>) -> Vec<String> {
    let mut separated = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    for word in words.by_ref() {
        match word.split_once('=') {
            Some((option, value)) if option.starts_with("--") => {
                separated.extend([option.to_owned(), value.to_owned()]);
            }
            _ => {
                let end = word == "--";
                separated.push(word);
                if end {
                    break;
                }
            }
        }
    }
    separated.extend(words);
    separated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_values_are_separated_up_to_the_end_of_options() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            separate_values(words("a --b=c=d e=f -g=h -- --i=j")),
            words("a --b c=d e=f -g=h -- --i=j")
        );
    }
}
