//! What of a broken file can still be read, so that everything wrong with it is said at once.
//!
//! What the schema refuses is cut out, with its surroundings where they cannot be without it; the rest has the shape of the
//! types. Cutting shifts the items of a list: [`Cuts::original`] tells where a thing stood in the file.

use std::collections::BTreeMap;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::place::{Place, Step};
use super::schema;
use super::violation;

/// Rounds of cutting: each one climbs one level at least.
const ROUNDS: usize = 12;

/// Places that were cut out of a document.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    gone: bool,
    below: BTreeMap<Step, Cuts>,
}

/// Cuts `value` down to what the schema accepts; `None`: nothing is left.
pub(super) fn salvage(value: &Value) -> Option<(Value, Cuts)> {
    let mut cuts = Cuts::default();
    for _ in 0..ROUNDS {
        let mut rest = value.clone();
        cuts.apply(&mut rest);
        let offenders: Vec<Place> =
            schema::Checks::iter_errors(&rest).flat_map(|error| offenders(&rest, &error)).collect();
        if offenders.is_empty() {
            return Some((rest, cuts));
        }
        let offenders: Vec<Place> = offenders.into_iter().map(|place| cuts.original(place)).collect();
        for place in &offenders {
            cuts.cut(place);
        }
        if cuts.gone {
            return None;
        }
    }
    None
}

fn offenders(root: &Value, error: &ValidationError<'_>) -> Vec<Place> {
    let place = violation::place(root, error.instance_path());
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected.iter().map(|key| place.key(key)).collect(),
        _ => vec![violation::refused_name(error).map_or_else(|| place.clone(), |key| place.key(key))],
    }
}

impl Cuts {
    fn cut(&mut self, place: &Place) {
        let at = place.steps().iter().fold(self, |cuts, step| cuts.below.entry(step.clone()).or_default());
        at.gone = true;
    }

    fn apply(&self, value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.retain(|key, _| !self.at(&Step::Key(key.clone())).is_some_and(|cuts| cuts.gone));
                for (key, value) in object {
                    if let Some(cuts) = self.at(&Step::Key(key.clone())) {
                        cuts.apply(value);
                    }
                }
            }
            Value::Array(items) => {
                let mut index = 0;
                items.retain_mut(|item| {
                    let cuts = self.at(&Step::Index(index));
                    index += 1;
                    let Some(cuts) = cuts else { return true };
                    cuts.apply(item);
                    !cuts.gone
                });
            }
            _ => {}
        }
    }

    fn at(&self, step: &Step) -> Option<&Self> {
        self.below.get(step)
    }

    /// Where `place` of what is left stood in the whole.
    pub(super) fn original(&self, place: Place) -> Place {
        if self.below.is_empty() {
            return place;
        }
        let mut here = Some(self);
        let mut steps = Vec::with_capacity(place.steps().len());
        for step in place.steps() {
            let step = match (step, here) {
                (Step::Index(index), Some(cuts)) => Step::Index(cuts.original_index(*index)),
                _ => step.clone(),
            };
            here = here.and_then(|cuts| cuts.at(&step));
            steps.push(step);
        }
        steps.into_iter().collect()
    }

    fn original_index(&self, index: usize) -> usize {
        let gone = self.below.iter().filter(|(_, cuts)| cuts.gone);
        gone.fold(index, |at, (step, _)| if matches!(step, Step::Index(gone) if *gone <= at) { at + 1 } else { at })
    }

    /// Whether something directly in the mapping or list at `place` (of the whole) was cut.
    pub(super) fn thin(&self, place: &Place) -> bool {
        let found = place.steps().iter().try_fold(self, |cuts, step| cuts.at(step));
        found.is_some_and(|cuts| cuts.below.values().any(|cuts| cuts.gone))
    }

    /// Whether something at or below `place` (of the whole) was cut: what is missing there may have been written.
    pub(super) fn touch(&self, place: &Place) -> bool {
        let found = place.steps().iter().try_fold(self, |cuts, step| cuts.at(step));
        found.is_some_and(|cuts| cuts.gone || !cuts.below.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_knows_where_it_stood() {
        let endpoint = |id: &str| json!({ "id": id, "base_url": "https://a" });
        let broken = json!({ "id": 1, "base_url": "https://a" });
        let file =
            json!({ "bogus": 1, "profiles": { "p": { "endpoints": [broken, endpoint("b"), {}, endpoint("d")] } } });
        let (rest, cuts) = salvage(&file).expect("something is left");
        assert_eq!(rest, json!({ "profiles": { "p": { "endpoints": [endpoint("b"), endpoint("d")] } } }));
        let list = Place::of(&["profiles", "p", "endpoints"]);
        assert_eq!(cuts.original(list.index(0)), list.index(1));
        assert_eq!(cuts.original(list.index(1).key("id")), list.index(3).key("id"));
        assert!(cuts.touch(&list) && cuts.touch(&Place::root()) && !cuts.touch(&Place::of(&["server"])));
        assert!(cuts.thin(&list) && cuts.thin(&Place::root()) && !cuts.thin(&Place::of(&["profiles"])));
        assert!(salvage(&json!([])).is_none());
    }
}
