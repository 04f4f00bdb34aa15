//! SET and RESET.

use std::cell::RefCell;

use firesteel_functions::{FunctionContext, literal};
use firesteel_plan::{
    Expr, ExprKind, SparkError, SparkResult,
    conf::{ConfScope, keys, spark::is_unread},
    expr::{Literal, TimestampKind},
};

use super::text_rows;
use crate::{
    Analyzed,
    catalog::{DEFAULT_DATABASE, SESSION_CATALOG},
    errors,
    expression::{Clause, Env},
    query::RelEnv,
    relation::constant,
    session::{Session, time_zone as session_time_zone},
    tables::Tables,
};

/// Keys that hold for the life of the application.
fn check_modifiable(key: &str) -> SparkResult<()> {
    let known = keys::ALL.iter().find(|known| known.name == key);
    if known.is_none_or(|known| known.scope() == ConfScope::Session) {
        return Ok(());
    }
    Err(SparkError::new(
        "CANNOT_MODIFY_CONFIG",
        "46110",
        format!("Cannot modify the value of the Spark config: \"{key}\". It is read when the application starts."),
    )
    .param("key", format!("\"{key}\"")))
}

pub(super) fn set(session: &Session, key: Option<&str>, value: Option<&str>) -> SparkResult<Analyzed> {
    let columns = ["key", "value"];
    let conf = session.conf();
    match (key, value) {
        (Some(key), Some(value)) => {
            check_no_variable(session, key)?;
            check_modifiable(key)?;
            check_value(key, value)?;
            if is_unread(key) {
                tracing::warn!(key, "this key of Spark's has no effect in Firesteel");
            }
            session.engine().set_conf(key, value)?;
            text_rows(&columns, vec![vec![key.into(), value.into()]])
        }
        (Some(key), None) => {
            let default = || keys::ALL.iter().find(|k| k.name == key).map(|k| k.default.to_owned());
            let shown = match conf.get_raw(key) {
                Some(value) => value.to_owned(),
                None if key == keys::SESSION_TIME_ZONE.name => session_time_zone(&conf),
                None => default().unwrap_or_else(|| "<undefined>".to_owned()),
            };
            text_rows(&columns, vec![vec![key.into(), shown.into()]])
        }
        (None, _) => {
            let rows = conf.iter().map(|(k, v)| vec![k.into(), shown(k, v).into()]).collect();
            text_rows(&columns, rows)
        }
    }
}

/// Who means a variable is told so.
fn check_no_variable(session: &Session, key: &str) -> SparkResult<()> {
    let name: Vec<String> = key.split('.').map(str::to_owned).collect();
    if session.variables().exact(&name).is_none() {
        return Ok(());
    }
    let shown = errors::ids(&name);
    Err(SparkError::new(
        "UNSUPPORTED_FEATURE.SET_VARIABLE_USING_SET",
        "0A000",
        format!("The feature is not supported: {shown} is a VARIABLE and cannot be updated using the SET statement. Use SET VARIABLE {shown} = ... instead."),
    )
    .param("variableName", shown))
}

/// Values that only their use would find wrong.
fn check_value(key: &str, value: &str) -> SparkResult<()> {
    if key == keys::SESSION_TIME_ZONE.name {
        check_zone(value)?;
    }
    if key == keys::PARTITION_OVERWRITE_MODE.name && !["static", "dynamic"].contains(&value.to_lowercase().as_str()) {
        return Err(SparkError::new(
            "INVALID_CONF_VALUE.OUT_OF_RANGE_OF_OPTIONS",
            "22022",
            format!(
                "The value '{value}' in the config \"{key}\" is invalid. The value must be one of STATIC, DYNAMIC."
            ),
        )
        .param("confName", key)
        .param("confValue", value)
        .param("confOptions", "STATIC, DYNAMIC"));
    }
    Ok(())
}

