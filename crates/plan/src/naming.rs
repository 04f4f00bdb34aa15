//! Expressions as text, the way Spark names the columns that have no alias and shows expressions in messages.

use crate::{
    DataType, Expr, ExprKind, Relation,
    expr::{
        BinaryOp, CastMode, FrameBound, FunctionCall, LikeKind, Literal, PathPart, SortItem, TimestampKind, UnaryOp,
        WindowDefinition, WindowFrame, WindowSpec,
    },
    types::DayTimeField,
};

/// What of an expression's text only its surroundings tell.
pub trait Names {
    /// The name of an attribute: the analyzer knows which leading parts are a table's name.
    fn attribute(&self, name: &[String]) -> String;

    /// The columns of the query around that a subquery reads, as they are listed.
    fn outer_columns(&self, _subquery: &Relation) -> String {
        String::new()
    }

    /// The columns that a star stands for.
    fn star(&self, _target: Option<&[String]>) -> Option<Vec<String>> {
        None
    }

    /// A timestamp literal's time in the session's zone.
    fn timestamp(&self, _text: &str) -> Option<String> {
        None
    }

    /// The whole name of a function that is not built in.
    fn function(&self, _name: &[String]) -> Option<String> {
        None
    }

    /// A call whose arguments have names, with all of them in their places.
    fn arranged(&self, _call: &FunctionCall) -> Option<FunctionCall> {
        None
    }

    /// The type of an expression, where it is known.
    fn data_type(&self, _e: &Expr) -> Option<DataType> {
        None
    }
}

impl<F: Fn(&[String]) -> String> Names for F {
    fn attribute(&self, name: &[String]) -> String {
        self(name)
    }
}

/// The names in the body of a lambda function, whose parameters hide others.
struct InLambda<'a> {
    parameters: &'a [String],
    around: &'a dyn Names,
}

impl Names for InLambda<'_> {
    fn attribute(&self, name: &[String]) -> String {
        match name.first() {
            Some(first) if self.parameters.iter().any(|p| p.eq_ignore_ascii_case(first)) => {
                let rest = name[1..].iter().map(|p| format!(".{p}")).collect::<String>();
                format!("namedlambdavariable(){rest}")
            }
            _ => self.around.attribute(name),
        }
    }

    fn outer_columns(&self, subquery: &Relation) -> String {
        self.around.outer_columns(subquery)
    }

    fn function(&self, name: &[String]) -> Option<String> {
        self.around.function(name)
    }

    fn arranged(&self, call: &FunctionCall) -> Option<FunctionCall> {
        self.around.arranged(call)
    }
}

