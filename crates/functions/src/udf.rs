//! What every function evaluated here is made of: a name, a rule for its Arrow type, and a kernel over columns.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryViewArray, BooleanArray, LargeBinaryArray,
        LargeStringArray, PrimitiveArray, PrimitiveBuilder, StringArray, StringBuilder, StringViewArray,
    },
    datatypes::DataType as Arrow,
};
use datafusion::{
    common::{
        exec_err,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    error::Result as DfResult,
    logical_expr::{
        AggregateUDF, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
        Volatility, WindowUDF, expr::ScalarFunction, interval_arithmetic::Interval,
    },
    scalar::ScalarValue,
};
use firesteel_plan::{SparkError, SparkResult};

/// Answers one array of `args.rows` values of the function's type.
pub(crate) type Kernel = fn(&Args<'_>) -> DfResult<ArrayRef>;

#[derive(Debug, Clone)]
pub(crate) enum Ret {
    Fixed(Arrow),
    /// The type of this argument; a null literal often carries it.
    Arg(usize),
    /// The element type of this list argument.
    Element(usize),
    By(fn(&[Arrow]) -> DfResult<Arrow>),
}

pub(crate) struct Udf {
    name: &'static str,
    ret: Ret,
    kernel: Kernel,
    signature: Signature,
}

impl Udf {
    pub(crate) fn new(name: &'static str, ret: Ret, kernel: Kernel) -> Self {
        Self::with_volatility(name, ret, kernel, Volatility::Immutable)
    }

    pub(crate) fn volatile(name: &'static str, ret: Ret, kernel: Kernel) -> Self {
        Self::with_volatility(name, ret, kernel, Volatility::Volatile)
    }

    fn with_volatility(name: &'static str, ret: Ret, kernel: Kernel, volatility: Volatility) -> Self {
        let any = TypeSignature::OneOf(vec![TypeSignature::VariadicAny, TypeSignature::Nullary]);
        Self { name, ret, kernel, signature: Signature::new(any, volatility) }
    }
}

impl std::fmt::Debug for Udf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// DataFusion asks for the names of all calls in a call, again and again: those of deep ones are short.
    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        if args.iter().any(|arg| is_deeper(arg, NAMED_DEPTH)) {
            let mut hasher = DefaultHasher::new();
            args.hash(&mut hasher);
            return Ok(format!("{}(#{:016x})", self.name, hasher.finish()));
        }
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(format!("{}({})", self.name, args.join(",")))
    }

    fn return_type(&self, args: &[Arrow]) -> DfResult<Arrow> {
        let missing = |i: usize| SparkError::internal(format!("{} has no argument {i}", self.name));
        match &self.ret {
            Ret::Fixed(t) => Ok(t.clone()),
            Ret::Arg(i) => args.get(*i).cloned().ok_or_else(|| crate::errors::external(missing(*i))),
            Ret::Element(i) => match args.get(*i) {
                Some(Arrow::List(f) | Arrow::LargeList(f) | Arrow::ListView(f)) => Ok(f.data_type().clone()),
                _ => Err(crate::errors::external(missing(*i))),
            },
            Ret::By(f) => f(args),
        }
    }

    /// All values of its type. DataFusion's own answer has no type, at which what is made of it fails: a minus before it is then
    /// not seen to be constant, and a window that is ordered by it has no plan.
    fn evaluate_bounds(&self, inputs: &[&Interval]) -> DfResult<Interval> {
        let types: Vec<Arrow> = inputs.iter().map(|input| input.data_type()).collect();
        let answers = self.return_type(&types).unwrap_or(Arrow::Null);
        Interval::make_unbounded(&answers).or_else(|_| Interval::make_unbounded(&Arrow::Null))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        let volatile = self.signature.volatility == Volatility::Volatile;
        let constant = !volatile && args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let view = Args { name: self.name, values: &args.args, rows, return_type: args.return_field.data_type() };
        let result = (self.kernel)(&view)?;
        if result.len() != rows {
            return exec_err!("{} answered {} values for {rows} rows", self.name, result.len());
        }
        if constant {
            return ScalarValue::try_from_array(&result, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// Calls in each other that are named in full.
const NAMED_DEPTH: usize = 8;

fn is_deeper(expr: &Expr, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    let mut found = false;
    // The closure answers no error.
    let walked = expr.apply_children(|child| {
        found = is_deeper(child, below);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found || walked.is_err()
}

/// The arguments of one call.
pub(crate) struct Args<'a> {
    pub name: &'static str,
    values: &'a [ColumnarValue],
    pub rows: usize,
    pub return_type: &'a Arrow,
}

impl<'a> Args<'a> {
    /// The arguments of a call that is evaluated for every row, whatever is constant.
    pub(crate) fn of_call(name: &'static str, args: &'a ScalarFunctionArgs) -> Self {
        Self { name, values: &args.args, rows: args.number_rows, return_type: args.return_field.data_type() }
    }
}

impl Args<'_> {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn value(&self, index: usize) -> DfResult<&ColumnarValue> {
        match self.values.get(index) {
            Some(v) => Ok(v),
            None => exec_err!("{} has no argument {index}", self.name),
        }
    }

    /// The column, a constant repeated for every row.
    pub(crate) fn array(&self, index: usize) -> DfResult<ArrayRef> {
        self.value(index)?.to_array(self.rows)
    }

    /// The column, or one value and `true` for a constant.
    pub(crate) fn short(&self, index: usize) -> DfResult<(ArrayRef, bool)> {
        match self.value(index)? {
            ColumnarValue::Array(a) => Ok((Arc::clone(a), false)),
            ColumnarValue::Scalar(s) => Ok((s.to_array()?, true)),
        }
    }

    pub(crate) fn scalar(&self, index: usize) -> Option<&ScalarValue> {
        match self.values.get(index) {
            Some(ColumnarValue::Scalar(s)) => Some(s),
            _ => None,
        }
    }

    /// A text argument that is the same for all rows and not null.
    pub(crate) fn constant_text(&self, index: usize) -> Option<&str> {
        self.scalar(index).and_then(|s| s.try_as_str()).flatten()
    }

    /// As [`Self::constant_text`]; an error where the analyzer should have given one.
    pub(crate) fn parameter(&self, index: usize) -> DfResult<&str> {
        match self.constant_text(index) {
            Some(t) => Ok(t),
            None => exec_err!("{}: argument {index} must be a text literal", self.name),
        }
    }

    pub(crate) fn text(&self, index: usize) -> DfResult<Text> {
        let (array, constant) = self.short(index)?;
        Text::new(&array, constant)
    }

    pub(crate) fn bytes(&self, index: usize) -> DfResult<Bytes> {
        let (array, constant) = self.short(index)?;
        Bytes::new(&array, constant)
    }

    pub(crate) fn primitive<T: ArrowPrimitiveType>(&self, index: usize) -> DfResult<Primitive<T>> {
        let (array, constant) = self.short(index)?;
        match array.as_primitive_opt::<T>() {
            Some(a) => Ok(Primitive { array: a.clone(), constant }),
            None => exec_err!("{}: argument {index} is {}, not {}", self.name, array.data_type(), T::DATA_TYPE),
        }
    }

    pub(crate) fn boolean(&self, index: usize) -> DfResult<BooleanArray> {
        let array = self.array(index)?;
        match array.as_boolean_opt() {
            Some(a) => Ok(a.clone()),
            None => exec_err!("{}: argument {index} is {}, not boolean", self.name, array.data_type()),
        }
    }
}

/// A column of numbers, or one number for all rows.
pub(crate) struct Primitive<T: ArrowPrimitiveType> {
    pub array: PrimitiveArray<T>,
    pub constant: bool,
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        let row = if self.constant { 0 } else { row };
        if self.array.is_null(row) { None } else { Some(self.array.value(row)) }
    }
}

/// A column of strings in whatever layout, or one string for all rows.
pub(crate) struct Text {
    layout: TextLayout,
    constant: bool,
}

enum TextLayout {
    Utf8(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
    Null,
}

impl Text {
    pub(crate) fn new(array: &ArrayRef, constant: bool) -> DfResult<Self> {
        let layout = match array.data_type() {
            Arrow::Utf8 => TextLayout::Utf8(array.as_string::<i32>().clone()),
            Arrow::LargeUtf8 => TextLayout::Large(array.as_string::<i64>().clone()),
            Arrow::Utf8View => TextLayout::View(array.as_string_view().clone()),
            Arrow::Null => TextLayout::Null,
            Arrow::Dictionary(_, _) => {
                TextLayout::Utf8(arrow::compute::cast(array, &Arrow::Utf8)?.as_string::<i32>().clone())
            }
            other => return exec_err!("a text argument is {other}"),
        };
        Ok(Self { layout, constant })
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        let row = if self.constant { 0 } else { row };
        match &self.layout {
            TextLayout::Utf8(a) => (!a.is_null(row)).then(|| a.value(row)),
            TextLayout::Large(a) => (!a.is_null(row)).then(|| a.value(row)),
            TextLayout::View(a) => (!a.is_null(row)).then(|| a.value(row)),
            TextLayout::Null => None,
        }
    }

    /// Bytes of all values, to size a builder.
    pub(crate) fn byte_size(&self) -> usize {
        match &self.layout {
            TextLayout::Utf8(a) => a.value_data().len(),
            TextLayout::Large(a) => a.value_data().len(),
            TextLayout::View(a) => a.total_buffer_bytes_used() + a.len() * 8,
            TextLayout::Null => 0,
        }
    }
}

/// A column of byte strings (or of strings, as their bytes).
pub(crate) struct Bytes {
    layout: BytesLayout,
    constant: bool,
}

enum BytesLayout {
    Binary(BinaryArray),
    Large(LargeBinaryArray),
    View(BinaryViewArray),
    Text(TextLayout),
}

impl Bytes {
    pub(crate) fn new(array: &ArrayRef, constant: bool) -> DfResult<Self> {
        let layout = match array.data_type() {
            Arrow::Binary => BytesLayout::Binary(array.as_binary::<i32>().clone()),
            Arrow::LargeBinary => BytesLayout::Large(array.as_binary::<i64>().clone()),
            Arrow::BinaryView => BytesLayout::View(array.as_binary_view().clone()),
            Arrow::FixedSizeBinary(_) => {
                BytesLayout::Binary(arrow::compute::cast(array, &Arrow::Binary)?.as_binary::<i32>().clone())
            }
            _ => BytesLayout::Text(Text::new(array, constant)?.layout),
        };
        Ok(Self { layout, constant })
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&[u8]> {
        let row = if self.constant { 0 } else { row };
        match &self.layout {
            BytesLayout::Binary(a) => (!a.is_null(row)).then(|| a.value(row)),
            BytesLayout::Large(a) => (!a.is_null(row)).then(|| a.value(row)),
            BytesLayout::View(a) => (!a.is_null(row)).then(|| a.value(row)),
            BytesLayout::Text(TextLayout::Utf8(a)) => (!a.is_null(row)).then(|| a.value(row).as_bytes()),
            BytesLayout::Text(TextLayout::Large(a)) => (!a.is_null(row)).then(|| a.value(row).as_bytes()),
            BytesLayout::Text(TextLayout::View(a)) => (!a.is_null(row)).then(|| a.value(row).as_bytes()),
            BytesLayout::Text(TextLayout::Null) => None,
        }
    }
}

/// Numbers, one a row.
pub(crate) fn numbers<T: ArrowPrimitiveType>(
    args: &Args<'_>,
    mut value: impl FnMut(usize) -> DfResult<Option<T::Native>>,
) -> DfResult<ArrayRef> {
    let mut builder = PrimitiveBuilder::<T>::with_capacity(args.rows).with_data_type(same_kind::<T>(args.return_type));
    for row in 0..args.rows {
        builder.append_option(value(row)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// The call's type where it differs from the Rust type only in precision, scale or zone.
fn same_kind<T: ArrowPrimitiveType>(wanted: &Arrow) -> Arrow {
    if PrimitiveArray::<T>::is_compatible(wanted) { wanted.clone() } else { T::DATA_TYPE }
}

pub(crate) fn booleans(args: &Args<'_>, mut value: impl FnMut(usize) -> DfResult<Option<bool>>) -> DfResult<ArrayRef> {
    let mut builder = arrow::array::BooleanBuilder::with_capacity(args.rows);
    for row in 0..args.rows {
        builder.append_option(value(row)?);
    }
    Ok(Arc::new(builder.finish()))
}

/// Strings, one a row: `write` appends to the text and answers false for null.
pub(crate) fn strings(
    args: &Args<'_>,
    capacity: usize,
    mut write: impl FnMut(usize, &mut String) -> DfResult<bool>,
) -> DfResult<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(args.rows, capacity);
    let mut scratch = String::new();
    for row in 0..args.rows {
        scratch.clear();
        if write(row, &mut scratch)? {
            builder.append_value(&scratch);
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// Strings that are borrowed from an argument.
pub(crate) fn borrowed<'a>(
    args: &Args<'_>,
    capacity: usize,
    mut value: impl FnMut(usize) -> DfResult<Option<&'a str>>,
) -> DfResult<ArrayRef> {
    let mut builder = StringBuilder::with_capacity(args.rows, capacity);
    for row in 0..args.rows {
        builder.append_option(value(row)?);
    }
    Ok(Arc::new(builder.finish()))
}

pub(crate) fn binaries(
    args: &Args<'_>,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> DfResult<bool>,
) -> DfResult<ArrayRef> {
    let mut builder = arrow::array::BinaryBuilder::with_capacity(args.rows, args.rows * 16);
    let mut scratch = Vec::new();
    for row in 0..args.rows {
        scratch.clear();
        if write(row, &mut scratch)? {
            builder.append_value(&scratch);
        } else {
            builder.append_null();
        }
    }
    Ok(Arc::new(builder.finish()))
}

static UDFS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    let ours = crate::cast::udfs()
        .into_iter()
        .chain(crate::operators::udfs())
        .chain(crate::numeric::udfs())
        .chain(crate::text::udfs())
        .chain(crate::datetime::udfs())
        .chain(crate::arrays::udfs())
        .chain(crate::scalar::udfs())
        .chain(crate::json::udfs())
        .chain(crate::sketch::udfs())
        .chain(crate::xml::udfs())
        .chain(crate::variant::udfs())
        .chain(crate::shapes::udfs())
        .chain(crate::aggregate::listagg::udfs())
        .chain(crate::aggregate::set_order::udfs());
    for udf in ours {
        all.insert(udf.name.to_owned(), Arc::new(ScalarUDF::new_from_impl(udf)));
    }
    for udf in crate::random::task_udfs() {
        all.insert(udf.name().to_owned(), Arc::new(udf));
    }
    all
});

pub(crate) fn udf(name: &str) -> SparkResult<Arc<ScalarUDF>> {
    UDFS.get(name).cloned().ok_or_else(|| SparkError::internal(format!("no function {name} is registered")))
}

/// A call of one of our functions.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> SparkResult<Expr> {
    Ok(Expr::ScalarFunction(ScalarFunction::new_udf(udf(name)?, args)))
}

pub(crate) fn text_literal(text: &str) -> Expr {
    Expr::Literal(ScalarValue::Utf8(Some(text.to_owned())), None)
}

/// A null literal that carries a type.
pub(crate) fn type_literal(data_type: &firesteel_plan::DataType) -> SparkResult<Expr> {
    let arrow = crate::types::to_arrow(data_type)?;
    let value = ScalarValue::try_from(&arrow).map_err(|e| SparkError::internal(e.to_string()))?;
    Ok(Expr::Literal(value, None))
}

/// Every scalar function that an expression made by this crate may call.
pub fn all_udfs() -> Vec<Arc<ScalarUDF>> {
    let mut all: Vec<_> = UDFS.values().cloned().collect();
    all.extend(crate::scalar::borrowed_udfs());
    all
}

/// Every aggregate function that an expression made by this crate may call.
pub fn all_udafs() -> Vec<Arc<AggregateUDF>> {
    crate::aggregate::udafs()
}

/// Every window function that an expression made by this crate may call.
pub fn all_udwfs() -> Vec<Arc<WindowUDF>> {
    crate::window::udwfs()
}
