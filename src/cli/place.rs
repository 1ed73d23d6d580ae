//! A file as commands that show and steer see it: what it says, the state of its instance, and its proxy if one runs.

use std::path::Path as File;
use std::time::SystemTime;

use super::edit::{self, Failure};
use crate::admin::client::{Client, ClientError};
use crate::app::Held;
use crate::app::lock::{Lock, LockError};
use crate::app::search::Found;
use crate::config::{self, Config, Instance, Loaded};
use crate::store::{FILE, Failure as StoreFailure, Reader, Store, Tx, View};

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    found: Found,
    loaded: Loaded,
}

impl Place {
    /// Of the file that `named` or the surroundings name. A file that is not valid, or gone, may have a state all the same.
    pub(super) fn of(named: Option<&File>) -> Result<Self, Failure> {
        let loaded = config::load(&edit::find_or_gone(named)?);
        let place = Self { found: edit::find_proxy(&loaded)?, loaded };
        if place.loaded.unread() && !place.instance().state.join(FILE).exists() {
            return Err(place.unread());
        }
        Ok(place)
    }

    fn unread(&self) -> Failure {
        let why = self.loaded.diagnostics.first().map_or("unreadable", |diagnostic| &diagnostic.message);
        Failure::CouldNot(format!("`{}`: {why}", self.loaded.path.display()))
    }

    const fn instance(&self) -> &Instance {
        &self.found.instance
    }

    /// The file, absolute.
    pub(super) fn path(&self) -> &File {
        &self.instance().config
    }

    /// The id of its instance.
    pub(super) fn id(&self) -> &str {
        &self.instance().id
    }

    /// What was read.
    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// What the file says, with defaults. A file with errors says nothing for certain.
    pub(super) fn config(&self) -> Result<&Config, Failure> {
        let (path, errors) = (self.loaded.path.display(), self.loaded.errors());
        if self.loaded.unread() {
            return Err(self.unread());
        }
        let why = || Failure::Refused(format!("{path} has {errors} error(s); `qcc validate` tells them"));
        self.loaded.config.as_ref().ok_or_else(why)
    }

    /// The way to the proxy.
    pub(super) fn proxy(&self) -> Result<Client, ClientError> {
        self.found.client()
    }

    /// Looks at the state file; `None` where nothing was kept yet.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&View<'_>) -> Result<T, StoreFailure>,
    ) -> Result<Option<T>, Failure> {
        Ok(self.read_with_age(look)?.map(|(found, _)| found))
    }

    /// The same, with the time the state was last written.
    pub(super) fn read_with_age<T>(
        &self,
        look: impl FnOnce(&View<'_>) -> Result<T, StoreFailure>,
    ) -> Result<Option<(T, SystemTime)>, Failure> {
        let reader = Reader::open(&self.instance().state).map_err(|error| Failure::CouldNot(error.to_string()))?;
        let Some(mut reader) = reader else { return Ok(None) };
        let written = reader.written().unwrap_or_else(SystemTime::now);
        let found = reader.read(look).map_err(|error| Failure::CouldNot(error.to_string()))?;
        Ok(Some((found, written)))
    }

    /// Changes the state file while no proxy runs, and keeps one from starting meanwhile.
    pub(super) fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Tx<'_>) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        let could_not = |error: &dyn std::fmt::Display| Failure::CouldNot(error.to_string());
        let _lock = Lock::take(self.instance()).map_err(|error| match error {
            LockError::Held(holder) => could_not(&Held::new(self.instance(), holder)),
            LockError::Unusable(path, error) => could_not(&format!("`{}`: {error}", path.display())),
        })?;
        let store = Store::open(&self.instance().state).map_err(|error| could_not(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| could_not(&error))?;
        runtime.block_on(store.write(job)).map_err(|error| could_not(&error))
    }
}

/// The proxy's no is a refusal; anything else could not be tried.
pub(super) fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { message, .. } => Failure::Refused(message),
        error => Failure::CouldNot(error.to_string()),
    }
}
