//! Who is who, as far as names tell.

/// What stands between the name that somebody gave at a terminal and the user that they worked as, on record.
pub const AS_USER: &str = " (as ";

/// Whether two names are those of one person: upper case and spaces around make nobody else, nor does the user that somebody
/// works as.
#[must_use]
pub fn same_person(one: &str, other: &str) -> bool {
    fn name(text: &str) -> String {
        text.split_once(AS_USER).map_or(text, |(name, _)| name).trim().to_lowercase()
    }
    name(one) == name(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_case_nor_spaces_nor_the_user_make_somebody_else() {
        for other in ["ada", " ADA ", "Ada (as root)", "ada (as uid 33)"] {
            assert!(same_person("Ada", other) && same_person(other, "ada (as deploy)"), "{other}");
        }
        for other in ["bob", "bob (as ada)", "ada b", ""] {
            assert!(!same_person("Ada", other), "{other}");
        }
    }
}
