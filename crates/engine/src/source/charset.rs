//! Encodings of text files.

use bytes::Bytes;
use datafusion::common::Result;
use encoding_rs::{CoderResult, Decoder as OtherDecoder, Encoding};
use firesteel_plan::{SparkError, SparkResult};
use futures::{Stream, StreamExt, TryStreamExt, stream};

/// How characters are written as bytes, by Java's names of encodings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    Latin1,
    Ascii,
    Utf16(Order),
    Utf32(Order),
    Other(&'static Encoding),
}

/// The order of a unit's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Big,
    Little,
    /// As the mark at the beginning says; big without one.
    Marked,
}

const MARK: char = '\u{feff}';

impl Charset {
    pub fn parse(name: &str) -> SparkResult<Self> {
        Ok(match name.to_ascii_uppercase().replace('_', "-").as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "ISO-8859-1" | "LATIN1" | "ISO8859-1" | "L1" => Self::Latin1,
            "US-ASCII" | "ASCII" => Self::Ascii,
            "UTF-16" | "UTF16" => Self::Utf16(Order::Marked),
            "UTF-16BE" => Self::Utf16(Order::Big),
            "UTF-16LE" => Self::Utf16(Order::Little),
            "UTF-32" | "UTF32" => Self::Utf32(Order::Marked),
            "UTF-32BE" => Self::Utf32(Order::Big),
            "UTF-32LE" => Self::Utf32(Order::Little),
            _ => match Encoding::for_label(name.as_bytes()) {
                Some(encoding) => Self::Other(encoding),
                None => {
                    return Err(SparkError::new(
                        "INVALID_PARAMETER_VALUE.CHARSET",
                        "22023",
                        format!("The value of the option encoding is invalid: no charset has the name '{name}'."),
                    )
                    .param("charset", name));
                }
            },
        })
    }

    pub fn decoder(self) -> Decoder {
        let other = match self {
            Self::Other(encoding) => Some(encoding.new_decoder_without_bom_handling()),
            _ => None,
        };
        Decoder { charset: self, rest: Vec::new(), other }
    }

    /// Chunks of a file as chunks of UTF-8.
    pub fn decode_stream(
        self,
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> stream::BoxStream<'static, Result<Bytes>> {
        if self == Self::Utf8 {
            return chunks.boxed();
        }
        let start = (Some(self.decoder()), chunks.boxed());
        stream::try_unfold(start, |(mut decoder, mut chunks)| async move {
            let Some(open) = &mut decoder else { return Ok(None) };
            match chunks.try_next().await? {
                Some(chunk) => {
                    let text = open.decode(&chunk, false);
                    Ok(Some((Bytes::from(text), (decoder, chunks))))
                }
                None => {
                    let text = open.decode(&[], true);
                    Ok(Some((Bytes::from(text), (None, chunks))))
                }
            }
        })
        .boxed()
    }

    /// Appends `text` to `out`. What the encoding has no bytes for becomes `?`.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) {
        let mut narrow = |most: char| {
            out.extend(text.chars().map(|c| if c <= most { u32::from(c) as u8 } else { b'?' }));
        };
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Latin1 => narrow('\u{ff}'),
            Self::Ascii => narrow('\u{7f}'),
            Self::Utf16(Order::Little) => out.extend(text.encode_utf16().flat_map(u16::to_le_bytes)),
            Self::Utf16(_) => out.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
            Self::Utf32(Order::Little) => out.extend(text.chars().flat_map(|c| u32::from(c).to_le_bytes())),
            Self::Utf32(_) => out.extend(text.chars().flat_map(|c| u32::from(c).to_be_bytes())),
            Self::Other(encoding) => out.extend_from_slice(&encoding.encode(text).0),
        }
    }

    /// What stands at the beginning of a file that is written.
    pub fn mark(self) -> &'static [u8] {
        match self {
            Self::Utf16(Order::Marked) => &[0xfe, 0xff],
            _ => &[],
        }
    }
}

/// Bytes to text, chunk by chunk.
pub struct Decoder {
    charset: Charset,
    /// Bytes of a character that has more.
    rest: Vec<u8>,
    other: Option<OtherDecoder>,
}

