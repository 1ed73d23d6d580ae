//! The same edits on plain values: what the text has to say afterwards.

use serde_json::{Map, Value};

use super::edit::{Edit, Path, Step};
use super::editor::endpoints;

/// Keys of a profile that are not its endpoint's.
pub(super) const PROFILE_KEYS: [&str; 5] = ["description", "tier", "strategy", "affinity", "endpoints"];

/// Applies `edit`, whose list items are positions; `false` if it makes no sense here.
pub(super) fn apply(root: &mut Value, edit: &Edit) -> bool {
    match edit {
        Edit::Set { path, value } => set(root, &path.0, value).is_some(),
        Edit::Unset { path } => unset(root, &path.0).is_some(),
        Edit::AddProfile { name, fields } => {
            set(root, &Path::of(&["profiles", name]).0, &Value::Object(fields.clone())).is_some()
        }
        Edit::RenameProfile { from, to } => rename(root, from, to).is_some(),
        Edit::RemoveProfile { name } => {
            let gone = unset(root, &Path::of(&["profiles", name]).0).is_some();
            if root["default"] == name.as_str() { unset(root, &Path::of(&["default"]).0).is_some() } else { gone }
        }
        Edit::AddEndpoint { profile, fields, at } => add(root, profile, fields, *at).is_some(),
        Edit::MoveEndpoint { profile, id, to } => reorder(root, profile, id, *to).is_some(),
        Edit::RemoveEndpoint { .. } => false,
    }
}

fn set(value: &mut Value, steps: &[Step], new: &Value) -> Option<()> {
    let Some((step, rest)) = steps.split_first() else {
        value.clone_from(new);
        return Some(());
    };
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    match step {
        Step::Key(key) => set(value.as_object_mut()?.entry(key.clone()).or_insert(Value::Null), rest, new),
        Step::Index(index) => set(value.get_mut(*index)?, rest, new),
        Step::Item(_) => None,
    }
}

fn get<'v>(value: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(*index),
        Step::Item(_) => None,
    })
}

fn unset(root: &mut Value, steps: &[Step]) -> Option<Value> {
    let (last, above) = steps.split_last()?;
    match (get(root, above)?, last) {
        (Value::Object(fields), Step::Key(key)) => fields.shift_remove(key),
        (Value::Array(items), Step::Index(index)) if *index < items.len() => Some(items.remove(*index)),
        _ => None,
    }
}

fn rename(root: &mut Value, from: &str, to: &str) -> Option<()> {
    let profiles = root.get_mut("profiles")?.as_object_mut()?;
    let old = std::mem::take(profiles);
    profiles.extend(old.into_iter().map(|(name, value)| (if name == from { to.to_owned() } else { name }, value)));
    if root["default"] == from {
        root["default"] = to.into();
    }
    Some(())
}

fn add(root: &mut Value, profile: &str, fields: &Map<String, Value>, at: Option<usize>) -> Option<()> {
    let spec = get(root, &Path::of(&["profiles", profile]).0)?;
    if spec.is_null() {
        *spec = Value::Object(Map::new());
    }
    let spec = spec.as_object_mut()?;
    if !spec.contains_key("endpoints") && spec.keys().any(|key| is_endpoint_key(key)) {
        write_out(spec, profile);
    }
    let list = spec.entry("endpoints").or_insert(Value::Null);
    if list.is_null() || list.as_object().is_some_and(Map::is_empty) {
        *list = Value::Array(Vec::new());
    }
    let items = list.as_array_mut()?;
    items.insert(at.unwrap_or(usize::MAX).min(items.len()), Value::Object(fields.clone()));
    Some(())
}

/// Whether `key` of a profile belongs to the endpoint it stands for.
pub(super) fn is_endpoint_key(key: &str) -> bool {
    !PROFILE_KEYS.contains(&key) && key != "<<"
}

/// Makes the shorthand a list of one.
pub(super) fn write_out(spec: &mut Map<String, Value>, profile: &str) {
    let (fields, mut rest): (Map<_, _>, Map<_, _>) =
        std::mem::take(spec).into_iter().partition(|(key, _)| is_endpoint_key(key));
    let mut endpoint = Map::from_iter([("id".to_owned(), profile.into())]);
    endpoint.extend(fields);
    rest.insert("endpoints".to_owned(), vec![endpoint].into());
    *spec = rest;
}

fn reorder(root: &mut Value, profile: &str, id: &str, to: usize) -> Option<()> {
    let items = get(root, &endpoints(profile).0)?.as_array_mut()?;
    let named = items.iter().position(|item| item["id"] == id);
    let item = items.remove(named.or_else(|| id.parse().ok())?);
    items.insert(to.min(items.len()), item);
    Some(())
}
