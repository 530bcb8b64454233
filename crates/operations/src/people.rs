//! Who is who, as far as names tell, and who has to know it.

use runtime::{Config, ConfigError};
use serde::{Deserialize, Serialize};

/// What stands between the name that somebody gave at a terminal and the user that they worked as, on record.
pub const AS_USER: &str = " (as ";

/// What stands between the name that an identity provider gave and the identity behind it, on record. No name holds it.
const IDENTITY: char = '~';

/// What stands before the name of a token of the console.
pub const TOKEN: &str = "token:";

/// Who says who somebody is, where something needs a right or a second person: `operations.people` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum People {
    /// Anybody who can write to the topics is believed any name. For a first run, and where the cluster lets nobody else write.
    #[default]
    Anyone,
    /// The console alone, which knows who has signed in or whose token it is.
    Console,
}

impl People {
    /// What the configuration says.
    ///
    /// # Errors
    /// When it is neither of the two.
    pub fn of(config: &Config) -> Result<Self, ConfigError> {
        config.operation("people")
    }
}

/// A name as it goes on record, with the identity that stays when somebody changes the name.
#[must_use]
pub fn identified(name: &str, identity: &str) -> String {
    format!("{name}{IDENTITY}{identity}")
}

/// The name alone, for people.
#[must_use]
pub fn shown_name(person: &str) -> &str {
    person.split_once(IDENTITY).map_or(person, |(name, _)| name)
}

/// Whether two names are those of one person: upper case and spaces around make nobody else, nor does the user that somebody
/// works as, nor a token that has their name, nor another name with the same identity behind it.
#[must_use]
pub fn same_person(one: &str, other: &str) -> bool {
    fn parts(text: &str) -> (String, Option<&str>) {
        let person = text.split_once(AS_USER).map_or(text, |(person, _)| person);
        let identity = person.split_once(IDENTITY).map(|(_, identity)| identity.trim());
        let name = shown_name(person).trim().to_lowercase();
        (name.strip_prefix(TOKEN).map(str::to_owned).unwrap_or(name), identity)
    }
    let ((name, identity), (other_name, other_identity)) = (parts(one), parts(other));
    name == other_name || identity.is_some_and(|identity| other_identity == Some(identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_case_nor_spaces_nor_the_user_make_somebody_else() {
        for other in ["ada", " ADA ", "Ada (as root)", "ada (as uid 33)", "token:ada"] {
            assert!(same_person("Ada", other) && same_person(other, "ada (as deploy)"), "{other}");
        }
        for other in ["bob", "bob (as ada)", "ada b", ""] {
            assert!(!same_person("Ada", other), "{other}");
        }
    }

    #[test]
    fn another_name_with_the_same_identity_is_nobody_else() {
        let ada = identified("ada", "1f");
        for other in ["ada", "Ada (as root)", "ada~2e", "countess~1f", "countess~1f (as root)"] {
            assert!(same_person(&ada, other) && same_person(other, &ada), "{other}");
        }
        for other in ["countess", "countess~2e", "bob~", "1f", "countess (as ada~1f)"] {
            assert!(!same_person(&ada, other), "{other}");
        }
        assert_eq!((shown_name(&ada), shown_name("bob")), ("ada", "bob"));
    }
}