impl Decoder {
    /// The text of the next bytes; `last` when there are no more.
    pub fn decode(&mut self, bytes: &[u8], last: bool) -> String {
        match self.charset {
            Charset::Utf8 => {
                let mut all = std::mem::take(&mut self.rest);
                all.extend_from_slice(bytes);
                // The last character may go on in the next bytes.
                let whole = match std::str::from_utf8(&all) {
                    Err(e) if e.error_len().is_none() && !last => e.valid_up_to(),
                    Err(_) if !last => whole_characters(&all),
                    _ => all.len(),
                };
                self.rest = all.split_off(whole);
                String::from_utf8_lossy(&all).into_owned()
            }
            Charset::Latin1 => bytes.iter().map(|b| char::from(*b)).collect(),
            Charset::Ascii => {
                bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER }).collect()
            }
            Charset::Utf16(order) => self.wide(bytes, last, order, 2),
            Charset::Utf32(order) => self.wide(bytes, last, order, 4),
            Charset::Other(_) => {
                let Some(decoder) = &mut self.other else { return String::new() };
                let mut out = String::new();
                let mut at = 0;
                loop {
                    out.reserve(decoder.max_utf8_buffer_length(bytes.len() - at).unwrap_or(4 * bytes.len()).max(16));
                    let (result, read, _) = decoder.decode_to_string(&bytes[at..], &mut out, last);
                    at += read;
                    if result == CoderResult::InputEmpty {
                        return out;
                    }
                }
            }
        }
    }

    fn wide(&mut self, bytes: &[u8], last: bool, order: Order, width: usize) -> String {
        let mut all = std::mem::take(&mut self.rest);
        all.extend_from_slice(bytes);
        let order = match order {
            Order::Marked if all.len() >= width || last => {
                let little = all.starts_with(&[0xff, 0xfe]);
                let order = if little { Order::Little } else { Order::Big };
                self.charset = if width == 2 { Charset::Utf16(order) } else { Charset::Utf32(order) };
                let mark =
                    if width == 2 { all.starts_with(&[0xfe, 0xff]) } else { all.starts_with(&[0, 0, 0xfe, 0xff]) };
                if little || mark {
                    all.drain(..width);
                }
                order
            }
            Order::Marked => {
                self.rest = all;
                return String::new();
            }
            order => order,
        };
        let unit = |bytes: &[u8]| {
            (0..width).fold(0u32, |n, i| {
                let byte = if order == Order::Little { bytes[width - 1 - i] } else { bytes[i] };
                (n << 8) | u32::from(byte)
            })
        };
        let units: Vec<u32> = all.chunks_exact(width).map(unit).collect();
        let mut used = units.len() * width;
        let text = if width == 4 {
            units.into_iter().map(|u| char::from_u32(u).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        } else {
            let mut units: Vec<u16> = units.into_iter().map(|u| u as u16).collect();
            // The other half of the last character may come yet.
            if !last && units.last().is_some_and(|u| (0xd800..0xdc00).contains(u)) {
                units.pop();
                used -= 2;
            }
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>()
        };
        self.rest = all[used..].to_vec();
        if last && !self.rest.is_empty() {
            return text + "\u{fffd}";
        }
        text
    }
}

/// How many bytes are before a character that the end cuts off.
fn whole_characters(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    (from..bytes.len())
        .find(|at| matches!(std::str::from_utf8(&bytes[*at..]), Err(e) if e.valid_up_to() == 0 && e.error_len().is_none()))
        .unwrap_or(bytes.len())
}

/// A text without the mark that some writers begin with.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_from_every_charset() {
        let text = "a\u{e9}\u{20ac}\u{1f600}\n";
        for name in ["UTF-8", "UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE", "GB18030"] {
            let charset = Charset::parse(name).unwrap();
            let mut bytes = charset.mark().to_vec();
            charset.encode(text, &mut bytes);
            for chunk in 1..bytes.len() {
                let mut decoder = charset.decoder();
                let mut read: String = bytes.chunks(chunk).map(|c| decoder.decode(c, false)).collect();
                read.push_str(&decoder.decode(&[], true));
                assert_eq!(read, text, "{name} in chunks of {chunk}");
            }
        }
        let mut bytes = Vec::new();
        Charset::parse("iso-8859-1").unwrap().encode(text, &mut bytes);
        assert_eq!(bytes, b"a\xe9??\n");
        assert!(Charset::parse("nothing").is_err());
    }
}
