//! The document of the API (OpenAPI 3.1), made from the table of routes and the schemas of what calls answer with.

pub mod schemas;

use crate::ask::{Answer, Ask};
use crate::fields::{Field, Kind};
use crate::html::{Frame, Page};
use crate::people::Right;
use crate::problem::Problem;
use crate::routes::{API, Method, ROUTES, Route};
use maud::html;
use serde_json::{Map, Value, json};

/// The document.
pub async fn show(_: Ask) -> Result<Answer, Problem> {
    // It has no page: a browser shows JSON by itself.
    let nothing = |_: &Value, _: &Frame<'_>| Page::still("API", html! {});
    Ok(Answer::view(document(), nothing))
}

/// The document as a value.
#[must_use]
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let Some(path) = route.api else { continue };
        let place = paths.entry(format!("{API}{path}")).or_insert_with(|| json!({}));
        if let Value::Object(methods) = place {
            let method = match route.method {
                Method::Get => "get",
                Method::Post => "post",
            };
            methods.insert(method.to_owned(), operation(route, path, method));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Wardline console",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What the pages of the console show and do. Times are whole numbers, UTC: microseconds since 1970, \
                            or milliseconds where the name ends in `Ms`. Money is decimal text with a currency. \
                            A refusal is a problem document (RFC 9457) with a stable code, which `/api/v1/errors/{code}` explains. \
                            A later version may answer with more fields: let a client pass over what it does not know.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token of `console.tokens`."},
            },
            "schemas": schemas::all(),
        },
    })
}

fn operation(route: &Route, path: &str, method: &str) -> Value {
    let parts = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = parts.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let in_query = route.query.iter().map(|field| {
        json!({
            "name": field.name, "in": "query", "required": field.required, "description": field.what,
            "schema": schema(field),
        })
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let name: String = path.split('/').map(|part| part.trim_matches(['{', '}'])).collect::<Vec<_>>().join("-");
    let mut operation = json!({
        "operationId": format!("{method}{}", name.trim_end_matches(".json")),
        "summary": route.what,
        "description": format!("Needs the role {} or a higher one.", route.right.least().name()),
        "parameters": parameters,
        "responses": responses(route, path),
    });
    if let Value::Object(fields) = &mut operation {
        if route.right == Right::Open {
            fields.insert("description".to_owned(), json!("Needs no token."));
        } else {
            fields.insert("security".to_owned(), json!([{"token": []}]));
        }
        if route.method == Method::Post {
            fields.insert("requestBody".to_owned(), body(route.body));
        }
    }
    operation
}

fn responses(route: &Route, path: &str) -> Value {
    let problem = |what: &str| {
        let content = json!({"application/problem+json": {"schema": {"$ref": schemas::reference("Problem")}}});
        json!({"description": what, "content": content})
    };
    let mut all = Map::new();
    all.insert("200".to_owned(), json!({"description": route.what, "content": content(route)}));
    if route.right != Right::Open {
        all.insert("401".to_owned(), problem("No token, or one that is not known."));
        all.insert("403".to_owned(), problem("The role may not do this."));
    }
    if path.contains('{') {
        all.insert("404".to_owned(), problem("There is no such thing."));
    }
    if route.method == Method::Post {
        all.insert("409".to_owned(), problem("What was asked for does not fit how things stand."));
        all.insert("413".to_owned(), problem("The body is too large."));
    }
    all.insert("422".to_owned(), problem("A field is missing, not known, or holds what it must not."));
    all.insert("503".to_owned(), problem("Kafka or the schema registry does not answer."));
    all.insert("default".to_owned(), problem("Any other refusal."));
    Value::Object(all)
}

/// In which media types a call answers, and what with.
fn content(route: &Route) -> Value {
    let json = json!({"schema": {"$ref": schemas::reference(route.answer)}});
    let others = route.also.iter().map(|media| ((*media).to_owned(), json!({"schema": {"type": "string"}})));
    Value::Object(std::iter::once(("application/json".to_owned(), json)).chain(others).collect())
}

fn body(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut schema = schema(field);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".to_owned(), json!(field.what));
            }
            (field.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let schema =
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    json!({"required": !required.is_empty(), "content": {"application/json": {"schema": schema}}})
}

fn schema(field: &Field) -> Value {
    match field.kind {
        Kind::Line(most) | Kind::Text(most) => json!({"type": "string", "maxLength": most}),
        Kind::Number => json!({"type": "integer", "format": "int64"}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::OneOf(all) => json!({"type": "string", "enum": all}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_and_the_table_have_the_same_routes() {
        let document = document();
        let paths = document["paths"].as_object().cloned().unwrap_or_default();
        let mut written: Vec<String> = paths
            .iter()
            .flat_map(|(path, methods)| {
                methods
                    .as_object()
                    .into_iter()
                    .flat_map(|methods| methods.keys())
                    .map(move |method| format!("{method} {path}"))
            })
            .collect();
        let mut routed: Vec<String> = ROUTES
            .iter()
            .filter_map(|route| {
                let method = if route.method == Method::Get { "get" } else { "post" };
                Some(format!("{method} {API}{}", route.api?))
            })
            .collect();
        written.sort_unstable();
        routed.sort_unstable();
        assert_eq!(written, routed);
        assert!(written.len() > 5);
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_its_parameters() {
        let document = document();
        let mut names = Vec::new();
        for (path, methods) in document["paths"].as_object().cloned().unwrap_or_default() {
            for operation in methods.as_object().cloned().unwrap_or_default().values() {
                names.push(operation["operationId"].to_string());
                let named = operation["parameters"].as_array().cloned().unwrap_or_default();
                let in_path = named.iter().filter(|one| one["in"] == "path").count();
                assert_eq!(in_path, path.matches('{').count(), "{path}");
            }
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
