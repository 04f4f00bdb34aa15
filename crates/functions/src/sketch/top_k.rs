//! `approx_top_k` and its kin: the most frequent values, with a bounded number of counters.

mod counters;
mod resolve;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as Arrow, Field, Fields, Int32Type},
};
use datafusion::{common::exec_err, error::Result as DfResult, scalar::ScalarValue};
use firesteel_plan::SparkError;

use self::counters::Counters;
pub(super) use self::resolve::functions;
pub(crate) use self::resolve::resolve;
use crate::{
    aggregate::binary_state::{BinaryAggregate, BinaryState, Reader},
    errors::external,
    udf::{Args, Bytes, Ret, Text, Udf},
};

/// The struct that `approx_top_k_accumulate` answers for items of a type.
fn state_fields(item: &Arrow) -> Fields {
    Fields::from(vec![
        Field::new("sketch", Arrow::Binary, true),
        Field::new("maxItemsTracked", Arrow::Int32, true),
        Field::new("itemDataType", item.clone(), true),
        Field::new("itemDataTypeDDL", Arrow::Utf8, true),
    ])
}

fn entry_fields(item: &Arrow) -> Fields {
    Fields::from(vec![Field::new("item", item.clone(), true), Field::new("count", Arrow::Int64, true)])
}

/// The type of the items that a state counts.
fn item_of(state: &Arrow) -> DfResult<Arrow> {
    match state {
        Arrow::Struct(fields) if fields.len() == 4 => Ok(fields[2].data_type().clone()),
        other => exec_err!("{other} is no state of approx_top_k"),
    }
}

pub(super) fn udfs() -> Vec<Udf> {
    vec![
        // (state, k)
        Udf::new(
            "approx_top_k_estimate",
            Ret::By(|args| match args.first() {
                Some(state) => Ok(Arrow::new_list(Arrow::Struct(entry_fields(&item_of(state)?)), true)),
                None => exec_err!("approx_top_k_estimate of nothing"),
            }),
            estimate,
        ),
    ]
}

fn estimate(args: &Args<'_>) -> DfResult<ArrayRef> {
    let states = args.array(0)?;
    let states = states.as_struct();
    let k = args.primitive::<Int32Type>(1)?;
    let item = item_of(states.data_type())?;
    let sketches = Bytes::new(states.column(0), false)?;
    let mut lists = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        let k = usize::try_from(k.get(row).unwrap_or(0)).unwrap_or(0);
        lists.push(match sketches.get(row).filter(|_| states.is_valid(row)) {
            Some(bytes) => top(&Counters::read(bytes, &item)?, k, &item)?,
            None => ScalarValue::try_from(args.return_type)?,
        });
    }
    if lists.is_empty() {
        return Ok(arrow::array::new_empty_array(args.return_type));
    }
    ScalarValue::iter_to_array(lists)
}

/// A list of the k most frequent items with their counts; null takes part.
fn top(counters: &Counters, k: usize, item: &Arrow) -> DfResult<ScalarValue> {
    let mut entries = Vec::new();
    let mut nulls = counters.nulls;
    for (value, count) in counters.frequent() {
        if nulls > count {
            entries.push((ScalarValue::try_from(item)?, nulls));
            nulls = 0;
        }
        entries.push((value, count));
    }
    if nulls > 0 {
        entries.push((ScalarValue::try_from(item)?, nulls));
    }
    entries.truncate(k);
    let field = Arc::new(Field::new_list_field(Arrow::Struct(entry_fields(item)), true));
    let counts: ArrayRef = Arc::new(entries.iter().map(|(_, count)| Some(*count)).collect::<Int64Array>());
    let items = if entries.is_empty() {
        arrow::array::new_empty_array(item)
    } else {
        ScalarValue::iter_to_array(entries.into_iter().map(|(value, _)| value))?
    };
    let rows = StructArray::try_new(entry_fields(item), vec![items, counts], None)?;
    let offsets = OffsetBuffer::from_lengths([rows.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(rows), None)?)))
}

pub(super) fn aggregates() -> Vec<BinaryAggregate> {
    fn first(args: &[Arrow]) -> DfResult<&Arrow> {
        match args.first() {
            Some(t) => Ok(t),
            None => exec_err!("approx_top_k of nothing"),
        }
    }
    vec![
        // (value, k, maxItemsTracked)
        BinaryAggregate::answering(
            "approx_top_k",
            |args| Ok(Arrow::new_list(Arrow::Struct(entry_fields(first(args)?)), true)),
            |call| {
                let item = first(&call.types)?.clone();
                let counters = Counters::new(call.int(2)?);
                Ok(Box::new(Counting {
                    counters,
                    answer: Answer::Top(usize::try_from(call.int(1)?).unwrap_or(0)),
                    item,
                }))
            },
        ),
        // (value, maxItemsTracked, the type as DDL)
        BinaryAggregate::answering(
            "approx_top_k_accumulate",
            |args| Ok(Arrow::Struct(state_fields(first(args)?))),
            |call| {
                let item = first(&call.types)?.clone();
                let answer = Answer::State { tracked: call.int(1)?, ddl: call.text(2)?.to_owned() };
                Ok(Box::new(Counting { counters: Counters::new(call.int(1)?), answer, item }))
            },
        ),
        // (state, maxItemsTracked or -1)
        BinaryAggregate::answering(
            "approx_top_k_combine",
            |args| first(args).cloned(),
            |call| {
                let item = item_of(first(&call.types)?)?;
                let tracked = Some(call.int(1)?).filter(|t| *t > 0);
                Ok(Box::new(Combining { counters: None, tracked, fixed: tracked.is_some(), ddl: None, item }))
            },
        ),
    ]
}

