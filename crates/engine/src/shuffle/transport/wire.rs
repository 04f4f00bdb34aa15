//! The bytes of the protocol.

use tonic::{Code, Status};

/// A token, or a request, may be so long.
pub const MAX_TOKEN_BYTES: usize = 4096;
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Message and details of an error.
pub const MAX_ERROR_BYTES: usize = 64 << 10;
/// Bytes of a block in one piece.
pub const MAX_PIECE_BYTES: u64 = 64 << 20;

/// What comes before each piece, and after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// So many bytes of a block follow.
    Piece { map: u32, partition: u32, length: u32 },
    /// Likewise, and the block ends with them.
    LastPiece { map: u32, partition: u32, length: u32, checksum: u32 },
    /// All has been sent.
    End,
    /// A code of gRPC's, and the lengths of a message and of details, which follow.
    Error { code: u32, message: u32, details: u32 },
}

pub const HEADER_BYTES: usize = 20;

impl Header {
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let words = match self {
            Self::End => [0, 0, 0, 0, 0],
            Self::Piece { map, partition, length } => [1, map, partition, length, 0],
            Self::LastPiece { map, partition, length, checksum } => [2, map, partition, length, checksum],
            Self::Error { code, message, details } => [3, code, message, details, 0],
        };
        let mut bytes = [0; HEADER_BYTES];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Status> {
        let mut words =
            bytes.chunks_exact(4).map(|w| w.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte)));
        let mut next = || words.next().unwrap_or_default();
        let (kind, a, b, c, d) = (next(), next(), next(), next(), next());
        match kind {
            0 => Ok(Self::End),
            1 | 2 if u64::from(c) > MAX_PIECE_BYTES => Err(Status::data_loss(format!("a piece of {c} bytes"))),
            1 => Ok(Self::Piece { map: a, partition: b, length: c }),
            2 => Ok(Self::LastPiece { map: a, partition: b, length: c, checksum: d }),
            3 if (b as usize).saturating_add(c as usize) > MAX_ERROR_BYTES => {
                Err(Status::unavailable("an error message that is too long"))
            }
            3 => Ok(Self::Error { code: a, message: b, details: c }),
            other => Err(Status::unavailable(format!("{other} is no kind of message"))),
        }
    }
}

/// Header, message and details of an error.
pub fn encode_error(status: &Status) -> Vec<u8> {
    let within = |text: &[u8]| text[..text.len().min(MAX_ERROR_BYTES / 2)].to_vec();
    let (message, details) = (within(status.message().as_bytes()), within(status.details()));
    let (code, message_length) = (status.code() as i32 as u32, message.len() as u32);
    let mut bytes = Header::Error { code, message: message_length, details: details.len() as u32 }.encode().to_vec();
    bytes.extend(message);
    bytes.extend(details);
    bytes
}

/// The error whose message and details these are.
pub fn decode_error(code: u32, message: &[u8], details: &[u8]) -> Status {
    let code = Code::from_i32(i32::try_from(code).unwrap_or(Code::Unknown as i32));
    let message = String::from_utf8_lossy(message).into_owned();
    Status::with_details(code, message, bytes::Bytes::copy_from_slice(details))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back() {
        for header in [
            Header::End,
            Header::Piece { map: 1, partition: 2, length: 3 },
            Header::LastPiece { map: u32::MAX, partition: 0x0102_0304, length: 1 << 20, checksum: 0xdead_beef },
            Header::Error { code: 5, message: 6, details: 7 },
        ] {
            assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        }
        let endless = Header::Piece { map: 0, partition: 0, length: u32::MAX };
        assert_eq!(Header::decode(&endless.encode()).unwrap_err().code(), Code::DataLoss);
        assert!(Header::decode(&[9; HEADER_BYTES]).is_err());
        let long = Header::Error { code: 1, message: u32::MAX, details: u32::MAX };
        assert!(Header::decode(&long.encode()).is_err());
    }

    #[test]
    fn errors_come_back() {
        let status = Status::with_details(Code::DataLoss, "gone: é", vec![1, 2, 3].into());
        let bytes = encode_error(&status);
        let Header::Error { code, message, details } =
            Header::decode(bytes[..HEADER_BYTES].try_into().unwrap()).unwrap()
        else {
            panic!("no error")
        };
        let (text, rest) = bytes[HEADER_BYTES..].split_at(message as usize);
        assert_eq!(rest.len(), details as usize);
        let back = decode_error(code, text, rest);
        assert_eq!((back.code(), back.message(), back.details()), (Code::DataLoss, "gone: é", &[1, 2, 3][..]));
        let endless = encode_error(&Status::internal("x".repeat(1 << 20)));
        assert!(endless.len() <= MAX_ERROR_BYTES + HEADER_BYTES);
    }
}
