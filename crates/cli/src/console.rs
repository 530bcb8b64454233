//! `wardline console`: the web console over a running installation, and what its configuration needs.

use crate::args::{ConsoleAction, ConsoleOptions, EndSessions, Globals};
use crate::output::{self, Output};
use crate::parts::{self, Choice, Part};
use crate::through::Console;
use crate::{Failure, context, reconcile, rooms, run, system};
use ::console::people::{self, password};
use ::console::{ConsoleConfig, Listening, Role, Site, UserConfig};
use connector::Secret;
use connector::erp::Erp;
use operations::replay::ReplayRoom;
use runtime::health::{Health, HealthServer};
use runtime::{Config, Shutdown};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Most bytes of stdin that are taken for a password.
const STDIN_MAX: u64 = 4_096;
/// The user that `wardline up` and `demo` make.
const FIRST_USER: &str = "admin";
/// The file with the password of that user, in the data folder.
const PASSWORD_FILE: &str = "console-password";

/// Executes `wardline console`.
pub fn execute(globals: &Globals, options: &ConsoleOptions) -> Result<(), Failure> {
    match &options.action {
        Some(ConsoleAction::HashPassword) => hash_password(),
        Some(ConsoleAction::NewToken) => new_token(),
        Some(ConsoleAction::EndSessions(options)) => context::block_on(end_sessions(options))?,
        None => serve(globals, options),
    }
}

/// The block of the configuration, checked.
pub fn settings(config: &Config) -> Result<ConsoleConfig, Failure> {
    let advice = "correct the console block of the configuration; docs/operate/console.md has its keys";
    let console: ConsoleConfig = config.console().map_err(|error| Failure::usage(error, advice))?;
    console.validate().map_err(|error| Failure::usage(error, advice))?;
    Ok(console)
}

/// Where the console beside the rooms listens; none when it is left out.
pub fn listen(config: &Config) -> Option<String> {
    let listen = config.console.get("listen")?.as_str()?;
    (!listen.is_empty()).then(|| listen.to_owned())
}

/// A console beside the rooms of this process; it ends with `stop`.
pub struct Beside {
    /// What people type.
    pub url: String,
    /// Where the password of the user that was made is.
    pub password_file: Option<String>,
    serving: JoinHandle<()>,
}

impl Beside {
    /// Starts it over an installation. Where nobody has configured users, it makes one, with a password in the data folder.
    pub async fn start(
        listen: String,
        config: &Arc<Config>,
        health: &Health,
        data: &Path,
        stop: Shutdown,
    ) -> Result<Self, Failure> {
        let mut console = ConsoleConfig { listen, ..settings(config)? };
        let here = ::console::config::is_loopback(&console.listen);
        if console.admits_nobody() && !here {
            return Err(nobody());
        }
        let password_file = match console.admits_nobody() {
            true => Some(first_user(&mut console, data).await?),
            false => None,
        };
        let erp = erp_of(config);
        let site = Site { config: Arc::clone(config), rooms: known(), health: Some(health.clone()), erp };
        let listening = bind(console, site, &stop).await?;
        let url = listening.url();
        let serving = tokio::spawn(listening.serve(stop));
        Ok(Self { url, password_file, serving })
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the console did not end as it must");
        }
    }
}

fn serve(globals: &Globals, options: &ConsoleOptions) -> Result<(), Failure> {
    let mut config = context::running(globals)?;
    if Choice::of(globals, &context::file(globals)?).embeds(Part::Erp) {
        // Like the other parts that nobody names: the one that `wardline up` has started on this machine.
        parts::find_sandbox(&mut config);
    }
    let config = Arc::new(config);
    let mut console = settings(&config)?;
    if let Some(listen) = &options.listen {
        console.listen.clone_from(listen);
    }
    if console.admits_nobody() && console.tokens.is_empty() {
        return Err(nobody());
    }
    context::block_on(async {
        let _telemetry = run::start_telemetry(&config, "wardline")?;
        let stop = system::signal();
        let site = Site { config: Arc::clone(&config), rooms: known(), health: None, erp: erp_of(&config) };
        let listening = bind(console, site, &stop).await?;
        let health = Health::new();
        let _server = probed(&health, &config).await?;
        health.room(::console::ROOM).ready();
        output::note(&format!("the console is at {}; Ctrl-C stops", listening.url()));
        listening.serve(stop).await;
        Ok(())
    })?
}

/// The ERP for comparisons; where it cannot be asked the console says why.
fn erp_of(config: &Config) -> Result<Arc<dyn Erp>, String> {
    reconcile::erp(config).map_err(|failure| failure.to_string())
}

/// Health and metrics, as every workload of a cluster has them. On a machine of one person, where the port belongs to `wardline
/// up`, the console goes on without.
async fn probed(health: &Health, config: &Config) -> Result<Option<HealthServer>, Failure> {
    match health.serve(&config.http.listen).await {
        Ok(server) => Ok(Some(server)),
        Err(error) if ::console::config::is_loopback(&config.http.listen) => {
            tracing::warn!(%error, listen = config.http.listen, "health and metrics of the console are not served");
            Ok(None)
        }
        Err(error) => Err(Failure::new(
            format!("WL-7061: cannot listen on {}: {error}", config.http.listen),
            "set http.listen to a free address, or stop the process that has it",
        )),
    }
}

