//! Random edits of random documents, in random styles.

use std::path::Path as File;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::config::load_bytes;
use crate::patch::editor::Editor;
use crate::patch::render;
use crate::patch::{Edit, Path, Step, plan};

/// Writes a value as somebody would, with comments; remembers what each comment is about.
struct Writer {
    rng: fastrand::Rng,
    text: String,
    comments: Vec<(String, Path)>,
    eol: &'static str,
    dash: usize,
}

impl Writer {
    fn document(root: &Map<String, Value>, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (eol, dash) = (if rng.u8(..4) == 0 { "\r\n" } else { "\n" }, if rng.bool() { 2 } else { 0 });
        let mut writer = Self { rng, text: String::new(), comments: Vec::new(), eol, dash };
        writer.map(root, 0, &Path::default(), false);
        if writer.rng.u8(..4) == 0 {
            let end = writer.text.trim_end().len();
            writer.text.truncate(end);
        }
        writer
    }

    fn chance(&mut self) -> bool {
        self.rng.u8(..4) == 0
    }

    fn comment(&mut self, about: &Path) {
        let comment = format!("# c{}.", self.comments.len());
        self.text.push_str(&comment);
        self.comments.push((comment, about.clone()));
    }

    fn line_end(&mut self, about: &Path) {
        if self.chance() {
            self.text.push_str("  ");
            self.comment(about);
        }
        self.text.push_str(self.eol);
    }

    fn above(&mut self, indent: usize, about: &Path) {
        if self.chance() {
            self.text.push_str(self.eol);
        }
        if self.chance() {
            self.text.push_str(&" ".repeat(indent));
            self.comment(about);
            self.text.push_str(self.eol);
        }
    }

    fn below(&mut self, indent: usize, about: &Path) {
        if self.chance() {
            self.text.push_str(&" ".repeat(indent));
            self.comment(about);
            self.text.push_str(self.eol);
        }
    }

    fn map(&mut self, map: &Map<String, Value>, indent: usize, path: &Path, mut beside_dash: bool) {
        for (key, value) in map {
            let path = path.clone().key(key);
            if !std::mem::take(&mut beside_dash) {
                self.above(indent, &path);
                self.text.push_str(&" ".repeat(indent));
            }
            self.text.push_str(&render::key(key, None, false));
            self.text.push(':');
            self.value(value, indent, &path);
        }
        self.below(indent, path);
    }

    fn list(&mut self, items: &[Value], indent: usize, path: &Path) {
        for (at, item) in items.iter().enumerate() {
            let path = path.clone().index(at);
            self.above(indent, &path);
            self.text.push_str(&" ".repeat(indent));
            self.text.push('-');
            match item {
                Value::Object(map) if !map.is_empty() && self.rng.bool() => {
                    self.text.push(' ');
                    self.map(map, indent + 2, &path, true);
                }
                item => self.inline(item, &path),
            }
        }
        if self.dash > 0 {
            self.below(indent, path);
        }
    }

    fn value(&mut self, value: &Value, indent: usize, path: &Path) {
        match value {
            Value::Object(map) if !map.is_empty() && self.rng.u8(..3) > 0 => {
                self.line_end(path);
                self.map(map, indent + 2, path, false);
            }
            Value::Array(items) if !items.is_empty() && self.rng.u8(..3) > 0 => {
                self.line_end(path);
                self.list(items, indent + self.dash, path);
            }
            value => self.inline(value, path),
        }
    }