/// The text of `expr`; `names` shows its attributes.
pub fn expr(e: &Expr, names: &dyn Names) -> String {
    let show = |e: &Expr| expr(e, names);
    let list = |items: &[Expr]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    let not = |negated: bool, text: String| if negated { format!("(NOT {text})") } else { text };
    if let ExprKind::Binary { op, left, right } = &e.kind
        && let Some(text) = of_times(*op, left, right, names)
    {
        return text;
    }
    match &e.kind {
        ExprKind::Literal(Literal::TimestampText { text, kind: TimestampKind::Session | TimestampKind::Ltz }) => {
            format!("TIMESTAMP '{}'", names.timestamp(text).unwrap_or_else(|| timestamp_text(text)))
        }
        ExprKind::Literal(value) => literal(value),
        ExprKind::Attribute { name, .. } => names.attribute(name),
        ExprKind::Star { target, .. } => match target {
            Some(target) => format!("{}.*", target.join(".")),
            None => "*".to_owned(),
        },
        ExprKind::Function(call) => function(call, names),
        ExprKind::NamedArgument { name, value } => format!("{name} => {}", show(value)),
        ExprKind::Unary { op, operand } => match op {
            UnaryOp::Minus => format!("(- {})", show(operand)),
            UnaryOp::Plus => format!("(+ {})", show(operand)),
            UnaryOp::Not => format!("(NOT {})", show(operand)),
            UnaryOp::BitwiseNot => format!("~{}", show(operand)),
        },
        ExprKind::Binary { op: BinaryOp::NotEqual, left, right } => {
            format!("(NOT ({} = {}))", show(left), show(right))
        }
        ExprKind::Binary { op: BinaryOp::Concat, left, right } => {
            format!("concat({}, {})", show(left), show(right))
        }
        // A time plus or minus an interval is an expression of its own in Spark, which has no parentheses.
        ExprKind::Binary { op: op @ (BinaryOp::Plus | BinaryOp::Minus), left, right }
            if is_interval(right) && !is_interval(left) =>
        {
            format!("{} {} {}", show(left), op.symbol(), show(right))
        }
        // So have a TIME plus or minus something, and what is taken from it.
        ExprKind::Binary { op: BinaryOp::Plus, left, right } if is_null(left) && is_time(right) => {
            format!("{} + {}", show(right), show(left))
        }
        ExprKind::Binary { op: op @ (BinaryOp::Plus | BinaryOp::Minus), left, right }
            if (is_time(left) && (is_null(right) || is_time(right)))
                || (*op == BinaryOp::Minus && is_time(right) && (is_null(left) || is_text(left))) =>
        {
            format!("{} {} {}", show(left), op.symbol(), show(right))
        }
        // A number times an interval is the interval times the number.
        ExprKind::Binary { op: BinaryOp::Multiply, left, right } if is_interval(right) && !is_interval(left) => {
            format!("({} * {})", show(right), show(left))
        }
        ExprKind::Binary { op, left, right } => format!("({} {} {})", show(left), op.symbol(), show(right)),
        ExprKind::IsNull { operand, negated } => {
            format!("({} IS {}NULL)", show(operand), if *negated { "NOT " } else { "" })
        }
        ExprKind::IsBoolean { operand, value: None, negated } => {
            format!("({} IS {}NULL)", show(operand), if *negated { "NOT " } else { "" })
        }
        ExprKind::IsBoolean { operand, value: Some(value), negated } => {
            not(*negated, format!("({} <=> {value})", show(operand)))
        }
        ExprKind::Between { operand, low, high, negated } => {
            not(*negated, format!("between({}, {}, {})", show(operand), show(low), show(high)))
        }
        ExprKind::InList { operand, list: items, negated } => {
            not(*negated, format!("({} IN ({}))", show(operand), list(items)))
        }
        ExprKind::InSubquery { operand, subquery, negated } => {
            not(*negated, format!("({} IN (listquery({})))", show(operand), names.outer_columns(subquery)))
        }
        ExprKind::Exists { subquery } => format!("exists({})", names.outer_columns(subquery)),
        ExprKind::ScalarSubquery { subquery } => format!("scalarsubquery({})", names.outer_columns(subquery)),
        ExprKind::Like { kind, operand, pattern, escape, negated } => {
            let (operand, pattern) = (show(operand), show(pattern));
            let text = match (kind, escape) {
                (LikeKind::RLike, _) => format!("RLIKE({operand}, {pattern})"),
                (LikeKind::Like, None | Some('\\')) => format!("{operand} LIKE {pattern}"),
                (LikeKind::Like, Some(c)) => format!("{operand} LIKE {pattern} ESCAPE '{c}'"),
                // Whatever the escape is.
                (LikeKind::ILike, _) => format!("ilike({operand}, {pattern})"),
            };
            not(*negated, text)
        }
        ExprKind::LikeMany { all, operand, negated, .. } => {
            let name = match (all, negated) {
                (true, false) => "likeall",
                (true, true) => "notlikeall",
                (false, false) => "likeany",
                (false, true) => "notlikeany",
            };
            format!("{name}({})", show(operand))
        }
        ExprKind::Case { operand, branches, otherwise } => {
            let mut text = "CASE".to_owned();
            for (when, then) in branches {
                let when = match operand {
                    Some(operand) => format!("({} = {})", show(operand), show(when)),
                    None => show(when),
                };
                text.push_str(&format!(" WHEN {when} THEN {}", show(then)));
            }
            if let Some(otherwise) = otherwise {
                text.push_str(&format!(" ELSE {}", show(otherwise)));
            }
            text.push_str(" END");
            text
        }
        // No text is cast to what has parts.
        ExprKind::Cast {
            operand,
            data_type: DataType::Array { .. } | DataType::Map { .. } | DataType::Struct(_),
            ..
        } => show(operand),
        ExprKind::Cast { operand, data_type, mode } => {
            let name = if *mode == CastMode::Try { "TRY_CAST" } else { "CAST" };
            format!("{name}({} AS {})", show(operand), type_sql(data_type))
        }
        ExprKind::Extract { field, operand } => format!("extract({field} FROM {})", show(operand)),
        ExprKind::Subscript { base, index } => format!("{}[{}]", show(base), show(index)),
        ExprKind::Field { base, name } => format!("{}.{name}", show(base)),
        ExprKind::Lambda { parameters, body } => {
            let variables = vec!["namedlambdavariable()"; parameters.len()].join(", ");
            let inside = InLambda { parameters, around: names };
            format!("lambdafunction({}, {variables})", expr(body, &inside))
        }
        ExprKind::Row(items) => {
            let fields: Vec<String> = items.iter().enumerate().map(|(i, item)| row_field(i, item, names)).collect();
            format!("named_struct({})", fields.join(", "))
        }
        ExprKind::Alias { operand, names: alias } => format!("{} AS {}", show(operand), alias.join(", ")),
        ExprKind::Parameter(_) => "?".to_owned(),
        ExprKind::IntervalOf { amount, unit } => format!("INTERVAL {} {unit}", show(amount)),
        ExprKind::Collate { operand, collation } => format!("collate({}, {})", show(operand), collation.join(".")),
        ExprKind::VariantPath { base, path } => {
            let steps: String = path
                .iter()
                .map(|part| match part {
                    PathPart::Field(name) => format!(".{name}"),
                    PathPart::Index(index) => format!("[{index}]"),
                })
                .collect();
            format!("variant_get({}, ${steps}) AS {}", show(base), last_field(path))
        }
        ExprKind::TableArgument(_) => "table()".to_owned(),
    }
}

