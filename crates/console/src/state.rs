//! What the console holds while it runs.

use crate::ask::Dated;
use crate::compare::Comparisons;
use crate::config::{ConfigError, ConsoleConfig};
use crate::desk::Desk;
use crate::ends;
use crate::kept::KeptReports;
use crate::looking::Looking;
use crate::people::oidc::Oidc;
use crate::people::session::{Session, Sessions};
use crate::people::throttle::Throttle;
use crate::people::{self, Role};
use crate::reads::Reads;
use crate::runs::Runs;
use crate::shadows::Shadows;
use crate::trail::Trail;
use connector::erp::Erp;
use operations::Zone;
use operations::exceptions::{DecideError, Decider, ExceptionsView, ViewError};
use operations::reconcile::{Kept, KeptError};
use operations::replay::ReplayRoom;
use operations::sight::SightError;
use operations::sight::levels::LevelsView;
use operations::sight::trace::Trace;
use runtime::health::Health;
use runtime::{Config, Shutdown, clock};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// Searches through topics at the same time; others wait.
const SEARCHES_MAX: usize = 2;
/// Traces that are being looked for, or were found and not yet shown, and how long these are kept.
const TRACES: (usize, Duration) = (16, Duration::from_mins(1));
/// The same of pages that are being read: who asked for one comes back for it within a second.
const FIRSTS: (usize, Duration) = (128, Duration::from_secs(5));

/// What the console is told of the installation that it stands before.
#[derive(Clone)]
pub struct Site {
    /// Where Kafka and the registry are.
    pub config: Arc<Config>,
    /// All rooms, as a replay must know them too.
    pub rooms: Vec<ReplayRoom>,
    /// Where the rooms of this process stand; none where they run elsewhere.
    pub health: Option<Health>,
    /// The ERP that `erp-post` posts to, for comparisons; or why it cannot be asked.
    pub erp: Result<Arc<dyn Erp>, String>,
}

/// The console.
pub struct Console {
    /// Its block of the configuration.
    pub config: ConsoleConfig,
    /// The installation.
    pub site: Site,
    /// What times are told in to people.
    pub zone: Zone,
    /// Signs and checks cookies.
    pub sessions: Arc<Sessions>,
    /// Sign-in with an identity provider, where one is configured.
    pub oidc: Option<Oidc>,
    /// Attempts to sign in.
    pub throttle: Mutex<Throttle>,
    /// Passwords that are checked at the same time.
    pub hashing: Arc<Semaphore>,
    /// Searches through topics.
    pub searches: Reads,
    /// Ways of events that are being looked for.
    pub traces: Looking<Trace>,
    /// Pages that take longer to read than a person takes for at once.
    pub firsts: Looking<Dated>,
    /// Replays that this process hands over.
    pub runs: Runs,
    /// Comparisons that this process makes.
    pub comparisons: Comparisons,
    /// Other versions that this process compares.
    pub shadows: Shadows,
    /// Service levels and the activity of the domains; none where they are not followed here.
    pub levels: Option<LevelsView>,
    /// What goes on record.
    pub trail: Trail,
    /// What is read of the installation.
    pub desk: Desk,
    /// What waits and why.
    pub exceptions: ExceptionsView,
    decider: OnceCell<Decider>,
}

/// Why a console does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration cannot be so.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The exceptions cannot be followed.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The service levels cannot be followed.
    #[error(transparent)]
    Sight(#[from] SightError),
    /// The folder of reports is not understood.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

impl Console {
    /// A console over an installation, whose exceptions it follows until the stop. To be called where an async runtime
    /// is.
    ///
    /// # Errors
    /// When the configuration cannot be so, or the exceptions cannot be followed.
    pub fn start(config: ConsoleConfig, site: Site, stop: &Shutdown) -> Result<Arc<Self>, StartError> {
        config.validate()?;
        let zone = Zone::of(&site.config)?;
        let key = config.session_key.as_ref().map_or_else(people::random_text, |key| key.expose().to_owned());
        let sessions = Sessions::new(&key, config.session_idle_s, config.session_max_s)
            .map_err(|error| ConfigError { key: "session_key".to_owned(), reason: error.to_string() })?;
        let sessions = Arc::new(sessions);
        ends::follow(&site.config, &sessions, stop).map_err(ViewError::from)?;
        let origin = config.origin.as_deref().unwrap_or_default();
        let oidc = config.oidc.as_ref().map(|oidc| Oidc::new(oidc, origin)).transpose()?;
        let throttle = Mutex::new(Throttle::new(config.attempts));
        let hashing = Arc::new(Semaphore::new(config.attempts.at_once));
        let searches = Reads::new(SEARCHES_MAX, config.read_timeout());
        let runs = Runs::new(stop.clone());
        let kept = KeptReports::new(Kept::of(&site.config)?);
        let comparisons = Comparisons::new(stop.clone(), kept);
        let trail = Trail::new(&site.config, config.bounds.denied_per_minute);
        let desk = Desk::new(&site, &config.bounds);
        let exceptions = ExceptionsView::start(&site.config, stop)?;
        let connecting = exceptions.clone();
        std::thread::Builder::new()
            .name("console-connect".to_owned())
            .spawn(move || connecting.connect())
            .map_err(ViewError::from)?;
        let follow = || {
            let causes = exceptions.clone();
            LevelsView::naming(Arc::clone(&site.config), stop.clone(), move || causes.causes())
        };
        let levels = config.service_levels.then(follow).transpose()?;
        let decider = OnceCell::new();
        Ok(Arc::new(Self {
            config,
            site,
            zone,
            sessions,
            oidc,
            throttle,
            hashing,
            searches,
            traces: Looking::new(TRACES.0, TRACES.1),
            firsts: Looking::new(FIRSTS.0, FIRSTS.1),
            runs,
            comparisons,
            shadows: Shadows::default(),
            levels,
            trail,
            desk,
            exceptions,
            decider,
        }))
    }

    /// Carries out what people decide; connects when the first decision is made.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn decider(&self) -> Result<Decider, DecideError> {
        let connect = || Decider::connect(&self.site.config, &self.exceptions);
        self.decider.get_or_try_init(connect).await.cloned()
    }

    /// Seconds since 1970.
    pub fn now_s(&self) -> i64 {
        clock::now_micros() / 1_000_000
    }

    /// What a session depends on: the password hash of a user that exists, or the provider that vouches for somebody else.
    pub fn proof_of(&self, session: &Session) -> Option<String> {
        match &session.vouched {
            None => self.hash_of(&session.user).map(str::to_owned),
            // Who became a user here since then is one from now on.
            Some(_) if self.is_local(&session.user) => None,
            Some(_) => self.config.oidc.as_ref().map(people::oidc::OidcConfig::proof),
        }
    }

    /// What somebody who has a session may do.
    pub fn role_of(&self, session: &Session) -> Option<Role> {
        match &session.vouched {
            None => self.config.users.get(&session.user).map(|user| user.role),
            Some(vouched) => Some(vouched.role),
        }
    }

    /// Whether the configuration has a user whom the record could not tell from this one.
    pub fn is_local(&self, name: &str) -> bool {
        self.config.users.keys().any(|user| operations::same_person(user, name))
    }

    /// The password hash of a user that exists.
    pub fn hash_of(&self, user: &str) -> Option<&str> {
        self.config.users.get(user).map(|user| user.password_hash.expose())
    }
}
