//! Which file a command is about, and the name of its instance.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::load::hex;

/// No configuration file in any of the usual places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    looked: Vec<PathBuf>,
}

impl NotFound {
    /// Where it was looked for.
    pub fn looked(&self) -> &[PathBuf] {
        &self.looked
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no qcc.yaml found; looked for")?;
        for path in &self.looked {
            write!(f, "\n  {}", path.display())?;
        }
        f.write_str("\n`qcc init` writes a first one; `--config FILE` or QCC_CONFIG names one that lies elsewhere")
    }
}

impl std::error::Error for NotFound {}

/// The file: `flag`, else `QCC_CONFIG`, else the nearest `qcc.yaml` from `cwd` upwards, else `$XDG_CONFIG_HOME/qcc/qcc.yaml`.
///
/// One that is named is not looked for: [`super::load()`] tells what is wrong with it. `env` reads an environment variable.
pub fn locate(flag: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>, cwd: &Path) -> Result<PathBuf, NotFound> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = flag.map(Path::to_owned).or_else(|| set("QCC_CONFIG")) {
        return Ok(cwd.join(named));
    }
    let home = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let home = home.or_else(|| set("HOME").map(|home| home.join(".config"))).map(|dir| dir.join("qcc/qcc.yaml"));
    let looked: Vec<PathBuf> = cwd.ancestors().map(|dir| dir.join("qcc.yaml")).chain(home).collect();
    // A broken link counts as found: better to say what is wrong with it than to take another file.
    let found = looked.iter().find(|path| path.symlink_metadata().is_ok_and(|found| !found.is_dir()));
    found.cloned().ok_or(NotFound { looked })
}

/// Name of the instance of `path`: 16 hexadecimal digits of the SHA-256 of its absolute path, symbolic links not resolved.
pub fn instance_id(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let digest = Sha256::digest(lexical(&absolute).as_os_str().as_encoded_bytes());
    hex(&digest[..8])
}

/// `path` without `.` and `..`, so that the same file named in two ways is one; the disk is not asked.
pub fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_then_the_variable_then_the_nearest_file_then_the_home() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path();
        let deep = root.join("a/b");
        let home = root.join("home/.config/qcc");
        std::fs::create_dir_all(&deep).expect("a directory");
        std::fs::create_dir_all(&home).expect("a directory");
        let env = |name: &str| (name == "HOME").then(|| root.join("home").into_os_string());
        let find = || locate(None, &env, &deep);

        let missing = find().expect_err("there is none").to_string();
        assert!(missing.contains("qcc init") && missing.contains("a/b/qcc.yaml"), "{missing}");
        assert!(missing.contains("home/.config/qcc/qcc.yaml"), "{missing}");

        for path in [home.join("qcc.yaml"), root.join("a/qcc.yaml"), deep.join("qcc.yaml")] {
            std::fs::write(&path, "version: 1\n").expect("a file");
            assert_eq!(find(), Ok(path));
        }
        let env = |name: &str| (name == "QCC_CONFIG").then(|| OsString::from("other.yaml"));
        assert_eq!(locate(None, &env, &deep), Ok(deep.join("other.yaml")));
        assert_eq!(locate(Some(Path::new("/etc/qcc.yaml")), &env, &deep), Ok(PathBuf::from("/etc/qcc.yaml")));
    }

    #[test]
    fn an_instance_is_an_absolute_path() {
        let id = instance_id(Path::new("/a/b/qcc.yaml"));
        assert_eq!(id.len(), 16);
        assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(instance_id(Path::new("/a/./c/../b/qcc.yaml")), id);
        assert_ne!(instance_id(Path::new("/a/b/other.yaml")), id);
        assert_eq!(
            instance_id(Path::new("qcc.yaml")),
            instance_id(&std::env::current_dir().expect("a cwd").join("qcc.yaml"))
        );
    }
}
