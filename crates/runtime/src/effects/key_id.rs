//! Keys of effects and outputs by what tells them apart, which is smaller than they are.

use std::sync::Arc;

/// 128 bits of the UUIDv5 of a key: collisions among millions of keys are out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyId(u128);

impl KeyId {
    /// Of an effect key or a business key.
    pub fn of(key: &str) -> Self {
        Self(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, key.as_bytes()).as_u128())
    }

    /// The document key of the one effect with this key.
    pub fn document_key(self) -> Arc<str> {
        let mut digits = [0; uuid::fmt::Simple::LENGTH];
        let digits: &str = uuid::Uuid::from_u128(self.0).simple().encode_lower(&mut digits);
        Arc::from(["wl-", digits].concat())
    }
}

/// The same lines, in whatever order, always give the same document key, so that a late first try and its repetition meet on
/// the other side.
pub(super) fn document_key<'a>(effect_keys: impl Iterator<Item = &'a str>) -> Arc<str> {
    let mut keys: Vec<&str> = effect_keys.collect();
    keys.sort_unstable();
    KeyId::of(&keys.join("\n")).document_key()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fx_1_a_document_has_the_same_key_in_whatever_order_its_lines_come() {
        let key = |keys: &[&str]| document_key(keys.iter().copied());
        assert_eq!(key(&["b", "a"]), key(&["a", "b"]));
        assert_ne!(key(&["a", "b"]), key(&["a", "c"]));
        assert_eq!(key(&["a"]), KeyId::of("a").document_key());
        assert_eq!(&*key(&["usage/1|erp"]), "wl-e849b1e7060e57179a9dc6908a62b6e0");
    }
}
