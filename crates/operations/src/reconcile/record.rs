//! That somebody compared, on `ops.audit.v1`: when, what time, and with which result.

use super::report::verdict;
use super::run::Report;
use runtime::codec::Codec;
use runtime::config::Config;
use runtime::outgoing::Lineage;
use runtime::publisher::{PublishError, Publisher};
use schemas::{Audit, AuditKind, Timestamp, topics};
use std::sync::Arc;

/// Code of these records.
pub const COMPARED: &str = "reconcile.compared";

/// Puts a comparison on record, and returns when that is confirmed. `via` is the command or the room that made it.
///
/// # Errors
/// When Kafka or the registry does not answer, or the principal may not write there. The report is right all the same.
pub async fn record(config: &Config, codec: Arc<Codec>, report: &Report, via: &str) -> Result<(), PublishError> {
    let publisher = Publisher::connect(config, codec, &[topics::OPS_AUDIT_V1.info()]).await?;
    let record = publisher.event(&audit(report, via), &Lineage::default())?;
    publisher.publish(&[record]).await
}

fn audit(report: &Report, via: &str) -> Audit {
    Audit {
        room: via.to_owned(),
        kind: AuditKind::Action,
        code: COMPARED.to_owned(),
        detail: said(report),
        actor: Some(report.actor.clone()),
        at: Timestamp(report.at_ms.saturating_mul(1_000)),
        ..Audit::default()
    }
}

/// In one sentence, what was compared and what came of it.
#[must_use]
pub fn said(report: &Report) -> String {
    let seconds = (report.window.until_ms - report.window.from_ms) / 1_000;
    format!("compared {seconds} s: {}", verdict(report))
}

#[cfg(test)]
mod tests {
    use super::super::run::tests::report;
    use super::*;

    #[test]
    fn a_record_says_who_compared_what_and_what_came_of_it() {
        let audit = audit(&report(Vec::new()), "cli");
        let told = (audit.room.as_str(), audit.code.as_str(), audit.actor.as_deref(), audit.detail.as_str());
        assert_eq!(told, ("cli", COMPARED, Some("controller"), "compared 1 s: No differences."));
        assert_eq!(audit.at, Timestamp(1_000_000));
    }
}
