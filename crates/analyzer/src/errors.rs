//! Analysis errors, one constructor a class, with Spark's message templates and parameters.

use datafusion::error::DataFusionError;
use firesteel_plan::{DataType, SparkError};

/// More of something than a plan can be made of.
pub fn too_complex() -> SparkError {
    SparkError::new(
        "FAILED_TO_PARSE_TOO_COMPLEX",
        "54001",
        "The statement, including potential SQL functions and referred views, was too complex to parse. To mitigate this \
         error divide the statement into multiple, less complex chunks.",
    )
}

/// A part of a name, in backticks: `` `a` ``.
pub fn id(part: &str) -> String {
    format!("`{}`", part.replace('`', "``"))
}

/// A name of several parts: `` `db`.`t` ``.
pub fn ids(parts: &[String]) -> String {
    parts.iter().map(|p| id(p)).collect::<Vec<_>>().join(".")
}

/// A type as error messages write it: `"DECIMAL(10,2)"`.
pub fn sql_type(data_type: &DataType) -> String {
    format!("\"{}\"", data_type.to_string().to_uppercase())
}

/// An expression as error messages write it: `"(a + b)"`.
pub fn sql_expr(text: &str) -> String {
    format!("\"{text}\"")
}

/// What DataFusion says while a plan is put together. Errors of ours that travelled inside come out as they are; the
/// rest are defects of ours, since names and types were checked before.
pub fn from_datafusion(error: DataFusionError) -> SparkError {
    match error.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<SparkError>() {
            Some(spark) => spark.clone(),
            None => SparkError::internal(inner),
        },
        root => SparkError::internal(root.strip_backtrace()),
    }
}

/// A statement, or a clause of one, that is read and that nothing runs yet.
pub fn unsupported_statement(what: impl std::fmt::Display) -> SparkError {
    SparkError::unsupported(what)
}

pub fn table_not_found(name: &[String]) -> SparkError {
    let name = ids(name);
    SparkError::new(
        "TABLE_OR_VIEW_NOT_FOUND",
        "42P01",
        format!(
            "The table or view {name} cannot be found. Verify the spelling and correctness of the schema and catalog.\n\
             If you did not qualify the name with a schema, verify the current_schema() output, or qualify the name \
             with the correct schema and catalog.\n\
             To tolerate the error on drop use DROP VIEW IF EXISTS or DROP TABLE IF EXISTS."
        ),
    )
    .param("relationName", name)
}

pub fn table_exists(name: &[String]) -> SparkError {
    let name = ids(name);
    SparkError::new(
        "TABLE_OR_VIEW_ALREADY_EXISTS",
        "42P07",
        format!(
            "Cannot create table or view {name} because it already exists.\n\
             Choose a different name, drop or replace the existing object, or add the IF NOT EXISTS clause to \
             tolerate pre-existing objects."
        ),
    )
    .param("relationName", name)
}

pub fn temp_view_exists(name: &[String]) -> SparkError {
    let name = ids(name);
    SparkError::new(
        "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS",
        "42P07",
        format!(
            "Cannot create the temporary view {name} because it already exists.\n\
             Choose a different name, drop or replace the existing view, or add the IF NOT EXISTS clause to tolerate \
             pre-existing views."
        ),
    )
    .param("relationName", name)
}

pub fn schema_not_found(name: &[String]) -> SparkError {
    let name = ids(name);
    SparkError::new(
        "SCHEMA_NOT_FOUND",
        "42704",
        format!(
            "The schema {name} cannot be found. Verify the spelling and correctness of the schema and catalog.\n\
             If you did not qualify the name with a catalog, verify the current_schema() output, or qualify the name \
             with the correct catalog.\n\
             To tolerate the error on drop use DROP SCHEMA IF EXISTS."
        ),
    )
    .param("schemaName", name)
}

pub fn schema_exists(name: &[String]) -> SparkError {
    let name = ids(name);
    SparkError::new(
        "SCHEMA_ALREADY_EXISTS",
        "42P06",
        format!(
            "Cannot create schema {name} because it already exists.\n\
             Choose a different name, drop the existing schema, or add the IF NOT EXISTS clause to tolerate \
             pre-existing schema."
        ),
    )
    .param("schemaName", name)
}

pub fn schema_not_empty(name: &[String]) -> SparkError {
    let name = ids(name);
    SparkError::new(
        "SCHEMA_NOT_EMPTY",
        "2BP01",
        format!(
            "Cannot drop a schema {name} because it contains objects.\n\
             Use DROP SCHEMA ... CASCADE to drop the schema and all its objects."
        ),
    )
    .param("schemaName", name)
}

