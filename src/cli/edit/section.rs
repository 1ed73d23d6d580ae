//! A section of the file whose values are changed by flags and shown without: `failover`, `health`, `queue`.

use std::path::Path as File;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::{EditArgs, Sheet, end, run};
use crate::cli::stdout;
use crate::config::Config;
use crate::config::units::Dur;
use crate::patch::{Edit, Path};

/// Changes the section `name` as wished; without a wish shows it.
pub(in crate::cli) fn section<S: Serialize>(
    named: Option<&File>,
    args: &EditArgs,
    name: &str,
    wishes: Wishes,
    of: impl Fn(&Config) -> &S,
) -> ExitCode {
    if !wishes.is_empty() {
        return run(named, args, |sheet| Ok(wishes.edits(sheet, name)));
    }
    end(Sheet::open(named).and_then(|sheet| {
        let section = of(sheet.config()?);
        let text = if args.json { format!("{:#}\n", json!(section)) } else { shown(section) };
        Ok(stdout::print(&text, ExitCode::SUCCESS))
    }))
}

/// What was given by flags, as keys of a section. Flags that were not given are left out.
#[derive(Debug, Default)]
pub(in crate::cli) struct Wishes(Vec<(&'static str, Value)>);

impl Wishes {
    /// Also `key`, if it was given.
    #[must_use]
    pub(in crate::cli) fn and<T: Serialize>(mut self, key: &'static str, value: Option<T>) -> Self {
        self.0.extend(value.map(|value| (key, json!(value))));
        self
    }

    /// Also `key`, by a flag that turns it on or one that turns it off.
    #[must_use]
    pub(in crate::cli) fn either(self, key: &'static str, on: bool, off: bool) -> Self {
        self.and(key, (on || off).then_some(on))
    }

    /// Whether nothing was given.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to change in `section`: nothing that the file says already, perhaps in other words.
    fn edits(self, sheet: &Sheet, section: &str) -> Vec<Edit> {
        let news =
            self.0.into_iter().filter(|(key, value)| !sheet.get(&[section, key]).is_some_and(|now| same(now, value)));
        news.map(|(key, value)| Edit::Set { path: Path::of(&[section, key]), value }).collect()
    }
}

/// Whether two values mean the same: `300` is `5m`.
fn same(now: &Value, wanted: &Value) -> bool {
    let duration = |value: &Value| serde_json::from_value::<Dur>(value.clone()).ok();
    now == wanted || wanted.is_string() && duration(now).is_some() && duration(now) == duration(wanted)
}

/// The values of a section for people, one a line; keys as the flags are spelt.
pub(in crate::cli) fn shown(section: &impl Serialize) -> String {
    let value = json!(section);
    let fields: Vec<(String, String)> =
        value.as_object().into_iter().flatten().map(|(key, value)| (key.replace('_', "-"), word(value))).collect();
    let width = fields.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let lines: Vec<String> = fields.iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect();
    lines.concat()
}

fn word(value: &Value) -> String {
    match value {
        Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Failover;

    #[test]
    fn the_same_in_other_words_is_the_same() {
        assert!(same(&json!(300), &json!("5m")) && same(&json!(3), &json!(3)));
        assert!(
            !same(&json!("6m"), &json!("5m")) && !same(&json!(true), &json!(false)) && !same(&json!("x"), &json!("y"))
        );
    }

    #[test]
    fn values_are_shown_one_a_line() {
        let text = "auto-failover      on\nauto-recovery      on\nfailure-threshold  3\ncooldown           5m\n";
        assert_eq!(shown(&Failover::default()), text);
    }
}
