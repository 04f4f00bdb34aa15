//! Chunks of bytes cut into lines, and lines put together to batches.

use std::{borrow::Cow, ops::Range};

use arrow::array::{StringArray, StringBuilder};
use bytes::Bytes;
use datafusion::common::Result;
use firesteel_plan::{SparkError, SparkResult};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use super::UNREADABLE;
use crate::error::to_datafusion;

/// A batch is full when its lines have so many bytes, however few they are.
const BATCH_BYTES: usize = 4 << 20;
/// A longer line is taken for a file that is no text: one line must fit in the memory of a task, several times over.
const LONGEST_LINE: usize = 64 << 20;

/// What ends a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// `\n`, `\r\n` or `\r`, each line as it likes.
    Any,
    Bytes(Vec<u8>),
}

impl Ending {
    /// By the option `lineSep`.
    pub fn of(option: Option<&str>) -> SparkResult<Self> {
        match option {
            None => Ok(Self::Any),
            Some("") => Err(SparkError::new(
                "INVALID_OPTION_VALUE",
                "42616",
                "The option 'lineSep' cannot be an empty string.".to_owned(),
            )
            .param("option", "lineSep")),
            Some(text) => Ok(Self::Bytes(text.as_bytes().to_vec())),
        }
    }

    /// How many bytes before a split tell whether a line starts with it; nothing when files are not split.
    pub fn look_back(&self) -> Option<u64> {
        match self {
            Self::Any => Some(1),
            Self::Bytes(bytes) => (bytes.len() == 1).then_some(1),
        }
    }
}

/// Lines of a batch.
pub struct LineBatch {
    pub rows: usize,
    /// Empty when lines are only counted.
    pub lines: StringArray,
    /// Those of them that are not UTF-8.
    pub broken: Vec<usize>,
    /// Whether the first line of the file is among them, as the first.
    pub at_start: bool,
}

/// Cuts chunks of bytes into lines, and lines into batches.
pub struct Lines {
    /// Offset in the file of the next byte to come.
    position: u64,
    /// Lines that start here or later belong to the next split.
    end: u64,
    /// Bytes are passed over until the first line that starts in this split.
    skipping: bool,
    ending: Ending,
    /// The last line ended with `\r`, to which a `\n` may belong.
    after_return: bool,
    /// A line's beginning, its end not yet seen.
    carry: Vec<u8>,
    rows: usize,
    values: StringBuilder,
    broken: Vec<usize>,
    keeps: bool,
    at_start: bool,
    batch_size: usize,
    done: bool,
}

impl Lines {
    /// Of the split `split`, whose chunks begin at `position`. Without `keeps`, lines are only counted.
    pub fn new(split: Range<u64>, position: u64, ending: Ending, batch_size: usize, keeps: bool) -> Self {
        Self {
            position,
            end: split.end,
            skipping: split.start > 0,
            ending,
            after_return: false,
            carry: Vec::new(),
            rows: 0,
            values: StringBuilder::new(),
            broken: Vec::new(),
            keeps,
            at_start: split.start == 0,
            batch_size,
            done: false,
        }
    }