/// `suggestions` are ready to print, best first.
pub fn unresolved_column(name: &[String], suggestions: &[String]) -> SparkError {
    let object = ids(name);
    if suggestions.is_empty() {
        return SparkError::new(
            "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
            "42703",
            format!("A column, variable, or function parameter with name {object} cannot be resolved. "),
        )
        .param("objectName", object);
    }
    let proposal = suggestions.join(", ");
    SparkError::new(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        "42703",
        format!(
            "A column, variable, or function parameter with name {object} cannot be resolved. Did you mean one of \
             the following? [{proposal}]."
        ),
    )
    .param("objectName", object)
    .param("proposal", proposal)
}

pub fn unresolved_using_column(column: &str, side: &str, suggestions: &[String]) -> SparkError {
    let (column, suggestion) = (id(column), suggestions.join(", "));
    SparkError::new(
        "UNRESOLVED_USING_COLUMN_FOR_JOIN",
        "42703",
        format!(
            "USING column {column} cannot be resolved on the {side} side of the join. The {side}-side columns: \
             [{suggestion}]."
        ),
    )
    .param("colName", column)
    .param("side", side)
    .param("suggestion", suggestion)
}

pub fn ambiguous_reference(name: &[String], candidates: &[Vec<String>]) -> SparkError {
    let name = ids(name);
    let references = format!("[{}]", candidates.iter().map(|c| ids(c)).collect::<Vec<_>>().join(", "));
    SparkError::new("AMBIGUOUS_REFERENCE", "42704", format!("Reference {name} is ambiguous, could be: {references}."))
        .param("name", name)
        .param("referenceNames", references)
}

pub fn field_not_found(field: &str, fields: &[String]) -> SparkError {
    let (field, fields) = (id(field), fields.iter().map(|f| id(f)).collect::<Vec<_>>().join(", "));
    SparkError::new("FIELD_NOT_FOUND", "42704", format!("No such struct field {field} in {fields}."))
        .param("fieldName", field)
        .param("fields", fields)
}

pub fn ambiguous_field(field: &str, count: usize) -> SparkError {
    let field = id(field);
    SparkError::new(
        "AMBIGUOUS_REFERENCE_TO_FIELDS",
        "42000",
        format!("Ambiguous reference to the field {field}. It appears {count} times in the schema."),
    )
    .param("field", field)
    .param("count", count.to_string())
}

pub fn invalid_extract_base(base: &str, data_type: &DataType) -> SparkError {
    let (base, other) = (sql_expr(base), sql_type(data_type));
    SparkError::new(
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        "42000",
        format!("Can't extract a value from {base}. Need a complex type [STRUCT, ARRAY, MAP] but got {other}."),
    )
    .param("base", base)
    .param("other", other)
}

pub fn unresolved_routine(name: &[String], search_path: &[Vec<String>]) -> SparkError {
    let routine = ids(name);
    let path = format!("[{}]", search_path.iter().map(|p| ids(p)).collect::<Vec<_>>().join(", "));
    SparkError::new("UNRESOLVED_ROUTINE", "42883", format!("Cannot resolve routine {routine} on search path {path}."))
        .param("routineName", routine)
        .param("searchPath", path)
}

pub fn missing_aggregation(expression: &str, any_value: &str) -> SparkError {
    let (expression, any_value) = (sql_expr(expression), sql_expr(any_value));
    SparkError::new(
        "MISSING_AGGREGATION",
        "42803",
        format!(
            "The non-aggregating expression {expression} is based on columns which are not participating in the \
             GROUP BY clause.\n\
             Add the columns or the expression to the GROUP BY, aggregate the expression, or use {any_value} if you \
             do not care which of the values within a group is returned."
        ),
    )
    .param("expression", expression)
    .param("expressionAnyValue", any_value)
}

pub fn missing_group_by() -> SparkError {
    SparkError::new(
        "MISSING_GROUP_BY",
        "42803",
        "The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER \
         clauses.",
    )
}

pub fn group_by_position(index: i64, size: usize) -> SparkError {
    SparkError::new(
        "GROUP_BY_POS_OUT_OF_RANGE",
        "42805",
        format!("GROUP BY position {index} is not in select list (valid range is [1, {size}])."),
    )
    .param("index", index.to_string())
    .param("size", size.to_string())
}

