//! The file a command is about, and the proxy that runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::app::lock::Holder;
use crate::app::search::Found;
use crate::cli::edit;
use crate::config::{self, Config, Loaded};

/// One file, as it is now.
pub(super) struct Site {
    pub(super) path: PathBuf,
    pub(super) loaded: Loaded,
}

impl Site {
    /// The file that is meant; what is wrong with it is not asked here.
    pub(super) fn find(config: Option<&Path>) -> Result<Self, String> {
        let path = edit::find_or_gone(config).map_err(|failure| failure.to_string())?;
        let loaded = config::load(&path);
        Ok(Self { path, loaded })
    }

    /// The places that belong to it, and who runs it.
    pub(super) fn found(&self) -> Result<Found, String> {
        edit::find_proxy(&self.loaded).map_err(|failure| failure.to_string())
    }

    /// Who runs it, if anybody.
    pub(super) fn holder(&self) -> Result<Option<Holder>, String> {
        Ok(self.found()?.holder)
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
