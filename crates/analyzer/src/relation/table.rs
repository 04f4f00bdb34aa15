//! Tables, views, files and table-valued functions.

use std::sync::Arc;

use datafusion::{
    common::Column,
    datasource::provider_as_source,
    logical_expr::{Cast, Expr as DfExpr, LogicalPlanBuilder},
};
use firesteel_engine::source::{METADATA, Range, RangeTable};
use firesteel_functions::{Typed, char_types, coercion, types};
use firesteel_plan::{DataType, Expr, ExprKind, RelationKind, SparkError, SparkResult, expr::Literal};

use super::{constant, rename};
use crate::{
    catalog::{Table, View},
    errors,
    expression::{Clause, Env},
    query::{Analyzer, MAX_VIEW_DEPTH, RelEnv, build},
    scope::{Attribute, Planned, Scope, project},
    tables::{Found, OpenTable},
};

impl Analyzer<'_> {
    pub(super) fn table(
        &self,
        name: &[String],
        options: &[(String, String)],
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        if let [single] = name
            && let Some((cte, before)) = env.ctes.and_then(|c| c.find(single, self.case_sensitive()))
        {
            if let Some(planned) = cte.planned.borrow_mut().take() {
                return Ok(planned);
            }
            if let Some(own) = &cte.own {
                return self.own_rows(own, cte.name);
            }
            if let Some(whole) = cte.recursive {
                let inner = RelEnv { windows: None, outer: None, hints: None, ..*env };
                return self.recursive_cte(whole, &before, &inner);
            }
            let inner = RelEnv { ctes: Some(&before), windows: None, outer: None, hints: None, ..*env };
            let planned = self.relation(cte.query, &inner)?;
            return rename(planned, cte.name, cte.columns);
        }
        match self.tables.get(name, options, env.database)? {
            Some(Found::Files(table)) => self.scan(&table),
            Some(Found::View { view, qualifier, temporary, table }) => {
                if temporary {
                    self.tables.note_temporary("VIEW", name);
                }
                let planned = self.view(&view, table.as_deref(), env)?;
                let scope = planned.scope.with_qualifier(&qualifier);
                Ok(Planned { plan: planned.plan, scope })
            }
            None => Err(errors::table_not_found(name)),
        }
    }

    pub(super) fn data_source(&self, kind: &RelationKind) -> SparkResult<Planned> {
        match self.tables.data_source(kind)? {
            Some(Found::Files(table)) => self.scan(&table),
            _ => Err(SparkError::internal("a data source that was not opened")),
        }
    }

    fn view(&self, view: &View, table: Option<&Table>, env: &RelEnv<'_>) -> SparkResult<Planned> {
        if env.view_depth >= MAX_VIEW_DEPTH {
            return Err(SparkError::new(
                "VIEW_EXCEED_MAX_NESTED_DEPTH",
                "54K00",
                format!("The depth of the view exceeds the maximum view resolution depth ({MAX_VIEW_DEPTH})."),
            ));
        }
        let inner = RelEnv { view_depth: env.view_depth + 1, ..RelEnv::new(&view.text, &view.database) };
        let analyzer = self.with_conf(&view.conf);
        let mut planned = analyzer.relation(&view.query, &inner)?.exact()?;
        if let Some(table) = table
            && !view.query_columns.is_empty()
        {
            return self.bound_view(view, table, planned);
        }
        if !view.columns.is_empty() {
            if view.columns.len() != planned.scope.attributes.len() {
                return Err(errors::alias_column_count(view.columns.len(), planned.scope.attributes.len()));
            }
            for (attribute, (name, comment)) in planned.scope.attributes.iter_mut().zip(&view.columns) {
                attribute.name.clone_from(name);
                if comment.is_some() {
                    attribute.comment.clone_from(comment);
                }
            }
        }
        Ok(planned)
    }

    /// A scan whose columns have Spark's types and names of their own.
    fn scan(&self, table: &OpenTable) -> SparkResult<Planned> {
        let arrow = table.provider.schema();
        // The name is for people who read plans.
        let name = table.qualifier.last().filter(|n| !n.is_empty()).map_or("files", String::as_str);
        let reference = datafusion::common::TableReference::bare(name.to_owned());
        let scan = LogicalPlanBuilder::scan(reference.clone(), provider_as_source(table.provider.clone()), None);
        let plan = build(scan)?;
        let mut exprs = Vec::with_capacity(table.schema.len());
        let mut attributes = Vec::with_capacity(table.schema.len());
        for (i, field) in table.schema.iter().enumerate() {
            let Some(column) = arrow.fields().get(i) else {
                return Err(SparkError::internal(format!("the scan of {name} has no column {}", field.name)));
            };
            let raw = DfExpr::Column(Column::new(Some(reference.clone()), column.name()));
            let wanted = types::to_arrow(&field.data_type)?;
            let expr = if *column.data_type() == wanted { raw } else { DfExpr::Cast(Cast::new(Box::new(raw), wanted)) };
            let expr = match field.data_type {
                // Files that others wrote may have it without its spaces.
                DataType::Char(length) => {
                    char_types::pad(Typed::new(expr, DataType::String, field.nullable), length)?.expr
                }
                _ => expr,
            };
            let mut attribute = self.attribute(&field.name, field.data_type.in_queries().clone(), field.nullable);
            attribute.declare_as(field);
            attribute.qualifier.clone_from(&table.qualifier);
            exprs.push(expr.alias(&attribute.column));
            attributes.push(attribute);
        }
        let mut scope = Scope::new(attributes);
        // What tells of files is there for those who ask for it by name.
        if let Some(column) =
            arrow.fields().get(table.schema.len()).filter(|f| self.tables.metadata && f.name() == METADATA)
        {
            let mut attribute = self.attribute(METADATA, types::from_arrow(column.data_type())?, false);
            attribute.qualifier.clone_from(&table.qualifier);
            exprs.push(DfExpr::Column(Column::new(Some(reference), METADATA)).alias(&attribute.column));
            scope.hidden.push(attribute);
        }
        if exprs.is_empty() {
            return Ok(Planned { plan, scope: Scope::default() });
        }
        Ok(Planned { plan: project(plan, exprs)?, scope })
    }

    pub(super) fn table_function(&self, name: &[String], args: &[Expr], env: &RelEnv<'_>) -> SparkResult<Planned> {
        let Some(function) = name.last().map(|n| n.to_lowercase()) else {
            return Err(SparkError::internal("a table function without a name"));
        };
        if function == "range" {
            return self.range(args, env);
        }
        if function == "sql_keywords" {
            return self.keywords(args, env);
        }
        if function == "python_worker_logs" {
            return Err(SparkError::new(
                "FEATURE_NOT_ENABLED",
                "56038",
                "The feature Python worker logging is not enabled. Consider setting the config \
                 spark.sql.pyspark.worker.logging.enabled to true to enable this capability.",
            )
            .param("featureName", "Python Worker Logging")
            .param("configKey", "spark.sql.pyspark.worker.logging.enabled")
            .param("configValue", "true"));
        }
        if firesteel_functions::registry::lookup(&function)
            .is_some_and(|d| d.kind == firesteel_functions::FunctionKind::Generator)
        {
            return self.generator_table(&function, args, env);
        }
        if let Some(user) = self.user_function(name, env.database) {
            return self.call_table_function(&user, args, env);
        }
        Err(SparkError::new(
            "UNRESOLVABLE_TABLE_VALUED_FUNCTION",
            "42883",
            format!(
                "Could not resolve {} to a table-valued function.\nPlease make sure that {} is defined as a \
                 table-valued function and that all required parameters are provided correctly.\nIf {} is not defined, \
                 please create the table-valued function before using it.\nFor more information about defining \
                 table-valued functions, please refer to the Apache Spark documentation.",
                errors::ids(name),
                errors::ids(name),
                errors::ids(name)
            ),
        )
        .param("name", errors::ids(name)))
    }

    /// `sql_keywords()`: the keywords, and which of them are no names in this session.
    fn keywords(&self, args: &[Expr], env: &RelEnv<'_>) -> SparkResult<Planned> {
        if !args.is_empty() {
            return Err(firesteel_functions::errors::wrong_num_args("sql_keywords", 0, args.len()));
        }
        let enforced = self.functions.reserved_keywords;
        // These are alternatives of other keywords, which Spark does not list.
        const UNLISTED: [&str; 4] = ["REGEXP", "RLIKE", "TEMP", "TEMPORARY"];
        let text = |text: &str| Expr::bare(ExprKind::Literal(Literal::String(text.to_owned())));
        let mut rows = Vec::new();
        for keyword in firesteel_sql::Keyword::all().filter(|k| !UNLISTED.contains(&k.text())) {
            rows.push(Expr::call(
                "named_struct",
                vec![
                    text("keyword"),
                    text(keyword.text()),
                    text("reserved"),
                    Expr::bare(ExprKind::Literal(Literal::Boolean(enforced && keyword.is_reserved()))),
                ],
            ));
        }
        self.generator_table("inline", &[Expr::call("array", rows)], env)
    }

    /// `range(end)`, `range(start, end[, step[, partitions]])`: one column `id` of bigint.
    fn range(&self, args: &[Expr], env: &RelEnv<'_>) -> SparkResult<Planned> {
        if args.is_empty() || args.len() > 4 {
            return Err(firesteel_functions::errors::wrong_num_args("range", "[1, 2, 3, 4]", args.len()));
        }
        let expr_env = Env::new(env, &[], Clause::Other);
        let mut numbers = Vec::with_capacity(args.len());
        for arg in args {
            let value = self.expr(arg, &expr_env)?;
            let long = coercion::implicit(&self.functions, value, &DataType::Long)?;
            match constant(long.expr) {
                Some(datafusion::scalar::ScalarValue::Int64(Some(n))) => numbers.push(n),
                _ => {
                    let shown = self.show(arg, &expr_env);
                    return Err(SparkError::new(
                        "NON_FOLDABLE_ARGUMENT",
                        "42K08",
                        format!(
                            "The function `range` requires the parameter {shown} to be a foldable expression of the type \"BIGINT\"."
                        ),
                    ));
                }
            }
        }
        let (start, end, step) = match numbers.as_slice() {
            [end] => (0, *end, 1),
            [start, end] => (*start, *end, 1),
            [start, end, step, ..] => (*start, *end, *step),
            [] => (0, 0, 1),
        };
        let wrong = |requirement| {
            let message = format!(
                "Failed preparing of the function `range` for call. Please, double check function's arguments: {requirement}."
            );
            SparkError::new("FAILED_FUNCTION_CALL", "38000", message).param("funcName", "`range`")
        };
        if step == 0 {
            return Err(wrong("the step must not be 0"));
        }
        let partitions = match numbers.get(3) {
            Some(count) => u32::try_from(*count).ok().filter(|n| *n > 0),
            None => u32::try_from(self.leaf_partitions).ok(),
        };
        let Some(partitions) = partitions else { return Err(wrong("the number of partitions must be positive")) };
        let provider = Arc::new(RangeTable::new(Range { start, end, step, partitions }));
        let table = OpenTable {
            provider,
            schema: vec![firesteel_plan::types::StructField::new("id", DataType::Long, false)],
            partition_columns: Vec::new(),
            qualifier: vec!["range".to_owned()],
            table: None,
        };
        let mut planned = self.scan(&table)?;
        for attribute in &mut planned.scope.attributes {
            attribute.qualifier.clear();
        }
        Ok(planned)
    }

    /// A generator in FROM: over the columns of what stands before LATERAL, or over constants.
    fn generator_table(&self, function: &str, args: &[Expr], env: &RelEnv<'_>) -> SparkResult<Planned> {
        let call = Expr::call(function, args.to_vec());
        let input = super::one_row();
        let generated = self.generate_one(input, &call, false, env)?;
        let columns: Vec<Attribute> = generated.generated;
        let plan = project(generated.planned.plan, columns.iter().map(Attribute::expr).collect())?;
        Ok(Planned { plan, scope: Scope::new(columns) })
    }
}
