//! The last accepted files of an instance, kept beside its other state: for history, rollback, and a start from the last
//! good one.
//!
//! - Readable by their owner alone, and without literal secrets: [`blanked`] stands between a file and its copy.
//! - A copy is `REVISION-SECONDS-SHA256.yaml`. The SHA-256 is that of the file, not of the copy; the revision counts
//!   accepted files of the instance, restarts included.
//! - The newest [`KEPT`] stay.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::{BLANK, Config, MAX_BYTES, SecretSpec, blanked};

/// How many are kept.
pub const KEPT: usize = 20;

/// The kept files of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    dir: PathBuf,
}

/// One accepted file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Counts accepted files from 1.
    pub number: u64,
    /// When it was accepted, to the second.
    pub at: SystemTime,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
}

impl Accepted {
    /// Below the state directory of an instance; nothing is read yet.
    pub fn of(state: &Path) -> Self {
        Self { dir: state.join("accepted") }
    }

    /// What is kept, the oldest first; nothing if there is no such directory.
    pub fn list(&self) -> io::Result<Vec<Revision>> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut revisions: Vec<Revision> = names.filter_map(|name| Revision::named(&name)).collect();
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    /// The newest one.
    pub fn latest(&self) -> io::Result<Option<Revision>> {
        Ok(self.list()?.pop())
    }

    /// The text of `revision`, its literal secrets blanked.
    pub fn text(&self, revision: &Revision) -> io::Result<String> {
        let bytes = super::read::bounded(&self.dir.join(revision.name()), crate::config::units::Size(2 * MAX_BYTES))?;
        String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
    }

    /// Keeps the file that says `text`, and lets the oldest go.
    pub fn keep(&self, revision: &Revision, text: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let mut builder = tempfile::Builder::new();
        let mut file = builder.prefix(".new-").permissions(fs::Permissions::from_mode(0o600)).tempfile_in(&self.dir)?;
        file.write_all(blanked(text).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.dir.join(revision.name())).map_err(|refused| refused.error)?;
        let mut kept = self.list()?;
        kept.truncate(kept.len().saturating_sub(KEPT));
        kept.iter().try_for_each(|old| fs::remove_file(self.dir.join(old.name())))
    }
}

impl Revision {
    fn name(&self) -> String {
        let seconds = self.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        format!("{}-{seconds}-{}.yaml", self.number, self.sha256)
    }

    fn named(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".yaml")?.splitn(3, '-');
        let number = parts.next()?.parse().ok()?;
        let seconds = parts.next()?.parse().ok()?;
        let sha256 = parts.next().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?.to_owned();
        Some(Self { number, at: UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?, sha256 })
    }
}

/// Takes out of a kept file what was blanked in it: an endpoint is without a key then, and a client is not known.
pub fn without_blanks(config: &mut Config) {
    for profile in config.profiles.values_mut() {
        let listed = profile.endpoints.iter_mut().map(|endpoint| &mut endpoint.fields);
        for fields in listed.chain(profile.shorthand.as_deref_mut()) {
            fields.api_key.take_if(|key| is_blank(key));
            fields.headers.retain(|_, value| !value.starts_with(BLANK));
        }
    }
    for item in &mut config.notify {
        item.headers.retain(|_, value| !is_blank(value));
    }
    if let Some(clients) = &mut config.server.clients {
        clients.retain(|client| !is_blank(&client.token));
    }
}

fn is_blank(key: &SecretSpec) -> bool {
    matches!(key, SecretSpec::Literal(secret) if secret.expose().starts_with(BLANK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_bytes;

    fn revision(number: u64) -> Revision {
        Revision { number, at: UNIX_EPOCH + Duration::from_secs(1_000 + number), sha256: format!("{number:064x}") }
    }

    #[test]
    fn the_newest_are_kept_without_keys_and_for_their_owner_alone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let accepted = Accepted::of(dir.path());
        assert_eq!(accepted.list().expect("nothing is kept"), []);
        for number in 1..=25 {
            let text = format!("version: 1 # {number}\nx: {{ api_key: sk-canary-0123456789 }}\n");
            accepted.keep(&revision(number), &text).expect("it is kept");
        }
        let kept = accepted.list().expect("a list");
        assert_eq!(kept, (6..=25).map(revision).collect::<Vec<_>>());
        assert_eq!(accepted.latest().expect("a list"), Some(revision(25)));
        let text = accepted.text(&kept[0]).expect("a text");
        assert_eq!(text, "version: 1 # 6\nx: { api_key: REDACTED }\n");
        for entry in fs::read_dir(dir.path().join("accepted")).expect("a directory") {
            let mode = entry.expect("an entry").metadata().expect("its mode").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn other_files_are_no_revisions() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let accepted = Accepted::of(dir.path());
        accepted.keep(&revision(1), "version: 1\n").expect("it is kept");
        for name in ["x.yaml", "1-2.yaml", "1-x-ab.yaml", "2-3-zz.yaml", "3-99999999999999999999-ab.yaml", ".new-1"] {
            fs::write(dir.path().join("accepted").join(name), "").expect("writes");
        }
        assert_eq!(accepted.list().expect("a list"), [revision(1)]);
    }

    #[test]
    fn what_was_blanked_is_no_credential() {
        let text = "version: 1\nserver: { clients: [{ name: a, token: REDACTED }, { name: b, token: { env: B } }] }\n\
                    profiles: { p: { tier: primary, base_url: https://a.example, api_key: REDACTED-2, headers: { x-a: \
                    REDACTED, x-b: c } } }\n";
        let mut config = load_bytes(Path::new("/x/qcc.yaml"), text.as_bytes()).config.expect("valid");
        without_blanks(&mut config);
        let fields = config.profiles["p"].shorthand.as_deref().expect("an endpoint");
        assert_eq!((fields.api_key.as_ref(), fields.headers.len()), (None, 1));
        let clients = config.server.clients.expect("clients");
        assert_eq!(clients.iter().map(|client| client.name.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
