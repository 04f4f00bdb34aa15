//! Variances, covariances and what is made of them, to the last bit as Spark computes them: values one after another by
//! Spark's update formulas, partial results by its merge formulas.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, ListArray},
    buffer::OffsetBuffer,
    datatypes::{DataType as Arrow, Field, FieldRef, Float64Type},
};
use datafusion::{
    common::exec_err,
    error::Result as DfResult,
    logical_expr::{
        Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    scalar::ScalarValue,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Moment {
    StddevSamp,
    StddevPop,
    VarSamp,
    VarPop,
    Skewness,
    Kurtosis,
    CovarSamp,
    CovarPop,
    Corr,
    RegrR2,
    RegrSlope,
    RegrIntercept,
    RegrSxx,
    RegrSyy,
    RegrSxy,
}

pub(super) const ALL: [(&str, Moment); 15] = [
    ("spark_stddev_samp", Moment::StddevSamp),
    ("spark_stddev_pop", Moment::StddevPop),
    ("spark_var_samp", Moment::VarSamp),
    ("spark_var_pop", Moment::VarPop),
    ("spark_skewness", Moment::Skewness),
    ("spark_kurtosis", Moment::Kurtosis),
    ("spark_covar_samp", Moment::CovarSamp),
    ("spark_covar_pop", Moment::CovarPop),
    ("spark_corr", Moment::Corr),
    ("spark_regr_r2", Moment::RegrR2),
    ("spark_regr_slope", Moment::RegrSlope),
    ("spark_regr_intercept", Moment::RegrIntercept),
    ("spark_regr_sxx", Moment::RegrSxx),
    ("spark_regr_syy", Moment::RegrSyy),
    ("spark_regr_sxy", Moment::RegrSxy),
];

/// How many numbers a state has at most.
const WIDTH: usize = 6;

/// Of one value: n, mean, m2, m3, m4. Of two: n, the means of x and y, their co-moment, m2 of x and of y.
type State = [f64; WIDTH];

impl Moment {
    fn is_of_pairs(self) -> bool {
        !matches!(
            self,
            Self::StddevSamp | Self::StddevPop | Self::VarSamp | Self::VarPop | Self::Skewness | Self::Kurtosis
        )
    }

    /// Whether the state is that of one value: the only one, or the one of a pair that counts.
    fn is_central(self) -> bool {
        !self.is_of_pairs() || matches!(self, Self::RegrSxx | Self::RegrSyy)
    }

    fn width(self) -> usize {
        if self.is_central() { 5 } else { WIDTH }
    }

    /// The two values in the order in which the formulas take them: those of a regression come as (dependent, independent).
    fn ordered(self, first: f64, second: f64) -> (f64, f64) {
        match self {
            Self::RegrSlope | Self::RegrIntercept | Self::RegrSxx => (second, first),
            _ => (first, second),
        }
    }

    fn add(self, state: &mut State, first: f64, second: f64) {
        let (x, y) = self.ordered(first, second);
        if self.is_central() { add_central(state, x) } else { self.add_pair(state, x, y) }
    }

    fn add_pair(self, state: &mut State, x: f64, y: f64) {
        let [n, mean_x, mean_y, co, m2_x, m2_y] = *state;
        let n = n + 1.0;
        let (dx, dy) = (x - mean_x, y - mean_y);
        let (new_x, new_y) = (mean_x + dx / n, mean_y + dy / n);
        let m2 = |m2: f64, d: f64, v: f64, mean: f64| match self {
            // The variance beside a covariance is computed as a variance is.
            Self::RegrSlope | Self::RegrIntercept => m2 + d * (d - d / n),
            _ => m2 + d * (v - mean),
        };
        *state = [n, new_x, new_y, co + dx * (y - new_y), m2(m2_x, dx, x, new_x), m2(m2_y, dy, y, new_y)];
    }

    fn merge(self, state: &mut State, other: State) {
        if self.is_central() {
            return merge_central(state, other);
        }
        let [n1, x1, y1, co1, xx1, yy1] = *state;
        let [n2, x2, y2, co2, xx2, yy2] = other;
        let n = n1 + n2;
        let (dx, dy) = (x2 - x1, y2 - y1);
        let part = |d: f64| if n == 0.0 { 0.0 } else { d / n };
        let (dx_n, dy_n) = (part(dx), part(dy));
        *state = [
            n,
            x1 + dx_n * n2,
            y1 + dy_n * n2,
            co1 + co2 + dx * dy_n * n1 * n2,
            xx1 + xx2 + dx * dx_n * n1 * n2,
            yy1 + yy2 + dy * dy_n * n1 * n2,
        ];
    }

    fn result(self, state: &State) -> Option<f64> {
        let [n, ..] = *state;
        if n == 0.0 {
            return None;
        }
        if self.is_central() {
            let [_, _, m2, m3, m4, _] = *state;
            return match self {
                Self::StddevPop => Some((m2 / n).sqrt()),
                Self::VarPop => Some(m2 / n),
                Self::StddevSamp if n > 1.0 => Some((m2 / (n - 1.0)).sqrt()),
                Self::VarSamp if n > 1.0 => Some(m2 / (n - 1.0)),
                Self::Skewness if m2 != 0.0 => Some(n.sqrt() * m3 / (m2 * m2 * m2).sqrt()),
                Self::Kurtosis if m2 != 0.0 => Some(n * m4 / (m2 * m2) - 3.0),
                Self::RegrSxx | Self::RegrSyy => Some(m2),
                _ => None,
            };
        }
        let [_, mean_x, mean_y, co, m2_x, m2_y] = *state;
        let slope = || (m2_x / n != 0.0).then(|| (co / n) / (m2_x / n));
        match self {
            Self::CovarPop => Some(co / n),
            Self::CovarSamp if n > 1.0 => Some(co / (n - 1.0)),
            Self::Corr if n > 1.0 => Some(co / (m2_x * m2_y).sqrt()),
            Self::RegrSxy => Some(co),
            Self::RegrSlope => slope(),
            Self::RegrIntercept => slope().map(|slope| mean_y - slope * mean_x),
            // Of the dependent x on the independent y.
            Self::RegrR2 if m2_y == 0.0 => None,
            Self::RegrR2 if m2_x == 0.0 => Some(1.0),
            Self::RegrR2 => {
                let corr = co / (m2_x * m2_y).sqrt();
                Some(corr * corr)
            }
            _ => None,
        }
    }
}

fn add_central(state: &mut State, x: f64) {
    let [n, mean, m2, m3, m4, _] = *state;
    let n = n + 1.0;
    let delta = x - mean;
    let delta_n = delta / n;
    let (delta2, delta_n2) = (delta * delta, delta_n * delta_n);
    let new_m2 = m2 + delta * (delta - delta_n);
    let new_m3 = m3 - 3.0 * delta_n * new_m2 + delta * (delta2 - delta_n2);
    let new_m4 = m4 - 4.0 * delta_n * new_m3 - 6.0 * delta_n2 * new_m2 + delta * (delta * delta2 - delta_n * delta_n2);
    *state = [n, mean + delta_n, new_m2, new_m3, new_m4, 0.0];
}

fn merge_central(state: &mut State, other: State) {
    let [n1, mean1, a2, a3, a4, _] = *state;
    let [n2, mean2, b2, b3, b4, _] = other;
    let n = n1 + n2;
    let delta = mean2 - mean1;
    let delta_n = if n == 0.0 { 0.0 } else { delta / n };
    let m2 = a2 + b2 + delta * delta_n * n1 * n2;
    let m3 = a3 + b3 + delta_n * delta_n * delta * n1 * n2 * (n1 - n2) + 3.0 * delta_n * (n1 * b2 - n2 * a2);
    let m4 = a4
        + b4
        + delta_n * delta_n * delta_n * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
        + 6.0 * delta_n * delta_n * (n1 * n1 * b2 + n2 * n2 * a2)
        + 4.0 * delta_n * (n1 * b3 - n2 * a3);
    *state = [n, mean1 + delta_n * n2, m2, m3, m4, 0.0];
}

/// (double) or (double, double)
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Moments {
    name: &'static str,
    moment: Moment,
    signature: Signature,
}

impl Moments {
    pub(super) fn new(name: &'static str, moment: Moment) -> Self {
        let inputs = if moment.is_of_pairs() { 2 } else { 1 };
        Self { name, moment, signature: Signature::any(inputs, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Moments {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[Arrow]) -> DfResult<Arrow> {
        Ok(Arrow::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> DfResult<Vec<FieldRef>> {
        if args.is_distinct {
            let item = Arc::new(Field::new("item", Arrow::Float64, true));
            return Ok(vec![Arc::new(Field::new("values", Arrow::List(item), true))]);
        }
        Ok((0..self.moment.width()).map(|i| Arc::new(Field::new(format!("moment{i}"), Arrow::Float64, true))).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Ok(Box::new(Distinct { moment: self.moment, values: Vec::new(), seen: HashSet::new() }));
        }
        Ok(Box::new(One { moment: self.moment, state: State::default() }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs<'_>) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Groups { moment: self.moment, states: Vec::new() }))
    }

    fn create_sliding_accumulator(&self, _args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding { moment: self.moment, values: VecDeque::new() }))
    }
}

/// Calls `each` for the rows in which no value is null.
fn pairs(values: &[ArrayRef], mut each: impl FnMut(usize, f64, f64)) {
    let first = values[0].as_primitive::<Float64Type>();
    let second = values.get(1).map_or(first, |second| second.as_primitive::<Float64Type>());
    for row in 0..first.len() {
        if first.is_valid(row) && second.is_valid(row) {
            each(row, first.value(row), second.value(row));
        }
    }
}

fn state_at(states: &[ArrayRef], row: usize) -> State {
    let mut state = State::default();
    for (part, column) in state.iter_mut().zip(states) {
        *part = column.as_primitive::<Float64Type>().value(row);
    }
    state
}

#[derive(Debug)]
struct One {
    moment: Moment,
    state: State,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        pairs(values, |_, x, y| self.moment.add(&mut self.state, x, y));
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        Ok(ScalarValue::Float64(self.moment.result(&self.state)))
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        Ok(self.state[..self.moment.width()].iter().map(|v| ScalarValue::Float64(Some(*v))).collect())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        for row in 0..states[0].len() {
            self.moment.merge(&mut self.state, state_at(states, row));
        }
        Ok(())
    }
}

struct Groups {
    moment: Moment,
    states: Vec<State>,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.states.resize(total_num_groups, State::default());
        pairs(values, |row, x, y| {
            if opt_filter.is_none_or(|f| f.is_valid(row) && f.value(row)) {
                self.moment.add(&mut self.states[group_indices[row]], x, y);
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> DfResult<ArrayRef> {
        let states = emit.take_needed(&mut self.states);
        Ok(Arc::new(states.iter().map(|state| self.moment.result(state)).collect::<Float64Array>()))
    }

    fn state(&mut self, emit: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let states = emit.take_needed(&mut self.states);
        let column = |i: usize| Float64Array::from_iter_values(states.iter().map(|state| state[i]));
        Ok((0..self.moment.width()).map(|i| Arc::new(column(i)) as ArrayRef).collect())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> DfResult<()> {
        self.states.resize(total_num_groups, State::default());
        for (row, group) in group_indices.iter().enumerate() {
            self.moment.merge(&mut self.states[*group], state_at(values, row));
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> DfResult<Vec<ArrayRef>> {
        let mut each = Groups { moment: self.moment, states: Vec::new() };
        let rows: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<State>()
    }
}

/// Frames of windows are computed anew for each row, as Spark does it: taking values out again would lose digits.
#[derive(Debug)]
struct Sliding {
    moment: Moment,
    values: VecDeque<(f64, f64)>,
}

impl Accumulator for Sliding {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        pairs(values, |_, x, y| self.values.push_back((x, y)));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        pairs(values, |_, _, _| {
            self.values.pop_front();
        });
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let mut state = State::default();
        for (x, y) in &self.values {
            self.moment.add(&mut state, *x, *y);
        }
        Ok(ScalarValue::Float64(self.moment.result(&state)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<(f64, f64)>()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        exec_err!("the frame of a window has no partial state")
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> DfResult<()> {
        exec_err!("frames of windows are not merged")
    }
}

#[derive(Debug)]
struct Distinct {
    moment: Moment,
    /// In the order in which they came; the second is the first where there is one value only.
    values: Vec<(f64, f64)>,
    seen: HashSet<(u64, u64)>,
}

impl Distinct {
    fn add(&mut self, x: f64, y: f64) {
        // NaN is one value, and so are 0.0 and -0.0.
        let same = |value: f64| if value == 0.0 { 0.0 } else { value };
        let key = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        let (x, y) = (same(x), same(y));
        if self.seen.insert((key(x), key(y))) {
            self.values.push((x, y));
        }
    }
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        pairs(values, |_, x, y| self.add(x, y));
        Ok(())
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        let mut state = State::default();
        for (x, y) in &self.values {
            self.moment.add(&mut state, *x, *y);
        }
        Ok(ScalarValue::Float64(self.moment.result(&state)))
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * 16 + self.seen.capacity() * 24
    }

    /// The pairs one after another in one list.
    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        let values: ArrayRef = Arc::new(Float64Array::from_iter_values(self.values.iter().flat_map(|(x, y)| [*x, *y])));
        let item = Arc::new(Field::new("item", Arrow::Float64, true));
        let list = ListArray::try_new(item, OffsetBuffer::from_lengths([values.len()]), values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            for pair in values.as_primitive::<Float64Type>().values().chunks_exact(2) {
                self.add(pair[0], pair[1]);
            }
        }
        Ok(())
    }
}
