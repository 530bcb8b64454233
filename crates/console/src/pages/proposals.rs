//! What waits for a second person, as it is shown before anybody agrees to it; what is agreed to is what was shown.

use super::exception::COMMENT;
use crate::ask::Ask;
use crate::html::{Act as Form, Frame, form, time};
use crate::original::MASK;
use crate::people::Right;
use crate::problem::Problem;
use maud::{Markup, html};
use operations::crosswalk::{MappedCode, MappingProposal};
use operations::exceptions::{Proposal, mapped_code};
use runtime::codec::Codec;
use schemas::Exception;
use serde::Serialize;

/// What waits for a second person about one exception.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// A correction of its event.
    pub correction: Option<Proposal>,
    /// Whether values of the correction are not shown, because they may identify a patient: nobody agrees to it so.
    pub is_masked: bool,
    /// A change of what its code means.
    pub mapping: Option<MappingProposal>,
}

impl Waiting {
    /// The same without what may identify a patient, and then without the mark that an approval needs.
    #[must_use]
    pub fn masked(mut self) -> Self {
        if let Some(correction) = self.correction.as_mut().filter(|correction| correction.has_direct()) {
            self.is_masked = true;
            correction.mark = None;
            for field in correction.fields.iter_mut().filter(|field| field.is_direct) {
                field.before = field.before.as_ref().map(|_| MASK.to_owned());
                MASK.clone_into(&mut field.after);
            }
        }
        self
    }
}

/// The code that an exception names.
pub async fn code_of(codec: &Codec, exception: &Exception) -> Option<MappedCode> {
    let (writer, body) = codec.open(exception.raw_value.as_ref()?.as_ref()).await.ok()?;
    let event = schemas::codec::to_json(&writer, body).ok()?;
    mapped_code(&event, &exception.field_paths, None)
}

/// The change of a mapping that waits and is about the code of an exception.
///
/// # Errors
/// When Kafka or the registry does not answer in time.
pub async fn mapping(ask: &Ask, exception: &Exception) -> Result<Option<MappingProposal>, Problem> {
    let desk = &ask.console.desk;
    let Some(code) = code_of(&*desk.codec()?, exception).await else { return Ok(None) };
    let all = desk.mapping_proposals().await?;
    let is_of_it = |one: &&MappingProposal| {
        one.kind == code.kind.as_str() && one.source_system == code.source_system && one.code == code.code
    };
    Ok(all.iter().find(is_of_it).cloned())
}

/// The correction that waits, with what a second person can do about it.
pub fn correction(waiting: &Waiting, frame: &Frame<'_>) -> Markup {
    let Some(proposal) = &waiting.correction else { return html! {} };
    let action = format!("/exceptions/{}/correction/approve", proposal.exception_id);
    html! {
        h3 #proposed-correction { "Proposed correction" }
        div.scroll {
            table.stack {
                thead { tr { th { "Field" } th { "Is" } th { "Is to be" } } }
                tbody {
                    @for field in &proposal.fields {
                        tr {
                            td data-name="Field" { span.mono { (field.path) } }
                            td data-name="Is" { span.mono { (field.before.as_deref().unwrap_or("not there")) } }
                            td data-name="Is to be" { span.mono { (field.after) } }
                        }
                    }
                }
            }
        }
        (who(&proposal.actor, &proposal.reason, proposal.at))
        @match &proposal.mark {
            Some(mark) => (agree(frame, action, &proposal.actor, vec![("seen", mark.clone())], "Agree to the correction", "The fields are set as shown here, and the room processes the event again.")),
            None => p.act { "Some of it may identify a patient: show the source once to see all of it, and to agree." },
        }
    }
}

/// The change of a mapping that waits, with what a second person can do about it.
pub fn mapping_of(exception_id: &str, waiting: &Waiting, frame: &Frame<'_>) -> Markup {
    let Some(proposal) = &waiting.mapping else { return html! {} };
    let action = format!("/exceptions/{exception_id}/map/approve");
    html! {
        h3 #proposed-mapping { "Proposed mapping" }
        (mappings(std::slice::from_ref(proposal)))
        (agree(frame, action, &proposal.actor, vec![("seen", proposal.mark.clone())], "Agree to the mapping", "The code means what is shown here, and whoever waits for it goes on."))
    }
}

/// Changes of mappings that wait, a row each.
pub fn mappings(proposals: &[MappingProposal]) -> Markup {
    html! {
        div.scroll {
            table.stack {
                thead { tr { th { "Code" } th { "Of" } th { "Means" } th { "Is to mean" } th { "Proposed by" } th { "Reason" } } }
                tbody {
                    @for one in proposals {
                        tr {
                            td data-name="Code" { span { span.mono { (one.code) } " " span.muted { "(" (one.kind) ")" } } }
                            td data-name="Of" { span.mono { (one.source_system) } }
                            td data-name="Means" { span.mono { (one.now.as_deref().unwrap_or("nothing")) } }
                            td data-name="Is to mean" { span.mono { (one.target.as_deref().unwrap_or("nothing")) } }
                            td data-name="Proposed by" { span { (one.actor) ", " (time(one.at)) } }
                            td.wide data-name="Reason" {
                                span {
                                    (one.reason)
                                    @if let Some(id) = &one.exception_id { " " a href={ "/exceptions/" (id) } { "exception" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn who(actor: &str, reason: &str, at: i64) -> Markup {
    html! { p { "Proposed by " b { (actor) } ", " (time(at)) ": " (reason) } }
}

/// The form of a second person; whoever cannot be one is told who can.
pub(super) fn agree(
    frame: &Frame<'_>,
    action: String,
    proposer: &str,
    hidden: Vec<(&'static str, String)>,
    label: &str,
    help: &str,
) -> Markup {
    let is_other = frame.person.is_some_and(|person| !operations::same_person(&person.name, proposer));
    html! {
        @if frame.may(Right::Approve) && is_other {
            (form(frame, &Form { action, label, help, fields: COMMENT, hidden, is_grave: false }))
        } @else {
            p.act { "Somebody other than " b { (proposer) } ", who may approve, has to agree to it." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use operations::exceptions::ProposedField;

    #[test]
    fn nobody_agrees_to_values_that_are_not_shown() {
        let field = |path: &str, is_direct| ProposedField {
            path: path.to_owned(),
            before: Some("\"A\"".to_owned()),
            after: "\"B\"".to_owned(),
            is_direct,
        };
        let waiting = |is_direct| Waiting {
            correction: Some(Proposal {
                exception_id: "e1".to_owned(),
                mark: Some("m1".to_owned()),
                actor: "ada".to_owned(),
                reason: "so".to_owned(),
                at: 1,
                fields: vec![field("lot", false), field("phi.familyName", is_direct)],
            }),
            ..Waiting::default()
        };
        let shown = |waiting: Waiting| serde_json::to_string(&waiting).unwrap_or_default();
        let open = waiting(false).masked();
        assert_eq!((open.is_masked, shown(open.clone()).contains("m1")), (false, true));
        let masked = waiting(true).masked();
        assert!(masked.is_masked && !shown(masked.clone()).contains("m1"), "no mark, no approval");
        let fields = masked.correction.map(|correction| correction.fields).unwrap_or_default();
        let after: Vec<&str> = fields.iter().map(|field| field.after.as_str()).collect();
        assert_eq!(after, ["\"B\"", MASK]);
    }
}