/// Operands of more nodes have no types to be named by: finding these out takes time.
const TYPED_NODES: usize = 40;

/// Sums, differences and products of dates, times and intervals are other expressions in Spark, by the types of their operands.
fn of_times(op: BinaryOp, left: &Expr, right: &Expr, names: &dyn Names) -> Option<String> {
    use DataType as T;
    if !matches!(op, BinaryOp::Plus | BinaryOp::Minus | BinaryOp::Multiply) || is_number(left) && is_number(right) {
        return None;
    }
    let mut nodes = 0;
    if !is_small(left, &mut nodes) || !is_small(right, &mut nodes) {
        return None;
    }
    let (l, r) = (names.data_type(left)?, names.data_type(right)?);
    let is_moment = |t: &T| matches!(t, T::Date | T::Timestamp | T::TimestampNtz | T::Time(_));
    let is_span = |t: &T| matches!(t, T::DayTimeInterval { .. } | T::CalendarInterval);
    let is_days = |t: &T| matches!(t, T::DayTimeInterval { start: DayTimeField::Day, end: DayTimeField::Day });
    let is_text_or_none = |t: &T| t.is_string() || *t == T::Null;
    let (a, b) = (|| expr(left, names), || expr(right, names));
    Some(match (op, &l, &r) {
        (BinaryOp::Plus, T::Date, t) if is_days(t) => format!("date_add({}, extractansiintervaldays({}))", a(), b()),
        (BinaryOp::Plus, t, T::Date) if is_days(t) => format!("date_add({}, extractansiintervaldays({}))", b(), a()),
        (BinaryOp::Plus, t, u) if is_moment(t) && (u.is_interval() || *u == T::Null) => format!("{} + {}", a(), b()),
        (BinaryOp::Plus, t, u) if (t.is_interval() || *t == T::Null) && is_moment(u) => format!("{} + {}", b(), a()),
        (BinaryOp::Plus, t, u) if t.is_string() && is_span(u) => format!("{} + {}", a(), b()),
        (BinaryOp::Plus, t, u) if is_span(t) && u.is_string() => format!("{} + {}", b(), a()),
        (BinaryOp::Plus, T::Date, t) if !is_text_or_none(t) => format!("date_add({}, {})", a(), b()),
        (BinaryOp::Plus, t, T::Date) if !is_text_or_none(t) => format!("date_add({}, {})", b(), a()),
        (BinaryOp::Minus, T::Date, t) if is_days(t) => {
            format!("date_add({}, (- extractansiintervaldays({})))", a(), b())
        }
        (BinaryOp::Minus, t, u) if is_moment(t) && u.is_interval() => format!("{} - {}", a(), b()),
        (BinaryOp::Minus, t, u) if t.is_string() && is_span(u) => format!("{} - {}", a(), b()),
        (BinaryOp::Minus, T::Date, t) if t.is_integral() => format!("date_sub({}, {})", a(), b()),
        (BinaryOp::Multiply, t, u) if !t.is_interval() && u.is_interval() => format!("({} * {})", b(), a()),
        (BinaryOp::Plus | BinaryOp::Minus, t, u) if t.is_interval() || u.is_interval() => {
            format!("({} {} {})", a(), op.symbol(), b())
        }
        _ => return None,
    })
}

fn is_number(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Literal(
            Literal::Byte(_)
            | Literal::Short(_)
            | Literal::Integer(_)
            | Literal::Long(_)
            | Literal::Float(_)
            | Literal::Double(_)
            | Literal::Decimal { .. },
        ) => true,
        ExprKind::Unary { op: UnaryOp::Minus | UnaryOp::Plus, operand } => is_number(operand),
        _ => false,
    }
}

/// Whether it has few nodes, all of them of the plain kinds.
fn is_small(e: &Expr, nodes: &mut usize) -> bool {
    *nodes += 1;
    *nodes <= TYPED_NODES
        && match &e.kind {
            ExprKind::Literal(_) | ExprKind::Attribute { .. } => true,
            ExprKind::Unary { operand, .. }
            | ExprKind::Cast { operand, .. }
            | ExprKind::Field { base: operand, .. } => is_small(operand, nodes),
            ExprKind::Binary { left, right, .. } => is_small(left, nodes) && is_small(right, nodes),
            ExprKind::Function(call) => {
                call.over.is_none() && call.filter.is_none() && call.args.iter().all(|a| is_small(a, nodes))
            }
            _ => false,
        }
}

/// What a part of a VARIANT is named after.
fn last_field(path: &[PathPart]) -> &str {
    let fields = path.iter().rev().find_map(|part| match part {
        PathPart::Field(name) => Some(name.as_str()),
        PathPart::Index(_) => None,
    });
    fields.unwrap_or_default()
}

