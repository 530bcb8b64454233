//! Where groups stand, read on the topics or from a console, and how it is shown.

use crate::Failure;
use crate::output::Output;
use operations::groups::{GroupStanding, PartitionStanding};
use operations::replay::reset::{Requested, told};
use serde::{Deserialize, Serialize};

/// Columns of the list.
const HEAD: [&str; 9] = ["room", "state", "members", "topic", "partition", "next", "end", "behind", "oldest"];
/// Columns of the resets that wait for a second person.
const ASKED_HEAD: [&str; 6] = ["reset", "room", "asked for by", "why", "what", "next"];
/// How a second person says who they are: by name, or by a token of the console.
pub const HERE: &str = "--actor NAME";
/// The same through a console.
pub const THERE: &str = "--console URL --token-file FILE";
/// Why nobody can say how far behind a source is.
const OF_A_SOURCE: &str = "a source reads back what it has written, without a group: it is nowhere and never behind";

/// The group of a room.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The room.
    pub room: String,
    /// What Kafka calls its state; none of a group that Kafka does not know.
    pub state: Option<String>,
    /// Client ids of its members; none of a source, which has no group.
    pub members: Option<Vec<String>>,
    /// Records not finished, of all partitions; none where that is not known.
    pub lag_records: Option<i64>,
    /// Age of the oldest of them, seconds.
    pub oldest_s: Option<u64>,
    /// Why there is no lag.
    pub lag_unknown: Option<String>,
    /// Partition by partition.
    pub partitions: Vec<Place>,
}

/// A room in a partition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: i64,
    lag: Option<i64>,
    oldest_s: Option<u64>,
}

/// What a console says of the group of a room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    room: String,
    standing: Option<ToldStanding>,
    unknown: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToldStanding {
    state: Option<String>,
    members: Vec<String>,
    lag_records: i64,
    oldest_s: u64,
    partitions: Vec<PartitionStanding>,
}

/// A room in a partition, as a line of JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    room: &'a str,
    state: Option<&'a str>,
    /// None of a source.
    members: Option<usize>,
    #[serde(flatten)]
    at: Option<&'a Place>,
    /// Why there is no lag.
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_unknown: Option<&'a str>,
}

/// A reset that waits, as a line of JSON of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    requested_reset: &'a Requested,
    next: String,
}

/// The command with which a second person agrees to a reset.
pub fn approve(id: &str, who: &str) -> String {
    format!("wardline groups approve {id} {who}")
}

impl Group {
    /// As it was read on the topics.
    pub fn read(standing: GroupStanding, is_source: bool) -> Self {
        let known = |value| (!is_source).then_some(value);
        let place = |at: PartitionStanding| Place::of(at, !is_source);
        Self {
            room: standing.room.to_owned(),
            state: standing.state,
            lag_records: known(standing.lag_records),
            oldest_s: (!is_source).then_some(standing.oldest_s),
            members: (!is_source).then_some(standing.members),
            lag_unknown: is_source.then(|| OF_A_SOURCE.to_owned()),
            partitions: standing.partitions.into_iter().map(place).collect(),
        }
    }

    /// Its lines of a list: one for each partition, and one that says why where there are none.
    fn lines(&self) -> Vec<Line<'_>> {
        let line = |at| Line {
            room: &self.room,
            state: self.state.as_deref(),
            members: self.members.as_ref().map(Vec::len),
            at,
            lag_unknown: self.lag_unknown.as_deref(),
        };
        match self.partitions.as_slice() {
            [] if self.lag_unknown.is_some() => vec![line(None)],
            places => places.iter().map(|place| line(Some(place))).collect(),
        }
    }
}

impl From<Told> for Group {
    fn from(told: Told) -> Self {
        let Told { room, standing, unknown: lag_unknown } = told;
        match standing {
            None => Self {
                room,
                state: None,
                members: None,
                lag_records: None,
                oldest_s: None,
                lag_unknown,
                partitions: Vec::new(),
            },
            Some(standing) => Self {
                room,
                state: standing.state,
                members: Some(standing.members),
                lag_records: Some(standing.lag_records),
                oldest_s: Some(standing.oldest_s),
                lag_unknown,
                partitions: standing.partitions.into_iter().map(|at| Place::of(at, true)).collect(),
            },
        }
    }
}

impl Place {
    fn of(at: PartitionStanding, has_lag: bool) -> Self {
        let PartitionStanding { lag, oldest_s } = at;
        Self {
            topic: lag.topic,
            partition: lag.partition,
            committed: lag.committed,
            end: lag.end,
            lag: has_lag.then_some(lag.lag),
            oldest_s: has_lag.then_some(oldest_s),
        }
    }
}