pub fn group_by_position_aggregate(index: i64, expr: &str) -> SparkError {
    let expr = sql_expr(expr);
    SparkError::new(
        "GROUP_BY_POS_AGGREGATE",
        "42903",
        format!("GROUP BY {index} refers to an expression {expr} that contains an aggregate function. Aggregate functions are not allowed in GROUP BY."),
    )
    .param("index", index.to_string())
    .param("aggExpr", expr)
}

pub fn group_by_aggregate(expr: &str) -> SparkError {
    SparkError::new(
        "GROUP_BY_AGGREGATE",
        "42903",
        format!("Aggregate functions are not allowed in GROUP BY, but found {expr}."),
    )
    .param("sqlExpr", expr)
}

pub fn order_by_position(index: i64, size: usize) -> SparkError {
    SparkError::new(
        "ORDER_BY_POS_OUT_OF_RANGE",
        "42805",
        format!("ORDER BY position {index} is not in select list (valid range is [1, {size}])."),
    )
    .param("index", index.to_string())
    .param("size", size.to_string())
}

pub fn invalid_where(expressions: &[String]) -> SparkError {
    let list = expressions.join(", ");
    SparkError::new(
        "INVALID_WHERE_CONDITION",
        "42903",
        format!(
            "The WHERE condition {} contains invalid expressions: {list}.\nRewrite the query to avoid window \
             functions, aggregate functions, and generator functions in the WHERE clause.",
            sql_expr(&list)
        ),
    )
    .param("condition", sql_expr(&list))
    .param("expressionList", list)
}

pub fn nested_aggregate() -> SparkError {
    SparkError::new(
        "NESTED_AGGREGATE_FUNCTION",
        "42607",
        "It is not allowed to use an aggregate function in the argument of another aggregate function. Please use the \
         inner aggregate function in a sub-query.",
    )
}

pub fn filter_not_boolean(filter: &str, data_type: &DataType) -> SparkError {
    let (filter, kind) = (sql_expr(filter), sql_type(data_type));
    SparkError::new(
        "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
        "42K09",
        format!(
            "Cannot resolve {filter} due to data type mismatch: Filter expression {filter} of type {kind} is not a \
             boolean."
        ),
    )
    .param("sqlExpr", filter.clone())
    .param("filter", filter)
    .param("type", kind)
}

pub fn join_condition_not_boolean(condition: &str, data_type: &DataType) -> SparkError {
    let (condition, kind) = (sql_expr(condition), sql_type(data_type));
    SparkError::new(
        "JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE",
        "42K0E",
        format!("The join condition {condition} has the invalid type {kind}, expected \"BOOLEAN\"."),
    )
    .param("joinCondition", condition)
    .param("conditionType", kind)
}

/// A type mismatch inside `expr`, with Spark's subclass and the rest of its sentence.
pub fn mismatch(subclass: &str, expr: &str, reason: String) -> SparkError {
    SparkError::new(
        format!("DATATYPE_MISMATCH.{subclass}"),
        "42K09",
        format!("Cannot resolve \"{expr}\" due to data type mismatch: {reason}"),
    )
    .param("sqlExpr", sql_expr(expr))
}

pub fn data_diff_types(function: &str, types: &[DataType], expr: &str) -> SparkError {
    let list = format!("[{}]", types.iter().map(sql_type).collect::<Vec<_>>().join(", "));
    mismatch(
        "DATA_DIFF_TYPES",
        expr,
        format!("Input to {} should all be the same type, but it's {list}.", id(function)),
    )
    .param("functionName", id(function))
    .param("dataType", list)
}

pub fn num_columns_mismatch(operator: &str, first: usize, ordinal: &str, invalid: usize) -> SparkError {
    SparkError::new(
        "NUM_COLUMNS_MISMATCH",
        "42826",
        format!(
            "{operator} can only be performed on inputs with the same number of columns, but the first input has \
             {first} columns and the {ordinal} input has {invalid} columns."
        ),
    )
    .param("operator", operator)
    .param("firstNumColumns", first.to_string())
    .param("invalidOrdinalNum", ordinal)
    .param("invalidNumColumns", invalid.to_string())
}

pub fn incompatible_column_type(
    operator: &str,
    column: &str,
    table: &str,
    expected: &DataType,
    found: &DataType,
) -> SparkError {
    let (expected, found) = (sql_type(expected), sql_type(found));
    SparkError::new(
        "INCOMPATIBLE_COLUMN_TYPE",
        "42825",
        format!(
            "{operator} can only be performed on tables with compatible column types. The {column} column of the \
             {table} table is {found} type which is not compatible with {expected} at the same column of the first \
             table.."
        ),
    )
    .param("operator", operator)
    .param("columnOrdinalNumber", column)
    .param("tableOrdinalNumber", table)
    .param("dataType1", found)
    .param("dataType2", expected)
    .param("hint", "")
}

