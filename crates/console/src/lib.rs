//! The web console and its API: what operators see of a running installation and do about it, in a browser.
//!
//! One table of routes ([`routes`]) makes the router, the checks and the document of the API, and one handler answers both a
//! page and its call. Nothing is kept here that is not read from topics again, except the attempts to sign in.

pub mod ask;
mod assets;
mod cached;
mod compare;
pub mod config;
mod desk;
mod edge;
mod ends;
pub mod fields;
mod groups;
mod guard;
pub mod html;
mod kept;
mod looking;
mod one_by_one;
pub mod openapi;
mod original;
mod pages;
mod patient;
pub mod people;
pub mod problem;
mod reads;
pub mod routes;
mod runs;
mod server;
mod shadows;
pub mod state;
mod trail;

pub use config::{ConfigError, ConsoleConfig, TokenConfig, UserConfig};
pub use pages::errors::{ErrorText, error_text, error_texts};
pub use people::Role;
pub use server::{ListenError, Listening};
pub use state::{Console, Site, StartError};
pub use trail::ROOM;
