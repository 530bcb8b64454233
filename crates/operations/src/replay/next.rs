//! What to do when a replay is refused: where people type, with the ids that they type, and where they press buttons.

use super::ReplayError;
use std::borrow::Cow;

impl ReplayError {
    /// What to type next.
    pub fn next(&self) -> Cow<'static, str> {
        let said = match self {
            Self::State { id, .. } => format!("look at it with `wardline replay status {id}`"),
            Self::NotApproved { id, .. } => {
                format!("let a second person look at the plan: `wardline replay approve {id} --actor NAME`")
            }
            Self::TakenOver { id, .. } => format!(
                "look at it with `wardline replay status {id}`; `wardline replay resume {id}` takes it over again"
            ),
            Self::Interrupted { id, .. } => format!(
                "when the cause is gone, `wardline replay resume {id}` goes on behind the last record that was handed over"
            ),
            Self::Overlaps { id, other } => format!(
                "wait until {other} is done, then `wardline replay resume {id}`; if its process is gone, resume or abort that one first"
            ),
            Self::Corrects { id, other } => format!(
                "wait until {other} is done and nothing of it waits (`wardline replay status {other}`), or decide what waits; then `wardline replay resume {id}`; if its process is gone, resume or abort that one first"
            ),
            Self::OtherVersion { asked, .. } => format!(
                "run the same command with the image of the tag {asked}: `docker run REGISTRY/cli:{asked} replay shadow ...`; docs/operate/replay.md has it whole, also for Kubernetes"
            ),
            _ => return Cow::Borrowed(self.typed()),
        };
        said.into()
    }

    /// What to do next on a page.
    pub fn next_on_page(&self) -> &'static str {
        match self {
            Self::NoPlan(_) => "look for it in the list of replays",
            Self::Selection(_) => "correct the fields of the form",
            Self::Identifies { .. } => "choose by event id, key or a field without direct identifiers",
            Self::State { .. } | Self::TakenOver { .. } => "look at the page of the replay: it shows where it stands",
            Self::NotApproved { .. } => {
                "let somebody else, who may approve, sign in and agree on the page of the replay"
            }
            Self::Changed { .. } => {
                "look at the differences on the page of the replay; plan it again, or apply it with the changes accepted and a reason"
            }
            Self::Interrupted { .. } => {
                "when the cause is gone, resume it on its page: it goes on behind the last record that was handed over"
            }
            Self::Unsaid(_) => "say why: it goes on record",
            Self::Rate { .. } => "choose another rate",
            Self::Corrects { .. } => {
                "wait until the other one is done and nothing of it waits, or decide what waits; then resume it on its page; if the process of the other is gone, resume or abort that one first"
            }
            Self::Overlaps { .. } => {
                "wait until the other one is done, then resume it on its page; if the process of the other is gone, resume or abort that one first"
            }
            Self::ChangesBySamePerson { .. } | Self::ChangesWithoutRight { .. } => {
                "let a second person apply it with the changes accepted, or plan it again"
            }
            Self::OtherVersion { .. } => {
                "ask the console of that version, or run the command line of its image; docs/operate/replay.md says how"
            }
            Self::Shadow { .. } => "give the console the configuration that the room runs with",
            Self::Overtaken { .. } => {
                "leave these records out, or plan a correction when what was written is wrong; where they must take effect all the same, apply it with the order overridden and a reason"
            }
            Self::Wire(_) => "look whether the schema registry is there",
            Self::Read(_) | Self::Publish(_) | Self::Kafka(_) => "look whether Kafka is there, and has the topics",
            _ => self.typed(),
        }
    }

    /// What names no plan.
    fn typed(&self) -> &'static str {
        match self {
            Self::Room(_) => {
                "replay into a processor or an effect room, and name one of its topics; a source is replayed by sending its messages again"
            }
            Self::NoPlan(_) => "list the plans with `wardline replay ls`",
            Self::Selection(_) => "correct the selection; `wardline replay plan --help` shows what there is",
            Self::Identifies { .. } => "choose by --event-id, --key or a field without direct identifiers",
            Self::Nothing { .. } => {
                "look at the range and the conditions; what the room has not passed yet comes by itself, and what is parked already waits for its turn"
            }
            Self::SamePerson { .. } => "let a second person approve it",
            Self::Stale { .. } => "plan it again: what was handed over is then counted as it is now",
            Self::Changed { .. } => {
                "look at the differences; plan it again, or apply it with --accept-changes --comment REASON"
            }
            Self::ChangedLeft { .. } => "abort the rest, then plan it again: what was handed over is left out",
            Self::TooMuch { .. } => "narrow the selection, or raise the bound where there is memory for it",
            Self::Unsaid(_) => "say who with --actor, and why with --reason or --comment; both go on record",
            Self::Rate { .. } => "choose another --rate",
            Self::ChangesBySamePerson { .. } | Self::ChangesWithoutRight { .. } => {
                "let a second person apply it with --accept-changes, or plan it again"
            }
            Self::NotCorrectable(_) => "name the room that recognises what was wrong, validate or enrich",
            Self::Shadow { .. } => "give this command the configuration that the room runs with",
            Self::Superseded { .. } => "plan it again: what the other one has corrected is then left out",
            Self::Overtaken { .. } => {
                "leave these records out, or plan with --correct when what was written is wrong; where they must take effect all the same, apply it with --override-order REASON"
            }
            Self::Config(_) => "correct the block operations.replay of the configuration",
            Self::Wire(_) => "check that --registry names a running schema registry",
            Self::Read(_) | Self::Publish(_) | Self::Kafka(_) => {
                "check that --kafka names a running broker and that it has the topics (`wardline topics apply`)"
            }
            Self::OtherVersion { .. } => "run the command line of the image of that version",
            Self::State { .. }
            | Self::NotApproved { .. }
            | Self::TakenOver { .. }
            | Self::Interrupted { .. }
            | Self::Overlaps { .. }
            | Self::Corrects { .. } => "look at the plan",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_ids_to_type_and_words_for_buttons() {
        let state = ReplayError::State { id: "r-7".to_owned(), state: "DONE", step: "applied" };
        assert_eq!(state.next(), "look at it with `wardline replay status r-7`");
        let overlaps = ReplayError::Overlaps { id: "r-7".to_owned(), other: "r-8".to_owned() };
        assert!(overlaps.next().starts_with("wait until r-8 is done, then `wardline replay resume r-7`"));
        let stale = ReplayError::Stale { id: "r-7".to_owned(), age_s: 9, max_s: 5 };
        assert!(stale.next().starts_with("plan it again") && stale.next_on_page().starts_with("plan it again"));
        for error in [state, overlaps, ReplayError::NoPlan("r-9".to_owned()), ReplayError::Unsaid("the reason")] {
            let said = error.next_on_page();
            assert!(!said.contains('`') && !said.contains("--"), "no command on a page: {said}");
        }
    }
}
