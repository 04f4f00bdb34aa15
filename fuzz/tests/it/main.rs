//! A quick run of the fuzzer of statements, over the repository's own statements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use firesteel_fuzz::{Generator, parse, plan::Planner};

const PARSED: u64 = 50_000;
const PLANNED: u64 = 1_500;

#[test]
fn statements_are_parsed_or_refused() {
    let generator = Generator::new(false, Planner::new().unwrap().functions().unwrap()).unwrap();
    assert!(generator.corpus().len() > 300, "{}", generator.corpus().len());
    let began = Instant::now();
    let complaints: Vec<_> = (0..PARSED).filter_map(|n| parse::check(&generator.any(0, n))).take(5).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn statements_are_planned_or_refused() {
    let mut planner = Planner::new().unwrap();
    let generator = Generator::new(false, planner.functions().unwrap()).unwrap();
    let complaints: Vec<_> =
        (0..PLANNED).filter_map(|n| planner.check(&generator.nearly_sound(0, n))).take(5).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(planner.plans > 100, "only {} statements have a plan", planner.plans);
}

#[test]
fn the_same_seed_makes_the_same_statements() {
    let generator = Generator::new(false, vec!["upper".to_owned()]).unwrap();
    for number in 0..200 {
        assert_eq!(generator.any(7, number), generator.any(7, number));
    }
    assert!((0..200).any(|n| generator.any(7, n) != generator.any(8, n)));
}
