//! Hints: `/*+ NAME(args) */` behind SELECT.

use std::cell::Cell;

use firesteel_engine::{
    exchange::{Exchange, ExchangeNode},
    join::{JoinHint, JoinHintNode},
};
use firesteel_plan::{Expr, ExprKind, Relation, SparkError, SparkResult};

use super::integer;
use crate::{
    expression::{Clause, Env},
    query::{Analyzer, RelEnv},
    scope::{Planned, same_name},
};

/// Join hints that name relations, innermost first, for the relations of the query that they stand in: not for those
/// within its subqueries, views and CTEs.
pub(crate) struct JoinHints<'a> {
    parent: Option<&'a JoinHints<'a>>,
    hint: JoinHint,
    names: Vec<(&'a [String], Cell<bool>)>,
}

/// The relation under a hint, if one of them names it.
pub(super) fn heed(planned: Planned, hints: Option<&JoinHints>, name: &[String], case_sensitive: bool) -> Planned {
    let mut next = hints;
    while let Some(hints) = next {
        for (hinted, found) in &hints.names {
            // As a name in a query may leave out its first parts, so may a hint.
            let is_tail = name.len() >= hinted.len()
                && name.iter().rev().zip(hinted.iter().rev()).all(|(a, b)| same_name(a, b, case_sensitive));
            if is_tail {
                found.set(true);
                return Planned { plan: JoinHintNode::plan(planned.plan, hints.hint), scope: planned.scope };
            }
        }
        next = hints.parent;
    }
    planned
}

impl Analyzer<'_> {
    pub(super) fn hint(&self, input: &Relation, name: &str, args: &[Expr], env: &RelEnv<'_>) -> SparkResult<Planned> {
        let upper = name.to_uppercase();
        if let Some(hint) = JoinHint::from_name(&upper) {
            return self.join_hint(input, hint, &upper, args, env);
        }
        let count = |e: &Expr| integer(e).and_then(|n| u32::try_from(n).ok());
        match upper.as_str() {
            "REPARTITION_BY_RANGE" => Err(SparkError::unsupported("the hint REPARTITION_BY_RANGE")),
            "COALESCE" | "REPARTITION" | "REBALANCE" => {
                let (partitions, by) = match args.split_first() {
                    Some((first, rest)) if count(first).is_some() => (count(first), rest),
                    _ => (None, args),
                };
                let by: Vec<Expr> = by.to_vec();
                self.repartition(input, partitions, &by, upper != "COALESCE", env)
            }
            _ => {
                self.warn(format!("Unrecognized hint: {name}"));
                self.relation(input, env)
            }
        }
    }

    fn join_hint(
        &self,
        input: &Relation,
        hint: JoinHint,
        name: &str,
        args: &[Expr],
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        if args.is_empty() {
            // Of all that the query yields.
            let planned = self.relation(input, env)?;
            return Ok(Planned { plan: JoinHintNode::plan(planned.plan, hint), scope: planned.scope });
        }
        let names = args.iter().filter_map(|arg| match &arg.kind {
            ExprKind::Attribute { name, .. } => Some((name.as_slice(), Cell::new(false))),
            _ => None,
        });
        let hints = JoinHints { parent: env.hints, hint, names: names.collect() };
        let planned = self.relation(input, &RelEnv { hints: Some(&hints), ..*env })?;
        for (relation, _) in hints.names.iter().filter(|(_, found)| !found.get()) {
            let relation = relation.join(".");
            self.warn(format!("Could not find relation '{relation}' specified in hint '{name}({relation})'."));
        }
        Ok(planned)
    }

    pub(super) fn repartition(
        &self,
        input: &Relation,
        partitions: Option<u32>,
        by: &[Expr],
        shuffle: bool,
        env: &RelEnv<'_>,
    ) -> SparkResult<Planned> {
        let planned = self.relation(input, env)?;
        let scopes = [&planned.scope];
        let keys = self.exprs(by, &Env::new(env, &scopes, Clause::Other))?;
        let count = match partitions {
            Some(n) => usize::try_from(n.max(1)).unwrap_or(1),
            None => self.tables_partitions(),
        };
        let exchange = match (shuffle, keys.is_empty()) {
            (false, _) => Exchange::AtMost(count),
            (true, true) => Exchange::Even(count),
            (true, false) => Exchange::ByKeys(keys.into_iter().map(|k| k.expr).collect(), count),
        };
        Ok(Planned { plan: ExchangeNode::plan(planned.plan, exchange, partitions.is_some()), scope: planned.scope })
    }
}
