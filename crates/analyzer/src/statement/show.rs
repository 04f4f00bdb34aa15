//! SHOW.

use firesteel_plan::{SparkResult, expr::MultipartName};

use super::{Cell, database_name, found, qualified, show_create, text_rows};
use crate::{
    Analyzed,
    catalog::{GLOBAL_TEMP_DATABASE, SESSION_CATALOG},
    errors,
    session::Session,
    tables::Found,
};

/// Spark's patterns: `*` for anything, `|` for or, no regard to case.
fn matches(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    pattern.split('|').any(|p| like(p.trim().to_lowercase().as_bytes(), name.to_lowercase().as_bytes()))
}

fn like(pattern: &[u8], name: &[u8]) -> bool {
    // The place to go on from when what follows the last star does not fit.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b'.') => {
                p += 1;
                n += 1;
            }
            Some(c) if *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

pub(super) async fn tables(
    session: &Session,
    database: Option<&[String]>,
    pattern: Option<&str>,
) -> SparkResult<Analyzed> {
    let database = asked_database(session, database)?;
    if session.catalog().database(&database).await?.is_none() {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), database]));
    }
    let tables = session.catalog().tables(&database).await?;
    let rows = tables.into_iter().map(|t| (database.clone(), t.name.clone(), false)).collect();
    with_temporary_views(session, "tableName", rows, pattern)
}

pub(super) async fn views(
    session: &Session,
    database: Option<&[String]>,
    pattern: Option<&str>,
) -> SparkResult<Analyzed> {
    let database = asked_database(session, database)?;
    let rows = if database == GLOBAL_TEMP_DATABASE {
        session.temp_view_names(true).into_iter().map(|name| (database.clone(), name, true)).collect()
    } else {
        let tables = session.catalog().tables(&database).await?;
        tables.into_iter().filter(|t| super::is_view(t)).map(|t| (database.clone(), t.name.clone(), false)).collect()
    };
    with_temporary_views(session, "viewName", rows, pattern)
}

fn asked_database(session: &Session, name: Option<&[String]>) -> SparkResult<String> {
    match name {
        Some(name) => database_name(name),
        None => Ok(session.current_database()),
    }
}

/// Rows of database, name and whether temporary, with the session's views, as far as the pattern lets them through.
fn with_temporary_views(
    session: &Session,
    name_column: &str,
    mut rows: Vec<(String, String, bool)>,
    pattern: Option<&str>,
) -> SparkResult<Analyzed> {
    rows.extend(session.temp_view_names(false).into_iter().map(|name| (String::new(), name, true)));
    rows.retain(|(_, name, _)| matches(pattern, name));
    let rows = rows
        .into_iter()
        .map(|(database, name, temporary)| vec![database.into(), name.into(), Cell::Flag(temporary)])
        .collect();
    text_rows(&["namespace", name_column, "isTemporary"], rows)
}

pub(super) fn catalogs(pattern: Option<&str>) -> SparkResult<Analyzed> {
    let rows = [SESSION_CATALOG].into_iter().filter(|c| matches(pattern, c)).map(|c| vec![c.into()]).collect();
    text_rows(&["catalog"], rows)
}

pub(super) async fn properties(session: &Session, table: &MultipartName, key: Option<&str>) -> SparkResult<Analyzed> {
    let known = match found(session, table).await? {
        Found::Files(open) => open.table.clone(),
        Found::View { table, .. } => table,
    };
    let properties = known.map(|t| t.properties.clone()).unwrap_or_default();
    let rows: Vec<Vec<Cell>> = match key {
        Some(key) => match properties.get(key) {
            Some(value) => vec![vec![key.into(), show_create::redacted(key, value).into()]],
            None => {
                let of = qualified(session, table).join(".");
                vec![vec![key.into(), format!("Table {of} does not have property: {key}").into()]]
            }
        },
        None => {
            let shown = |(k, v): (String, String)| {
                let value = show_create::redacted(&k, &v).to_owned();
                vec![k.into(), value.into()]
            };
            properties.into_iter().map(shown).collect()
        }
    };
    text_rows(&["key", "value"], rows)
}

pub(super) async fn databases(session: &Session, pattern: Option<&str>) -> SparkResult<Analyzed> {
    let databases = session.catalog().databases().await?;
    let rows = databases.into_iter().filter(|d| matches(pattern, &d.name)).map(|d| vec![d.name.into()]).collect();
    text_rows(&["namespace"], rows)
}

pub(super) async fn columns(session: &Session, table: &MultipartName) -> SparkResult<Analyzed> {
    let names = match found(session, table).await? {
        Found::Files(open) => open.schema.iter().map(|f| f.name.clone()).collect::<Vec<_>>(),
        found => super::describe::view_columns(session, &found).await?.into_iter().map(|[name, ..]| name).collect(),
    };
    text_rows(&["col_name"], names.into_iter().map(|n| vec![n.into()]).collect())
}

/// Built-in functions and those of users, by their names.
pub(super) async fn functions(
    session: &Session,
    user: bool,
    system: bool,
    database: Option<&[String]>,
    pattern: Option<&str>,
) -> SparkResult<Analyzed> {
    let database = asked_database(session, database)?;
    if session.catalog().database(&database).await?.is_none() {
        return Err(errors::schema_not_found(&[SESSION_CATALOG.to_owned(), database]));
    }
    let mut names: Vec<String> = Vec::new();
    if system {
        let built_in = firesteel_functions::registry::names().into_keys();
        names.extend(built_in.map(str::to_owned).filter(|name| matches(pattern, name)));
    }
    if user {
        let own = session.user_functions(&database);
        names.extend(own.iter().filter(|f| matches(pattern, f.short_name())).map(|f| f.name.join(".")));
    }
    names.sort();
    text_rows(&["function"], names.into_iter().map(|name| vec![name.into()]).collect())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "anything", true),
            ("a*|b", "B", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(Some(pattern), name), expected, "{pattern} {name}");
        }
        assert!(matches(None, "x"));
    }
}
