//! The registry of topics.

use std::sync::OnceLock;

use schemas::catalogue::{SchemaFacts, parse_against};

/// What ends a line in YAML.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// What the codes of its problems begin with: those of the catalogue, and of the service levels in it.
const CODES: [&str; 2] = ["WL-70", "WL-719"];

/// A text that is a catalogue names its topics in order, each once; one that is none has its problems, each with a code, a
/// sentence and a place in the text.
pub fn topics(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let lines = 1 + u64::try_from(text.matches(LINE_ENDS).count()).unwrap_or(u64::MAX);
    // Read once: they are the same for every text.
    static CONTRACTS: OnceLock<Vec<SchemaFacts>> = OnceLock::new();
    let contracts = CONTRACTS.get_or_init(SchemaFacts::built_in);
    let parsed = parse_against(text, contracts);
    match &parsed {
        Ok(catalogue) => {
            assert!(catalogue.topics.is_sorted_by(|before, after| before.name < after.name));
            for topic in &catalogue.topics {
                assert_eq!(catalogue.get(&topic.name), Some(topic));
                assert!(
                    topic.partitions > 0 && !topic.owner.is_empty() && (1..=lines).contains(&topic.line),
                    "{topic:?}"
                );
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
            for problem in problems {
                assert!(CODES.iter().any(|codes| problem.code.starts_with(codes)), "{problem:?}");
                assert!(!problem.reason.is_empty(), "{problem:?}");
                assert!(problem.line <= lines + 1, "{problem:?} in {lines} lines");
            }
        }
    }
    assert_eq!(parse_against(text, contracts), parsed, "the same text, another answer");
}
