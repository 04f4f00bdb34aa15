//! `… OVER (…)`.

use datafusion::{
    logical_expr::{
        Expr as DfExpr, WindowFrame as DfFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
        expr::{AggregateFunction, Sort as DfSort, WindowFunction, WindowFunctionParams},
    },
    scalar::ScalarValue,
};
use firesteel_functions::{AggregateArgs, FunctionDef, FunctionKind, Typed, coercion, operators, types};
use firesteel_plan::{
    DataType, Expr, ExprKind, SparkError, SparkResult,
    expr::{FrameBound, FunctionCall, SortItem, WindowDefinition, WindowFrame, WindowSpec},
    types::DayTimeField,
};

use super::{Clause, Env};
use crate::{errors, query::Analyzer, relation::constant};

impl Analyzer<'_> {
    pub(super) fn window_call(
        &self,
        definition: &'static FunctionDef,
        call: &FunctionCall,
        whole: &Expr,
        spec: &WindowSpec,
        env: &Env<'_>,
    ) -> SparkResult<Typed> {
        if env.in_window || env.in_aggregate {
            return Err(SparkError::new(
                "NESTED_WINDOW_FUNCTION",
                "42607",
                "It is not allowed to use a window function inside an aggregate or another window function. Please use \
                 the inner window function in a sub-query.",
            ));
        }
        if env.clause == Clause::Where {
            return Err(window_not_allowed("WHERE"));
        }
        let Some(collected) =
            env.select.filter(|_| matches!(env.clause, Clause::Select | Clause::OrderBy | Clause::Qualify))
        else {
            return Err(SparkError::new(
                "UNSUPPORTED_EXPR_FOR_WINDOW",
                "42P20",
                format!(
                    "Expression {} not supported within a window function.",
                    errors::sql_expr(&self.show(whole, env))
                ),
            )
            .param("sqlExpr", errors::sql_expr(&self.show(whole, env))));
        };
        let window = self.window_definition(spec, env)?;
        let inner = Env { in_window: true, ..*env };
        let args = self.aggregate_arguments(definition, call, &inner)?;
        let filter = call.filter.as_ref().map(|f| self.condition(f, &inner, errors::filter_not_boolean)).transpose()?;
        let partition_by = self.exprs(&window.partition_by, &inner)?;
        let partition_by: Vec<DfExpr> = partition_by
            .into_iter()
            .map(|p| operators::normalized_key(p).map(|t| t.expr))
            .collect::<SparkResult<_>>()?;
        let mut order_by = Vec::with_capacity(window.order_by.len());
        let mut order_types = Vec::with_capacity(window.order_by.len());
        for item in &window.order_by {
            let key = self.expr(&item.expr, &inner)?;
            order_types.push(key.data_type.clone());
            order_by.push(DfSort::new(key.expr, item.ascending, item.nulls_first()));
        }
        let ordered = !order_by.is_empty();
        let user_frame =
            window.frame.as_ref().map(|f| self.frame(f, &window.order_by, &order_types, whole, &inner)).transpose()?;

        if definition.kind == FunctionKind::Window || definition.has_window_form() {
            if filter.is_some() {
                return Err(SparkError::unsupported(format_args!("FILTER in {}", self.show(whole, env))));
            }
            let resolved = definition.resolve_window(&self.functions, args, call.ignore_nulls)?;
            if resolved.needs_order && !ordered {
                let shown = errors::sql_expr(&self.show(whole, env));
                return Err(SparkError::new(
                    "WINDOW_FUNCTION_FRAME_NOT_ORDERED",
                    "42601",
                    format!("Window function {shown} requires window to be ordered, please add ORDER BY clause."),
                )
                .param("wf", shown));
            }
            let frame = match user_frame {
                Some(frame) if !resolved.fixed_frame => frame,
                _ => default_frame(ordered),
            };
            let frame = by_peers(frame, &order_types);
            let params = WindowFunctionParams {
                args: resolved.args.clone(),
                partition_by,
                order_by,
                window_frame: frame,
                filter: None,
                null_treatment: resolved.null_treatment,
                distinct: call.distinct,
            };
            let expr = DfExpr::WindowFunction(Box::new(WindowFunction { fun: resolved.definition.clone(), params }));
            let raw = Typed::new(expr, resolved.raw_type.clone(), resolved.nullable);
            let attribute = self.collect_window(raw, collected);
            return resolved.finish(attribute);
        }
        if !call.within_group.is_empty() && (ordered || user_frame.is_some()) {
            let shown = errors::sql_expr(&self.show(&Expr { kind: call_without_window(call), span: whole.span }, env));
            return Err(SparkError::new(
                "INVALID_WINDOW_SPEC_FOR_AGGREGATION_FUNC",
                "42601",
                format!("Cannot specify ORDER BY or a window frame for {shown}."),
            )
            .param("aggFunc", shown));
        }
        let order_within = self.within_group(call, &inner)?;
        let resolved = definition.resolve_aggregate(
            &self.functions,
            AggregateArgs {
                args,
                distinct: call.distinct,
                filter: None,
                order_by: order_within,
                ignore_nulls: call.ignore_nulls,
            },
        )?;
        if call.distinct {
            return Err(SparkError::new(
                "DISTINCT_WINDOW_FUNCTION_UNSUPPORTED",
                "0A000",
                format!("Distinct window functions are not supported: {}.", errors::sql_expr(&self.show(whole, env))),
            )
            .param("windowExpr", errors::sql_expr(&self.show(whole, env))));
        }
        let DfExpr::AggregateFunction(AggregateFunction { func, params }) = &resolved.aggregate.expr else {
            return Err(SparkError::internal("an aggregate that is none"));
        };
        // The order that the function itself needs is the window's, which then has every row of the partition in its frame.
        let (order_by, window_frame) = match params.order_by.as_slice() {
            [] => (order_by, user_frame.unwrap_or_else(|| default_frame(ordered))),
            own if !ordered && user_frame.is_none() => (own.to_vec(), default_frame(false)),
            _ => {
                let shown = self.show(whole, env);
                return Err(SparkError::unsupported(format_args!(
                    "an order of its own in {shown}, beside the window's"
                )));
            }
        };
        let params = WindowFunctionParams {
            args: params.args.clone(),
            partition_by,
            order_by,
            window_frame: by_peers(window_frame, &order_types),
            filter: filter.map(|f| Box::new(f.expr)),
            null_treatment: params.null_treatment,
            distinct: false,
        };
        let fun = WindowFunctionDefinition::AggregateUDF(func.clone());
        let expr = DfExpr::WindowFunction(Box::new(WindowFunction { fun, params }));
        let raw = Typed::new(expr, resolved.aggregate.data_type.clone(), resolved.aggregate.nullable);
        let column = self.collect_window(raw, collected);
        resolved.finished(column)
    }

    fn collect_window(&self, window: Typed, collected: &std::cell::RefCell<super::Collected>) -> DfExpr {
        let mut collected = collected.borrow_mut();
        if let Some(attribute) = collected.window(&window.expr) {
            return attribute.expr();
        }
        let attribute = self.attribute_of("window", &window);
        let column = attribute.expr();
        collected.add_window(window.expr, attribute);
        column
    }

    fn window_definition<'w>(&self, spec: &'w WindowSpec, env: &Env<'w>) -> SparkResult<&'w WindowDefinition> {
        match spec {
            WindowSpec::Inline(definition) => Ok(definition),
            WindowSpec::Named(name) => {
                env.rel.windows.and_then(|w| w.find(name, self.case_sensitive())).ok_or_else(|| {
                    SparkError::new(
                        "MISSING_WINDOW_SPECIFICATION",
                        "42P20",
                        format!(
                            "Window specification is not defined in the WINDOW clause for {}. For more information \
                             about WINDOW clauses, please refer to \
                             'https://spark.apache.org/docs/latest/sql-ref-syntax-qry-select-window.html'.",
                            errors::id(name)
                        ),
                    )
                    .param("windowName", errors::id(name))
                })
            }
        }
    }

    fn frame(
        &self,
        frame: &WindowFrame,
        order: &[SortItem],
        order_types: &[DataType],
        whole: &Expr,
        env: &Env<'_>,
    ) -> SparkResult<DfFrame> {
        let units = if frame.rows { WindowFrameUnits::Rows } else { WindowFrameUnits::Range };
        let offsets =
            [&frame.start, &frame.end].iter().any(|b| matches!(b, FrameBound::Preceding(_) | FrameBound::Following(_)));
        if !frame.rows && offsets && order_types.len() != 1 {
            let shown = self.show(whole, env);
            let (class, text) = if order_types.is_empty() {
                (
                    "RANGE_FRAME_WITHOUT_ORDER",
                    "A range window frame cannot be used in an unordered window specification.".to_owned(),
                )
            } else {
                (
                    "RANGE_FRAME_MULTI_ORDER",
                    format!(
                        "A range window frame with value boundaries cannot be used in a window specification with \
                         multiple order by expressions: {}.",
                        order.iter().map(|i| self.show(&i.expr, env)).collect::<Vec<_>>().join(", ")
                    ),
                )
            };
            return Err(errors::mismatch(class, &shown, text));
        }
        let bound = |bound: &FrameBound, start: bool| -> SparkResult<WindowFrameBound> {
            Ok(match bound {
                FrameBound::UnboundedPreceding => WindowFrameBound::Preceding(ScalarValue::Null),
                FrameBound::UnboundedFollowing => WindowFrameBound::Following(ScalarValue::Null),
                FrameBound::CurrentRow => WindowFrameBound::CurrentRow,
                FrameBound::Preceding(e) | FrameBound::Following(e) => {
                    let preceding = matches!(bound, FrameBound::Preceding(_));
                    let offset = self.expr(e, env)?;
                    self.offset(offset, preceding, frame.rows, order_types, start, whole, env)?
                }
            })
        };
        Ok(DfFrame::new_bounds(units, bound(&frame.start, true)?, bound(&frame.end, false)?))
    }

    #[expect(clippy::too_many_arguments)]
    fn offset(
        &self,
        offset: Typed,
        preceding: bool,
        rows: bool,
        order_types: &[DataType],
        start: bool,
        whole: &Expr,
        env: &Env<'_>,
    ) -> SparkResult<WindowFrameBound> {
        let ctx = &self.functions;
        let name = if start { "lower" } else { "upper" };
        let not_constant = || {
            errors::mismatch(
                "SPECIFIED_WINDOW_FRAME_WITHOUT_FOLDABLE",
                &self.show(whole, env),
                format!("Window frame {name} bound is not a literal."),
            )
            .param("location", name)
        };
        if rows {
            let long = coercion::implicit(ctx, offset, &DataType::Long)?;
            let Some(ScalarValue::Int64(Some(n))) = constant(long.expr) else { return Err(not_constant()) };
            let n = if preceding { -n } else { n };
            let size = ScalarValue::UInt64(Some(n.unsigned_abs()));
            return Ok(if n < 0 {
                WindowFrameBound::Preceding(size)
            } else if n == 0 {
                WindowFrameBound::CurrentRow
            } else {
                WindowFrameBound::Following(size)
            });
        }
        // A distance in the order's own type: days for dates, an interval for timestamps.
        let Some(order) = order_types.first() else { return Err(not_constant()) };
        check_distance(order, &offset.data_type, name, &self.show(whole, env))?;
        if order.is_interval() {
            return Err(SparkError::unsupported("a RANGE frame over intervals"));
        }
        let offset = match order {
            DataType::Date if offset.data_type.is_integral() => {
                let Some(days) = constant(coercion::implicit(ctx, offset, &DataType::Integer)?.expr) else {
                    return Err(not_constant());
                };
                let ScalarValue::Int32(Some(days)) = days else { return Err(not_constant()) };
                ScalarValue::new_interval_mdn(0, days, 0)
            }
            DataType::Timestamp | DataType::TimestampNtz | DataType::Date => {
                let Some(value) = constant(offset.expr) else { return Err(not_constant()) };
                match value {
                    ScalarValue::DurationMicrosecond(Some(micros)) => {
                        ScalarValue::new_interval_mdn(0, 0, micros.saturating_mul(1000))
                    }
                    ScalarValue::IntervalYearMonth(Some(months)) => ScalarValue::new_interval_mdn(months, 0, 0),
                    other => other,
                }
            }
            other => {
                let same = coercion::implicit(ctx, offset, other)?;
                let Some(value) = constant(same.expr) else { return Err(not_constant()) };
                value.cast_to(&types::to_arrow(other)?).map_err(errors::from_datafusion)?
            }
        };
        if let (ScalarValue::Decimal128(..), true) = (&offset, order.is_numeric()) {
            return Err(SparkError::unsupported("a RANGE frame over a decimal"));
        }
        Ok(if preceding { WindowFrameBound::Preceding(offset) } else { WindowFrameBound::Following(offset) })
    }
}

