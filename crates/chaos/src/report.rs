//! The report: for people in Markdown, for machines in JSON.

use crate::check::decide::share;
use crate::check::evidence::{Evidence, Stage, Wait};
use crate::check::{Decided, Verdict};
use crate::load::Kind;
use crate::plan::Plan;
use crate::sender::Sent;
use crate::storm::Done;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Most violations of a law that are told one by one; all are counted.
const SHOWN_MAX: usize = 20;

/// Everything that is said.
pub struct Report<'a> {
    /// Under which conditions.
    pub conditions: Value,
    /// Only some kinds of faults were asked for, which leave some laws alone.
    pub is_part: bool,
    /// What was planned.
    pub plan: &'a Plan,
    /// What happened.
    pub done: &'a [Done],
    /// What was sent.
    pub sent: &'a [Sent],
    /// What was seen.
    pub evidence: &'a Evidence,
    /// How the laws were decided.
    pub decided: &'a [Decided],
    /// Records by topic.
    pub topics: BTreeMap<&'static str, usize>,
    /// When the load began, milliseconds since 1970.
    pub began_ms: i64,
    /// From the last positive answer until everything was quiet, milliseconds; none when it was not within the bound.
    pub quiet_ms: Option<u128>,
}

/// How long it took after a fault until everything that had arrived before its end was through.
struct Recovery {
    enriched_ms: i64,
    posted_ms: i64,
}