/// The name that a select item without an alias gets.
pub fn column_name(e: &Expr, names: &dyn Names) -> String {
    match &e.kind {
        // A field of a struct is named after itself, but a window's after the window too.
        ExprKind::Field { base, name } => match &base.kind {
            ExprKind::Attribute { .. } | ExprKind::Field { .. } => name.clone(),
            _ => format!("{}.{name}", expr(base, names)),
        },
        ExprKind::Attribute { name, .. } => name.last().cloned().unwrap_or_default(),
        ExprKind::VariantPath { path, .. } => last_field(path).to_owned(),
        // A column keeps its name through one cast; a field of a struct does not.
        ExprKind::Cast { operand, .. } => match &operand.kind {
            ExprKind::Attribute { name, .. } if Some(&names.attribute(name)) == name.last() => names.attribute(name),
            ExprKind::VariantPath { path, .. } => last_field(path).to_owned(),
            _ => expr(e, names),
        },
        _ => expr(e, names),
    }
}

/// Attributes by the name as written.
pub fn as_written(name: &[String]) -> String {
    name.join(".")
}

fn function(call: &FunctionCall, names: &dyn Names) -> String {
    let arranged = names.arranged(call);
    let call = arranged.as_ref().unwrap_or(call);
    if let Some(shown) = names.function(&call.name) {
        let args: Vec<String> = call.args.iter().map(|a| expr(a, names)).collect();
        return format!("{shown}({})", args.join(", "));
    }
    let name = call.name.last().map(String::as_str).unwrap_or_default().to_lowercase();
    let mut args: Vec<String> = match call.args.as_slice() {
        [Expr { kind: ExprKind::Star { target: None, .. }, .. }] if name == "count" && !call.distinct => {
            vec!["1".to_owned()]
        }
        args => args
            .iter()
            .flat_map(|a| match &a.kind {
                ExprKind::Star { target, except } if except.is_empty() => {
                    names.star(target.as_deref()).unwrap_or_else(|| vec![expr(a, names)])
                }
                _ => vec![expr(a, names)],
            })
            .collect(),
    };
    if let Some(text) = written_otherwise(call, &name, &args) {
        return text;
    }
    with_defaults(&name, call, &mut args);
    if let ("assert_true", [condition]) = (name.as_str(), args.as_slice()) {
        let message = format!("'{condition}' is not true!");
        args.push(message);
    }
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let shown = match name.as_str() {
        "string_agg" if !call.within_group.is_empty() => "listagg".to_owned(),
        _ => function_name(&name),
    };
    let mut text = format!("{shown}({distinct}{})", args.join(", "));
    if !call.within_group.is_empty() {
        // Percentiles show only a direction that is not the usual one.
        let bare = name.starts_with("percentile");
        let item = |i: &SortItem| match name.as_str() {
            _ if bare && i.ascending => expr(&i.expr, names),
            _ if bare => format!("{} DESC", expr(&i.expr, names)),
            // Of values that are as many it takes the last in this order.
            "mode" if i.ascending => format!("{} DESC", expr(&i.expr, names)),
            "mode" => expr(&i.expr, names),
            _ => sort_item(i, names),
        };
        let items: Vec<String> = call.within_group.iter().map(item).collect();
        text.push_str(&format!(" WITHIN GROUP (ORDER BY {})", items.join(", ")));
    }
    if let Some(filter) = &call.filter {
        text.push_str(&format!(" FILTER (WHERE {})", expr(filter, names)));
    }
    match &call.over {
        None => text,
        Some(WindowSpec::Named(window)) => format!("{text} OVER {window}"),
        Some(WindowSpec::Inline(definition)) => format!("{text} OVER ({})", over(definition, &name, names)),
    }
}

