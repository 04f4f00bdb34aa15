//! Codecs by the names that Spark gives them.

use std::io::{self, Write};

use arrow_avro::compression::CompressionCodec;
use bytes::Bytes;
use bzip2::write::BzEncoder;
use datafusion::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use firesteel_plan::{SparkError, SparkResult};
use flate2::write::{GzEncoder, ZlibEncoder};
use orc_rust::compression::CompressionType;

fn not_available(name: &str, available: &str) -> SparkError {
    SparkError::new(
        "CODEC_NOT_AVAILABLE.WITH_AVAILABLE_CODECS_SUGGESTION",
        "56038",
        format!("The codec {name} is not available. Available codecs are {available}."),
    )
    .param("codecName", name)
    .param("availableCodecs", available)
}

pub fn parquet(name: &str) -> SparkResult<Compression> {
    Ok(match name {
        "none" | "uncompressed" => Compression::UNCOMPRESSED,
        "snappy" => Compression::SNAPPY,
        "gzip" => Compression::GZIP(GzipLevel::default()),
        "zstd" => Compression::ZSTD(ZstdLevel::default()),
        "lz4" | "lz4_raw" | "lz4raw" => Compression::LZ4_RAW,
        other => return Err(not_available(other, "none, snappy, gzip, zstd, lz4_raw")),
    })
}

pub fn orc(name: &str) -> SparkResult<Option<CompressionType>> {
    Ok(match name {
        "none" | "uncompressed" => None,
        "snappy" => Some(CompressionType::Snappy),
        "zlib" => Some(CompressionType::Zlib),
        "zstd" => Some(CompressionType::Zstd),
        "lz4" => Some(CompressionType::Lz4),
        other => return Err(not_available(other, "none, snappy, zlib, zstd, lz4")),
    })
}

pub fn avro(name: &str) -> SparkResult<Option<CompressionCodec>> {
    Ok(match name {
        "uncompressed" => None,
        "snappy" => Some(CompressionCodec::Snappy),
        "deflate" => Some(CompressionCodec::Deflate),
        "zstandard" => Some(CompressionCodec::ZStandard),
        "bzip2" => Some(CompressionCodec::Bzip2),
        "xz" => Some(CompressionCodec::Xz),
        other => return Err(not_available(other, "uncompressed, snappy, deflate, zstandard, bzip2, xz")),
    })
}

/// What files of text end with for a codec.
pub fn text_extension(name: &str) -> SparkResult<&'static str> {
    Ok(match name {
        "none" | "uncompressed" => "",
        "gzip" => ".gz",
        "bzip2" => ".bz2",
        "deflate" => ".deflate",
        "zstd" => ".zst",
        "snappy" | "lz4" => return Err(SparkError::unsupported(format!("option compression={name} of files of text"))),
        other => return Err(not_available(other, "none, uncompressed, gzip, bzip2, deflate, zstd")),
    })
}

/// Text on its way into a file.
pub enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Bzip2(BzEncoder<Vec<u8>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Compressor {
    /// `codec` is one of those that [`text_extension`] knows.
    pub fn new(codec: &str) -> io::Result<Self> {
        Ok(match codec {
            "gzip" => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            "deflate" => Self::Deflate(ZlibEncoder::new(Vec::new(), flate2::Compression::default())),
            "bzip2" => Self::Bzip2(BzEncoder::new(Vec::new(), bzip2::Compression::best())),
            "zstd" => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 3)?)),
            _ => Self::None(Vec::new()),
        })
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::None(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Deflate(out) => out.write_all(bytes),
            Self::Bzip2(out) => out.write_all(bytes),
            Self::Zstd(out) => out.write_all(bytes),
        }
    }

    /// What is ready.
    pub fn take(&mut self) -> Bytes {
        std::mem::take(match self {
            Self::None(out) => out,
            Self::Gzip(out) => out.get_mut(),
            Self::Deflate(out) => out.get_mut(),
            Self::Bzip2(out) => out.get_mut(),
            Self::Zstd(out) => out.get_mut(),
        })
        .into()
    }

    pub fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::None(out) => out,
            Self::Gzip(out) => out.finish()?,
            Self::Deflate(out) => out.finish()?,
            Self::Bzip2(out) => out.finish()?,
            Self::Zstd(out) => out.finish()?,
        }
        .into())
    }
}
