//! `wardline topics check|plan|apply`.

use crate::args::{Globals, Topics, TopicsAction, TopicsCheck, TopicsPlan};
use crate::output::{self, Output};
use crate::{Failure, context};
use runtime::Config;
use runtime::admin::{self, AdminError, Change, Cluster};
use schemas::catalogue::{self, Catalogue};
use std::path::Path;

/// The catalogue of this version.
pub const BUILT_IN: &str = include_str!("../../../topics.yaml");

/// Executes `wardline topics`.
pub fn execute(globals: &Globals, topics: &Topics) -> Result<(), Failure> {
    match &topics.action {
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
