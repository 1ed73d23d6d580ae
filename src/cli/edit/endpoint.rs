//! The endpoints of a file as they are written, and where.

use serde_json::{Map, Value};

use crate::patch::Path;

/// One endpoint in the file.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct Endpoint {
    /// The profile it is in.
    pub(in crate::cli) profile: String,
    /// Its id; of a shorthand the name of the profile.
    pub(in crate::cli) id: String,
    /// Its fields without `id`; of a shorthand without those of the profile.
    pub(in crate::cli) fields: Map<String, Value>,
    /// Where its fields are.
    pub(in crate::cli) path: Path,
    /// Whether it is written at the profile itself.
    pub(in crate::cli) shorthand: bool,
}

/// Fields of a profile that are not those of its shorthand endpoint.
const OF_THE_PROFILE: [&str; 5] = ["description", "tier", "strategy", "affinity", "endpoints"];

impl Endpoint {
    /// The endpoints of the profile `name`, which says `profile`.
    pub(super) fn of(name: &str, profile: &Value) -> Vec<Self> {
        match profile.get("endpoints").and_then(Value::as_array) {
            Some(items) => items.iter().filter_map(|item| Self::item(name, item)).collect(),
            None => Self::short(name, profile).into_iter().collect(),
        }
    }

    fn item(profile: &str, item: &Value) -> Option<Self> {
        let mut fields = item.as_object()?.clone();
        let id = fields.shift_remove("id")?.as_str()?.to_owned();
        let path = Path::of(&["profiles", profile, "endpoints"]).item(&id);
        Some(Self { profile: profile.to_owned(), id, fields, path, shorthand: false })
    }

    fn short(name: &str, profile: &Value) -> Option<Self> {
        let mut fields = profile.as_object()?.clone();
        fields.retain(|key, _| !OF_THE_PROFILE.contains(&key.as_str()));
        let path = Path::of(&["profiles", name]);
        let (profile, id) = (name.to_owned(), name.to_owned());
        fields.contains_key("base_url").then_some(Self { profile, id, fields, path, shorthand: true })
    }

    /// How it is named on the command line.
    pub(in crate::cli) fn name(&self) -> String {
        format!("{}/{}", self.profile, self.id)
    }

    /// Whether requests would go to the same address with the same credential.
    pub(in crate::cli) fn is_same(&self, fields: &Map<String, Value>) -> bool {
        ["base_url", "api_key"].iter().all(|key| self.fields.get(*key) == fields.get(*key))
    }
}