/// Calls that Spark shows in a form of their own.
fn written_otherwise(call: &FunctionCall, name: &str, args: &[String]) -> Option<String> {
    // Spark shows only those casts that are written as such.
    if let ([_], [operand]) = (call.name.as_slice(), args)
        && CASTING_FUNCTIONS.contains(&name)
    {
        return Some(operand.clone());
    }
    Some(match (name, args) {
        ("if", [condition, then, otherwise]) => format!("(IF({condition}, {then}, {otherwise}))"),
        ("ceil" | "floor", [operand, scale]) => format!("{name}({operand}, {scale})"),
        ("datepart" | "extract", [field, operand]) => format!("{name}({field} FROM {operand})"),
        ("log", [operand]) => format!("LOG(E(), {operand})"),
        ("positive", [operand]) => format!("(+ {operand})"),
        ("isnull", [operand]) => format!("({operand} IS NULL)"),
        ("isnotnull", [operand]) => format!("({operand} IS NOT NULL)"),
        ("like", [operand, pattern]) => format!("{operand} LIKE {pattern}"),
        ("not", [operand]) => format!("(NOT {operand})"),
        ("trim", [characters, text]) => format!("TRIM(BOTH {characters} FROM {text})"),
        ("ltrim", [characters, text]) => format!("TRIM(LEADING {characters} FROM {text})"),
        ("rtrim", [characters, text]) => format!("TRIM(TRAILING {characters} FROM {text})"),
        ("window" | "session_window", _) => name.to_owned(),
        ("convert_timezone", [to, time]) => format!("convert_timezone(current_timezone(), {to}, {time})"),
        ("try_to_time", _) => format!("try_to_time(to_time({}))", args.join(", ")),
        ("try_make_timestamp_ntz", [_, _]) => {
            format!("try_make_timestamp_ntz(make_timestamp_ntz({}))", args.join(", "))
        }
        ("make_timestamp_ltz" | "try_make_timestamp_ltz", [_, _] | [_, _, _]) => {
            format!("make_timestamp({})", args.join(", "))
        }
        ("from_json" | "from_csv" | "from_xml", [text, _, ..])
        | ("to_json" | "to_csv" | "to_xml" | "schema_of_json" | "schema_of_csv" | "schema_of_xml", [text, _]) => {
            format!("{name}({text})")
        }
        ("to_char" | "to_varchar", [binary, format]) if call.args.first().is_some_and(is_binary) => {
            match (name, format.to_ascii_lowercase().as_str()) {
                ("to_char", "base64" | "hex") => format!("{}({binary})", format.to_ascii_lowercase()),
                ("to_char", _) => format!("decode({binary}, {format})"),
                (_, "base64" | "hex") => format!("to_varchar({binary})"),
                _ => format!("to_varchar({binary}, {format})"),
            }
        }
        ("array_append" | "array_prepend", [_, element]) if call.args.first().is_some_and(is_null_cast) => {
            format!("{name}(NULL, {element})")
        }
        ("variant_get" | "try_variant_get", [variant, path, _]) => format!("{name}({variant}, {path})"),
        ("mode", [operand, flag]) if call.over.is_none() && call.filter.is_none() && flag == "false" => {
            format!("mode({operand})")
        }
        ("mode", [operand, flag]) if call.over.is_none() && call.filter.is_none() && flag == "true" => {
            format!("mode() WITHIN GROUP (ORDER BY {operand} DESC)")
        }
        ("array_sort", [array]) => {
            format!(
                "array_sort({array}, lambdafunction({DEFAULT_ORDER}, namedlambdavariable(), namedlambdavariable()))"
            )
        }
        ("first" | "last" | "first_value" | "last_value" | "any_value", [operand, _]) if call.over.is_none() => {
            format!("{name}({operand})")
        }
        _ => return None,
    })
}

/// Functions that cast to the type they are named after.
const CASTING_FUNCTIONS: &[&str] = &[
    "bigint",
    "binary",
    "boolean",
    "date",
    "decimal",
    "double",
    "float",
    "int",
    "smallint",
    "string",
    "time",
    "timestamp",
    "tinyint",
];

/// Functions that Spark shows in capitals or under another name.
fn function_name(lower: &str) -> String {
    match lower {
        "array_agg" => "collect_list".to_owned(),
        "curdate" => "current_date".to_owned(),
        "current_database" => "current_schema".to_owned(),
        "dateadd" => "date_add".to_owned(),
        "random" => "rand".to_owned(),
        "to_varchar" => "to_char".to_owned(),
        "acos" | "acosh" | "asin" | "asinh" | "atan" | "atan2" | "atanh" | "cbrt" | "ceil" | "cos" | "cosh" | "cot"
        | "csc" | "degrees" | "dense_rank" | "e" | "exp" | "expm1" | "floor" | "hypot" | "log" | "log10" | "log1p"
        | "log2" | "percent_rank" | "pi" | "power" | "radians" | "rank" | "regexp" | "regexp_like" | "rlike"
        | "sec" | "signum" | "sin" | "sinh" | "spark_partition_id" | "sqrt" | "tan" | "tanh" => lower.to_uppercase(),
        _ => lower.to_owned(),
    }
}

/// The comparison of `array_sort(array)`, nulls last.
const DEFAULT_ORDER: &str = "(IF(((namedlambdavariable() IS NULL) AND (namedlambdavariable() IS NULL)), 0, \
     (IF((namedlambdavariable() IS NULL), 1, (IF((namedlambdavariable() IS NULL), -1, \
     (IF((namedlambdavariable() < namedlambdavariable()), -1, \
     (IF((namedlambdavariable() > namedlambdavariable()), 1, 0))))))))))";

