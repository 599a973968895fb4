//! Compression, recognised by its first bytes and bounded in what it may become.
//!
//! [`Decoder`] is the only way from outside bytes to an archive, so a decompression bomb ends here: at a size, or at
//! a ratio of bytes out to bytes in once there are enough of them for a ratio to mean something.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::rc::Rc;
use std::str::FromStr;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use liblzma::bufread::XzDecoder;

use crate::alpine::Arch;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
    /// xz.
    Xz,
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Compression, String> {
        match text {
            "none" => Ok(Compression::None),
            "gz" | "gzip" => Ok(Compression::Gzip),
            "zst" | "zstd" => Ok(Compression::Zstd),
            "xz" => Ok(Compression::Xz),
            _ => Err(format!("unknown compression {text:?}: gz, zst, xz or none")),
        }
    }
}

impl Compression {
    fn of(first: &[u8]) -> io::Result<Compression> {
        const BZIP2: &[u8] = b"BZh";
        const LZ4: &[u8] = &[0x04, 0x22, 0x4d, 0x18];
        match first {
            [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
            // A skippable frame, which some zstd writers begin with.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Ok(Compression::Xz),
            _ if first.starts_with(BZIP2) || first.starts_with(LZ4) => {
                Err(io::Error::other("compressed in a way other than gzip, zstd or xz"))
            }
            _ => Ok(Compression::None),
        }
    }
}

/// How much a compressed stream may become.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes out, at most.
    pub size_max: u64,
    /// Bytes out for each byte in, at most...
    pub ratio_max: u64,
    /// ...once there are this many bytes out.
    pub ratio_from: u64,
}

impl Default for Limits {
    /// 16 GiB, and 200 to 1 from 64 MiB on.
    fn default() -> Limits {
        Limits { size_max: 16 << 30, ratio_max: 200, ratio_from: 64 << 20 }
    }
}

/// xz may ask for a dictionary of 4 GiB; its own strongest preset takes 65 MiB. zstd stops at 128 MiB by itself.
const XZ_MEMORY_MAX: u64 = 256 << 20;
const BUFFER_SIZE: usize = 128 << 10;

/// Reads a stream as it was before it was compressed.
pub struct Decoder<'a> {
    inner: Box<dyn Read + 'a>,
    compression: Compression,
    consumed: Rc<Cell<u64>>,
    produced: u64,
    limits: Limits,
}

impl<'a> Decoder<'a> {
    /// Looks at the first bytes of `input` and chooses.
    pub fn new(input: impl Read + 'a, limits: Limits) -> io::Result<Decoder<'a>> {
        let consumed = Rc::new(Cell::new(0));
        let counted = Counted { inner: input, count: Rc::clone(&consumed) };
        let mut input = BufReader::with_capacity(BUFFER_SIZE, counted);
        let compression = Compression::of(input.fill_buf()?)?;
        let inner: Box<dyn Read + 'a> = match compression {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(input)?),
            Compression::Xz => {
                let stream =
                    liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_MAX, liblzma::stream::CONCATENATED);
                Box::new(XzDecoder::new_stream(input, stream?))
            }
        };
        Ok(Decoder { inner, compression, consumed, produced: 0, limits })
    }

    /// What the first bytes said.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    fn check(&self) -> io::Result<()> {
        let Limits { size_max, ratio_max, ratio_from } = self.limits;
        if self.produced > size_max {
            return Err(io::Error::other(format!("unpacks to more than the limit of {size_max} bytes")));
        }
        // What is consumed runs ahead of what is produced by at most a buffer, which favours the input a little.
        let compressed = self.compression != Compression::None;
        if compressed && self.produced > ratio_from && self.produced / ratio_max > self.consumed.get() {
            return Err(io::Error::other(format!(
                "unpacks to more than {ratio_max} times its size: a decompression bomb?"
            )));
        }
        Ok(())
    }
}

impl Read for Decoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.produced += count as u64;
        self.check()?;
        Ok(count)
    }
}

impl fmt::Debug for Decoder<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Decoder({:?}, {} -> {})", self.compression, self.consumed.get(), self.produced)
    }
}

struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// Compresses what is written; the same input gives the same bytes.
pub enum Encoder<W: Write> {
    /// As it is.
    None(W),
    /// gzip without a name or a time in its header.
    Gzip(GzEncoder<W>),
    /// zstd with its checksum.
    Zstd(zstd::Encoder<'static, W>),
    /// xz with CRC32, the only check that the kernel's decoder knows (Documentation/staging/xz.rst).
    Xz(liblzma::write::XzEncoder<W>),
}

/// zstd's strongest level that does not need a larger window to read.
const ZSTD_LEVEL: i32 = 19;

impl<W: Write> Encoder<W> {
    /// Starts a stream.
    pub fn new(compression: Compression, out: W) -> io::Result<Encoder<W>> {
        Ok(match compression {
            Compression::None => Encoder::None(out),
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(out, flate2::Compression::best())),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_easy_encoder(6, liblzma::stream::Check::Crc32)?;
                Encoder::Xz(liblzma::write::XzEncoder::new_stream(out, stream))
            }
        })
    }

    /// Likewise, for a kernel of `arch` that is to unpack programs. xz then takes the targets of their calls as absolute,
    /// for x86_64 alone: its kernels can undo that (CONFIG_XZ_DEC_X86), those for Arm since Linux 6.9 only.
    pub fn of_programs(compression: Compression, arch: Arch, out: W) -> io::Result<Encoder<W>> {
        if compression != Compression::Xz || arch != Arch::X86_64 {
            return Encoder::new(compression, out);
        }
        let mut options = liblzma::stream::LzmaOptions::new_preset(6)?;
        // Instructions begin anywhere.
        options.position_bits(0).literal_context_bits(4);
        let mut filters = liblzma::stream::Filters::new();
        filters.x86().lzma2(&options);
        let stream = liblzma::stream::Stream::new_stream_encoder(&filters, liblzma::stream::Check::Crc32)?;
        Ok(Encoder::Xz(liblzma::write::XzEncoder::new_stream(out, stream)))
    }

    /// Writes the stream's end and gives back where it went.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Encoder::None(out) => Ok(out),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Xz(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::None(out) => out.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
            Encoder::Xz(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::None(out) => out.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
            Encoder::Xz(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Xz];

    fn packed(compression: Compression, data: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(compression, Vec::new()).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8], limits: Limits) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        Decoder::new(packed, limits)?.read_to_end(&mut data)?;
        Ok(data)
    }

    #[test]
    fn each_is_recognised_and_reproducible() {
        let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        for compression in ALL {
            let bytes = packed(compression, &data);
            assert_eq!(bytes, packed(compression, &data));
            assert_eq!(Decoder::new(&bytes[..], Limits::default()).unwrap().compression(), compression);
            assert_eq!(unpacked(&bytes, Limits::default()).unwrap(), data);
            let twice = [&bytes[..], &bytes[..]].concat();
            assert_eq!(unpacked(&twice, Limits::default()).unwrap().len(), 2 * data.len(), "{compression:?}");
        }
        assert!(unpacked(b"BZh91AY&SY", Limits::default()).is_err());
        assert_eq!(unpacked(b"", Limits::default()).unwrap(), b"");
    }

    #[test]
    fn programs_are_read_back_and_take_less() {
        // A call of the same target from everywhere, as in a program.
        let data: Vec<u8> = (0..4000_u32)
            .flat_map(|at| [&[0xe8][..], &0_u32.wrapping_sub(at * 5).to_le_bytes()].concat())
            .collect();
        let packed_for = |arch| {
            let mut encoder = Encoder::of_programs(Compression::Xz, arch, Vec::new()).unwrap();
            encoder.write_all(&data).unwrap();
            encoder.finish().unwrap()
        };
        let (for_x86, for_arm) = (packed_for(Arch::X86_64), packed_for(Arch::Aarch64));
        assert_eq!(for_arm, packed(Compression::Xz, &data));
        assert!(for_x86.len() < for_arm.len(), "{} and {}", for_x86.len(), for_arm.len());
        assert_eq!(unpacked(&for_x86, Limits::default()).unwrap(), data);
    }

    #[test]
    fn truncated_streams_are_errors() {
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz] {
            let bytes = packed(compression, &[3; 5000]);
            for end in 6..bytes.len() {
                assert!(unpacked(&bytes[..end], Limits::default()).is_err(), "{compression:?} cut at {end}");
            }
        }
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let limits = Limits { size_max: 1 << 20, ratio_max: 50, ratio_from: 100_000 };
        for compression in [Compression::Gzip, Compression::Zstd, Compression::Xz] {
            let error = unpacked(&packed(compression, &vec![0; 900_000]), limits).unwrap_err();
            assert!(error.to_string().contains("bomb"), "{compression:?}: {error}");
            assert!(unpacked(&packed(compression, &vec![0; 100_000]), limits).is_ok());
        }
        let error = unpacked(&vec![0; (1 << 20) + 1], limits).unwrap_err();
        assert!(error.to_string().contains("1048576 bytes"), "{error}");
        assert!(unpacked(&vec![0; 1 << 20], limits).is_ok(), "what is not compressed has no ratio");
    }
}
