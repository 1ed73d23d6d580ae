//! The description of the routes, made of the types they take and answer, compared with the one that is checked in.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::every;
use super::table::{Describe, Table};
use crate::admin::view::Error;
use crate::config::schema::generated::assert_checked_in;

#[test]
fn the_checked_in_description_is_what_the_routes_say() {
    let document = every(Table::<Description>::default()).description.finish();
    assert_checked_in("openapi.json", &format!("{document:#}\n"));
}

/// OpenAPI 3.1.
struct Description {
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Default for Description {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self { schemas: settings.into_generator(), paths: Map::new() }
    }
}

impl Describe for Description {
    fn query<Q: JsonSchema>(&mut self) -> Value {
        let query = Q::json_schema(&mut self.schemas);
        let required = |name: &str| {
            let required = query.get("required").and_then(Value::as_array);
            required.is_some_and(|required| required.iter().any(|each| each == name))
        };
        let fields = query.get("properties").and_then(Value::as_object).into_iter().flatten();
        let parameter = |(name, schema): (&String, &Value)| json!({ "name": name, "in": "query", "required": required(name), "schema": schema });
        let parameters: Vec<Value> = fields.map(parameter).collect();
        json!({ "parameters": parameters })
    }

    fn body<B: JsonSchema>(&mut self) -> Value {
        let content = json!({ "application/json": { "schema": self.schemas.subschema_for::<B>() } });
        json!({ "requestBody": { "required": true, "content": content } })
    }

    fn route<A: JsonSchema>(&mut self, method: &str, path: &str, what: &str, takes: Value) {
        let answer = |what: &str, schema| {
            let content = json!({ "application/json": { "schema": schema } });
            json!({ "description": what, "content": content })
        };
        let good = answer(what, self.schemas.subschema_for::<A>());
        let bad = answer("It was not done.", self.schemas.subschema_for::<Error>());
        let mut described = if takes.is_null() { json!({}) } else { takes };
        described["summary"] = json!(what);
        described["responses"] = json!({ "2XX": good, "default": bad });
        self.paths.entry(path).or_insert_with(|| json!({}))[method] = described;
    }

    fn text(&mut self, path: &str, what: &str, media_type: &str) {
        let content = json!({ media_type: { "schema": { "type": "string" } } });
        let responses = json!({ "2XX": { "description": what, "content": content } });
        self.paths.insert(path.to_owned(), json!({ "get": { "summary": what, "responses": responses } }));
    }
}

impl Description {
    fn finish(mut self) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "qcc",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "What a running qcc shows and takes. No answer holds a key.",
            },
            "security": [{ "token": [] }],
            "paths": self.paths,
            "components": {
                "schemas": self.schemas.take_definitions(true),
                "securitySchemes": { "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What stands in `admin.token` in the state directory; the control socket needs none.",
                } },
            },
        })
    }
}
