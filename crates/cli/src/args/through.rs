//! What is typed to do an act through a console instead of on the topics.

use clap::Args;
use std::path::PathBuf;

/// The console that an act goes through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(
    next_help_heading = "Through a console (who you are and may do is then what its token says, and --actor counts for nothing)"
)]
pub struct Through {
    /// Base URL of the console whose API does it; https, or http on this machine.
    #[arg(long, env = "WARDLINE_CONSOLE", value_name = "URL")]
    pub console: Option<String>,
    /// File with the token, and nothing else in it.
    #[arg(long, env = "WARDLINE_CONSOLE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}