    fn inline(&mut self, value: &Value, path: &Path) {
        let quote = [None, Some('"'), Some('\'')][self.rng.usize(..3)];
        let text = match value {
            Value::Array(_) | Value::Object(_) => value.to_string(),
            value => render::scalar(value, quote, false),
        };
        self.text.push(' ');
        self.text.push_str(&text);
        self.line_end(path);
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        (-99_i64..999).prop_map(Into::into),
        "[a-z中#:{}, '\"-]{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::btree_map("[a-z]{1,3}", value(), 1..6).prop_map(|map| map.into_iter().collect())
}

/// Every path of a document.
fn paths(value: &Value, path: &Path, into: &mut Vec<Path>) {
    let children: Vec<(Step, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (Step::Key(key.clone()), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (Step::Index(at), value)).collect(),
        _ => Vec::new(),
    };
    for (step, child) in children {
        let path = path.clone().then(step);
        into.push(path.clone());
        paths(child, &path, into);
    }
}

fn at<'v>(value: &'v mut Value, steps: &[Step]) -> &'v mut Value {
    steps.iter().fold(value, |value, step| match step {
        Step::Key(key) => &mut value[key],
        Step::Index(index) => &mut value[*index],
        Step::Item(_) => panic!("no items here"),
    })
}

fn without(root: &mut Value, path: &Path) {
    let (last, above) = path.0.split_last().expect("not the root");
    match (at(root, above), last) {
        (Value::Object(map), Step::Key(key)) => drop(map.shift_remove(key)),
        (Value::Array(items), Step::Index(index)) => drop(items.remove(*index)),
        _ => panic!("no such thing"),
    }
}

/// What another reader makes of the text.
fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn starts_with(path: &Path, above: &Path) -> bool {
    path.0.starts_with(&above.0)
}

/// Applies `edit` to the written document and checks text, meaning and comments. `may_go`: comments that may go.
fn check(writer: &Writer, edit: &Edit, expected: &Value, may_go: impl Fn(&Path) -> bool) {
    let before = &writer.text;
    let mut editor = Editor::new(before).expect("it is YAML");
    if let Err(error) = editor.apply(edit) {
        panic!("{edit:?}: {error}\n{before}");
    }
    let after = &editor.text;
    assert_eq!(&read(after), expected, "{edit:?}\n{before}\n----\n{after}");
    for (comment, about) in &writer.comments {
        let kept = after.contains(comment.as_str());
        assert!(kept || may_go(about), "{comment} is gone: {edit:?}\n{before}\n----\n{after}");
    }
    assert_eq!(after.contains("\r\n"), before.contains("\r\n") && after.contains('\n'), "{before}\n----\n{after}");
    assert!(
        after.lines().all(|line| line.ends_with('\r') || line.trim_end() == line || before.contains(line)),
        "{edit:?}\n{before}\n----\n{after}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_set(root in document(), seed: u64, which: prop::sample::Index, new in value()) {
        let writer = Writer::document(&root, seed);
        let mut expected = Value::Object(root);
        let mut all = Vec::new();
        paths(&expected, &Path::default(), &mut all);
        let path = which.get(&all).clone();
        *at(&mut expected, &path.0) = new.clone();
        let edit = Edit::Set { path: path.clone(), value: new };
        check(&writer, &edit, &expected, |about| about != &path && starts_with(about, &path));
    }

    #[test]
    fn a_key_is_added(root in document(), seed: u64, which: prop::sample::Index, new in value(), nested: bool) {
        let writer = Writer::document(&root, seed);
        let mut expected = Value::Object(root);
        let mut maps = vec![Path::default()];
        paths(&expected, &Path::default(), &mut maps);
        maps.retain(|path| at(&mut expected, &path.0).is_object());
        let path = which.get(&maps).clone();
        let new = if nested { json!({ "inner": new }) } else { new };
        at(&mut expected, &path.0)["zzzz"] = new.clone();
        let edit = match &new {
            Value::Object(map) if nested => Edit::Set { path: path.key("zzzz").key("inner"), value: map["inner"].clone() },
            _ => Edit::Set { path: path.key("zzzz"), value: new },
        };
        check(&writer, &edit, &expected, |_| false);
    }

    #[test]
    fn a_value_is_removed(root in document(), seed: u64, which: prop::sample::Index) {
        let writer = Writer::document(&root, seed);
        let mut expected = Value::Object(root);
        let mut all = Vec::new();
        paths(&expected, &Path::default(), &mut all);
        let path = which.get(&all).clone();
        without(&mut expected, &path);
        check(&writer, &Edit::Unset { path: path.clone() }, &expected, |about| starts_with(about, &path));
    }

    #[test]
    fn an_item_is_moved(root in document(), seed: u64, which: prop::sample::Index, to in 0_usize..5) {
        let mut root = root;
        root.insert("list".to_owned(), json!(["x", { "y": 1, "z": [2] }, 3]));
        let mut all = Vec::new();
        let mut expected = Value::Object(root.clone());
        paths(&expected, &Path::default(), &mut all);
        all.retain(|path| matches!(path.0.last(), Some(Step::Index(_))));
        let writer = Writer::document(&root, seed);
        let path = which.get(&all).clone();
        let (Some(Step::Index(from)), above) = (path.0.last(), &path.0[..path.0.len() - 1]) else { unreachable!("chosen so") };
        let items = at(&mut expected, above).as_array_mut().expect("a list");
        let item = items.remove(*from);
        items.insert(to.min(items.len()), item);
        let mut editor = Editor::new(&writer.text).expect("it is YAML");
        editor.reorder(&path, to).unwrap_or_else(|error| panic!("{error}\n{}", writer.text));
        prop_assert_eq!(read(&editor.text), expected, "{}\n----\n{}", writer.text, editor.text);
        prop_assert!(writer.comments.iter().all(|(comment, _)| editor.text.contains(comment)));
        prop_assert!(editor.text.len() == writer.text.len());
    }

    #[test]
    fn no_edit_changes_no_byte(root in document(), seed: u64) {
        let writer = Writer::document(&root, seed);
        let loaded = load_bytes(File::new("qcc.yaml"), writer.text.as_bytes());
        let patch = plan(&loaded, &[]).expect("nothing to refuse");
        prop_assert!(patch.is_empty() && patch.after == writer.text && patch.diff("a", true).is_empty());
        let same: Vec<Edit> = root.iter().map(|(key, value)| Edit::Set { path: Path::of(&[key]), value: value.clone() }).collect();
        let patch = plan(&loaded, &same).expect("nothing to refuse");
        prop_assert_eq!(&patch.after, &writer.text);
    }
}

