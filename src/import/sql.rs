//! The providers in an SQL export of cc-switch: `INSERT INTO "providers" (columns) VALUES (row), (row);`.
//!
//! Only literals are understood, which is all an export has; nothing is executed.

use serde_json::{Map, Value};

const TABLE: &str = "INSERT INTO \"providers\"";

/// Whether `text` is such an export.
pub(super) fn is_export(text: &str) -> bool {
    text.contains(TABLE) || text.trim_start().starts_with("-- CC Switch")
}

/// The rows of the table, as objects by column: `{ "providers": [...], "export": true }`.
pub(super) fn providers(text: &str) -> Value {
    let rows = text.match_indices(TABLE).flat_map(|(at, _)| statement(&text[at + TABLE.len()..]));
    let rows: Vec<Value> = rows.collect();
    serde_json::json!({ "export": rows })
}

/// The rows of one statement.
fn statement(text: &str) -> Vec<Value> {
    let mut tokens = Tokens { rest: text };
    let columns = tokens.list().unwrap_or_default();
    if columns.is_empty() || !tokens.next().is_some_and(|word| word.is_word("VALUES")) {
        return Vec::new();
    }
    let mut rows = Vec::new();
    while let Some(values) = tokens.list() {
        let named = columns.iter().zip(values).filter_map(|(column, value)| Some((column.text()?, value.value())));
        rows.push(Value::Object(named.collect::<Map<String, Value>>()));
        if !matches!(tokens.next(), Some(Token::Mark(','))) {
            break;
        }
    }
    rows
}

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// `'text'`, quotes undone.
    Text(String),
    /// `"name"`.
    Name(String),
    /// A word or number.
    Word(String),
    Mark(char),
}

impl Token {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Name(text) | Self::Word(text) => Some(text.clone()),
            Self::Mark(_) => None,
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Text(text) | Self::Name(text) => Value::String(text),
            Self::Word(word) => word.parse::<i64>().map_or(Value::Null, Value::from),
            Self::Mark(_) => Value::Null,
        }
    }
}

/// What is left of the text.
struct Tokens<'t> {
    rest: &'t str,
}

impl Tokens<'_> {
    /// `(a, b, c)`.
    fn list(&mut self) -> Option<Vec<Token>> {
        if self.next()? != Token::Mark('(') {
            return None;
        }
        let mut items = Vec::new();
        loop {
            items.push(self.next()?);
            match self.next()? {
                Token::Mark(',') => {}
                Token::Mark(')') => return Some(items),
                // A blob: `X` and its digits.
                Token::Text(_) => match self.next()? {
                    Token::Mark(',') => {}
                    _ => return Some(items),
                },
                _ => return None,
            }
        }
    }

    fn next(&mut self) -> Option<Token> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            quote @ ('\'' | '"') => self.quoted(quote),
            c if c.is_alphanumeric() || "_-.+".contains(c) => {
                let end = self.rest.find(|c: char| !c.is_alphanumeric() && !"_-.+".contains(c));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Some(Token::Word(word.to_owned()))
            }
            mark => {
                self.rest = &self.rest[mark.len_utf8()..];
                Some(Token::Mark(mark))
            }
        }
    }

    /// Up to the closing quote; a doubled one stands for itself.
    fn quoted(&mut self, quote: char) -> Option<Token> {
        let mut text = String::new();
        let mut rest = &self.rest[1..];
        loop {
            let end = rest.find(quote)?;
            text.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix(quote) {
                Some(after) => {
                    text.push(quote);
                    rest = after;
                }
                None => break,
            }
        }
        self.rest = rest;
        Some(if quote == '"' { Token::Name(text) } else { Token::Text(text) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_read_by_column() {
        let text = "BEGIN;\nINSERT INTO \"providers\" (\"id\", \"name\", \"icon\", \"is_current\") VALUES\n('a', 'It''s (1), \
                    ok;', NULL, 1),('b', '备用', X'00FF', 0);\nINSERT INTO \"other\" (\"id\") VALUES ('c');\n\
                    INSERT INTO \"providers\" (\"name\", \"id\") VALUES ('c', 'd');";
        let expected = json!([
            { "id": "a", "name": "It's (1), ok;", "icon": null, "is_current": 1 },
            { "id": "b", "name": "备用", "icon": null, "is_current": 0 },
            { "name": "c", "id": "d" },
        ]);
        assert_eq!(providers(text)["export"], expected);
    }

    #[test]
    fn what_breaks_off_is_no_row() {
        for text in ["", " (\"id\") VALUES ('a", " (\"id\") VALUES (", " VALUES ('a');", " (\"id\""] {
            assert_eq!(providers(&format!("{TABLE}{text}"))["export"], json!([]), "{text}");
        }
    }
}