impl Report<'_> {
    /// Whether every law held, and everything became quiet. A law about which nothing was seen has not held, but where only some
    /// kinds of faults were asked for.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let holds = |one: &Decided| match one.verdict {
            Verdict::Held => true,
            Verdict::Broken => false,
            Verdict::Undecided => self.is_part,
        };
        self.quiet_ms.is_some() && self.decided.iter().all(holds)
    }

    /// Faults that struck nothing.
    fn without_effect(&self) -> Vec<&str> {
        self.done.iter().filter(|one| one.note.starts_with("0 of ")).map(|one| one.what.as_str()).collect()
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> Value {
        let laws = self.decided.iter().map(|one| {
            let shown: Vec<&str> = one.violations.iter().take(SHOWN_MAX).map(|found| found.detail.as_str()).collect();
            json!({
                "law": one.law.id(), "verdict": one.verdict, "looked_at": one.looked_at,
                "violations": one.violations.len(), "first": shown,
            })
        });
        let faults = self.done.iter().map(|one| {
            let recovery = self.recovery(one);
            json!({
                "what": one.what, "planned_ms": one.planned_ms, "began_ms": one.began_ms - self.began_ms,
                "healed_ms": one.healed_ms - self.began_ms, "note": one.note,
                "enriched_after_ms": recovery.enriched_ms, "posted_after_ms": recovery.posted_ms,
            })
        });
        json!({
            "clean": self.is_clean(),
            "conditions": self.conditions,
            "plan": self.plan,
            "faults": faults.collect::<Vec<_>>(),
            "laws": laws.collect::<Vec<_>>(),
            "records": self.topics,
            "exceptions": self.evidence.asked,
            "without_effect": self.without_effect(),
            "waits": self.waits().iter().map(|(room, waits, at)| json!({
                "room": room, "p50_ms": share(waits, 50), "p99_ms": share(waits, 99), "max_ms": share(waits, 100),
                "longest_from_ms": at,
            })).collect::<Vec<_>>(),
            "peaks_mb": self.evidence.peaks_mb,
            "sent": {"messages": self.sent.len(), "repeated": self.repeated()},
            "quiet_ms": self.quiet_ms.and_then(|ms| u64::try_from(ms).ok()),
        })
    }

    /// When each use was seen first on each topic, milliseconds from the start of the load; as lines of text for a table.
    #[must_use]
    pub fn uses(&self) -> String {
        let mut text = String::from("use,kind,fails");
        Stage::ALL.iter().for_each(|stage| text.extend([",", stage.topic()]));
        let seen: Vec<BTreeMap<u32, i64>> = Stage::ALL.iter().map(|stage| self.evidence.first_seen(*stage)).collect();
        for sent in &self.evidence.sent {
            let _ = write!(text, "\n{},{:?},{}", sent.signature - 1_000_000, sent.kind, sent.fails);
            for first in &seen {
                let at = first.get(&sent.signature).map(|at_ms| (at_ms - self.began_ms).to_string());
                text.extend([",", at.as_deref().unwrap_or_default()]);
            }
        }
        text.push('\n');
        text
    }

    /// For each room: how long uses of healthy keys waited for it, sorted, with the time at which the longest began to wait.
    fn waits(&self) -> Vec<(&'static str, Vec<u64>, i64)> {
        let of = |(room, waits): (&'static str, Vec<Wait>)| {
            let longest = waits.last().map_or(0, |(_, from, _)| from - self.began_ms);
            (room, waits.into_iter().map(|(wait, ..)| wait).collect(), longest)
        };
        self.evidence.waits().into_iter().map(of).collect()
    }

    fn write_waits(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## How long uses of healthy keys waited for each room, the storm included\n")?;
        writeln!(text, "| room | half within | 99 of 100 within | all within | the longest began to wait at |")?;
        writeln!(text, "| --- | --- | --- | --- | --- |")?;
        for (room, waits, at) in self.waits() {
            let of = |percent| share(&waits, percent);
            writeln!(text, "| {room} | {} ms | {} ms | {} ms | {} s |", of(50), of(99), of(100), seconds(at))?;
        }
        Ok(())
    }

    /// For people.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Chaos report\n\n");
        // Writing to a text cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let outcome = match (self.is_clean(), self.is_part) {
            (true, false) => "**All laws held.**",
            (true, true) => "**All laws that could be decided held.**",
            (false, _) => "**Not clean: see below.**",
        };
        writeln!(text, "{outcome}\n\n## Conditions\n")?;
        for (name, value) in self.conditions.as_object().into_iter().flatten() {
            writeln!(text, "- {name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))?;
        }
        writeln!(text, "\n## Laws\n\n| law | verdict | looked at |\n| --- | --- | --- |")?;
        for one in self.decided {
            let verdict = match one.verdict {
                Verdict::Held => "held".to_owned(),
                Verdict::Broken => format!("**broken, {} times**", one.violations.len()),
                Verdict::Undecided => "not decided".to_owned(),
            };
            writeln!(text, "| {} | {verdict} | {} |", one.law, one.looked_at)?;
        }
        for one in self.decided.iter().filter(|one| !one.violations.is_empty()) {
            writeln!(text, "\n### What broke {}\n", one.law)?;
            for found in one.violations.iter().take(SHOWN_MAX) {
                writeln!(text, "- {}", found.detail)?;
            }
            if one.violations.len() > SHOWN_MAX {
                writeln!(text, "- and {} more", one.violations.len() - SHOWN_MAX)?;
            }
        }
        self.write_faults(text)?;
        self.write_waits(text)?;
        self.write_load(text)?;
        self.write_exceptions(text)?;
        writeln!(text, "\n## Memory at its highest\n\n| process | MB |\n| --- | --- |")?;
        for (name, peak) in &self.evidence.peaks_mb {
            writeln!(text, "| {name} | {peak} |")?;
        }
        Ok(())
    }

    fn write_faults(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## Faults\n")?;
        writeln!(
            text,
            "Times are seconds from the start of the load. Recovery is the time from the end of the fault until the last use of \
             a healthy key that was on the topic by then was enriched, and posted to the ERP; faults that overlap share it.\n"
        )?;
        writeln!(
            text,
            "| from | to | fault | enriched after | posted after | note |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for one in self.done {
            let recovery = self.recovery(one);
            writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                seconds(one.began_ms - self.began_ms),
                seconds(one.healed_ms - self.began_ms),
                one.what,
                seconds(recovery.enriched_ms),
                seconds(recovery.posted_ms),
                one.note
            )?;
        }
        let idle = self.without_effect();
        if !idle.is_empty() {
            writeln!(text, "\nWithout effect, because nothing was called meanwhile: {}.", idle.join("; "))?;
        }
        match self.quiet_ms {
            Some(ms) => writeln!(
                text,
                "\nEverything was quiet {} s after the last message was accepted, of which 20 s prove it.",
                ms / 1_000
            ),
            None => writeln!(
                text,
                "\n**It did not become quiet by itself.** Then all rooms were killed and started anew; where their threads stood before \
                 is beside their logs. What LOSS-1 misses is missing after that, too; what only stood still is counted by BND-1."
            ),
        }
    }

    fn write_load(&self, text: &mut String) -> std::fmt::Result {
        let attempts: Vec<u64> = self.sent.iter().map(|one| u64::from(one.attempts)).collect();
        writeln!(
            text,
            "\n## Load\n\n{} messages, {} of them sent more than once (at most {} times).\n",
            self.sent.len(),
            self.repeated(),
            attempts.iter().max().copied().unwrap_or_default()
        )?;
        let mut waits: Vec<u64> =
            self.sent.iter().filter_map(|one| u64::try_from(one.accepted_ms? - one.first_ms).ok()).collect();
        waits.sort_unstable();
        writeln!(
            text,
            "Acknowledged: half within {} ms, 99 of 100 within {} ms, all within {} ms.\n",
            share(&waits, 50),
            share(&waits, 99),
            share(&waits, 100)
        )?;
        writeln!(text, "| topic | records |\n| --- | --- |")?;
        for (topic, count) in &self.topics {
            writeln!(text, "| {topic} | {count} |")?;
        }
        Ok(())
    }

    fn write_exceptions(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n## What waits for people\n")?;
        let kinds: BTreeMap<u32, Kind> = self.evidence.sent.iter().map(|one| (one.signature, one.kind)).collect();
        let mut counts: BTreeMap<(&str, &str, bool), usize> = BTreeMap::new();
        for one in &self.evidence.asked {
            let kind = one.signature.and_then(|signature| kinds.get(&signature));
            let planned = matches!(kind, Some(Kind::UnknownItem | Kind::NoLot | Kind::Refused));
            *counts.entry((&one.room, &one.code, planned)).or_default() += 1;
        }
        writeln!(text, "| room | code | planted by the load | exceptions |\n| --- | --- | --- | --- |")?;
        for ((room, code, planned), count) in counts {
            writeln!(text, "| {room} | {code} | {} | {count} |", if planned { "yes" } else { "no" })?;
        }
        Ok(())
    }

    fn repeated(&self) -> usize {
        self.sent.iter().filter(|one| one.attempts > 1).count()
    }

    fn recovery(&self, fault: &Done) -> Recovery {
        let fails: BTreeMap<u32, bool> = self.evidence.sent.iter().map(|one| (one.signature, one.fails)).collect();
        let before: Vec<u32> = self
            .evidence
            .stage(Stage::Usage)
            .iter()
            .filter(|seen| seen.at_ms <= fault.healed_ms)
            .filter_map(|seen| seen.signature.filter(|one| fails.get(one) == Some(&false)))
            .collect();
        let through = |stage: Stage| {
            let first = self.evidence.first_seen(stage);
            let last = before.iter().filter_map(|one| first.get(one)).max().copied().unwrap_or(fault.healed_ms);
            (last - fault.healed_ms).max(0)
        };
        Recovery { enriched_ms: through(Stage::Enriched), posted_ms: through(Stage::Posting) }
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{}", ms / 1_000, ms.rem_euclid(1_000) / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use processor::laws::Law;

    #[test]
    fn a_law_that_was_not_decided_has_not_held_but_where_only_some_faults_were_asked_for() {
        let plan = Plan::draw(1, 1);
        let evidence = Evidence::default();
        let struck = |what: &str, note: &str| Done {
            what: what.to_owned(),
            planned_ms: 0,
            began_ms: 0,
            healed_ms: 0,
            note: note.to_owned(),
        };
        let done = [struck("silence", "0 of 0 calls struck"), struck("reset", "10 of 20 calls struck")];
        let clean = |verdict, is_part, quiet_ms| {
            let decided = [Decided { law: Law::Key1, verdict, looked_at: String::new(), violations: Vec::new() }];
            let report = Report {
                conditions: Value::Null,
                is_part,
                plan: &plan,
                done: &done,
                sent: &[],
                evidence: &evidence,
                decided: &decided,
                topics: BTreeMap::new(),
                began_ms: 0,
                quiet_ms,
            };
            assert_eq!(report.without_effect(), ["silence"]);
            report.is_clean()
        };
        assert!(clean(Verdict::Held, false, Some(1)) && clean(Verdict::Undecided, true, Some(1)));
        assert!(!clean(Verdict::Undecided, false, Some(1)) && !clean(Verdict::Broken, true, Some(1)));
        assert!(!clean(Verdict::Held, false, None), "it never became quiet");
    }
}