pub fn scalar_subquery_columns(count: usize) -> SparkError {
    SparkError::new(
        "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
        "42823",
        format!("Invalid subquery: Scalar subquery must return only one column, but found {count}."),
    )
    .param("number", count.to_string())
}

pub fn in_subquery_columns(left: &[String], right: &[String]) -> SparkError {
    mismatch(
        "IN_SUBQUERY_LENGTH_MISMATCH",
        &format!("({} IN (listquery()))", left.join(", ")),
        format!(
            "The number of columns in the left hand side of an IN subquery does not match the number of columns in \
             the output of subquery. Left hand side columns(length: {}): [{}], right hand side columns(length: {}): \
             [{}].",
            left.len(),
            left.iter().map(|l| sql_expr(l)).collect::<Vec<_>>().join(", "),
            right.len(),
            right.iter().map(|l| sql_expr(l)).collect::<Vec<_>>().join(", "),
        ),
    )
    .param("leftLength", left.len().to_string())
    .param("rightLength", right.len().to_string())
    .param("leftColumns", left.iter().map(|l| sql_expr(l)).collect::<Vec<_>>().join(", "))
    .param("rightColumns", right.iter().map(|l| sql_expr(l)).collect::<Vec<_>>().join(", "))
}

pub fn alias_column_count(found: usize, expected: usize) -> SparkError {
    SparkError::new(
        "ASSIGNMENT_ARITY_MISMATCH",
        "42802",
        format!(
            "The number of columns or variables assigned or aliased: {found} does not match the number of source \
             expressions: {expected}."
        ),
    )
    .param("numExpr", expected.to_string())
    .param("numTarget", found.to_string())
}

pub fn inline_table_arity(row: usize, expected: usize, actual: usize) -> SparkError {
    SparkError::new(
        "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
        "42000",
        format!(
            "Invalid inline table. Inline table expected {expected} columns but found {actual} columns in row {row}."
        ),
    )
    .param("rowIndex", row.to_string())
    .param("expectedNumCols", expected.to_string())
    .param("actualNumCols", actual.to_string())
}

pub fn inline_table_types(column: &str) -> SparkError {
    let column = id(column);
    SparkError::new(
        "INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE",
        "42000",
        format!("Invalid inline table. Found incompatible types in the column {column} for inline table."),
    )
    .param("colName", column)
}

pub fn insert_arity(too_many: bool, table: &[String], columns: &[String], data: &[String]) -> SparkError {
    let table = ids(table);
    let list = |names: &[String]| names.iter().map(|n| id(n)).collect::<Vec<_>>().join(", ");
    let (kind, reason) = if too_many {
        ("TOO_MANY_DATA_COLUMNS", "too many data columns")
    } else {
        ("NOT_ENOUGH_DATA_COLUMNS", "not enough data columns")
    };
    SparkError::new(
        format!("INSERT_COLUMN_ARITY_MISMATCH.{kind}"),
        "21S01",
        format!(
            "Cannot write to {table}, the reason is {reason}:\nTable columns: {}.\nData columns: {}.",
            list(columns),
            list(data)
        ),
    )
    .param("tableName", table)
    .param("tableColumns", list(columns))
    .param("dataColumns", list(data))
}

pub fn incompatible_data(table: &[String], column: &str, from: &DataType, to: &DataType) -> SparkError {
    let (table, column, from, to) = (ids(table), id(column), sql_type(from), sql_type(to));
    SparkError::new(
        "INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST",
        "KD000",
        format!("Cannot write incompatible data for the table {table}: Cannot safely cast {column} {from} to {to}."),
    )
    .param("tableName", table)
    .param("colName", column)
    .param("srcType", from)
    .param("targetType", to)
}

pub fn unsupported_insert(name: &[String], why: &str) -> SparkError {
    SparkError::new(
        "UNSUPPORTED_INSERT.RDD_BASED",
        "42809",
        format!("Can't insert into the target {}: {why}", ids(name)),
    )
    .param("relationId", ids(name))
}

pub fn limit_like(subclass: &str, name: &str, expr: &str, rest: &str) -> SparkError {
    SparkError::new(
        format!("INVALID_LIMIT_LIKE_EXPRESSION.{subclass}"),
        "42K0E",
        format!("The limit like expression {} is invalid. The {name} expression {rest}", sql_expr(expr)),
    )
    .param("expr", sql_expr(expr))
    .param("name", name)
}