/// Shows groups, and the resets that wait for a second person with how somebody agrees.
pub fn list(groups: &[Group], waiting: &[Requested], who: &str, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let lines = groups.iter().flat_map(Group::lines);
    if json {
        for line in lines {
            output.json(&line)?;
        }
        for one in waiting {
            output.json(&Asked { requested_reset: one, next: approve(&one.id, who) })?;
        }
        return output.finish();
    }
    output.table(&HEAD, &lines.map(|line| line.row()).collect::<Vec<_>>())?;
    if !waiting.is_empty() {
        output.line("")?;
        output.table(&ASKED_HEAD, &waiting.iter().map(|one| asked_row(one, who)).collect::<Vec<_>>())?;
    }
    output.finish()
}

/// Shows one group with its members, and its resets that wait.
pub fn one(group: &Group, waiting: &[Requested], who: &str, json: bool) -> Result<(), Failure> {
    let mut output = Output::stdout();
    if json {
        output.json(group)?;
        for one in waiting {
            output.json(&Asked { requested_reset: one, next: approve(&one.id, who) })?;
        }
        return output.finish();
    }
    let members = match group.members.as_deref() {
        None => "not known, or none: see below".to_owned(),
        Some([]) => "none".to_owned(),
        Some(members) => members.join(", "),
    };
    output.line(format!("members of {}: {members}", group.room))?;
    if let Some(why) = &group.lag_unknown {
        output.line(format!("how far behind is not said: {why}"))?;
    }
    output.finish()?;
    list(std::slice::from_ref(group), waiting, who, false)
}

fn asked_row(one: &Requested, who: &str) -> Vec<String> {
    vec![
        one.id.clone(),
        one.room.clone(),
        one.actor.clone(),
        one.reason.clone(),
        told(&one.moves),
        approve(&one.id, who),
    ]
}

impl Line<'_> {
    fn row(&self) -> Vec<String> {
        fn or_dash<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "-".to_owned(), |value| value.to_string())
        }
        let at = self.at;
        vec![
            self.room.to_owned(),
            self.state.unwrap_or("-").to_lowercase(),
            or_dash(self.members),
            or_dash(at.map(|at| &at.topic)),
            or_dash(at.map(|at| at.partition)),
            or_dash(at.and_then(|at| at.committed)),
            or_dash(at.map(|at| at.end)),
            or_dash(at.and_then(|at| at.lag)),
            or_dash(at.and_then(|at| at.oldest_s).map(|age| format!("{age} s"))),
        ]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test")]
mod tests {
    use super::*;
    use runtime::reader::PartitionLag;
    use serde_json::{Value, json};

    fn standing(room: &'static str) -> GroupStanding {
        let topic = "clinical.supply-usage.v1".to_owned();
        let lag = PartitionLag { topic, partition: 2, committed: None, end: 7, lag: 7 };
        GroupStanding {
            room,
            state: None,
            members: vec!["one".to_owned()],
            lag_records: 7,
            oldest_s: 3,
            partitions: vec![PartitionStanding { lag, oldest_s: 3 }],
        }
    }

    fn lines(group: &Group) -> Vec<Value> {
        group.lines().iter().map(|line| serde_json::to_value(line).unwrap()).collect()
    }

    #[test]
    fn a_source_has_no_lag_and_says_why() {
        let source = Group::read(standing("hl7v2"), true);
        let line = &lines(&source)[0];
        assert_eq!((&line["lag"], &line["oldestS"], &line["members"]), (&Value::Null, &Value::Null, &Value::Null));
        assert_eq!((&line["lagUnknown"], &line["end"]), (&json!(OF_A_SOURCE), &json!(7)));
        let room = Group::read(standing("enrich"), false);
        let line = &lines(&room)[0];
        assert_eq!((&line["lag"], &line["oldestS"], &line["members"]), (&json!(7), &json!(3), &json!(1)));
        assert_eq!(line.get("lagUnknown"), None);
    }

    #[test]
    fn what_a_console_says_is_shown_as_what_was_read() {
        let told = json!({"room": "enrich", "purpose": "p", "standing": standing("enrich"), "unknown": null, "stateHere": null});
        let told: Told = serde_json::from_value(told).unwrap();
        let (there, here) = (Group::from(told), Group::read(standing("enrich"), false));
        assert_eq!(serde_json::to_value(&there).unwrap(), serde_json::to_value(&here).unwrap());
        let unknown = json!({"room": "enrich", "standing": null, "unknown": "WL-6001: no answer"});
        let unknown: Told = serde_json::from_value(unknown).unwrap();
        let unknown = Group::from(unknown);
        assert_eq!(lines(&unknown)[0]["lagUnknown"], "WL-6001: no answer", "it is not left out");
        assert_eq!(unknown.lines()[0].row(), ["enrich", "-", "-", "-", "-", "-", "-", "-", "-"]);
    }
}
