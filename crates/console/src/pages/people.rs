//! Who may sign in here, and the end of somebody's sessions. For administrators.

use crate::ask::{Answer, Ask};
use crate::ends;
use crate::fields::{Field, Kind};
use crate::html::{Act as Form, Frame, Page, form};
use crate::people::Role;
use crate::problem::Problem;
use maud::{Markup, html};
use serde::Serialize;
use serde_json::json;

/// Longest name, characters.
const NAME_MAX: usize = 128;

/// Somebody who is no user of the configuration.
pub const QUERY: &[Field] =
    &[Field::optional("name", Kind::Line(NAME_MAX), "Name of somebody who signs in with the identity provider")];
/// Why.
pub const END: &[Field] = &[Field::required("reason", Kind::Line(500), "Why, without patient data; it goes on record")];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct People {
    users: Vec<User>,
    /// Whether others sign in with an identity provider.
    has_provider: bool,
    #[serde(skip)]
    name: Option<String>,
}

#[derive(Serialize)]
struct User {
    name: String,
    role: Role,
}

/// The users of the configuration.
pub async fn list(ask: Ask) -> Result<Answer, Problem> {
    let config = &ask.console.config;
    let users = config.users.iter().map(|(name, user)| User { name: name.clone(), role: user.role }).collect();
    let name = ask.query.text("name").map(str::to_owned);
    Ok(Answer::view(People { users, has_provider: config.oidc.is_some(), name }, page))
}

/// Ends all sessions of somebody, at every replica; that goes on record first.
pub async fn end_sessions(ask: Ask) -> Result<Answer, Problem> {
    let (console, name) = (&ask.console, ask.part("name").trim().to_owned());
    let is_name = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    // Whom the provider knows is not known here.
    if !is_name || !(console.is_local(&name) || console.oidc.is_some()) {
        return Err(Problem::not_found("nobody of this name signs in here"));
    }
    let reason = ask.body.text("reason").unwrap_or_default();
    console.trail.record(ends::ended_of(ask.name(), &name, reason)).await?;
    let now_s = console.now_s();
    console.sessions.end_of(&name, now_s, now_s);
    let said = format!("The sessions of {name} have ended, at every replica within seconds.");
    Ok(Answer::done(said, "/people", json!({"name": name})))
}

fn page(data: &People, frame: &Frame<'_>) -> Page {
    let body = html! {
        h1 { "People" }
        p.muted {
            "Who has a session works on until it ends. End the sessions of somebody who left, or whose browser is in other hands: "
            "they have to sign in again. Take the user out of the configuration, or out of the group at the identity provider, "
            "so that they cannot. Tokens are no sessions: they end with the configuration."
        }
        @if data.has_provider {
            form.filter method="get" action="/people" {
                div {
                    label for="name" { "Somebody of the identity provider" }
                    input #name name="name" value=(data.name.as_deref().unwrap_or_default()) autocomplete="off";
                }
                button type="submit" { "Find" }
            }
        }
        div.acts {
            @if let Some(name) = &data.name { (end_form(name, None, frame)) }
            @for user in &data.users { (end_form(&user.name, Some(user.role), frame)) }
        }
    };
    Page::still("People", body)
}

fn end_form(name: &str, role: Option<Role>, frame: &Frame<'_>) -> Markup {
    let segment: String = form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20");
    let role = role.map_or("of the identity provider", Role::name);
    html! {
        section {
            h2 { (name) " " span.muted { "(" (role) ")" } }
            (form(frame, &Form {
                action: format!("/people/{segment}/end-sessions"),
                label: &format!("End the sessions of {name}"),
                help: "All sessions that began until now end, at every replica.",
                fields: END,
                hidden: Vec::new(),
                is_grave: true,
            }))
        }
    }
}
