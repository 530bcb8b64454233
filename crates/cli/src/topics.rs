//! `wardline topics ls|show|check|plan|apply`.

use crate::args::{Globals, Topics, TopicsAction, TopicsCheck, TopicsLs, TopicsPlan, TopicsShow};
use crate::output::{self, Output};
use crate::{Failure, context, trace};
use operations::topics::TopicView;
use runtime::Config;
use runtime::admin::{self, AdminError, Change, Cluster};
use schemas::Criticality;
use schemas::catalogue::{self, Catalogue};
use std::path::Path;

/// The catalogue of this version.
pub const BUILT_IN: &str = include_str!("../../../topics.yaml");

/// Executes `wardline topics`.
pub fn execute(globals: &Globals, topics: &Topics) -> Result<(), Failure> {
    match &topics.action {
        TopicsAction::Ls(options) => list(options),
        TopicsAction::Show(options) => show(options),
        TopicsAction::Check(check_options) => check(check_options),
        TopicsAction::Plan(options) => plan(globals, options, false),
        TopicsAction::Apply(options) => plan(globals, options, true),
    }
}

/// Brings the cluster and the registry to the catalogue of this version, as far as a change is wanted.
pub async fn apply_built_in(config: &Config, wanted: impl Fn(&Change) -> bool) -> Result<(), Failure> {
    let cluster = cluster(config, 1);
    let mut changes = admin::plan_topics(&load(None)?, &cluster).await.map_err(failure)?;
    changes.retain(wanted);
    admin::apply_topics(&changes, &cluster).await.map_err(failure)
}

fn list(options: &TopicsLs) -> Result<(), Failure> {
    let topics = TopicView::all();
    let mut output = Output::stdout();
    if options.json {
        topics.iter().try_for_each(|topic| output.json(topic))?;
        return output.finish();
    }
    let row = |topic: &TopicView| {
        let read_by: Vec<&str> = topic.consumers.iter().map(|one| one.room).collect();
        let cells = [topic.name, class_name(topic.class), topic.phi, &topic.storage, &topic.producers.join(", ")];
        cells.map(str::to_owned).into_iter().chain([read_by.join(", ")]).collect()
    };
    let rows: Vec<Vec<String>> = topics.iter().map(row).collect();
    output.table(&["TOPIC", "CLASS", "PATIENT DATA", "KEPT", "WRITTEN BY", "READ BY"], &rows)?;
    output.finish()?;
    output::note(
        "`wardline topics show NAME` tells more of one; `wardline topics plan` compares them with the cluster",
    );
    Ok(())
}

fn show(options: &TopicsShow) -> Result<(), Failure> {
    let topic = TopicView::find(&options.name).ok_or_else(|| {
        Failure::usage(
            format!("WL-7274: the catalogue of this version has no topic {}", options.name),
            "`wardline topics ls` lists the topics",
        )
    })?;
    let mut output = Output::stdout();
    if options.json {
        output.json(&topic)?;
        return output.finish();
    }
    let within = trace::length(i64::try_from(topic.latency_p99_ms).unwrap_or(i64::MAX));
    let facts = [
        ("topic", topic.name.to_owned()),
        ("carries", topic.description.to_owned()),
        ("owner", topic.owner.to_owned()),
        ("class", class_name(topic.class).to_owned()),
        ("patient data", topic.phi.to_owned()),
        ("key", topic.key.join(" / ")),
        ("partitions", topic.partitions.to_string()),
        ("kept", topic.storage.clone()),
        ("promise", format!("99 of 100 within {within}")),
        ("written by", topic.producers.join(", ")),
    ];
    for (name, text) in facts.iter().filter(|(_, text)| !text.is_empty()) {
        output.line(format!("{name:<14} {text}"))?;
    }
    for one in &topic.consumers {
        output.line(format!("{:<14} {}: {}", "read by", one.room, one.purpose))?;
    }
    match topic.schema.as_ref().map(serde_json::to_string_pretty) {
        Some(schema) => {
            let schema = schema.map_err(|error| Failure::new(error, "report this as a defect"))?;
            output.line(format!("{:<14} Avro\n{schema}", "schema"))?;
        }
        None => output.line(format!("{:<14} none: bytes as they came", "schema"))?,
    }
    output.finish()
}