#[derive(Debug)]
enum Answer {
    Top(usize),
    State { tracked: i32, ddl: String },
}

#[derive(Debug)]
struct Counting {
    counters: Counters,
    answer: Answer,
    item: Arrow,
}

impl BinaryState for Counting {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let values = &columns[0];
        for row in 0..values.len() {
            if values.is_null(row) {
                self.counters.nulls += 1;
            } else {
                self.counters.add(ScalarValue::try_from_array(values, row)?, 1);
            }
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        self.counters.merge(&Counters::read(bytes, &self.item)?);
        Ok(())
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        self.counters.write()
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        match &self.answer {
            Answer::Top(k) => top(&self.counters, *k, &self.item),
            Answer::State { tracked, ddl } => state(&self.counters, *tracked, ddl, &self.item),
        }
    }

    fn size(&self) -> usize {
        self.counters.size()
    }
}

fn state(counters: &Counters, tracked: i32, ddl: &str, item: &Arrow) -> DfResult<ScalarValue> {
    let columns = [
        ScalarValue::Binary(Some(counters.write()?)),
        ScalarValue::Int32(Some(tracked)),
        ScalarValue::try_from(item)?,
        ScalarValue::Utf8(Some(ddl.to_owned())),
    ];
    let columns = columns.iter().map(ScalarValue::to_array).collect::<DfResult<Vec<_>>>()?;
    Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(state_fields(item), columns, None)?)))
}

#[derive(Debug)]
struct Combining {
    counters: Option<Counters>,
    tracked: Option<i32>,
    /// Whether the number of items was given.
    fixed: bool,
    ddl: Option<String>,
    item: Arrow,
}

impl Combining {
    fn add(&mut self, sketch: &[u8], tracked: i32, ddl: &str) -> DfResult<()> {
        let known = self.ddl.get_or_insert_with(|| ddl.to_owned());
        let other_type = || {
            let message = format!(
                "Combining approx_top_k sketches of different types is not allowed. Found sketches of type {known} and {ddl}."
            );
            external(
                SparkError::new("APPROX_TOP_K_SKETCH_TYPE_NOT_MATCH", "42846", message)
                    .param("type1", known.as_str())
                    .param("type2", ddl),
            )
        };
        if known != ddl {
            return Err(other_type());
        }
        // What a UNION has given another type is still written in its own.
        let other = Counters::read(sketch, &self.item).map_err(|_| other_type())?;
        let size = *self.tracked.get_or_insert(tracked);
        if !self.fixed && size != tracked {
            let message = format!(
                "Combining approx_top_k sketches of different sizes is not allowed. Found sketches of size {size} and {tracked}."
            );
            return Err(external(
                SparkError::new("APPROX_TOP_K_SKETCH_SIZE_NOT_MATCH", "42846", message)
                    .param("size1", size.to_string())
                    .param("size2", tracked.to_string()),
            ));
        }
        self.counters.get_or_insert_with(|| Counters::new(size)).merge(&other);
        Ok(())
    }
}

impl BinaryState for Combining {
    fn update(&mut self, columns: &[ArrayRef]) -> DfResult<()> {
        let states = columns[0].as_struct();
        let (sketches, ddls) = (Bytes::new(states.column(0), false)?, Text::new(states.column(3), false)?);
        let tracked = states.column(1).as_primitive::<Int32Type>();
        for row in 0..states.len() {
            if let (true, Some(sketch), Some(ddl)) = (states.is_valid(row), sketches.get(row), ddls.get(row)) {
                self.add(sketch, tracked.value(row), ddl)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> DfResult<()> {
        let mut reader = Reader(bytes);
        let (tracked, length) = (reader.long()? as i32, reader.long()? as usize);
        let ddl = String::from_utf8_lossy(reader.take(length)?).into_owned();
        self.add(reader.0, tracked, &ddl)
    }

    fn bytes(&self) -> DfResult<Vec<u8>> {
        let (Some(counters), Some(tracked), Some(ddl)) = (&self.counters, self.tracked, &self.ddl) else {
            return Ok(Vec::new());
        };
        let mut out = i64::from(tracked).to_le_bytes().to_vec();
        out.extend((ddl.len() as i64).to_le_bytes());
        out.extend(ddl.as_bytes());
        out.extend(counters.write()?);
        Ok(out)
    }

    fn answer(&self) -> DfResult<ScalarValue> {
        match (&self.counters, self.tracked, &self.ddl) {
            (Some(counters), Some(tracked), Some(ddl)) => state(counters, tracked, ddl, &self.item),
            _ => ScalarValue::try_from(&Arrow::Struct(state_fields(&self.item))),
        }
    }

    fn size(&self) -> usize {
        self.counters.as_ref().map_or(0, Counters::size)
    }
}
