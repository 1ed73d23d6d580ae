//! What the schema says is wrong, in the words of the person who wrote the file.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::paths::{Location, LocationSegment};
use serde_json::Value;

use super::diagnostic::Finding;
use super::mask;
use super::place::{Place, Step};
use super::schema;

/// Everything the schema refuses in `value`.
pub(super) fn violations(value: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for error in schema::Checks::iter_errors(value) {
        Case { root: value, error: &error }.explain(&mut findings);
    }
    findings
}

/// The place an error speaks of; a key may look like a number.
pub(super) fn place(root: &Value, location: &Location) -> Place {
    let mut here = Some(root);
    location
        .iter()
        .map(|segment| {
            let text = match &segment {
                LocationSegment::Property(key) => key.to_string(),
                LocationSegment::Index(index) => index.to_string(),
            };
            let (step, below) = match (here, segment) {
                (Some(Value::Array(items)), LocationSegment::Index(index)) => (Step::Index(index), items.get(index)),
                (Some(other), _) => (Step::Key(text.clone()), other.get(&text)),
                (None, _) => (Step::Key(text), None),
            };
            here = below;
            step
        })
        .collect()
}

/// The key that may not be called so; the error's place is the object it stands in.
pub(super) fn refused_name<'a>(error: &'a ValidationError<'_>) -> Option<&'a str> {
    let (object, _) = error.schema_path().as_str().rsplit_once('/')?;
    error.instance().as_str().filter(|_| object.ends_with("/propertyNames"))
}

struct Case<'a> {
    root: &'a Value,
    error: &'a ValidationError<'a>,
}

