//! Spark's functions by name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use datafusion::scalar::ScalarValue;
use firesteel_plan::{DataType, SparkError, SparkResult};

use crate::{
    FunctionContext, Typed,
    aggregate::{self, AggregateArgs, AggregateKind, ResolvedAggregate},
    coercion, errors,
    generator::{self, Generator, ResolvedGenerator},
    lambda::HigherOrder,
    udf::call,
    window::{self, ResolvedWindow, WindowKind},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    Scalar,
    Aggregate,
    /// Only with OVER. Aggregates may have OVER too.
    Window,
    Generator,
    /// Takes a lambda.
    HigherOrder,
}

/// A function under one of its names.
pub struct FunctionDef {
    pub name: &'static str,
    pub kind: FunctionKind,
    body: Body,
}

enum Body {
    Resolve(ScalarFn),
    Simple(Simple),
    Aggregate(AggregateKind),
    Window(WindowKind),
    Generator(Generator),
    HigherOrder(HigherOrder),
}

pub(crate) type ScalarFn = fn(&FunctionContext, &'static str, Vec<Typed>) -> SparkResult<Typed>;

/// A function whose arguments have one type each and whose value is computed by one of our kernels.
pub(crate) struct Simple {
    udf: &'static str,
    /// One letter a parameter: `s` string, `b` binary, `x` string or binary, `i` int, `l` bigint, `d` double, `n` any
    /// number, `D` date, `T` timestamp, `B` boolean, `a` anything, `A` an array, `M` a map. `?` before the optional ones,
    /// `*` behind the last where it repeats.
    params: &'static str,
    out: DataType,
    nulls: Nulls,
    /// Whether the kernel's name ends with the mode.
    by_mode: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Nulls {
    /// Null when an argument is.
    IfAny,
    Maybe,
}

impl FunctionDef {
    pub(crate) fn resolve(name: &'static str, f: ScalarFn) -> Self {
        Self { name, kind: FunctionKind::Scalar, body: Body::Resolve(f) }
    }

    pub(crate) fn simple(name: &'static str, udf: &'static str, params: &'static str, out: DataType) -> Self {
        let simple = Simple { udf, params, out, nulls: Nulls::IfAny, by_mode: false };
        Self { name, kind: FunctionKind::Scalar, body: Body::Simple(simple) }
    }

    pub(crate) fn nulls(mut self, nulls: Nulls) -> Self {
        if let Body::Simple(s) = &mut self.body {
            s.nulls = nulls;
        }
        self
    }

    pub(crate) fn by_mode(mut self) -> Self {
        if let Body::Simple(s) = &mut self.body {
            s.by_mode = true;
        }
        self
    }

    pub(crate) fn aggregate(name: &'static str, kind: AggregateKind) -> Self {
        Self { name, kind: FunctionKind::Aggregate, body: Body::Aggregate(kind) }
    }

    pub(crate) fn window(name: &'static str, kind: WindowKind) -> Self {
        Self { name, kind: FunctionKind::Window, body: Body::Window(kind) }
    }

    pub(crate) fn generator(name: &'static str, generator: Generator) -> Self {
        Self { name, kind: FunctionKind::Generator, body: Body::Generator(generator) }
    }

    pub(crate) fn higher_order(name: &'static str, of: HigherOrder) -> Self {
        Self { name, kind: FunctionKind::HigherOrder, body: Body::HigherOrder(of) }
    }

    /// What it is when it has a lambda among its arguments.
    pub fn with_lambda(&self) -> Option<HigherOrder> {
        match self.body {
            Body::HigherOrder(of) => Some(of),
            _ if self.name == "array_sort" => Some(HigherOrder::ArraySort),
            _ => None,
        }
    }

    pub fn resolve_scalar(&self, ctx: &FunctionContext, args: Vec<Typed>) -> SparkResult<Typed> {
        match &self.body {
            Body::Resolve(f) => f(ctx, self.name, args),
            Body::Simple(simple) => simple.resolve(ctx, self.name, args),
            _ => Err(self.wrong_use("a scalar function")),
        }
    }

    pub fn resolve_aggregate(&self, ctx: &FunctionContext, args: AggregateArgs) -> SparkResult<ResolvedAggregate> {
        match &self.body {
            Body::Aggregate(kind) => aggregate::resolve(ctx, self.name, *kind, args),
            _ => Err(self.wrong_use("an aggregate function")),
        }
    }

    /// A window-only function; an aggregate under OVER goes through [`Self::resolve_aggregate`].
    pub fn resolve_window(
        &self,
        ctx: &FunctionContext,
        args: Vec<Typed>,
        ignore_nulls: Option<bool>,
    ) -> SparkResult<ResolvedWindow> {
        match &self.body {
            Body::Window(kind) => window::resolve(ctx, self.name, *kind, args, ignore_nulls),
            Body::Aggregate(AggregateKind::First) => {
                window::resolve(ctx, self.name, WindowKind::FirstValue, args, ignore_nulls)
            }
            Body::Aggregate(AggregateKind::Last) => {
                window::resolve(ctx, self.name, WindowKind::LastValue, args, ignore_nulls)
            }
            _ => Err(self.wrong_use("a window function")),
        }
    }

    /// True for aggregates that need [`Self::resolve_window`] under OVER (`first`, `last` and their kin).
    pub fn has_window_form(&self) -> bool {
        matches!(self.body, Body::Window(_) | Body::Aggregate(AggregateKind::First | AggregateKind::Last))
    }

    pub fn resolve_generator(&self, ctx: &FunctionContext, args: Vec<Typed>) -> SparkResult<ResolvedGenerator> {
        match &self.body {
            Body::Generator(g) => generator::resolve(ctx, self.name, *g, args),
            _ => Err(self.wrong_use("a generator")),
        }
    }

    fn wrong_use(&self, wanted: &str) -> SparkError {
        SparkError::internal(format!("{} is used as {wanted}", self.name))
    }
}

impl Simple {
    fn resolve(&self, ctx: &FunctionContext, name: &'static str, args: Vec<Typed>) -> SparkResult<Typed> {
        let letters: Vec<char> = self.params.chars().filter(|c| *c != '?' && *c != '*').collect();
        let least = self.params.chars().position(|c| c == '?').unwrap_or(letters.len());
        let repeats = self.params.ends_with('*');
        check_count(name, args.len(), least, if repeats { usize::MAX } else { letters.len() })?;
        let mut typed = Vec::with_capacity(args.len());
        for (i, arg) in args.into_iter().enumerate() {
            let letter = letters.get(i).or(letters.last()).copied().unwrap_or('a');
            typed.push(want(ctx, name, i, letter, arg)?);
        }
        let data_type = self.out.clone();
        let nullable = match self.nulls {
            Nulls::IfAny => typed.iter().any(|t| t.nullable),
            Nulls::Maybe => true,
        };
        let exprs = typed.into_iter().map(|t| t.expr).collect();
        if self.by_mode {
            let udf = format!("{}_{}", self.udf, ctx.mode().suffix());
            return Ok(Typed::new(call(&udf, exprs)?, data_type, nullable));
        }
        Ok(Typed::new(call(self.udf, exprs)?, data_type, nullable))
    }
}

pub(crate) fn check_count(name: &str, given: usize, least: usize, most: usize) -> SparkResult<()> {
    if given >= least && given <= most {
        return Ok(());
    }
    let expected = if least == most {
        least.to_string()
    } else if most == usize::MAX {
        format!("> {}", least.saturating_sub(1))
    } else {
        format!("[{}]", (least..=most).map(|n| n.to_string()).collect::<Vec<_>>().join(", "))
    };
    Err(errors::wrong_num_args(name, expected, given))
}

/// Casts an argument to what the parameter takes.
pub(crate) fn want(ctx: &FunctionContext, name: &str, index: usize, letter: char, arg: Typed) -> SparkResult<Typed> {
    let (target, required) = match letter {
        's' => (DataType::String, "STRING"),
        'b' => (DataType::Binary, "BINARY"),
        'i' => (DataType::Integer, "INT"),
        'l' => (DataType::Long, "BIGINT"),
        'd' => (DataType::Double, "DOUBLE"),
        'D' => (DataType::Date, "DATE"),
        'T' => (DataType::Timestamp, "TIMESTAMP"),
        'B' => (DataType::Boolean, "BOOLEAN"),
        'x' => match &arg.data_type {
            DataType::Binary => return Ok(arg),
            _ => (DataType::String, "(\"STRING\" or \"BINARY\")"),
        },
        'n' => match &arg.data_type {
            t if t.is_numeric() => return Ok(arg),
            _ => (DataType::Double, "NUMERIC"),
        },
        'A' => match &arg.data_type {
            DataType::Array { .. } => return Ok(arg),
            DataType::Null => {
                return null_of(DataType::Array { element: Box::new(DataType::Null), contains_null: true });
            }
            _ => return Err(errors::unexpected_input(name, index, "ARRAY", &arg)),
        },
        'M' => match &arg.data_type {
            DataType::Map { .. } => return Ok(arg),
            DataType::Null => {
                let (key, value) = (Box::new(DataType::Null), Box::new(DataType::Null));
                return null_of(DataType::Map { key, value, value_contains_null: true });
            }
            _ => return Err(errors::unexpected_input(name, index, "MAP", &arg)),
        },
        _ => return Ok(arg),
    };
    want_type(ctx, name, index, &target, required, arg)
}

fn null_of(data_type: DataType) -> SparkResult<Typed> {
    let expr = crate::udf::type_literal(&data_type)?;
    Ok(Typed::new(expr, data_type, true))
}

pub(crate) fn want_type(
    ctx: &FunctionContext,
    name: &str,
    index: usize,
    target: &DataType,
    required: &str,
    arg: Typed,
) -> SparkResult<Typed> {
    // A constant number may become a narrower one, as in a store: Spark looks at the value when it casts.
    let numeric = arg.data_type.is_numeric() && target.is_numeric();
    if !coercion::can_implicitly_cast(&arg.data_type, target, ctx.ansi)
        && !(numeric && !matches!(crate::literal::evaluate(&arg), Ok(None)))
    {
        return Err(errors::unexpected_input(name, index, required, &arg));
    }
    coercion::implicit(ctx, arg, target)
}

static REGISTRY: LazyLock<HashMap<&'static str, FunctionDef>> = LazyLock::new(|| {
    let mut all = HashMap::new();
    let defs = crate::numeric::functions()
        .into_iter()
        .chain(crate::text::functions())
        .chain(crate::datetime::functions())
        .chain(crate::arrays::functions())
        .chain(crate::scalar::functions())
        .chain(crate::json::functions())
        .chain(crate::random::functions())
        .chain(crate::sketch::functions())
        .chain(crate::xml::functions())
        .chain(crate::variant::functions())
        .chain(crate::shapes::functions())
        .chain(aggregate::functions())
        .chain(crate::lambda::functions())
        .chain(more());
    for def in defs {
        all.insert(def.name, def);
    }
    all
});