#[test]
fn ten_thousand_endpoints_are_edited_in_no_time() {
    let mut text = "version: 1\nprofiles:\n  p:\n    tier: primary\n    endpoints:\n".to_owned();
    for i in 0..10_000 {
        let key = format!("{{ env: KEY_{i} }}");
        text.extend(["      - id: e", &i.to_string(), "   # one of many\n        base_url: https://e.example\n"]);
        text.extend(["        api_key: ", &key, "\n        weight: 5\n"]);
    }
    let loaded = load_bytes(File::new("qcc.yaml"), text.as_bytes());
    let endpoint = Path::of(&["profiles", "p", "endpoints"]);
    let fields = json!({ "id": "new", "base_url": "https://new.example", "api_key": { "env": "NEW" } });
    let edits = [
        Edit::Set { path: endpoint.clone().item("e5000").key("weight"), value: 7.into() },
        Edit::AddEndpoint { profile: "p".to_owned(), fields: fields.as_object().expect("fields").clone(), at: None },
        Edit::MoveEndpoint { profile: "p".to_owned(), id: "e9999".to_owned(), to: 0 },
        Edit::Unset { path: endpoint.item("e1") },
    ];
    let patch = plan(&loaded, &edits).expect("nothing to refuse");
    let diff = patch.diff("qcc.yaml", false);
    let changed =
        |sign: &str| diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(&sign.repeat(3))).count();
    assert_eq!((changed("+"), changed("-")), (1 + 3 + 4, 1 + 4 + 4));
}
