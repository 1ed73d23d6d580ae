//! Who may call, known by a token. Only digests of tokens are kept.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::Secret;

/// The clients of the file whose tokens resolve.
#[derive(Debug, Default)]
pub struct Clients(Vec<(Arc<str>, [u8; 32])>);

impl Clients {
    /// From names and tokens. An empty token is nobody's.
    pub fn new<'a>(clients: impl IntoIterator<Item = (&'a str, &'a Secret)>) -> Self {
        let known = clients.into_iter().filter(|(_, token)| !token.is_empty());
        Self(known.map(|(name, token)| (name.into(), digest(token.expose().as_bytes()))).collect())
    }

    /// The client with this token. Takes the same time whichever it is, or none.
    pub fn find(&self, token: &[u8]) -> Option<Arc<str>> {
        let digest = digest(token);
        let mut found = None;
        for (name, known) in &self.0 {
            if bool::from(known.ct_eq(&digest)) {
                found = Some(name);
            }
        }
        found.cloned()
    }
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_whole_token() {
        let (alice, nobody) = (Secret::new("token-a"), Secret::new(""));
        let clients = Clients::new([("alice", &alice), ("nobody", &nobody)]);
        assert_eq!(clients.find(b"token-a").as_deref(), Some("alice"));
        for wrong in [b"".as_slice(), b"token-", b"token-ab", b"TOKEN-A"] {
            assert_eq!(clients.find(wrong), None);
        }
        assert!(!format!("{clients:?}").contains("token-a"));
    }
}
