//! Averages of intervals, rounded half up.

use arrow::{
    array::{ArrayRef, AsArray},
    datatypes::{DataType as Arrow, DurationMicrosecondType, IntervalYearMonthType},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};

use super::binary_state::{BinaryAggregate, BinaryState, Reader};
use crate::errors::{self, external};

/// (interval); `interval_avg_tolerant` answers null where the sum is too large.
pub(super) fn aggregates() -> [BinaryAggregate; 2] {
    fn same(args: &[Arrow]) -> DfResult<Arrow> {
        match args.first() {
            Some(t) => Ok(t.clone()),
            None => exec_err!("an average of nothing"),
        }
    }
    fn make(call: &super::binary_state::Call<'_>, tolerant: bool) -> DfResult<Box<dyn BinaryState>> {
        let months = matches!(call.return_type, Arrow::Interval(_));
        Ok(Box::new(Average { months, tolerant, sum: Some(0), count: 0 }))
    }
    [
        BinaryAggregate::answering("interval_avg_checked", same, |call| make(call, false)),
        BinaryAggregate::answering("interval_avg_tolerant", same, |call| make(call, true)),
    ]
}

#[derive(Debug)]
struct Average {
    /// Months, else microseconds.
    months: bool,
    tolerant: bool,
    /// Nothing once it was too large.
    sum: Option<i64>,
    count: i64,
}

impl Average {
    fn add(&mut self, value: i64, count: i64) -> DfResult<()> {
        self.count += count;
        let Some(sum) = self.sum else { return Ok(()) };
        let next = sum.checked_add(value);
        self.sum = if self.months { next.filter(|v| i32::try_from(*v).is_ok()) } else { next };
        if self.sum.is_none() && !self.tolerant {
            return Err(external(errors::interval_overflow("try_avg")));
        }
        Ok(())
    }
}

impl BinaryState for Average {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        if self.months {
            let values = columns[0].as_primitive::<IntervalYearMonthType>();
            return values.iter().flatten().try_for_each(|v| self.add(i64::from(v), 1));
        }
        columns[0].as_primitive::<DurationMicrosecondType>().iter().flatten().try_for_each(|v| self.add(v, 1))
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let mut reader = Reader(bytes);
        let (count, valid, sum) = (reader.long()?, reader.long()?, reader.long()?);
        if valid == 0 {
            self.sum = None;
        }
        self.add(sum, count)
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        let parts = [self.count, i64::from(self.sum.is_some()), self.sum.unwrap_or(0)];
        Ok(parts.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        let average = self.sum.filter(|_| self.count > 0).map(|sum| {
            let (whole, rest) = (sum / self.count, (sum % self.count).unsigned_abs());
            // Half of it and more counts away from zero.
            whole + if rest * 2 >= self.count.unsigned_abs() { sum.signum() } else { 0 }
        });
        Ok(if self.months {
            ScalarValue::IntervalYearMonth(average.and_then(|v| i32::try_from(v).ok()))
        } else {
            ScalarValue::DurationMicrosecond(average)
        })
    }

    fn size(&self) -> usize {
        24
    }
}
