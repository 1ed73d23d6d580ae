//! Routes and their description, added in one step so that neither is without the other.
//!
//! A proxy that runs only needs the routes; what describes them is `schema/openapi.json`, which a test keeps the same as what
//! [`Describe`] makes of them.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde_json::Value;

use crate::admin::Proxy;

/// The description, OpenAPI 3.1.
const DOCUMENT: &str = include_str!("../../../schema/openapi.json");

/// Listens to what is said of the routes.
pub(super) trait Describe: Default {
    /// What a query of type `Q` looks like.
    fn query<Q: JsonSchema>(&mut self) -> Value;

    /// What a body of type `B` looks like.
    fn body<B: JsonSchema>(&mut self) -> Value;

    /// A route that takes what [`Self::query`] or [`Self::body`] told, or nothing, and answers an `A`.
    fn route<A: JsonSchema>(&mut self, method: &str, path: &str, what: &str, takes: Value);

    /// A route that answers a text.
    fn text(&mut self, path: &str, what: &str, media_type: &str);
}

/// Does not listen.
impl Describe for () {
    fn query<Q: JsonSchema>(&mut self) -> Value {
        Value::Null
    }

    fn body<B: JsonSchema>(&mut self) -> Value {
        Value::Null
    }

    fn route<A: JsonSchema>(&mut self, _: &str, _: &str, _: &str, _: Value) {}

    fn text(&mut self, _: &str, _: &str, _: &str) {}
}

/// See the module.
#[derive(Default)]
pub(super) struct Table<D> {
    router: Router<Arc<Proxy>>,
    pub(super) description: D,
}

impl<D: Describe> Table<D> {
    /// `GET path` answers an `A`.
    pub(super) fn get<A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        self.add::<A>("get", path, what, Value::Null, get(handler))
    }

    /// `GET path?...` takes a query `Q` and answers an `A`.
    pub(super) fn ask<Q: JsonSchema, A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        mut self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        let query = self.description.query::<Q>();
        self.add::<A>("get", path, what, query, get(handler))
    }

    /// `POST path` takes a `B` and answers an `A`.
    pub(super) fn post<B: JsonSchema, A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        mut self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        let body = self.description.body::<B>();
        self.add::<A>("post", path, what, body, post(handler))
    }

    /// `POST path` without a body does something and answers an `A`.
    pub(super) fn order<A: JsonSchema, H: Handler<T, Arc<Proxy>>, T: 'static>(
        self,
        path: &str,
        what: &str,
        handler: H,
    ) -> Self {
        self.add::<A>("post", path, what, Value::Null, post(handler))
    }

    /// `GET path` answers a text of this media type.
    pub(super) fn text<H: Handler<T, Arc<Proxy>>, T: 'static>(
        mut self,
        path: &str,
        what: &str,
        media_type: &str,
        handler: H,
    ) -> Self {
        self.description.text(path, what, media_type);
        Self { router: self.router.route(path, get(handler)), ..self }
    }

    fn add<A: JsonSchema>(
        mut self,
        method: &str,
        path: &str,
        what: &str,
        takes: Value,
        route: MethodRouter<Arc<Proxy>>,
    ) -> Self {
        self.description.route::<A>(method, path, what, takes);
        Self { router: self.router.route(path, route), ..self }
    }

    /// The routes, and one more that tells the description of them all.
    pub(super) fn finish(self) -> Router<Arc<Proxy>> {
        let tell = async || ([(CONTENT_TYPE, "application/json")], DOCUMENT);
        self.router.route("/v1/openapi.json", get(tell))
    }
}
