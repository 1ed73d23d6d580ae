//! Where the entries are: the state file of the instance, and its proxy if one runs.

use std::path::Path as File;

use crate::admin::client::{Client, ClientError};
use crate::app::lock::{Lock, LockError};
use crate::cli::edit::{self, Failure};
use crate::config::{self, Instance};
use crate::store::{Failure as StoreFailure, Reader, Store, Tx, View};

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    instance: Instance,
}

impl Place {
    /// Of the file that `named` or the surroundings name. A file that is not valid has a queue too.
    pub(super) fn of(named: Option<&File>) -> Result<Self, Failure> {
        let path = edit::find(named)?;
        let loaded = config::load(&path);
        let state = loaded.config.as_ref().and_then(|config| config.state.dir.clone());
        Ok(Self { instance: Instance::here(&path, state.as_deref()) })
    }

    /// The way to the proxy.
    pub(super) fn proxy(&self) -> Result<Client, ClientError> {
        Client::of(&self.instance.config)
    }

    /// Looks at the state file; `None` where nothing was kept yet.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&View<'_>) -> Result<T, StoreFailure>,
    ) -> Result<Option<T>, Failure> {
        let reader = Reader::open(&self.instance.state).map_err(|error| Failure::CouldNot(error.to_string()))?;
        let Some(mut reader) = reader else { return Ok(None) };
        reader.read(look).map(Some).map_err(|error| Failure::CouldNot(error.to_string()))
    }

    /// Changes the state file while no proxy runs, and keeps one from starting meanwhile.
    pub(super) fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tx<'_>) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        let could_not = |error: &dyn std::fmt::Display| Failure::CouldNot(error.to_string());
        let _lock = Lock::take(&self.instance).map_err(|error| match error {
            LockError::Held(_) => Failure::CouldNot("a proxy is just starting; try again".to_owned()),
            LockError::Unusable(path, error) => could_not(&format!("`{}`: {error}", path.display())),
        })?;
        let store = Store::open(&self.instance.state).map_err(|error| could_not(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| could_not(&error))?;
        runtime.block_on(store.write(job)).map_err(|error| could_not(&error))
    }
}