fn more() -> Vec<FunctionDef> {
    use FunctionDef as F;
    vec![
        F::window("row_number", WindowKind::RowNumber),
        F::window("rank", WindowKind::Rank),
        F::window("dense_rank", WindowKind::DenseRank),
        F::window("percent_rank", WindowKind::PercentRank),
        F::window("cume_dist", WindowKind::CumeDist),
        F::window("ntile", WindowKind::Ntile),
        F::window("lag", WindowKind::Lag),
        F::window("lead", WindowKind::Lead),
        F::window("nth_value", WindowKind::NthValue),
        F::generator("explode", Generator::Explode { position: false, outer: false }),
        F::generator("explode_outer", Generator::Explode { position: false, outer: true }),
        F::generator("posexplode", Generator::Explode { position: true, outer: false }),
        F::generator("posexplode_outer", Generator::Explode { position: true, outer: true }),
        F::generator("inline", Generator::Inline { outer: false }),
        F::generator("inline_outer", Generator::Inline { outer: true }),
        F::generator("stack", Generator::Stack),
        F::generator("json_tuple", Generator::JsonTuple),
        F::generator("variant_explode", Generator::VariantExplode { outer: false }),
        F::generator("variant_explode_outer", Generator::VariantExplode { outer: true }),
    ]
}

/// The built-in function of this name, whatever its case.
pub fn lookup(name: &str) -> Option<&'static FunctionDef> {
    if let Some(def) = REGISTRY.get(name) {
        return Some(def);
    }
    REGISTRY.get(name.to_ascii_lowercase().as_str())
}

/// All names, in order, for suggestions and SHOW FUNCTIONS.
pub fn names() -> BTreeMap<&'static str, FunctionKind> {
    REGISTRY.iter().map(|(name, def)| (*name, def.kind)).collect()
}

/// A flag that must be a constant.
pub(crate) fn constant_flag(function: &str, parameter: &str, value: &Typed) -> SparkResult<bool> {
    match value.literal() {
        Some(ScalarValue::Boolean(Some(flag))) => Ok(*flag),
        _ => {
            let why = format!("the input `{parameter}` should be a foldable \"BOOLEAN\" expression.");
            Err(errors::datatype_mismatch("NON_FOLDABLE_INPUT", function, &why))
        }
    }
}
