//! What can be typed after `topics` and `explain`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Options of `topics`.
#[derive(Debug, Args)]
pub struct Topics {
    /// What to do with the catalogue.
    #[command(subcommand)]
    pub action: TopicsAction,
}

/// What to do with the catalogue of topics.
#[derive(Debug, Subcommand)]
pub enum TopicsAction {
    /// List the topics of this version: what they carry, how urgent they are, patient data, who reads them.
    Ls(TopicsLs),
    /// Show one topic of this version: key, class, patient data, retention, who writes and reads it, and its schema.
    Show(TopicsShow),
    /// Check the file alone: syntax, names, schemas, keys, PHI classes. The gate in a pull request.
    Check(TopicsCheck),
    /// Show what `apply` would change.
    Plan(TopicsPlan),
    /// Create topics, set their configuration, register schemas. Running it twice changes nothing.
    Apply(TopicsPlan),
}

/// Options of `topics ls`.
#[derive(Debug, Args)]
pub struct TopicsLs {
    /// One JSON line per topic.
    #[arg(long)]
    pub json: bool,
}

/// Options of `topics show`.
#[derive(Debug, Args)]
pub struct TopicsShow {
    /// Name of the topic, for example ops.audit.v1.
    pub name: String,
    /// JSON, with the schema.
    #[arg(long)]
    pub json: bool,
}

/// Options of `topics check`.
#[derive(Debug, Args)]
pub struct TopicsCheck {
    /// The file; the one built into this version when left out.
    pub file: Option<PathBuf>,
    /// One JSON line per problem.
    #[arg(long)]
    pub json: bool,
}

/// Options of `topics plan` and `topics apply`.
#[derive(Debug, Args)]
pub struct TopicsPlan {
    /// The file; the one built into this version when left out.
    pub file: Option<PathBuf>,
    /// Copies of each partition of new topics; from 3 on, 2 of them must confirm a write.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub replication: u8,
    /// One JSON line per change.
    #[arg(long)]
    pub json: bool,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The code, for example WL-4001; all codes with their titles when it is left out.
    pub code: Option<String>,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}