/// Adds the arguments that Spark fills in and shows.
fn with_defaults(name: &str, call: &FunctionCall, args: &mut Vec<String>) {
    let binary = call.args.first().is_some_and(is_binary);
    let ntz = args.get(1).is_some_and(|a| a.starts_with("TIMESTAMP_NTZ '"));
    let defaults: &[&str] = match (name, args.len()) {
        ("listagg" | "string_agg", 1) => &["NULL"],
        ("hll_sketch_agg" | "theta_sketch_agg" | "theta_union_agg", 1) | ("theta_union", 2) => &["12"],
        ("hll_union_agg", 1) | ("hll_union", 2) => &["false"],
        ("tuple_sketch_agg_double" | "tuple_sketch_agg_integer", 2)
        | ("tuple_union_agg_double" | "tuple_union_agg_integer", 1)
        | (
            "tuple_union_double" | "tuple_union_integer" | "tuple_union_theta_double" | "tuple_union_theta_integer",
            2,
        ) => &["12", "sum"],
        ("tuple_sketch_agg_double" | "tuple_sketch_agg_integer", 3)
        | ("tuple_union_agg_double" | "tuple_union_agg_integer", 2)
        | (
            "tuple_union_double" | "tuple_union_integer" | "tuple_union_theta_double" | "tuple_union_theta_integer",
            3,
        )
        | ("tuple_sketch_summary_double" | "tuple_sketch_summary_integer", 1)
        | ("tuple_intersection_agg_double" | "tuple_intersection_agg_integer", 1)
        | (
            "tuple_intersection_double"
            | "tuple_intersection_integer"
            | "tuple_intersection_theta_double"
            | "tuple_intersection_theta_integer",
            2,
        ) => &["sum"],
        ("approx_top_k", 1) => &["5", "10000"],
        ("approx_top_k", 2) | ("approx_top_k_accumulate", 1) => &["10000"],
        ("approx_top_k_estimate", 1) => &["5"],
        ("aggregate" | "reduce", 3) => &["lambdafunction(namedlambdavariable(), namedlambdavariable())"],
        ("rank" | "dense_rank" | "percent_rank", 1..) => {
            args.clear();
            &[]
        }
        ("try_make_timestamp", 7) => {
            args.pop();
            &[]
        }
        ("st_geomfromwkb", 1) => &["0"],
        ("st_asbinary", 1) => &["NDR"],
        ("str_to_map", n @ 1..=2) => &[",", ":"][n - 1..],
        ("aes_encrypt", n @ 2..=5) => &["GCM", "DEFAULT", "", ""][n - 2..],
        ("aes_decrypt" | "try_aes_decrypt", n @ 2..=4) => &["GCM", "DEFAULT", ""][n - 2..],
        ("mask", 1) => &["X", "x", "n", "NULL"],
        ("make_interval" | "try_make_interval", n @ 0..=6) => &["0", "0", "0", "0", "0", "0", "0.000000"][n..],
        ("make_dt_interval", n @ 0..=3) => &["0", "0", "0", "0.000000"][n..],
        ("make_ym_interval", n @ 0..=1) => &["0", "0"][n..],
        ("months_between", 2) => &["true"],
        ("regexp_instr", 2) => &["0"],
        ("sentences", n @ 1..=2) => &["", ""][n - 1..],
        ("sort_array", 1) => &["true"],
        ("lpad" | "rpad", 2) if binary => &["X'00'"],
        ("lpad" | "rpad", 2) => &[" "],
        ("vector_norm" | "vector_normalize", 1) => &["2.0"],
        ("mask", 2) => &["x", "n", "NULL"],
        ("mask", 3) => &["n", "NULL"],
        ("mask", 4) => &["NULL"],
        ("time_bucket", 2) if ntz => &["TIMESTAMP_NTZ '1970-01-01 00:00:00'"],
        ("time_bucket", 2) => &["TIMESTAMP '1970-01-01 00:00:00'"],
        ("unix_timestamp", 0) => &["current_timestamp()", "yyyy-MM-dd HH:mm:ss"],
        ("lag" | "lead", 1) => &["1", "NULL"],
        ("lag" | "lead", 2) => &["NULL"],
        ("locate" | "position" | "charindex", 2) => &["1"],
        ("percentile", 2) => &["1"],
        ("regexp_extract" | "regexp_extract_all" | "regexp_replace", _)
            if args.len() == 2 + usize::from(name == "regexp_replace") =>
        {
            &["1"]
        }
        ("replace", 2) => &[""],
        ("round" | "bround", 1) => &["0"],
        ("split", 2) => &["-1"],
        ("substring" | "substr", 2) => &["2147483647"],
        ("overlay", 3) => &["-1"],
        ("from_unixtime" | "unix_timestamp" | "to_unix_timestamp", 1) => &["yyyy-MM-dd HH:mm:ss"],
        _ => &[],
    };
    args.extend(defaults.iter().map(|d| (*d).to_owned()));
}

/// Whether an expression is a binary by how it is written: names are made without types.
fn is_binary(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Literal(Literal::Binary(_)) => true,
        ExprKind::Function(call) => call.name.last().is_some_and(|name| {
            ["unhex", "encode", "to_binary", "try_to_binary", "unbase64", "binary"]
                .iter()
                .any(|n| n.eq_ignore_ascii_case(name))
        }),
        _ => false,
    }
}

/// One field of `(a, b AS c, d + 1)`: its name and its value.
fn row_field(index: usize, item: &Expr, names: &dyn Names) -> String {
    match &item.kind {
        ExprKind::Alias { names: alias, .. } => format!("{}, {}", alias.join(", "), expr(item, names)),
        ExprKind::Attribute { name, .. } => {
            format!("{}, {}", name.last().map_or("", String::as_str), expr(item, names))
        }
        _ => format!("col{}, {}", index + 1, expr(item, names)),
    }
}

fn is_interval(e: &Expr) -> bool {
    matches!(
        e.kind,
        ExprKind::Literal(
            Literal::DayTimeInterval { .. } | Literal::YearMonthInterval { .. } | Literal::CalendarInterval { .. }
        )
    )
}