fn check_zone(zone: &str) -> SparkResult<()> {
    // A zone is right when a time can be read in it.
    let ctx = FunctionContext { time_zone: zone.into(), ..FunctionContext::default() };
    let time = Literal::TimestampText { text: "2000-01-01 00:00:00".to_owned(), kind: TimestampKind::Ltz };
    literal::literal(&ctx, &time).map(|_| ()).map_err(|_| {
        SparkError::new(
            "INVALID_CONF_VALUE.TIME_ZONE",
            "22022",
            format!(
                "The value '{zone}' in the config \"{}\" is invalid. Cannot resolve the given timezone.",
                keys::SESSION_TIME_ZONE.name
            ),
        )
        .param("confName", keys::SESSION_TIME_ZONE.name)
        .param("confValue", zone)
    })
}

/// Secrets are not shown.
fn shown(key: &str, value: &str) -> String {
    let lower = key.to_lowercase();
    let secret = ["secret", "password", "token", "access.key", "credential"].iter().any(|s| lower.contains(s));
    if secret { "*********(redacted)".to_owned() } else { value.to_owned() }
}

pub(super) fn time_zone(session: &Session, value: &Expr, text: &str) -> SparkResult<Analyzed> {
    let zone = match &value.kind {
        ExprKind::Literal(Literal::String(zone)) => zone.clone(),
        ExprKind::Attribute { name, .. } if name.len() == 1 && name[0].eq_ignore_ascii_case("local") => {
            session.engine().unset_conf(keys::SESSION_TIME_ZONE.name);
            session_time_zone(&session.conf())
        }
        _ => interval_zone(session, value, text)?,
    };
    check_zone(&zone)?;
    session.engine().set_conf(keys::SESSION_TIME_ZONE.name, &zone)?;
    text_rows(&["key", "value"], vec![vec![keys::SESSION_TIME_ZONE.name.into(), zone.into()]])
}

/// `SET TIME ZONE INTERVAL '8' HOUR`
fn interval_zone(session: &Session, value: &Expr, text: &str) -> SparkResult<String> {
    let (tables, warnings) = (Tables::of(session), RefCell::new(Vec::new()));
    let analyzer = session.analyzer(&tables, &warnings);
    let env = RelEnv::new(text, "");
    let typed = analyzer.expr(value, &Env::new(&env, &[], Clause::Other))?;
    match constant(typed.expr) {
        Some(datafusion::scalar::ScalarValue::DurationMicrosecond(Some(micros))) => {
            let seconds = micros / 1_000_000;
            let sign = if seconds < 0 { '-' } else { '+' };
            let seconds = seconds.abs();
            let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let rest = if rest == 0 { String::new() } else { format!(":{rest:02}") };
            Ok(format!("{sign}{hours:02}:{minutes:02}{rest}"))
        }
        _ => Err(SparkError::new(
            "INVALID_INTERVAL_FORMAT",
            "22006",
            "The interval value must be in the range of [-18, +18] hours with second precision.",
        )),
    }
}

pub(super) fn reset(session: &Session, key: Option<&str>) -> SparkResult<Analyzed> {
    match key {
        Some(key) => {
            check_modifiable(key)?;
            session.engine().unset_conf(key);
        }
        None => {
            for (key, _) in session.conf().iter() {
                if key.starts_with("spark.sql.") && check_modifiable(key).is_ok() {
                    session.engine().unset_conf(key);
                }
            }
        }
    }
    Ok(Analyzed::Done)
}

/// `SET CATALOG name`: there is one catalog.
pub(super) fn catalog(session: &Session, name: &Expr) -> SparkResult<Analyzed> {
    let name = match &name.kind {
        ExprKind::Attribute { name, .. } => name.join("."),
        ExprKind::Literal(Literal::String(name)) => name.clone(),
        _ => return Err(errors::unsupported_statement("SET CATALOG of an expression")),
    };
    if !name.eq_ignore_ascii_case(SESSION_CATALOG) {
        return Err(super::catalog_not_found(&name));
    }
    session.set_database(DEFAULT_DATABASE);
    Ok(Analyzed::Done)
}