/// Whether a range over the order's type may reach so far.
fn check_distance(order: &DataType, distance: &DataType, location: &str, shown: &str) -> SparkResult<()> {
    use DataType as T;
    if order.is_string() || *order == T::Boolean {
        let (wanted, found) = (
            "(\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL\")",
            errors::sql_type(order),
        );
        let text =
            format!("The data type of the {location} bound {found} does not match the expected data type {wanted}.");
        return Err(errors::mismatch("SPECIFIED_WINDOW_FRAME_UNACCEPTED_TYPE", shown, text)
            .param("location", location)
            .param("exprType", found)
            .param("expectedType", wanted));
    }
    let valid = match (order, distance) {
        (T::Date, T::Byte | T::Short | T::Integer | T::YearMonthInterval { .. }) => true,
        (T::Date, T::DayTimeInterval { start: DayTimeField::Day, end: DayTimeField::Day }) => true,
        (T::Timestamp | T::TimestampNtz, of) => of.is_interval(),
        (a, b) if a.is_numeric() => b.is_numeric() || b.is_string(),
        (T::DayTimeInterval { .. }, T::DayTimeInterval { .. }) => true,
        (T::YearMonthInterval { .. }, T::YearMonthInterval { .. }) => true,
        (a, b) => a == b,
    };
    if valid {
        return Ok(());
    }
    let (order, distance) = (errors::sql_type(order), errors::sql_type(distance));
    let text = format!(
        "The data type {order} used in the order specification does not support the data type {distance} which is used in the \
         range frame."
    );
    Err(errors::mismatch("RANGE_FRAME_INVALID_TYPE", shown, text)
        .param("orderSpecType", order)
        .param("valueBoundaryType", distance))
}

