//! The file a command is about, and the proxy that runs it.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::app::lock::{self, Holder};
use crate::config::{self, Config, Instance, Loaded, locate};

/// One file, as it is now.
pub(super) struct Site {
    pub(super) path: PathBuf,
    pub(super) loaded: Loaded,
}

impl Site {
    /// The file that is meant; what is wrong with it is not asked here.
    pub(super) fn find(config: Option<&Path>) -> Result<Self, String> {
        let cwd = env::current_dir().map_err(|error| format!("the current directory is not there: {error}"))?;
        let path = locate(config, &|name| env::var_os(name), &cwd).map_err(|error| error.to_string())?;
        let path = cwd.join(path);
        let loaded = config::load(&path);
        Ok(Self { path, loaded })
    }

    /// The places that belong to it.
    pub(super) fn instance(&self) -> Instance {
        Instance::here(&self.path, self.loaded.state_dir().as_deref())
    }

    /// Who runs it, if anybody.
    pub(super) fn holder(&self) -> Result<Option<Holder>, String> {
        let state = self.instance().state;
        lock::holder(&state).map_err(|error| format!("`{}` cannot be read: {error}", state.join("lock").display()))
    }

    /// How long requests may take to finish.
    pub(super) fn drain(&self) -> Duration {
        let config = self.loaded.config.as_ref().map_or_else(Config::default, Clone::clone);
        config.server.drain.get()
    }

    /// The words for a proxy that is not there.
    pub(super) fn nobody(&self) -> String {
        format!("no proxy runs on `{}`; `qcc proxy start` starts one", self.path.display())
    }
}
