//! The OpenAPI document at `/openapi.json`, completed from what holds for every route, and its page at `/docs`.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    response::{Html, IntoResponse, Response as HttpResponse},
    routing::get,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use mesh_chassis::server::Route;
use utoipa::{
    OpenApi as _, PartialSchema, ToSchema,
    openapi::{
        Content, HeaderBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::Operation,
    },
};
use utoipa_swagger_ui::Config;

use crate::error::Error;

const DOCUMENT: &str = "/openapi.json";
const PAGE: &str = "/docs";
const PAGE_SLASH: &str = "/docs/";
const ASSETS: &str = "/docs/{file}";

/// What any request may end in, besides what its route declares.
const EVERYWHERE: [(&str, &str); 5] = [
    ("400", "The request is malformed."),
    ("500", "We are at fault."),
    (
        "502",
        "A service that is needed gave an answer that makes no sense.",
    ),
    (
        "503",
        "Overloaded, draining, or a service that is needed is away: try again.",
    ),
    ("504", "Out of time."),
];

/// Swagger UI's own page, but under a base: `/docs` answers without a redirect, with or without a slash at its end.
const INDEX: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shop API</title>
<base href="/docs/">
<link rel="stylesheet" href="swagger-ui.css">
<link rel="stylesheet" href="index.css">
<link rel="icon" type="image/png" href="favicon-32x32.png" sizes="32x32">
</head>
<body>
<noscript>This page needs JavaScript; what it shows is in <a href="/openapi.json">/openapi.json</a>.</noscript>
<div id="swagger-ui"></div>
<script src="swagger-ui-bundle.js"></script>
<script src="swagger-ui-standalone-preset.js"></script>
<script src="swagger-initializer.js"></script>
</body>
</html>
"#;

/// What every error looks like: a problem as RFC 9457 describes it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the chassis writes it; here it is described")]
#[schema(example = json!({
    "type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no such product",
    "request_id": "7d3f8a52-6f0e-9c1b-8d2a-0c6f1b9e4a77", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"
}))]
struct Problem {
    r#type: String,
    /// The HTTP status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// As in `x-request-id`.
    request_id: String,
    /// As in `x-trace-id`.
    trace_id: String,
}

/// What stands before the routes.
pub(super) fn preface() -> OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(
        info(
            title = "Shop",
            description = "Browse the catalogue, fill a cart, place orders.\n\n\
                           Every answer carries `x-request-id` and `x-trace-id`. Errors are `application/problem+json`."
        ),
        tags(
            (name = "products", description = "The catalogue."),
            (name = "cart", description = "The session's cart. The session is in a cookie."),
            (name = "orders", description = "Placing, showing and cancelling orders."),
        )
    )]
    struct Preface;
    Preface::openapi()
}

/// Adds what holds for every route: the errors that each may end in, the body of all errors, the headers of all answers.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    for (path, _, operation) in operations(document) {
        let of_session = path.starts_with("/v1/cart") || path == "/v1/orders";
        let responses = &mut operation.responses.responses;
        for (status, description) in EVERYWHERE {
            responses
                .entry(status.to_owned())
                .or_insert_with(|| response(description).into());
        }
        for (status, response) in responses {
            if let RefOr::T(response) = response {
                complete_response(status, response);
                if of_session {
                    header(
                        response,
                        "Set-Cookie",
                        "The session, if it is new.",
                        String::schema(),
                    );
                }
            }
        }
    }
}

fn complete_response(status: &str, response: &mut Response) {
    let error = status >= "400";
    if error {
        let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
        response
            .content
            .insert("application/problem+json".to_owned(), problem.into());
    }
    header(
        response,
        "x-request-id",
        "Names the request in every log: a UUID.",
        String::schema(),
    );
    header(
        response,
        "x-trace-id",
        "Names its trace: 32 lower-case hex digits.",
        String::schema(),
    );
    if status == "503" {
        header(response, "Retry-After", "Seconds.", u32::schema());
    }
}

fn response(description: &str) -> Response {
    ResponseBuilder::new().description(description).build()
}

fn header(response: &mut Response, name: &str, description: &str, schema: RefOr<Schema>) {
    let header = HeaderBuilder::new()
        .schema(Some(schema))
        .description(Some(description))
        .build();
    response.headers.insert(name.to_owned(), header.into());
}

/// The routes that the document names, and those of the document itself.
pub(super) fn routes(document: &mut OpenApi) -> Vec<Route> {
    let own = [DOCUMENT, PAGE, PAGE_SLASH, ASSETS].map(|path| Route::new(Method::GET, path));
    operations(document)
        .map(|(path, method, _)| {
            // Who has paid must be able to see it, also when the shop is full.
            let critical = method == Method::GET && path.starts_with("/v1/orders");
            let route = Route::new(method, path.to_owned());
            if critical { route.critical() } else { route }
        })
        .chain(own)
        .collect()
}

fn operations(document: &mut OpenApi) -> impl Iterator<Item = (&str, Method, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let PathItem {
            get,
            put,
            post,
            delete,
            ..
        } = item;
        [
            (Method::GET, get),
            (Method::PUT, put),
            (Method::POST, post),
            (Method::DELETE, delete),
        ]
        .into_iter()
        .filter_map(|(method, operation)| Some((path.as_str(), method, operation.as_mut()?)))
    })
}

/// Serves the document and its page; all of it is part of the binary.
pub(super) fn router(document: &OpenApi) -> Router {
    let json = document
        .to_pretty_json()
        .expect("a document of strings and numbers is JSON");
    let json = Bytes::from(json);
    // Without a validator: its badge would be fetched from outside.
    let config = Arc::new(Config::from(DOCUMENT).validator_url("none"));
    let page = get(async || Html(INDEX));
    Router::new()
        .route(
            DOCUMENT,
            get(async move || ([(CONTENT_TYPE, "application/json")], json)),
        )
        .route(PAGE, page.clone())
        .route(PAGE_SLASH, page)
        .route(
            ASSETS,
            get(async move |file: Result<Path<String>, PathRejection>| {
                // What is not UTF-8 once its percents are decoded names no file.
                let Path(file) = file.map_err(|_| Error::NotFound("page"))?;
                asset(&file, config)
            }),
        )
}

fn asset(file: &str, config: Arc<Config<'static>>) -> Result<HttpResponse, Error> {
    let served = utoipa_swagger_ui::serve(file, config).map_err(|_| Error::Internal)?;
    let file = served.ok_or(Error::NotFound("page"))?;
    let mut response =
        ([(CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response();
    if file.gzpipped {
        // Every browser takes it, and the binary stays 3 MB smaller.
        let gzip = HeaderValue::from_static("gzip");
        response.headers_mut().insert(CONTENT_ENCODING, gzip);
    }
    Ok(response)
}
