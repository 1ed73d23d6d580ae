//! The order in which a request tries the profiles of the chain.

/// The places of the profiles a request tries, in order: the active one, then those after it, then those before it,
/// nearest first. `confined` requests (`auto_failover: false`) try the active one only. Without a profile there is none.
pub fn order(active: usize, len: usize, confined: bool) -> impl Iterator<Item = usize> + Clone {
    let (after, before) = if confined { (0, 0) } else { (len, active.min(len)) };
    let own = (active < len).then_some(active);
    own.into_iter().chain(active.saturating_add(1)..after).chain((0..before).rev())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_active_profile_comes_first_then_those_after_it_then_those_before_it_nearest_first() {
        for (active, len, confined, expected) in [
            (0, 3, false, vec![0, 1, 2]),
            (1, 3, false, vec![1, 2, 0]),
            (2, 4, false, vec![2, 3, 1, 0]),
            (3, 4, false, vec![3, 2, 1, 0]),
            (0, 1, false, vec![0]),
            (0, 0, false, vec![]),
            (1, 3, true, vec![1]),
            (0, 0, true, vec![]),
        ] {
            assert_eq!(order(active, len, confined).collect::<Vec<_>>(), expected, "{active} of {len}");
        }
    }

    proptest! {
        #[test]
        fn every_profile_is_tried_exactly_once(len in 1_usize..50, at in 0_usize..50) {
            let mut tried: Vec<_> = order(at % len, len, false).collect();
            tried.sort_unstable();
            prop_assert_eq!(tried, (0..len).collect::<Vec<_>>());
        }
    }
}
