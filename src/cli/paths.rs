//! The paths there can be: what the schema allows and what the file has.

use serde_json::Value;

use crate::config::schema;
use crate::patch::{Path, Step};

/// Less alike is not what was meant.
const ALIKE: f64 = 0.7;

/// What `current` may be on its way to, in a file that says `file`: one step further than what is whole already.
pub(super) fn complete(file: &Value, current: &str) -> Vec<String> {
    let (above, open) = match current.rfind(['.', '[']) {
        Some(at) if current[at..].starts_with('[') && !current.ends_with(']') => (&current[..at], true),
        Some(at) if current[at..].starts_with('.') => (&current[..at], false),
        Some(_) => (current, true),
        None => ("", false),
    };
    let Ok(path) = (if above.is_empty() { Ok(Path::default()) } else { above.parse::<Path>() }) else {
        return Vec::new();
    };
    let items = items(file, &path).into_iter().map(|name| path.clone().item(&name).to_string());
    if open {
        return items.collect();
    }
    let keys = keys(file, &path).into_iter().map(|key| path.clone().key(&key).to_string());
    let whole = current.parse().map(|whole: Path| {
        let items = self::items(file, &whole).into_iter();
        items.map(move |name| whole.clone().item(&name).to_string()).collect::<Vec<_>>()
    });
    keys.chain(whole.unwrap_or_default()).collect()
}

/// The values that `path` can have, where they can be counted.
pub(super) fn values(path: &Path) -> Vec<String> {
    let root = schema();
    let mut values = Vec::new();
    for node in at(root, path) {
        let listed = node.get("enum").and_then(Value::as_array).into_iter().flatten().chain(node.get("const"));
        values.extend(listed.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        if node.get("type").is_some_and(|kind| kind == "boolean") {
            values.extend(["true", "false"].map(str::to_owned));
        }
    }
    values
}

/// The path that was probably meant by one that leads nowhere.
pub(super) fn nearest(file: &Value, path: &Path) -> Option<Path> {
    let there = |depth: &usize| get(file, &path.0[..*depth]).is_some();
    let depth = (0..=path.0.len()).take_while(there).last()?;
    let (step, above) = (path.0.get(depth)?, Path(path.0[..depth].to_vec()));
    let (Step::Key(wanted) | Step::Item(wanted)) = step else { return None };
    let steps: Vec<Step> = match get(file, &above.0)? {
        Value::Array(_) => items(file, &above).into_iter().map(Step::Item).collect(),
        _ => keys(file, &above).into_iter().map(Step::Key).collect(),
    };
    let likeness = |step: &Step| match step {
        Step::Key(name) | Step::Item(name) => strsim::jaro_winkler(name, wanted),
        Step::Index(_) => 0.0,
    };
    let best = steps.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) >= ALIKE).then(|| above.then(best))
}

/// What is at `steps`.
pub(super) fn get<'v>(value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(index) => value.get(*index),
        Step::Item(name) => item(value, name),
    })
}

/// The list item of that id or name; else the one at that position.
fn item<'v>(list: &'v Value, name: &str) -> Option<&'v Value> {
    let named = list.as_array()?.iter().find(|item| called(item) == Some(name));
    named.or_else(|| list.get(name.parse::<usize>().ok()?))
}

/// What a list item is called.
pub(super) fn called(item: &Value) -> Option<&str> {
    ["id", "name"].iter().find_map(|key| item.get(key)?.as_str())
}

/// The keys that are or may be at `path`.
fn keys(file: &Value, path: &Path) -> Vec<String> {
    let root = schema();
    let present = get(file, &path.0).and_then(Value::as_object).into_iter().flat_map(|fields| fields.keys());
    let nodes = at(root, path);
    let allowed = nodes.iter().filter_map(|node| node.get("properties")?.as_object()).flat_map(|fields| fields.keys());
    let mut keys: Vec<String> = present.chain(allowed).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The names of the items of the list at `path`.
fn items(file: &Value, path: &Path) -> Vec<String> {
    let list = get(file, &path.0).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(called).map(str::to_owned).collect()
}

/// What the schema says of `path`: every alternative.
fn at<'s>(root: &'s Value, path: &Path) -> Vec<&'s Value> {
    path.0.iter().fold(spread(root, root), |nodes, step| {
        nodes.into_iter().filter_map(|node| below(node, step)).flat_map(|node| spread(root, node)).collect()
    })
}

fn below<'s>(node: &'s Value, step: &Step) -> Option<&'s Value> {
    match step {
        Step::Key(key) => {
            let named = node.get("properties").and_then(|fields| fields.get(key));
            named.or_else(|| node.get("additionalProperties").filter(|any| any.is_object()))
        }
        Step::Item(_) | Step::Index(_) => node.get("items"),
    }
}

/// A node with everything it refers to and can be.
fn spread<'s>(root: &'s Value, node: &'s Value) -> Vec<&'s Value> {
    let referred = node.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.strip_prefix('#')?));
    let choices = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| node.get(key)?.as_array()).flatten();
    let inner = referred.into_iter().chain(choices).flat_map(|inner| spread(root, inner));
    std::iter::once(node).chain(inner).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn file() -> Value {
        json!({ "failover": { "cooldown": "5m" }, "profiles": { "team": { "endpoints": [{ "id": "one" }, { "id": "two" }] } } })
    }

    #[test]
    fn a_path_is_completed_step_by_step() {
        let complete = |current| complete(&file(), current);
        assert!(complete("fail").contains(&"failover".to_owned()) && complete("").contains(&"notify".to_owned()));
        assert!(complete("failover.c").contains(&"failover.auto_recovery".to_owned()));
        assert_eq!(complete("profiles.te"), ["profiles.team"]);
        assert!(complete("profiles.team.").contains(&"profiles.team.strategy".to_owned()));
        let items = ["profiles.team.endpoints[one]", "profiles.team.endpoints[two]"].map(str::to_owned);
        assert!(items.iter().all(|item| complete("profiles.team.endpoints").contains(item)));
        assert_eq!(complete("profiles.team.endpoints[o"), items);
        assert!(complete("profiles.team.endpoints[one].w").contains(&"profiles.team.endpoints[one].weight".to_owned()));
    }

    #[test]
    fn values_that_can_be_counted_are_known() {
        let values = |path: &str| values(&path.parse().expect("a path"));
        assert_eq!(values("profiles.x.tier"), ["primary", "secondary", "fallback"]);
        assert_eq!(values("failover.auto_failover"), ["true", "false"]);
        assert!(values("profiles.x.endpoints[y].auth").contains(&"bearer".to_owned()));
        assert!(values("failover.cooldown").is_empty());
    }

    #[test]
    fn a_path_that_leads_nowhere_was_probably_meant_otherwise() {
        let nearest = |path: &str| nearest(&file(), &path.parse().expect("a path")).map(|path| path.to_string());
        assert_eq!(nearest("failover.coldown").as_deref(), Some("failover.cooldown"));
        assert_eq!(nearest("profiles.taem.tier").as_deref(), Some("profiles.team"));
        assert_eq!(nearest("profiles.team.endpoints[twoo].weight").as_deref(), Some("profiles.team.endpoints[two]"));
        assert_eq!(nearest("xyzzy"), None);
    }
}
