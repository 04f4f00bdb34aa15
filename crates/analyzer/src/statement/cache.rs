//! CACHE, UNCACHE and REFRESH, and what other statements do to cached plans. What is cached is found by its plan, so whatever
//! changes the meaning of a name asks for the plan before it does.

use firesteel_engine::{EngineSession, cache::StorageLevel};
use firesteel_plan::{
    Relation, RelationKind, Span, SparkError, SparkResult,
    statement::{CacheTable, CreateView},
};

use super::{at_name, found, plan_query, qualified, view};
use crate::{Analyzed, AnalyzedCache, AnalyzedQuery, errors, session::Session, tables};

pub(super) async fn cache(session: &Session, cache: &CacheTable, span: Span, text: &str) -> SparkResult<Analyzed> {
    let located = |e: SparkError| at_name(e, text, span, &cache.name);
    if let Some((query, query_text)) = &cache.query {
        let create = CreateView::plain(cache.name.clone(), query.clone(), query_text.clone());
        let create = CreateView { temporary: true, ..create };
        view::create(session, &create, text).await?;
    }
    let query = plan_of(session, &cache.name).await.map_err(located)?;
    let option = cache.options.iter().find(|(key, _)| key.eq_ignore_ascii_case("storageLevel"));
    let level = match option {
        Some((_, name)) => StorageLevel::parse(name).ok_or_else(|| {
            SparkError::new("INVALID_STORAGE_LEVEL", "22023", format!("Invalid StorageLevel: {name}"))
                .param("storageLevel", name)
        })?,
        None => StorageLevel::MEMORY_AND_DISK,
    };
    let name = cache.name.join(".");
    Ok(Analyzed::Cache(AnalyzedCache { query, name, level, lazy: cache.lazy }))
}

pub(super) async fn uncache(session: &Session, name: &[String], if_exists: bool) -> SparkResult<Analyzed> {
    let Some(found) = tables::find_table(session, name, &[], &session.current_database()).await? else {
        return if if_exists { Ok(Analyzed::Done) } else { Err(errors::table_not_found(&qualified(session, name))) };
    };
    let temporary = matches!(found, tables::Found::View { temporary: true, .. });
    let plan = plan_of(session, name).await?.plan;
    // What is made from a table goes with it; what is made from a temporary view stays.
    engine(session).cache().uncache(&plan, !temporary);
    Ok(Analyzed::Done)
}

pub(super) async fn refresh(session: &Session, name: &[String]) -> SparkResult<Analyzed> {
    // Files are listed anew by every statement: only what is cached can be stale. The table must exist.
    found(session, name).await?;
    if let Some(Known(plan)) = Known::of(session, name).await {
        engine(session).cache().recache(&plan);
    }
    Ok(Analyzed::Done)
}

/// The plan of a table or view under its name.
async fn plan_of(session: &Session, name: &[String]) -> SparkResult<AnalyzedQuery> {
    let kind = RelationKind::Table { name: name.to_vec(), options: Vec::new() };
    plan_query(session, &Relation::new(kind, Span::NONE), "").await
}

fn engine(session: &Session) -> &EngineSession {
    session.engine()
}

/// The plan that a name has before a statement changes what it means.
pub(super) struct Known(datafusion::logical_expr::LogicalPlan);

impl Known {
    /// Nothing when nothing is cached, or the name has no plan at the moment.
    pub async fn of(session: &Session, name: &[String]) -> Option<Self> {
        if engine(session).cache().is_empty() {
            return None;
        }
        plan_of(session, name).await.ok().map(|query| Self(query.plan))
    }

    /// The name means something else, or nothing, from now on: what was cached of it goes, and what was made from that.
    pub fn forget(self, session: &Session) {
        engine(session).cache().uncache(&self.0, true);
    }
}