fn is_null(e: &Expr) -> bool {
    matches!(e.kind, ExprKind::Literal(Literal::Null))
}

fn is_null_cast(e: &Expr) -> bool {
    matches!(&e.kind, ExprKind::Cast { operand, .. } if is_null(operand))
}

fn is_text(e: &Expr) -> bool {
    matches!(e.kind, ExprKind::Literal(Literal::String(_)))
}

fn is_time(e: &Expr) -> bool {
    match &e.kind {
        ExprKind::Literal(Literal::Time { .. }) => true,
        ExprKind::Cast { data_type, .. } => matches!(data_type, DataType::Time(_)),
        _ => false,
    }
}

/// A type as SQL spells it: `ARRAY<STRUCT<a: INT>>`.
pub fn type_sql(data_type: &DataType) -> String {
    match data_type {
        DataType::Array { element, .. } => format!("ARRAY<{}>", type_sql(element)),
        DataType::Map { key, value, .. } => format!("MAP<{}, {}>", type_sql(key), type_sql(value)),
        DataType::Struct(fields) => {
            let field = |f: &crate::types::StructField| {
                let null = if f.nullable { "" } else { " NOT NULL" };
                format!("{}: {}{null}", f.name, type_sql(&f.data_type))
            };
            format!("STRUCT<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string().to_uppercase(),
    }
}

fn over(definition: &WindowDefinition, function: &str, names: &dyn Names) -> String {
    let mut parts = Vec::new();
    if !definition.partition_by.is_empty() {
        let items: Vec<String> = definition.partition_by.iter().map(|e| expr(e, names)).collect();
        parts.push(format!("PARTITION BY {}", items.join(", ")));
    }
    if !definition.order_by.is_empty() {
        let items: Vec<String> = definition.order_by.iter().map(|i| sort_item(i, names)).collect();
        parts.push(format!("ORDER BY {}", items.join(", ")));
    }
    parts.push(match &definition.frame {
        Some(frame) => window_frame(frame, names),
        None => default_frame(function, !definition.order_by.is_empty()).to_owned(),
    });
    parts.join(" ")
}

fn default_frame(function: &str, ordered: bool) -> &'static str {
    match function {
        "row_number" | "rank" | "dense_rank" | "percent_rank" | "cume_dist" | "ntile" => {
            if function == "cume_dist" {
                "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
            } else {
                "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
            }
        }
        "lag" => "ROWS BETWEEN -1 FOLLOWING AND -1 FOLLOWING",
        "lead" => "ROWS BETWEEN 1 FOLLOWING AND 1 FOLLOWING",
        _ if ordered => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        _ => "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
    }
}

fn window_frame(frame: &WindowFrame, names: &dyn Names) -> String {
    let bound = |bound: &FrameBound| match bound {
        FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
        FrameBound::Preceding(e) => format!("{} PRECEDING", expr(e, names)),
        FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
        FrameBound::Following(e) => format!("{} FOLLOWING", expr(e, names)),
        FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
    };
    let unit = if frame.rows { "ROWS" } else { "RANGE" };
    format!("{unit} BETWEEN {} AND {}", bound(&frame.start), bound(&frame.end))
}

pub fn sort_item(item: &SortItem, names: &dyn Names) -> String {
    format!(
        "{} {} NULLS {}",
        expr(&item.expr, names),
        if item.ascending { "ASC" } else { "DESC" },
        if item.nulls_first() { "FIRST" } else { "LAST" }
    )
}

fn literal(value: &Literal) -> String {
    match value {
        Literal::Null => "NULL".to_owned(),
        Literal::Boolean(b) => b.to_string(),
        Literal::Byte(v) => v.to_string(),
        Literal::Short(v) => v.to_string(),
        Literal::Integer(v) => v.to_string(),
        Literal::Long(v) => v.to_string(),
        Literal::Float(v) => java_double(f64::from(*v), &v.to_string(), &format!("{v:e}")),
        Literal::Double(v) => java_double(*v, &v.to_string(), &format!("{v:e}")),
        Literal::Decimal { unscaled, scale, .. } => decimal(*unscaled, *scale),
        Literal::String(s) => s.clone(),
        Literal::Binary(bytes) => {
            format!("X'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())
        }
        Literal::Date(days) => format!("DATE '{}'", date(*days)),
        Literal::TimestampText { text, kind } => match kind {
            TimestampKind::Ntz => format!("TIMESTAMP_NTZ '{}'", timestamp_text(text)),
            _ => format!("TIMESTAMP '{}'", timestamp_text(text)),
        },
        Literal::Timestamp(micros) => format!("TIMESTAMP '{}'", timestamp(*micros)),
        Literal::TimestampNtz(micros) => format!("TIMESTAMP_NTZ '{}'", timestamp(*micros)),
        Literal::Time { nanos, .. } => {
            let (seconds, micros) = (nanos / 1_000_000_000, nanos / 1000 % 1_000_000);
            let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            if micros != 0 {
                text.push_str(format!(".{micros:06}").trim_end_matches('0'));
            }
            format!("TIME '{text}'")
        }
        Literal::YearMonthInterval { months, data_type } => year_month(*months, data_type),
        Literal::DayTimeInterval { micros, data_type } => day_time(*micros, data_type),
        Literal::CalendarInterval { months, days, micros } => {
            format!("INTERVAL '{months} months {days} days {micros} microseconds'")
        }
    }
}

/// A floating-point number as Java writes it, from its shortest digits without and with an exponent.
fn java_double(value: f64, plain: &str, scientific: &str) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        return if plain.contains('.') { plain.to_owned() } else { format!("{plain}.0") };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{point}E{exponent}")
}

/// A decimal as Java writes it: very small ones with an exponent.
fn decimal(unscaled: i128, scale: i8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs().to_string();
    let scale = usize::try_from(scale).unwrap_or(0);
    if scale + 1 > digits.len() + 6 {
        let exponent = scale + 1 - digits.len();
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{sign}{first}{point}{rest}E-{exponent}");
    }
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// The text of a timestamp literal as Spark shows the value: with all of the date and the time, without needless zeros. A
/// text with a zone stays as it is.
fn timestamp_text(text: &str) -> String {
    normalized(text.trim()).unwrap_or_else(|| text.to_owned())
}

fn normalized(text: &str) -> Option<String> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "0:0:0"));
    let mut day = day.splitn(3, '-').map(|part| part.parse::<u32>().ok());
    let (year, month, date) = (day.next()??, day.next().unwrap_or(Some(1))?, day.next().unwrap_or(Some(1))?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(|part| part.parse::<u32>().ok());
    let (hour, minute, second) = (time.next()??, time.next().unwrap_or(Some(0))?, time.next().unwrap_or(Some(0))?);
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.get(..6).unwrap_or(fraction).trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let year = year_text(sign * i64::from(year));
    Some(format!("{year}-{month:02}-{date:02} {hour:02}:{minute:02}:{second:02}{point}{fraction}"))
}

