//! The endpoints of a file, whichever way they are written.

use crate::config::Config;
use crate::config::model::{EndpointFields, ProfileSpec};

/// One endpoint as the file has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointRef<'a> {
    /// Name of its profile.
    pub(super) profile: &'a str,
    /// The profile itself.
    pub(super) of: &'a ProfileSpec,
    /// Its id; the shorthand is named like its profile.
    pub(super) id: &'a str,
    /// Everything else.
    pub(super) fields: &'a EndpointFields,
}

impl EndpointRef<'_> {
    /// Whether traffic can reach it.
    pub(super) const fn serves(&self) -> bool {
        self.of.tier.is_some() && self.fields.enabled
    }
}

/// Every endpoint of `config`, in file order, those that take no traffic included.
pub(super) fn endpoints(config: &Config) -> impl Iterator<Item = EndpointRef<'_>> {
    config.profiles.iter().flat_map(|(name, profile)| of_profile(name, profile))
}

/// Every endpoint of one profile, in file order.
pub(super) fn of_profile<'a>(name: &'a str, of: &'a ProfileSpec) -> impl Iterator<Item = EndpointRef<'a>> {
    let short = of.shorthand.iter().map(move |fields| (name, &**fields));
    let listed = of.endpoints.iter().map(|endpoint| (endpoint.id.as_str(), &endpoint.fields));
    short.chain(listed).map(move |(id, fields)| EndpointRef { profile: name, of, id, fields })
}
