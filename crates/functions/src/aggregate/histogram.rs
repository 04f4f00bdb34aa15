//! `histogram_numeric`: bins of a histogram that is built while rows come (Ben-Haim and Tom-Tov), as Hive and Spark build it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as Arrow, Field, Fields, Float64Type},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};

use super::binary_state::{BinaryAggregate, BinaryState, Reader};
use crate::{
    datetime::doubles::{as_doubles, of_doubles},
    random::JavaRandom,
};

/// (value, number of bins)
pub(super) fn aggregate() -> BinaryAggregate {
    BinaryAggregate::answering(
        "spark_histogram_numeric",
        |args| match args.first() {
            Some(t) => Ok(Arrow::new_list(Arrow::Struct(fields(t)), true)),
            None => exec_err!("a histogram of nothing"),
        },
        |call| {
            let Some(data_type) = call.types.first().cloned() else { return exec_err!("a histogram of nothing") };
            let most = usize::try_from(call.int(1)?).unwrap_or(0).max(2);
            Ok(Box::new(Histogram { data_type, most, bins: Vec::new(), random: JavaRandom::new(31183) }))
        },
    )
}

fn fields(value: &Arrow) -> Fields {
    Fields::from(vec![Field::new("x", value.clone(), true), Field::new("y", Arrow::Float64, true)])
}

#[derive(Debug)]
struct Histogram {
    data_type: Arrow,
    most: usize,
    /// Centre and height, by their centres.
    bins: Vec<(f64, f64)>,
    /// For ties of the closest bins.
    random: JavaRandom,
}

impl Histogram {
    fn add(&mut self, value: f64) {
        let (mut bin, mut low, mut high) = (0, 0, self.bins.len());
        while low < high {
            bin = (low + high) / 2;
            if self.bins[bin].0 > value {
                high = bin;
            } else if self.bins[bin].0 < value {
                bin += 1;
                low = bin;
            } else {
                break;
            }
        }
        if self.bins.get(bin).is_some_and(|b| b.0 == value) {
            self.bins[bin].1 += 1.0;
        } else {
            self.bins.insert(bin, (value, 1.0));
            self.trim();
        }
    }

    /// Merges the two closest bins until there are no more than wanted.
    fn trim(&mut self) {
        while self.bins.len() > self.most {
            let gap = |i: usize| self.bins[i + 1].0 - self.bins[i].0;
            let (mut least, mut at, mut ties) = (gap(0), 0, 1);
            for i in 1..self.bins.len() - 1 {
                let gap = gap(i);
                if gap < least {
                    (least, at, ties) = (gap, i, 1);
                } else if gap == least {
                    ties += 1;
                    if self.random.next_double() <= 1.0 / f64::from(ties) {
                        at = i;
                    }
                }
            }
            let (x, y) = self.bins.remove(at + 1);
            let bin = &mut self.bins[at];
            let height = bin.1 + y;
            bin.0 *= bin.1 / height;
            bin.0 += x / height * y;
            bin.1 = height;
        }
    }
}

impl BinaryState for Histogram {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let values = as_doubles(&columns[0])?;
        values.as_primitive::<Float64Type>().iter().flatten().for_each(|v| self.add(v));
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let mut reader = Reader(bytes);
        for _ in 0..bytes.len() / 16 {
            self.bins.push((reader.double()?, reader.double()?));
        }
        self.bins.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.trim();
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        Ok(self.bins.iter().flat_map(|(x, y)| [x.to_le_bytes(), y.to_le_bytes()].concat()).collect())
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        let fields = fields(&self.data_type);
        let field = Arc::new(Field::new_list_field(Arrow::Struct(fields.clone()), true));
        if self.bins.is_empty() {
            return ScalarValue::try_from(&Arrow::List(field));
        }
        let heights: ArrayRef = Arc::new(Float64Array::from_iter_values(self.bins.iter().map(|b| b.1)));
        let centres: ArrayRef = Arc::new(Float64Array::from_iter_values(self.bins.iter().map(|b| b.0)));
        let centres = of_doubles(&centres, &self.data_type)?;
        let bins = StructArray::try_new(fields, vec![centres, heights], None)?;
        let offsets = OffsetBuffer::from_lengths([bins.len()]);
        Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(bins), None)?)))
    }

    fn size(&self) -> usize {
        self.bins.capacity() * 16
    }
}
