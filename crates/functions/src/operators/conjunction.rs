//! Very many predicates that must all hold, as one call.
//!
//! A chain of ANDs is taken apart and put together again by many rules, as a tree that is as deep as it is long: thousands of them
//! are more than a stack holds.

use std::sync::Arc;

use arrow::{array::AsArray, compute::and_kleene, datatypes::DataType as Arrow};
use datafusion::common::exec_err;
use firesteel_plan::{DataType, SparkResult, expr::BinaryOp};

use super::binary;
use crate::{
    FunctionContext, Typed, literal,
    udf::{Ret, Udf, call},
};

/// Predicates of one call.
const TOGETHER: usize = 256;

pub(super) fn udfs() -> Vec<Udf> {
    vec![Udf::new("all_of", Ret::Fixed(Arrow::Boolean), |args| {
        if args.len() == 0 {
            return exec_err!("all of nothing");
        }
        let mut all = args.array(0)?.as_boolean().clone();
        for index in 1..args.len() {
            all = and_kleene(&all, args.array(index)?.as_boolean())?;
        }
        Ok(Arc::new(all))
    })]
}

/// What is true where all terms are.
pub fn all_of(ctx: &FunctionContext, terms: Vec<Typed>) -> SparkResult<Typed> {
    let mut calls: Vec<Typed> = Vec::new();
    let mut terms = terms.into_iter().peekable();
    while terms.peek().is_some() {
        let mut nullable = false;
        let mut together = Vec::with_capacity(TOGETHER);
        for term in terms.by_ref().take(TOGETHER) {
            // AND says what is wrong with a term that is no predicate.
            let term = match term.data_type {
                DataType::Boolean => term,
                _ => binary(ctx, BinaryOp::And, term, truth())?,
            };
            nullable |= term.nullable;
            together.push(term.expr);
        }
        calls.push(Typed::new(call("all_of", together)?, DataType::Boolean, nullable));
    }
    let first = calls.pop().unwrap_or_else(truth);
    calls.into_iter().try_fold(first, |all, call| binary(ctx, BinaryOp::And, all, call))
}

fn truth() -> Typed {
    literal::of(datafusion::scalar::ScalarValue::Boolean(Some(true)), DataType::Boolean)
}
