//! Who types: what somebody says of themselves, and the user of the operating system, which they cannot choose as freely.
//!
//! The command line believes the name that it is given; access control of the cluster says who may write. Both go on record.

use clap::builder::{StringValueParser, TypedValueParser};
use std::fmt::Write as _;

/// What stands between the name and the user.
const AS: &str = operations::AS_USER;

/// The user of the operating system that this process runs as: the name, or the number where it has none.
pub fn os_user() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    user_of(&read("/proc/self/status"), &read("/etc/passwd"))
}

/// Reads a name as it goes on record: with the user behind it, when that is another one.
pub fn parser() -> impl TypedValueParser<Value = String> {
    StringValueParser::new().map(|name| with_user(&name, &os_user()))
}

fn with_user(name: &str, user: &str) -> String {
    let mut stated = name.trim().to_owned();
    // Nobody stays nobody, and what already names a user was not typed by hand alone.
    let nobody = stated.is_empty() || stated == "unknown";
    if !nobody && !user.is_empty() && !operations::same_person(&stated, user) {
        // Writing to a text does not fail.
        let _ = write!(stated, "{AS}{user})");
    }
    stated
}

/// The effective user by what Linux says of the process and of its users.
fn user_of(status: &str, users: &str) -> String {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let Some(id) = ids.split_whitespace().nth(1) else { return String::new() };
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(id)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_found_by_name_or_number() {
        let status = "Name:\twardline\nUid:\t1000\t33\t1000\t1000\nGid:\t0\t0\t0\t0\n";
        let users = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www:/var/www:/bin/sh\n";
        assert_eq!(user_of(status, users), "www-data");
        assert_eq!(user_of(status, ""), "uid 33");
        assert_eq!(user_of("", users), "");
    }

    #[test]
    fn a_name_that_is_not_the_users_goes_on_record_with_the_user() {
        assert_eq!(with_user("j.meier", "deploy"), "j.meier (as deploy)");
        assert_eq!(with_user(" Deploy ", "deploy"), "Deploy");
        assert_eq!(with_user("  ", "deploy"), "");
        assert_eq!(with_user("unknown", "deploy"), "unknown");
        assert!(
            operations::same_person(&with_user("Ada", "deploy"), &with_user("ada", "root")),
            "a user makes nobody else"
        );
    }
}
