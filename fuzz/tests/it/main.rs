//! A quick run of the fuzzer of statements, over the repository's own statements.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use firesteel_fuzz::{Complaint, Generator, parse, plan::Planner};

// Numbers bound the work. Time is not judged here, where other tests run beside: fuzz/run does that, and ends what hangs.
const PARSED: u64 = 50_000;
const PLANNED: u64 = 1_500;

fn first_wrong(complaints: impl Iterator<Item = Complaint>) -> Vec<Complaint> {
    complaints.filter(|c| !c.slow).take(5).collect()
}

#[test]
fn statements_are_parsed_or_refused() {
    let generator = Generator::new(false, Planner::new().unwrap().functions().unwrap()).unwrap();
    assert!(generator.corpus().len() > 300, "{}", generator.corpus().len());
    let complaints = first_wrong((0..PARSED).filter_map(|n| parse::check(&generator.any(0, n))));
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn statements_are_planned_or_refused() {
    let mut planner = Planner::new().unwrap();
    let generator = Generator::new(false, planner.functions().unwrap()).unwrap();
    let complaints = first_wrong((0..PLANNED).filter_map(|n| planner.check(&generator.nearly_sound(0, n))));
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
