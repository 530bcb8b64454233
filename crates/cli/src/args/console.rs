//! What can be typed after `console`.

use super::through::Through;
use clap::{Args, Subcommand};

const HELP: &str = "\
Users, roles, keys and bounds stand in the block `console` of the configuration; docs/operate/console.md tells about them.
`wardline up` and `wardline demo` have a console too: there a user `admin` is made, and the start prints where its password is.";

/// Options of `console`.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct ConsoleOptions {
    /// Something else than to serve the console.
    #[command(subcommand)]
    pub action: Option<ConsoleAction>,
    /// Address of the console; the configuration file, else 127.0.0.1:17080, when left out.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

/// What to do beside serving the console.
#[derive(Debug, Subcommand)]
pub enum ConsoleAction {
    /// Read a password from stdin and print its hash for `console.users.NAME.password_hash`.
    HashPassword,
    /// Make a token for a program: print it, and its hash for `console.tokens.NAME.sha256`.
    NewToken,
    /// End all sessions of somebody, at every replica of a console. For administrators.
    EndSessions(EndSessions),
}

/// Options of `console end-sessions`.
#[derive(Debug, Args)]
pub struct EndSessions {
    /// Whose sessions: the name that they have on record.
    pub name: String,
    /// Why; goes on record.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The console that does it.
    #[command(flatten)]
    pub through: Through,
    /// JSON.
    #[arg(long)]
    pub json: bool,
}
