//! Routes and their description, made in one step so that neither is without the other.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::response::IntoResponse as _;
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::admin::Proxy;
use crate::admin::view::Error;

/// See the module.
pub(super) struct Table {
    router: Router<Arc<Proxy>>,
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

impl Table {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        });
        Self { router: Router::new(), schemas: settings.into_generator(), paths: Map::new() }
    }

    /// `GET path` answers an `A`.
    pub(super) fn get<A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        self.add::<A>("get", path, what, json!({}), get(handler))
    }

    /// `GET path?...` takes a query `Q` and answers an `A`.
    pub(super) fn ask<Q: JsonSchema, A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        mut self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        let query = Q::json_schema(&mut self.schemas);
        let required = |name: &str| {
            let required = query.get("required").and_then(Value::as_array);
            required.is_some_and(|required| required.iter().any(|each| each == name))
        };
        let fields = query.get("properties").and_then(Value::as_object).into_iter().flatten();
        let parameter = |(name, schema): (&String, &Value)| json!({ "name": name, "in": "query", "required": required(name), "schema": schema });
        let parameters: Vec<Value> = fields.map(parameter).collect();
        self.add::<A>("get", path, what, json!({ "parameters": parameters }), get(handler))
    }

    /// `POST path` takes a `B` and answers an `A`.
    pub(super) fn post<B: JsonSchema, A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        mut self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        let content = json!({ "application/json": { "schema": self.schemas.subschema_for::<B>() } });
        let body = json!({ "requestBody": { "required": true, "content": content } });
        self.add::<A>("post", path, what, body, post(handler))
    }

    /// `POST path` without a body does something and answers an `A`.
    pub(super) fn order<A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        self.add::<A>("post", path, what, json!({}), post(handler))
    }

    /// `GET path` answers a text of this media type.
    pub(super) fn text<H: Handler<T, Arc<Proxy>>, T: 'static>(
        mut self,
        path: &str,
        what: &str,
        media_type: &str,
        handler: H,
    ) -> Self {
        let content = json!({ media_type: { "schema": { "type": "string" } } });
        let responses = json!({ "2XX": { "description": what, "content": content } });
        self.paths.insert(path.to_owned(), json!({ "get": { "summary": what, "responses": responses } }));
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    fn add<A: JsonSchema>(
        mut self,
        method: &str,
        path: &str,
        what: &str,
        mut described: Value,
        route: MethodRouter<Arc<Proxy>>,
    ) -> Self {
        let answer = |what: &str, schema| {
            let content = json!({ "application/json": { "schema": schema } });
            json!({ "description": what, "content": content })
        };
        let good = answer(what, self.schemas.subschema_for::<A>());
        let bad = answer("It was not done.", self.schemas.subschema_for::<Error>());
        described["summary"] = json!(what);
        described["responses"] = json!({ "2XX": good, "default": bad });
        let entry = self.paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = described;
        Self { router: self.router.route(path, route), ..self }
    }

    /// The routes, and one more that describes them all.
    pub(super) fn finish(mut self) -> Router<Arc<Proxy>> {
        let document = json!({
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
        });
        let document = Bytes::from(format!("{document:#}\n"));
        let tell = async move || ([(CONTENT_TYPE, "application/json")], document.clone()).into_response();
        self.router.route("/v1/openapi.json", get(tell))
    }
}