impl Case<'_> {
    fn explain(&self, findings: &mut Vec<Finding>) {
        let at = place(self.root, self.error.instance_path());
        if let Some(name) = refused_name(self.error) {
            findings.push(self.bad_name(&at, name));
            return;
        }
        let finding = match self.error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                findings.extend(unexpected.iter().map(|key| self.unknown_key(&at, key)));
                return;
            }
            Kind::AnyOf { context } => return self.any_of(&at, context, findings),
            Kind::OneOfNotValid { .. } | Kind::Enum { .. } | Kind::Constant { .. } => self.unknown_value(&at),
            Kind::Required { property } => self.missing_key(&at, property),
            Kind::Type { kind } => self.wrong_type(&at, kind),
            Kind::Minimum { limit } => self.out_of_range(&at, &format!("at least {limit}")),
            Kind::Maximum { limit } => self.out_of_range(&at, &format!("at most {limit}")),
            Kind::MinLength { .. } | Kind::MinItems { .. } => {
                Finding::error("empty", &at, format!("{} must not be empty", subject(&at)))
            }
            _ => self.bad_value(&at),
        };
        let told = |earlier: &Finding| earlier.code == finding.code && earlier.place == finding.place;
        if !(finding.code == "bad-value" && findings.last().is_some_and(told)) {
            findings.push(finding);
        }
    }

    /// The object the failed keyword belongs to.
    fn schema(&self) -> Option<&'static Value> {
        let pointer = self.error.schema_path().as_str();
        schema::subschema(pointer.rsplit_once('/').map_or("", |(object, _)| object))
    }

    fn instance(&self) -> &Value {
        self.error.instance()
    }

    fn unknown_key(&self, at: &Place, key: &str) -> Finding {
        let known: Vec<&str> = self.schema().map(property_names).unwrap_or_default();
        let is_open = |key: &&str| self.instance().get(*key).is_none();
        let open: Vec<&str> = known.iter().copied().filter(is_open).collect();
        let message = match at.last_key() {
            Some(_) => format!("`{key}` is not a key of {}", subject(at)),
            None => format!("`{key}` is not a key of this file"),
        };
        let help = nearest(key, &open).map_or_else(|| known_keys(&known), did_you_mean);
        Finding::error("unknown-key", &at.key(key), message).help(help).at_key()
    }

    fn unknown_value(&self, at: &Place) -> Finding {
        let words = self.schema().map(choices).unwrap_or_default();
        if !self.instance().is_string() {
            return self.mistyped(at, &format!("one of {}", list(&words)));
        }
        let message = format!("{} must be one of {}{}", subject(at), list(&words), self.not(at));
        let finding = Finding::error("unknown-value", at, message);
        match nearest(self.instance().as_str().unwrap_or_default(), &words) {
            Some(word) => finding.help(did_you_mean(word)),
            None => finding,
        }
    }

    fn missing_key(&self, at: &Place, property: &Value) -> Finding {
        let key = property.as_str().unwrap_or_default();
        let finding = Finding::error("missing-key", at, format!("{} needs `{key}`", subject(at)));
        let property =
            self.schema().and_then(|schema| schema.get("properties")?.get(key)?.get("description")?.as_str());
        match property {
            Some(description) => finding.help(format!("{key}: {description}")),
            None => finding,
        }
    }

    fn wrong_type(&self, at: &Place, kind: &TypeKind) -> Finding {
        let types: Vec<String> = match kind {
            TypeKind::Single(one) => vec![one.to_string()],
            TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect(),
        };
        let types: Vec<&str> = types.iter().map(|name| type_in_words(name)).collect();
        self.mistyped(at, &types.join(" or "))
    }

    fn mistyped(&self, at: &Place, wanted: &str) -> Finding {
        let instance = self.instance();
        if instance.is_null() {
            let message = format!("{} has no value; it must be {wanted}", subject(at));
            return Finding::error("wrong-type", at, message).help("give it a value, or remove the key");
        }
        let message = format!("{} must be {wanted}, not {}", subject(at), kind_of(instance));
        let finding = Finding::error("wrong-type", at, message);
        match instance {
            Value::String(text) if wanted == "true or false" && is_yes_or_no(text) => {
                finding.help("YAML 1.2 knows only `true` and `false`")
            }
            Value::String(text) if wanted.contains("number") && text.parse::<f64>().is_ok() => {
                finding.help("remove the quotes")
            }
            Value::Number(_) | Value::Bool(_) if wanted.contains("text") => finding.help("put it in quotes"),
            _ => finding,
        }
    }

    fn out_of_range(&self, at: &Place, bound: &str) -> Finding {
        let message = format!("{} must be {bound}{}", subject(at), self.not(at));
        if *at == Place::of(&["version"]) {
            return Finding::error(
                "unsupported-version",
                at,
                format!("this qcc reads version 1 of the format{}", self.not(at)),
            )
            .help("a newer qcc may read this file");
        }
        Finding::error("out-of-range", at, message)
    }

    fn bad_value(&self, at: &Place) -> Finding {
        let message = match self.not(at).strip_prefix(", not ") {
            Some(value) => format!("{value} does not fit {}", subject(at)),
            None => format!("this value does not fit {}", subject(at)),
        };
        let finding = Finding::error("bad-value", at, message);
        let schema = self.schema();
        let words = |key| schema.and_then(|schema| schema.get(key)).and_then(Value::as_str);
        match words("patternErrorMessage").or_else(|| words("description")) {
            Some(help) => finding.help(help),
            None => finding,
        }
    }

    fn bad_name(&self, at: &Place, name: &str) -> Finding {
        let help = self.schema().and_then(|schema| schema.get("patternErrorMessage")).and_then(Value::as_str);
        let finding = Finding::error("bad-name", &at.key(name), format!("{name:?} cannot be a name here")).at_key();
        finding.help(help.unwrap_or("use letters, digits, `-`, `_` and `.`"))
    }

    fn any_of(&self, at: &Place, branches: &[Vec<ValidationError<'static>>], findings: &mut Vec<Finding>) {
        let fitting: Vec<_> = branches.iter().filter(|branch| !branch.iter().any(|e| self.is_type_error(e))).collect();
        let complete: Vec<_> = fitting.iter().filter(|b| !b.iter().any(is_missing_key)).collect();
        match (fitting.as_slice(), complete.as_slice()) {
            ([], _) => findings.push(self.mistyped(at, &self.branch_types(branches))),
            ([only], _) => self.descend(only, findings),
            (_, [only]) => self.descend(only, findings),
            (several, complete) => findings.push(self.undecided(at, several, complete.is_empty())),
        }
    }

    fn is_type_error(&self, error: &ValidationError<'_>) -> bool {
        matches!(error.kind(), Kind::Type { .. }) && error.instance_path() == self.error.instance_path()
    }

    fn descend(&self, branch: &[ValidationError<'static>], findings: &mut Vec<Finding>) {
        for error in branch {
            Case { root: self.root, error }.explain(findings);
        }
    }

    fn branch_types(&self, branches: &[Vec<ValidationError<'static>>]) -> String {
        let mut words: Vec<&str> = Vec::new();
        for error in branches.iter().flatten().filter(|error| self.is_type_error(error)) {
            if let Kind::Type { kind: TypeKind::Single(one) } = error.kind() {
                let word = type_in_words(&one.to_string());
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
        words.join(" or ")
    }

    /// Several branches would do, told apart by the key they need; none or more than one of these is given.
    fn undecided(&self, at: &Place, branches: &[&Vec<ValidationError<'static>>], none: bool) -> Finding {
        let keys: Vec<&str> = branches
            .iter()
            .flat_map(|branch| branch.iter())
            .filter_map(|error| Case { root: self.root, error }.schema()?.get("required")?.get(0)?.as_str())
            .fold(Vec::new(), |mut keys, key| {
                if !keys.contains(&key) {
                    keys.push(key);
                }
                keys
            });
        if !none {
            return Finding::error("ambiguous", at, format!("{} takes only one of {}", subject(at), list(&keys)));
        }
        let finding = Finding::error("missing-key", at, format!("{} needs one of {}", subject(at), list(&keys)));
        let mut written = self.instance().as_object().into_iter().flat_map(|object| object.keys());
        match written.find_map(|key| nearest(key, &keys)) {
            Some(key) => finding.help(did_you_mean(key)),
            None => finding,
        }
    }

    /// `, not VALUE` where the value is short and no secret.
    fn not(&self, at: &Place) -> String {
        let secret = at.steps().iter().any(|step| matches!(step, Step::Key(key) if mask::is_sensitive(key)));
        match self.instance() {
            _ if secret => String::new(),
            Value::String(text) if text.chars().count() <= 40 && !text.contains("://") => {
                format!(", not `{}`", text.escape_debug())
            }
            Value::Number(number) => format!(", not {number}"),
            _ => String::new(),
        }
    }
}

fn subject(at: &Place) -> String {
    match (at.steps().last(), at.last_key()) {
        (Some(Step::Index(_)), Some(key)) => format!("this item of `{key}`"),
        (_, Some(key)) => format!("`{key}`"),
        (_, None) => "the file".to_owned(),
    }
}

fn property_names(schema: &'static Value) -> Vec<&'static str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

fn choices(schema: &'static Value) -> Vec<&'static str> {
    let branches = ["oneOf", "enum"].iter().find_map(|key| schema.get(key)?.as_array());
    branches.into_iter().flatten().filter_map(|one| one.get("const").unwrap_or(one).as_str()).collect()
}

fn is_missing_key(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), Kind::Required { .. })
}

fn is_yes_or_no(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn type_in_words(name: &str) -> &'static str {
    match name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        _ => "empty",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The known word that was probably meant.
pub(super) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let written = written.to_lowercase().replace('-', "_");
    let close = known.iter().map(|word| (strsim::jaro_winkler(&written, &word.replace('-', "_")), *word));
    let best = close.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

pub(super) fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

fn known_keys(known: &[&str]) -> String {
    format!("known keys: {}", known.join(", "))
}

/// `a`, `b` or `c`.
fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((only, _)) => only.clone(),
        None => String::new(),
    }
}
