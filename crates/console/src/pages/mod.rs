//! The pages, each with the handler that also answers the API.

pub mod activity;
pub mod assets;
pub mod audit;
mod behind;
pub mod causes;
pub mod corrections;
pub mod crosswalk;
pub mod dead_letters;
pub mod errors;
pub mod exception;
pub mod exceptions;
pub mod groups;
pub mod levels;
pub mod messages;
pub mod oidc;
pub mod overview;
pub mod people;
pub mod proposals;
pub mod reconciliation;
pub mod replay;
pub mod sign_in;
pub mod topics;
pub mod trace;

use crate::fields::{Field, Kind};

/// What somebody says who wants to see what may identify a patient.
pub const REASON: &[Field] =
    &[Field::required("reason", Kind::Line(200), "Reason to see patient data; it goes on record")];

/// The number of the page of a list.
pub const PAGE: Field = Field::optional("page", Kind::Number, "Page of the list, from 1");

/// One page of a list.
pub fn slice<T>(all: &[T], page: usize, rows: usize) -> &[T] {
    let start = (page - 1).saturating_mul(rows).min(all.len());
    all.get(start..start.saturating_add(rows).min(all.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_beyond_the_end_is_empty() {
        let all: Vec<usize> = (0..7).collect();
        assert_eq!(slice(&all, 1, 3), [0, 1, 2]);
        assert_eq!(slice(&all, 3, 3), [6]);
        assert!(slice(&all, 4, 3).is_empty());
        assert!(slice(&all, 1_000_000, usize::MAX).is_empty());
    }
}