pub(crate) fn window_not_allowed(clause: &str) -> SparkError {
    SparkError::new(
        "WINDOW_FUNCTION_NOT_ALLOWED_IN_CLAUSE",
        "42601",
        format!("The window function is not allowed in the {clause} clause."),
    )
    .param("clauseName", clause)
}

/// Everything up to the row and its peers where there is an order, else the whole partition.
fn default_frame(ordered: bool) -> DfFrame {
    if ordered {
        DfFrame::new_bounds(
            WindowFrameUnits::Range,
            WindowFrameBound::Preceding(ScalarValue::Null),
            WindowFrameBound::CurrentRow,
        )
    } else {
        DfFrame::new_bounds(
            WindowFrameUnits::Rows,
            WindowFrameBound::Preceding(ScalarValue::Null),
            WindowFrameBound::Following(ScalarValue::Null),
        )
    }
}

/// A range that begins and ends at peers of the row is one of groups of peers. DataFusion has ranges of some types only.
fn by_peers(frame: DfFrame, order_types: &[DataType]) -> DfFrame {
    let at_peers = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => true,
        WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) => offset.is_null(),
    };
    let other = |t: &DataType| matches!(t, DataType::Binary | DataType::Struct(_)) || t.is_interval();
    let is_range = frame.units == WindowFrameUnits::Range;
    if is_range && order_types.iter().any(other) && at_peers(&frame.start_bound) && at_peers(&frame.end_bound) {
        return DfFrame::new_bounds(WindowFrameUnits::Groups, frame.start_bound, frame.end_bound);
    }
    frame
}

/// The call alone.
fn call_without_window(call: &FunctionCall) -> ExprKind {
    ExprKind::Function(Box::new(FunctionCall { over: None, ..call.clone() }))
}
