//! Whose turn it is: first come, first served, with clients taking turns. Pure.
//!
//! Start-time fair queueing: a request's rank is the round it belongs to, and the number it drew. A client's requests
//! stand in rounds one behind the other; a client that comes new stands in the round that is being served.

use std::collections::HashMap;
use std::sync::Arc;

/// A place in the order; lower comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rank {
    round: u64,
    number: u64,
}

/// Gives ranks.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The round being served.
    round: u64,
    numbers: u64,
    clients: HashMap<Arc<str>, Standing>,
}

#[derive(Debug, Default)]
struct Standing {
    /// The round of its next request.
    next: u64,
    waiting: usize,
}

impl Order {
    /// The rank of a request of `client` that comes now.
    pub(super) fn draw(&mut self, client: &Arc<str>) -> Rank {
        self.numbers += 1;
        let known = self.clients.entry(Arc::clone(client)).or_default();
        let round = known.next.max(self.round);
        known.next = round + 1;
        Rank { round, number: self.numbers }
    }

    /// A request of `client` stands in line.
    pub(super) fn came(&mut self, client: &Arc<str>) {
        self.clients.entry(Arc::clone(client)).or_default().waiting += 1;
    }

    /// A request of `client` stands in line no more.
    pub(super) fn left(&mut self, client: &Arc<str>) {
        let Some(known) = self.clients.get_mut(client) else { return };
        known.waiting = known.waiting.saturating_sub(1);
        if known.waiting == 0 {
            self.clients.remove(client);
        }
    }

    /// The request with `rank` was served.
    pub(super) fn served(&mut self, rank: Rank) {
        self.round = self.round.max(rank.round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which requests of these clients are served when all come before the first is.
    fn served(clients: &str) -> String {
        let mut order = Order::default();
        let mut line: Vec<(Rank, char)> = clients
            .chars()
            .map(|name| {
                let client = name.to_string().into();
                order.came(&client);
                (order.draw(&client), name)
            })
            .collect();
        line.sort();
        line.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn clients_take_turns_and_each_is_served_in_its_own_order() {
        assert_eq!(served("aaaa"), "aaaa");
        assert_eq!(served("aaaabc"), "abcaaa");
        assert_eq!(served("aabbab"), "ababab");
    }

    #[test]
    fn a_client_that_comes_new_stands_in_the_round_being_served() {
        let (mut order, busy, late) = (Order::default(), Arc::from("busy"), Arc::from("late"));
        let ranks: Vec<Rank> = (0..4).map(|_| order.draw(&busy)).collect();
        order.served(ranks[2]);
        let new = order.draw(&late);
        assert!(ranks[2] < new && new < ranks[3]);
    }

    #[test]
    fn who_left_is_forgotten() {
        let (mut order, client) = (Order::default(), Arc::from("a"));
        for _ in 0..100 {
            order.came(&client);
            order.draw(&client);
            order.left(&client);
        }
        assert!(order.clients.is_empty());
        assert_eq!(order.draw(&client).round, 0, "nothing is held against it");
    }
}