fn class_name(class: Criticality) -> &'static str {
    match class {
        Criticality::PatientAdjacent => "patient-adjacent",
        Criticality::Operational => "operational",
        Criticality::Analytical => "analytical",
    }
}

fn check(options: &TopicsCheck) -> Result<(), Failure> {
    let (name, text) = read(options.file.as_deref())?;
    let mut output = Output::stdout();
    match catalogue::parse(&text) {
        Ok(catalogue) => {
            if !options.json {
                output.line(format!("{name}: {} topics, no problem", catalogue.topics.len()))?;
            }
            output.finish()
        }
        Err(problems) => {
            for problem in &problems {
                if options.json {
                    output.json(problem)?;
                } else {
                    let (line, column) = (problem.line, problem.column);
                    output.line(format!("{name}:{line}:{column}: {} ({})", problem.reason, problem.code))?;
                }
            }
            output.finish()?;
            let what =
                format!("{} {} in {name}", problems.len(), if problems.len() == 1 { "problem" } else { "problems" });
            Err(Failure::new(what, "correct the lines named above; docs/errors explains each code"))
        }
    }
}

fn plan(globals: &Globals, options: &TopicsPlan, applying: bool) -> Result<(), Failure> {
    let config = context::running(globals)?;
    let catalogue = load(options.file.as_deref())?;
    let cluster = cluster(&config, options.replication);
    let changes = context::block_on(async {
        if applying {
            apply(&catalogue, &cluster).await
        } else {
            admin::plan_topics(&catalogue, &cluster).await.map_err(failure)
        }
    })??;
    let mut output = Output::stdout();
    for change in &changes {
        if options.json {
            output.json(change)?;
        } else {
            output.line(change.to_string())?;
        }
    }
    output.finish()?;
    let verb = if applying { "made" } else { "to make" };
    output::note(&format!("{} changes {verb}", changes.len()));
    Ok(())
}

async fn apply(catalogue: &Catalogue, cluster: &Cluster) -> Result<Vec<Change>, Failure> {
    let changes = admin::plan_topics(catalogue, cluster).await.map_err(failure)?;
    admin::apply_topics(&changes, cluster).await.map_err(failure)?;
    Ok(changes)
}

fn cluster(config: &Config, replication: u8) -> Cluster {
    Cluster { kafka: config.kafka.clone(), registry: config.registry.clone(), replication }
}

fn failure(error: AdminError) -> Failure {
    match &error {
        AdminError::Registry(_) => Failure::registry(error),
        AdminError::Read(_) | AdminError::Kafka(_) | AdminError::Client(_) => {
            Failure::new(error, "check that --kafka names a running broker that this user may administer")
        }
        AdminError::Topic { .. } => Failure::new(error, "see the broker's log, then run `wardline topics plan` again"),
        AdminError::TooManyPartitions { .. } => {
            Failure::new(error, "set the number in topics.yaml to what the cluster has, or move to a new topic version")
        }
        AdminError::KeysWouldMove { .. } => Failure::new(
            error,
            "set the number in topics.yaml to what the cluster has; more of them are a new major version of the topic",
        ),
    }
}

fn load(file: Option<&Path>) -> Result<Catalogue, Failure> {
    let (name, text) = read(file)?;
    catalogue::parse(&text).map_err(|problems| {
        let what = problems.first().map(ToString::to_string).unwrap_or_default();
        Failure::usage(what, format!("run `wardline topics check {name}` to see every problem"))
    })
}

fn read(file: Option<&Path>) -> Result<(String, String), Failure> {
    let Some(path) = file else { return Ok(("topics.yaml".to_owned(), BUILT_IN.to_owned())) };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("WL-7062: cannot read {name}: {error}"), "name a file that exists"))?;
    Ok((name, text))
}
