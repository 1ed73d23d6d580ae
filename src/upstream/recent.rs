//! A bounded map that keeps what was used last.
//!
//! Two generations: the young one takes everything new and everything that is used; when it holds half of what is
//! allowed it becomes the old one, and what was in the old one and has not been used since is gone. Constant time, no
//! list to maintain; the most recently used half of the capacity is always kept.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

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
        if let Some((key, value)) = self.old.remove_entry(key) {
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
