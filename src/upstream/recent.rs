//! A bounded map that keeps what was used last.
//!
//! Two generations: the young one takes everything new and everything that is used; when it holds half of what is
//! allowed it becomes the old one, and what was in the old one and has not been used since is gone. Constant time, no
//! list to maintain; the most recently used half of the capacity is always kept.

use std::borrow::Borrow;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt as _};

/// See the module.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// A map that never holds more than `capacity` entries (at least two).
    pub(super) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) }
    }

    /// The value of `key`, which counts as used now.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.old.is_empty()
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Puts `value` in the place of `key`.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// The value of `key`, without that being a use of it.
    pub(super) fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Takes out the value of `key` if it is `unwanted`.
    pub(super) fn remove_if<Q: Hash + Eq + ?Sized>(&mut self, key: &Q, unwanted: impl FnOnce(&V) -> bool) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.peek(key).is_some_and(unwanted).then(|| self.young.remove(key).or_else(|| self.old.remove(key)))?
    }

    /// Keeps only what `keep` says.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&mut V) -> bool) {
        self.young.retain(|_, value| keep(value));
        self.old.retain(|_, value| keep(value));
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.young.iter().chain(&self.old)
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut map = Recent::new(10);
        map.insert(0, "used");
        for key in 1..100 {
            map.insert(key, "new");
            assert!(map.get(&0).is_some());
            assert!(map.len() <= 10);
        }
        assert_eq!((map.get(&1).is_some(), map.peek(&99).is_some()), (false, true));
    }

    #[test]
    fn entries_are_removed_from_either_generation() {
        let mut map = Recent::new(4);
        (0..4).for_each(|key| map.insert(key, key));
        assert_eq!((map.remove_if(&0, |_| true), map.remove_if(&3, |_| true)), (Some(0), Some(3)));
        assert_eq!(map.remove_if(&1, |_| false), None);
        map.retain(|value| *value == 2);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&2, &2)]);
    }

    proptest! {
        #[test]
        fn the_last_used_half_is_always_there(keys in prop::collection::vec(0_u8..30, 1..300), capacity in 2_usize..20) {
            let mut map = Recent::new(capacity);
            for (end, key) in keys.iter().enumerate() {
                map.insert(*key, *key);
                prop_assert!(map.len() <= capacity);
                let mut last: Vec<u8> = Vec::new();
                for key in keys[..=end].iter().rev() {
                    if !last.contains(key) && last.len() < capacity / 2 {
                        last.push(*key);
                    }
                }
                prop_assert!(last.iter().all(|key| map.peek(key) == Some(key)));
            }
        }
    }
}