/// Four digits at least; more of them, and years before the first one, have a sign.
fn year_text(year: i64) -> String {
    match year {
        10_000.. => format!("+{year}"),
        ..0 => format!("-{:04}", -year),
        _ => format!("{year:04}"),
    }
}

/// Civil date of a day number.
fn date(days: i32) -> String {
    let z = i64::from(days) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{}-{month:02}-{day:02}", year_text(year))
}

fn timestamp(micros: i64) -> String {
    let days = i32::try_from(micros.div_euclid(86_400_000_000)).unwrap_or(0);
    let rest = micros.rem_euclid(86_400_000_000);
    let (seconds, fraction) = (rest / 1_000_000, rest % 1_000_000);
    let mut text = format!("{} {:02}:{:02}:{:02}", date(days), seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

fn year_month(months: i32, data_type: &DataType) -> String {
    let kind = data_type.to_string().replace("interval ", "").to_uppercase();
    let sign = if months < 0 { "-" } else { "" };
    let months = months.unsigned_abs();
    let text = match kind.as_str() {
        "YEAR" => format!("{sign}{}", months / 12),
        "MONTH" => format!("{sign}{months}"),
        _ => format!("{sign}{}-{}", months / 12, months % 12),
    };
    format!("INTERVAL '{text}' {kind}")
}

fn day_time(micros: i64, data_type: &DataType) -> String {
    let kind = data_type.to_string().replace("interval ", "").to_uppercase();
    let (start, end) = kind.split_once(" TO ").unwrap_or((&kind, &kind));
    let sign = if micros < 0 { "-" } else { "" };
    let total = micros.unsigned_abs();
    let (seconds, fraction) = (total / 1_000_000, total % 1_000_000);
    let fraction =
        if fraction == 0 { String::new() } else { format!(".{fraction:06}").trim_end_matches('0').to_owned() };
    let order = ["DAY", "HOUR", "MINUTE", "SECOND"];
    let at = |name: &str| order.iter().position(|o| *o == name).unwrap_or(0);
    let (first, last) = (at(start), at(end));
    let sizes = [86_400, 3_600, 60, 1];
    let mut rest = seconds;
    let mut text = String::new();
    for (i, size) in sizes.iter().enumerate().take(last + 1).skip(first) {
        let value = rest / size;
        rest %= size;
        match (i == first, i) {
            (true, 3) => text.push_str(&format!("{value:02}{fraction}")),
            (true, 0) => text.push_str(&value.to_string()),
            (true, _) => text.push_str(&format!("{value:02}")),
            (false, 1) => text.push_str(&format!(" {value:02}")),
            (false, 3) => text.push_str(&format!(":{value:02}{fraction}")),
            (false, _) => text.push_str(&format!(":{value:02}")),
        }
    }
    format!("INTERVAL '{sign}{text}' {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_decimals() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(timestamp_text("-1-2-3"), "-0001-02-03 00:00:00");
        assert_eq!(timestamp_text("99999-03-18T12:03:17"), "+99999-03-18 12:03:17");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(timestamp(1_500_000), "1970-01-01 00:00:01.5");
    }
}
