//! The pipe operator: `relation |> WHERE … |> SELECT …`. Each step becomes what the same clause of a SELECT becomes.

use firesteel_plan::{Expr, ExprKind, Relation, RelationKind, SparkError, SparkResult, relation::Grouping};

use crate::{cursor::Parser, keyword::Keyword as K};

impl Parser<'_> {
    /// What follows `|>`, on top of `input`.
    pub(super) fn pipe_step(&mut self, input: Relation, start: usize) -> SparkResult<Relation> {
        self.grow()?;
        let place = self.start();
        let kind = match self.keyword() {
            Some(K::SELECT) => return self.select(Some(input)),
            Some(K::WHERE) => {
                self.advance();
                RelationKind::Filter { input: Box::new(input), condition: self.expression()? }
            }
            Some(K::EXTEND) => {
                self.advance();
                let mut exprs = vec![self.all_columns(Vec::new(), place)];
                exprs.extend(self.comma_separated(Self::named_expression)?);
                RelationKind::Project { input: Box::new(input), exprs }
            }
            Some(K::DROP) => {
                self.advance();
                let dropped = self.comma_separated(Self::plain_identifier)?;
                let kept = self.all_columns(dropped.into_iter().map(|name| vec![name]).collect(), place);
                RelationKind::Project { input: Box::new(input), exprs: vec![kept] }
            }
            Some(K::AS) => {
                self.advance();
                let alias = self.plain_identifier()?;
                RelationKind::SubqueryAlias { input: Box::new(input), alias, columns: Vec::new() }
            }
            Some(K::AGGREGATE) => self.pipe_aggregate(input)?,
            Some(K::SET) => {
                self.advance();
                return Err(self.error_from(SparkError::unsupported("the pipe operator `|> SET`"), place));
            }
            Some(K::TABLESAMPLE) => return self.sampled(input, start),
            _ if self.starts_pivot() => return self.pivot(input, start),
            _ if self.starts_unpivot() => return self.unpivot(input, start),
            _ => {
                if let Some(op) = self.set_operator(&[K::UNION, K::EXCEPT, K::MINUS, K::INTERSECT]) {
                    let all = self.set_quantifier();
                    let right = self.query_primary()?;
                    return self.combined(input, right, op, all, start);
                }
                return match self.join_words()? {
                    Some(join) => self.joined(input, join, start, place),
                    None => self.organized(input, start),
                };
            }
        };
        Ok(Relation::new(kind, self.span_from(start)))
    }

    fn all_columns(&self, except: Vec<Vec<String>>, place: usize) -> Expr {
        Expr::new(ExprKind::Star { target: None, except }, self.span_from(place))
    }

    /// `AGGREGATE [expressions] [GROUP BY …]`: the result has the grouping columns first.
    fn pipe_aggregate(&mut self, input: Relation) -> SparkResult<RelationKind> {
        let place = self.start();
        self.advance();
        let mut aggregates =
            if self.are(&[K::GROUP, K::BY]) { Vec::new() } else { self.comma_separated(Self::named_expression)? };
        let mut grouping = Grouping::None;
        if self.eat_all(&[K::GROUP, K::BY]) {
            grouping = self.grouping()?;
            let Grouping::Exprs(keys) = &grouping else {
                return Err(self.error_from(SparkError::unsupported("`|> AGGREGATE` by sets of columns"), place));
            };
            aggregates.splice(0..0, keys.iter().cloned());
        }
        Ok(RelationKind::Aggregate { input: Box::new(input), grouping, aggregates, having: None })
    }
}
