//! Who is who, as far as names tell.

/// Whether two names are those of one person: upper case and spaces around make nobody else.
#[must_use]
pub fn same_person(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
