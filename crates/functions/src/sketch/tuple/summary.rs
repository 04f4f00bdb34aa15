//! The number beside each key of a tuple sketch, in the form that the Java library writes: the number and its mode.

use std::marker::PhantomData;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float64Type, Int32Type},
};
use datasketches::{
    codec::{SketchBytes, SketchSlice},
    error::{Error, ErrorKind},
    tuple::{SummaryCombinePolicy, SummaryPolicy, SummaryUpdatePolicy, TupleSummaryValue},
};
use firesteel_plan::SparkError;

/// What becomes of several numbers of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Sum,
    Min,
    Max,
    AlwaysOne,
}

impl Mode {
    pub(super) fn parse(text: &str, name: &str) -> Result<Self, SparkError> {
        Ok(match text.to_lowercase().as_str() {
            "sum" => Self::Sum,
            "min" => Self::Min,
            "max" => Self::Max,
            "alwaysone" => Self::AlwaysOne,
            _ => {
                const VALID: &str = "sum, min, max, alwaysone";
                return Err(SparkError::new(
                    "TUPLE_INVALID_SKETCH_MODE",
                    "22023",
                    format!("Invalid call to `{name}`: mode '{text}' is not supported. Valid modes are: {VALID}."),
                )
                .param("function", format!("`{name}`"))
                .param("mode", text)
                .param("validModes", VALID));
            }
        })
    }
}

/// A type of such numbers.
pub(super) trait Number: Copy + Send + Sync + 'static {
    /// What the first number is combined with.
    fn neutral(mode: Mode) -> Self;
    fn combined(self, other: Self, mode: Mode) -> Self;
    fn at(column: &ArrayRef, row: usize) -> Option<Self>;
    fn write(self, out: &mut Vec<u8>);
    fn read(input: &mut SketchSlice<'_>) -> std::io::Result<Self>;
}

impl Number for f64 {
    fn neutral(mode: Mode) -> Self {
        match mode {
            Mode::Sum => 0.0,
            Mode::Min => f64::INFINITY,
            Mode::Max => f64::NEG_INFINITY,
            Mode::AlwaysOne => 1.0,
        }
    }

    fn combined(self, other: Self, mode: Mode) -> Self {
        match mode {
            Mode::Sum => self + other,
            // A NaN is not less than anything.
            Mode::Min => {
                if other < self {
                    other
                } else {
                    self
                }
            }
            Mode::Max => {
                if other > self {
                    other
                } else {
                    self
                }
            }
            Mode::AlwaysOne => 1.0,
        }
    }

    fn at(column: &ArrayRef, row: usize) -> Option<Self> {
        column.is_valid(row).then(|| column.as_primitive::<Float64Type>().value(row))
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn read(input: &mut SketchSlice<'_>) -> std::io::Result<Self> {
        input.read_f64_le()
    }
}

impl Number for i32 {
    fn neutral(mode: Mode) -> Self {
        match mode {
            Mode::Sum => 0,
            Mode::Min => i32::MAX,
            Mode::Max => i32::MIN,
            Mode::AlwaysOne => 1,
        }
    }

    fn combined(self, other: Self, mode: Mode) -> Self {
        match mode {
            Mode::Sum => self.wrapping_add(other),
            Mode::Min => self.min(other),
            Mode::Max => self.max(other),
            Mode::AlwaysOne => 1,
        }
    }

    fn at(column: &ArrayRef, row: usize) -> Option<Self> {
        column.is_valid(row).then(|| column.as_primitive::<Int32Type>().value(row))
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn read(input: &mut SketchSlice<'_>) -> std::io::Result<Self> {
        input.read_i32_le()
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Summary<N> {
    pub value: N,
    mode: Mode,
}

impl<N: Number> TupleSummaryValue for Summary<N> {
    fn serialize_size(&self) -> usize {
        size_of::<N>() + 1
    }

    fn serialize_value(&self, bytes: &mut SketchBytes) {
        let mut written = Vec::with_capacity(8);
        self.value.write(&mut written);
        written.into_iter().for_each(|b| bytes.write_u8(b));
        bytes.write_u8(self.mode as u8);
    }

    fn deserialize_value(cursor: &mut SketchSlice<'_>) -> Result<Self, Error> {
        let cut_off = |_| Error::new(ErrorKind::InvalidData, "the summaries are cut off");
        let value = N::read(cursor).map_err(cut_off)?;
        let mode = match cursor.read_u8().map_err(cut_off)? {
            0 => Mode::Sum,
            1 => Mode::Min,
            2 => Mode::Max,
            3 => Mode::AlwaysOne,
            _ => return Err(Error::new(ErrorKind::InvalidData, "a summary has no mode")),
        };
        Ok(Self { value, mode })
    }
}

/// Combines numbers of one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy<N> {
    mode: Mode,
    number: PhantomData<fn() -> N>,
}

impl<N> Policy<N> {
    pub(super) fn new(mode: Mode) -> Self {
        Self { mode, number: PhantomData }
    }
}

impl<N: Number> SummaryPolicy for Policy<N> {
    type Summary = Summary<N>;

    fn create(&self) -> Summary<N> {
        Summary { value: N::neutral(self.mode), mode: self.mode }
    }
}

impl<N: Number> SummaryUpdatePolicy<N> for Policy<N> {
    fn update(&self, summary: &mut Summary<N>, value: N) {
        summary.value = summary.value.combined(value, self.mode);
    }
}

impl<N: Number> SummaryCombinePolicy for Policy<N> {
    fn combine(&self, summary: &mut Summary<N>, other: &Summary<N>) {
        let start = N::neutral(self.mode);
        let value = start.combined(summary.value, self.mode).combined(other.value, self.mode);
        *summary = Summary { value, mode: self.mode };
    }
}
