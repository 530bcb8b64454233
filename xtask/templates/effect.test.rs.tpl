//! What `@room@` plans, without a broker and without the service.

use connector::effect::{Effect, Plan};
use processor::Verdict;
use schemas::{@imports@};
use wardline_@snake@::{Accepted, @Type@};

fn event(revision: i32) -> @Input@ {
    let mut event = @Input@::default();
    event.meta.business_key = "usage-1".to_owned();
    event.meta.revision = revision;
    event
}

#[test]
fn each_revision_is_an_effect_of_its_own() {
    let keys: Vec<String> = [1, 1, 2]
        .into_iter()
        .filter_map(|revision| match @Type@.plan(&event(revision), None, &()) {
            Plan::Act(action) => Some(action.effect_key),
            Plan::Decided(_) => None,
        })
        .collect();
    assert_eq!(keys, ["@room@/usage-1/1", "@room@/usage-1/1", "@room@/usage-1/2"]);
}

#[test]
fn an_accepted_notice_is_told() {
    let Plan::Act(action) = @Type@.plan(&event(1), None, &()) else { panic!("nothing to do") };
    let verdict: Verdict<@Output@> = @Type@.settle(&event(1), &action.request, &Accepted);
    assert!(matches!(verdict, Verdict::Emit(outputs) if outputs.len() == 1));
}