    pub fn batches(
        self,
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> impl Stream<Item = Result<LineBatch>> + Send {
        let start = (self, chunks.boxed(), Bytes::new());
        stream::try_unfold(start, |(mut lines, mut chunks, mut chunk)| async move {
            loop {
                if let Some(batch) = lines.take(&mut chunk)? {
                    return Ok(Some((batch, (lines, chunks, chunk))));
                }
                if lines.done {
                    return Ok(lines.rest().map(|batch| (batch, (lines, chunks, chunk))));
                }
                match chunks.try_next().await? {
                    Some(next) => chunk = lines.joined(next),
                    None => lines.finish(),
                }
            }
        })
    }

    /// A line's end of several bytes may lie across chunks: what was kept is looked at again.
    fn joined(&mut self, next: Bytes) -> Bytes {
        match &self.ending {
            Ending::Bytes(bytes) if bytes.len() > 1 && !self.carry.is_empty() => {
                let mut all = std::mem::take(&mut self.carry);
                self.position -= all.len() as u64;
                all.extend_from_slice(&next);
                all.into()
            }
            _ => next,
        }
    }

    /// Takes lines off `chunk` until a batch is full (returned) or the chunk is used up.
    fn take(&mut self, chunk: &mut Bytes) -> Result<Option<LineBatch>> {
        while !self.done && !chunk.is_empty() {
            if std::mem::take(&mut self.after_return) && chunk[0] == b'\n' {
                let _ = chunk.split_to(1);
                self.position += 1;
                continue;
            }
            if self.carry.is_empty() && !self.skipping && self.position >= self.end {
                self.done = true;
                break;
            }
            let found = self.ending_in(chunk);
            let length = found.map_or(chunk.len(), |(at, n)| at + n);
            let piece = chunk.split_to(length);
            self.position += length as u64;
            if self.skipping {
                self.skipping = found.is_none();
                continue;
            }
            match found {
                None => self.carry(&piece)?,
                Some((at, _)) if self.carry.is_empty() => self.push(&piece[..at]),
                Some((at, _)) => {
                    let mut line = std::mem::take(&mut self.carry);
                    line.extend_from_slice(&piece[..at]);
                    self.push(&line);
                }
            }
            if self.rows >= self.batch_size || self.values.values_slice().len() >= BATCH_BYTES {
                return Ok(self.rest());
            }
        }
        Ok(None)
    }

    /// Where the first line in `chunk` ends, and in how many bytes.
    fn ending_in(&mut self, chunk: &[u8]) -> Option<(usize, usize)> {
        match &self.ending {
            Ending::Any => {
                let at = chunk.iter().position(|b| matches!(b, b'\n' | b'\r'))?;
                self.after_return = chunk[at] == b'\r';
                Some((at, 1))
            }
            Ending::Bytes(bytes) => match bytes.as_slice() {
                [one] => chunk.iter().position(|b| b == one).map(|at| (at, 1)),
                several => chunk.windows(several.len()).position(|w| w == several).map(|at| (at, several.len())),
            },
        }
    }

    /// Keeps a piece of a line that has no end yet.
    fn carry(&mut self, piece: &[u8]) -> Result<()> {
        if self.carry.len() + piece.len() > LONGEST_LINE {
            return Err(to_datafusion(SparkError::new(
                UNREADABLE,
                "KD001",
                format!(
                    "The line that ends after byte {} of the file is longer than {LONGEST_LINE} bytes, which is the longest that \
                     is read. If the file is no text, read it as what it is.",
                    self.position
                ),
            )));
        }
        self.carry.extend_from_slice(piece);
        Ok(())
    }

    /// The file's end: its last line may have no newline.
    fn finish(&mut self) {
        let line = std::mem::take(&mut self.carry);
        if !line.is_empty() {
            self.push(&line);
        }
        self.done = true;
    }

    fn push(&mut self, line: &[u8]) {
        if self.keeps {
            // Bytes that are no UTF-8 become U+FFFD, as when Spark shows them.
            let text = String::from_utf8_lossy(line);
            if matches!(text, Cow::Owned(_)) {
                self.broken.push(self.rows);
            }
            self.values.append_value(text);
        }
        self.rows += 1;
    }

    fn rest(&mut self) -> Option<LineBatch> {
        if self.rows == 0 {
            return None;
        }
        let at_start = std::mem::take(&mut self.at_start);
        let broken = std::mem::take(&mut self.broken);
        Some(LineBatch { rows: std::mem::take(&mut self.rows), lines: self.values.finish(), broken, at_start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &'static str, range: Range<u64>, chunk: usize, ending: &Ending) -> Vec<String> {
        let first = range.start.saturating_sub(1);
        let bytes = Bytes::from_static(text.as_bytes()).slice(usize::try_from(first).unwrap()..);
        let pieces: Vec<Result<Bytes>> = bytes.chunks(chunk).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        let lines = Lines::new(range, first, ending.clone(), 3, true).batches(stream::iter(pieces));
        let batches: Vec<LineBatch> = futures::executor::block_on(lines.try_collect()).unwrap();
        batches.iter().flat_map(|b| b.lines.iter().map(|v| v.unwrap().to_owned()).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_line_without_end_is_an_error() {
        let piece = Bytes::from(vec![b'x'; 1 << 20]);
        let pieces = stream::iter((0..1 << 20).map(move |_| Ok(piece.clone())));
        let lines = Lines::new(0..u64::MAX, 0, Ending::Any, 3, true).batches(pieces);
        let ended: Result<Vec<LineBatch>> = futures::executor::block_on(lines.try_collect());
        assert!(ended.err().unwrap().to_string().contains("longer than"));
    }

    #[test]
    fn every_line_belongs_to_exactly_one_split() {
        let texts = [
            ("a\nbb\r\n\nüü\rccc\r\r\nlast without newline", Ending::Any),
            ("a|bb||üü|ccc\n||last without newline", Ending::Bytes(b"|".to_vec())),
        ];
        for (text, ending) in texts {
            let size = text.len() as u64;
            let whole = split(text, 0..size, text.len(), &ending);
            assert_eq!(whole.len(), 7);
            for chunk in 1..=text.len() {
                assert_eq!(split(text, 0..size, chunk, &ending), whole);
                for cut in 1..size {
                    let mut parts = split(text, 0..cut, chunk, &ending);
                    parts.extend(split(text, cut..size, chunk, &ending));
                    assert_eq!(parts, whole, "{ending:?} cut at {cut}, chunks of {chunk}");
                }
            }
        }
    }

    #[test]
    fn endings_of_several_bytes_lie_across_chunks() {
        let text = "a|||bb||c||||d|||";
        for chunk in 1..=text.len() {
            let lines = split(text, 0..text.len() as u64, chunk, &Ending::Bytes(b"|||".to_vec()));
            assert_eq!(lines, ["a", "bb||c", "|d"], "chunks of {chunk}");
        }
    }
}