fn known() -> Vec<ReplayRoom> {
    rooms::all().iter().map(ReplayRoom::from).collect()
}

/// Without a user a console is of no use, and one is made only where no other machine comes.
fn nobody() -> Failure {
    Failure::usage(
        "WL-7120: console.users: nobody may sign in",
        "add a user to the console block of the configuration, with a hash that `wardline console hash-password` makes, or oidc",
    )
}

async fn bind(console: ConsoleConfig, site: Site, stop: &Shutdown) -> Result<Listening, Failure> {
    let advice = "correct the console block of the configuration; docs/operate/console.md has its keys";
    let console = ::console::Console::start(console, site, stop).map_err(|error| Failure::usage(error, advice))?;
    Listening::bind(console).await.map_err(|error| {
        Failure::new(
            error,
            "choose another address with --listen (with `up` and `demo`: --console), or stop the process that has it",
        )
    })
}

/// Makes the user of a first run, and keeps its password where only the owner of the folder reads it.
async fn first_user(console: &mut ConsoleConfig, data: &Path) -> Result<String, Failure> {
    let path = data.join(PASSWORD_FILE);
    let refused = |error: std::io::Error| {
        Failure::new(
            format!("WL-7139: cannot use {}: {error}", path.display()),
            "name a folder that can be written with --data, or configure console.users",
        )
    };
    let password = match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().chars().count() >= password::LENGTH_MIN => text.trim().to_owned(),
        Ok(_) => new_password(&path).map_err(refused)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => new_password(&path).map_err(refused)?,
        Err(error) => return Err(refused(error)),
    };
    let hashed = tokio::task::spawn_blocking(move || password::hash(&password)).await;
    let hash = hashed
        .map_err(|error| Failure::new(error, "report this as a defect"))?
        .map_err(|error| Failure::new(error, "delete the file with the password and start again"))?;
    let user = UserConfig { role: Role::Administrator, password_hash: Secret::new(hash) };
    console.users.insert(FIRST_USER.to_owned(), user);
    Ok(path.display().to_string())
}

fn new_password(path: &Path) -> std::io::Result<String> {
    use std::os::unix::fs::OpenOptionsExt as _;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let password: String = people::random_text().chars().take(24).collect();
    // A file that is too short to be one is not trusted with its mode either.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{password}")?;
    file.sync_all()?;
    Ok(password)
}

fn hash_password() -> Result<(), Failure> {
    let mut text = String::new();
    std::io::stdin().take(STDIN_MAX).read_to_string(&mut text).map_err(|error| {
        Failure::usage(
            format!("WL-7136: no password was read: {error}"),
            "give it on stdin, for example from a password manager",
        )
    })?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    let hash = password::hash(password).map_err(|error| Failure::usage(error, "choose another password"))?;
    let mut output = Output::stdout();
    output.line(hash)?;
    output.finish()
}

/// Sessions are those of a console, and only it knows who is an administrator.
async fn end_sessions(options: &EndSessions) -> Result<(), Failure> {
    let console = Console::of(&options.through)?.ok_or_else(|| {
        Failure::usage(
            "WL-1481: no console is named, and sessions are those of a console",
            "name it with --console URL or WARDLINE_CONSOLE, and the token of an administrator with --token-file",
        )
    })?;
    let body = serde_json::json!({"reason": options.reason});
    let ended = console.act(&["people", &options.name, "end-sessions"], &body).await?;
    let mut output = Output::stdout();
    match options.json {
        true => output.json(&ended)?,
        false => output.line(format!("the sessions of {} have ended", options.name))?,
    }
    output.finish()
}

fn new_token() -> Result<(), Failure> {
    let token = people::random_text();
    let mut output = Output::stdout();
    output.line(format!("token   {token}"))?;
    output.line(format!("sha256  {}", people::sha256_hex(token.as_bytes())))?;
    output.finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_user_keeps_the_password_in_a_file_that_others_do_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let user = || {
            let mut console = ConsoleConfig::default();
            let path = context::block_on(first_user(&mut console, folder.path())).unwrap().unwrap();
            (path, console.users[FIRST_USER].password_hash.expose().to_owned())
        };
        let (path, hash) = user();
        let password = std::fs::read_to_string(&path).unwrap();
        assert!(password::verify(password.trim(), Some(&hash)));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (_, again) = user();
        assert!(password::verify(password.trim(), Some(&again)), "the next start keeps the password");
        std::fs::write(&path, "x").unwrap();
        user();
        assert_ne!(std::fs::read_to_string(&path).unwrap(), "x");
    }

    #[test]
    fn a_wrong_block_is_refused_with_its_key() {
        let refusal = |block| settings(&Config { console: block, ..Config::default() }).unwrap_err().to_string();
        let said = refusal(json!({"lisen": "127.0.0.1:1"}));
        assert!(said.contains("WL-7001: console: unknown field `lisen`") && said.contains("did you mean"), "{said}");
        assert!(refusal(json!({"listen": "0.0.0.0:1"})).contains("WL-7120: console.listen"));
    }
}
