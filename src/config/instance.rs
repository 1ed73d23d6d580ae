//! A file and the places that belong to it: its state, its control socket.
//!
//! Everything is derived from the file's path and the environment, so that proxies of different files never meet. Both a
//! saved file and an environment may say something else by now than when the proxy of the file was started: who looks
//! for it looks at all places there can be. Nothing here touches the disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::locate::instance_id;

/// The longest path a Unix socket can have on every system we run on.
const LONGEST_SOCKET: usize = 100;

/// One file and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// 16 hexadecimal digits, see [`instance_id`].
    pub id: String,
    /// The file, absolute.
    pub config: PathBuf,
    /// Where its runtime state is kept: database, accepted files, logs.
    pub state: PathBuf,
    /// Its control socket; the folder around it is private.
    pub socket: PathBuf,
}

/// Places of an instance beside those its file and the environment name now; the likeliest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Of its state: without the file's `state.dir`, then without each variable.
    pub states: Vec<PathBuf>,
    /// Of its control socket: that of a login, and the one without.
    pub sockets: Vec<PathBuf>,
}

impl Instance {
    /// The instance of `config` for this process: with its environment and its user.
    pub fn here(config: &Path, state_dir: Option<&Path>) -> Self {
        Self::of(config, state_dir, &|name| std::env::var_os(name), rustix::process::getuid().as_raw())
    }

    /// The instance of `config`. `state_dir` is `state.dir` of the file; it wins over `QCC_STATE_DIR`, and that over
    /// `$XDG_STATE_HOME/qcc/<id>/`. `uid` names the socket's folder where there is no `XDG_RUNTIME_DIR`.
    pub fn of(config: &Path, state_dir: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Self {
        let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        let id = instance_id(&config);
        let state = state(&config, &id, state_dir, env);
        let socket = socket(&id, env, uid);
        Self { id, config, state, socket }
    }

    /// Where else this user's proxies of the file may have been told to be, for who looks for one.
    pub fn elsewhere(&self) -> Elsewhere {
        self.elsewhere_of(&|name| std::env::var_os(name), rustix::process::getuid().as_raw())
    }

    fn elsewhere_of(&self, env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Elsewhere {
        let ignored = |ignored: &'static [&str]| move |name: &str| env(name).filter(|_| !ignored.contains(&name));
        let state = |names| state(&self.config, &self.id, None, &ignored(names));
        let states = [&[][..], &["QCC_STATE_DIR"], &["QCC_STATE_DIR", "XDG_STATE_HOME"]].map(state);
        let login = PathBuf::from(format!("/run/user/{uid}"));
        let logged_in = |name: &str| (name == "XDG_RUNTIME_DIR").then(|| login.clone().into_os_string());
        let sockets = [socket(&self.id, &logged_in, uid), socket(&self.id, &|_| None, uid)];
        Elsewhere { states: others(states, &self.state), sockets: others(sockets, &self.socket) }
    }

    /// The log file of a proxy in the background.
    pub fn log(&self) -> PathBuf {
        self.state.join("proxy.log")
    }
}

fn state(config: &Path, id: &str, dir: Option<&Path>, env: &dyn Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(dir) = dir {
        return config.parent().unwrap_or(Path::new("/")).join(dir);
    }
    if let Some(dir) = env("QCC_STATE_DIR").filter(|dir| !dir.is_empty()) {
        return std::path::absolute(&dir).unwrap_or_else(|_| dir.into());
    }
    let home = || env("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    directory("XDG_STATE_HOME", env).or_else(home).unwrap_or_else(std::env::temp_dir).join("qcc").join(id)
}

fn socket(id: &str, env: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> PathBuf {
    let name = format!("{id}.sock");
    let usual = directory("XDG_RUNTIME_DIR", env).map(|dir| dir.join("qcc").join(&name));
    usual
        .filter(|path| path.as_os_str().len() <= LONGEST_SOCKET)
        .unwrap_or_else(|| Path::new("/tmp").join(format!("qcc-{uid}")).join(name))
}

/// Those that are not `first`, each once.
fn others(places: impl IntoIterator<Item = PathBuf>, first: &Path) -> Vec<PathBuf> {
    let mut others: Vec<PathBuf> = places.into_iter().filter(|place| place != first).collect();
    others.dedup();
    others
}

/// What an XDG variable names; relative paths are to be ignored.
fn directory(variable: &str, env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    env(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(state_dir: Option<&str>, variables: &[(&str, &str)]) -> Instance {
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Instance::of(Path::new("/srv/qcc.yaml"), state_dir.map(Path::new), &env, 1000)
    }

    #[test]
    fn state_is_where_the_file_says_then_the_variable_then_the_home() {
        let id = instance_id(Path::new("/srv/qcc.yaml"));
        let home = ("HOME", "/home/u");
        assert_eq!(instance(None, &[home]).state, Path::new("/home/u/.local/state/qcc").join(&id));
        let xdg = ("XDG_STATE_HOME", "/xdg");
        assert_eq!(instance(None, &[home, xdg]).state, Path::new("/xdg/qcc").join(&id));
        assert_eq!(instance(None, &[("QCC_STATE_DIR", "/state"), xdg]).state, Path::new("/state"));
        assert_eq!(instance(Some("kept"), &[("QCC_STATE_DIR", "/state")]).state, Path::new("/srv/kept"));
    }

    #[test]
    fn the_socket_has_a_short_path() {
        let id = instance_id(Path::new("/srv/qcc.yaml"));
        let run = ("XDG_RUNTIME_DIR", "/run/user/1000");
        assert_eq!(instance(None, &[run]).socket, Path::new("/run/user/1000/qcc").join(format!("{id}.sock")));
        let short = Path::new("/tmp/qcc-1000").join(format!("{id}.sock"));
        assert_eq!(instance(None, &[]).socket, short);
        assert_eq!(instance(None, &[("XDG_RUNTIME_DIR", "relative")]).socket, short);
        let long = format!("/{}", "x".repeat(100));
        assert_eq!(instance(None, &[("XDG_RUNTIME_DIR", &long)]).socket, short);
    }

    #[test]
    fn a_proxy_may_be_where_another_file_or_environment_wanted_it() {
        let id = instance_id(Path::new("/srv/qcc.yaml"));
        let variables = [("QCC_STATE_DIR", "/state"), ("XDG_STATE_HOME", "/xdg"), ("HOME", "/home/u")];
        let env = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let now = Instance::of(Path::new("/srv/qcc.yaml"), Some(Path::new("kept")), &env, 1000);
        let Elsewhere { states, sockets } = now.elsewhere_of(&env, 1000);
        let home = Path::new("/home/u/.local/state/qcc").join(&id);
        assert_eq!(states, [Path::new("/state"), &Path::new("/xdg/qcc").join(&id), &home]);
        assert_eq!(sockets, [Path::new("/run/user/1000/qcc").join(format!("{id}.sock"))]);

        let now = instance(None, &[("XDG_RUNTIME_DIR", "/run/user/1000"), ("HOME", "/home/u")]);
        let Elsewhere { states, sockets } = now.elsewhere_of(&|name| (name == "HOME").then(|| "/home/u".into()), 1000);
        assert_eq!((states.len(), sockets), (0, vec![Path::new("/tmp/qcc-1000").join(format!("{id}.sock"))]));
    }
}
