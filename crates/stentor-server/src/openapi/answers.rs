//! Parts of responses: OpenAI's error object with its status codes, headers, and what has no type of its own.

use super::bodies::field;
use crate::ErrorCode;
use std::collections::BTreeMap;
use utoipa::openapi::{
    Content, ObjectBuilder, Ref, RefOr, ResponseBuilder, Schema,
    header::{Header, HeaderBuilder},
    path::OperationBuilder,
    schema::{ArrayBuilder, SchemaType, Type},
};

pub(super) const BEARER: &str = "bearer";
const JSON: &str = "application/json";

/// The words of captions in JSON.
pub(super) fn captions() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("words", ArrayBuilder::new().items(Ref::from_schema_name("Word")))
        .property("duration", field(Type::Number, "Seconds of sound."))
        .required("words")
        .required("duration")
}

/// The body of every error.
pub(super) fn error() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Object).property("error", error_object()).required("error")
}

/// OpenAI's error object.
pub(crate) fn error_object() -> RefOr<Schema> {
    let codes = ErrorCode::ALL.into_iter().filter(|code| *code != ErrorCode::ClientLeft).map(ErrorCode::name);
    let kinds = ["invalid_request_error", "rate_limit_error", "server_error"];
    let param: SchemaType = [Type::String, Type::Null].into_iter().collect();
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("message", field(Type::String, "For people."))
        .property("type", field(Type::String, "OpenAI's coarse kind.").enum_values(Some(kinds)))
        .property("param", ObjectBuilder::new().schema_type(param).description(Some("The field at fault.")))
        .property("code", field(Type::String, "For programs.").enum_values(Some(codes)))
        .required("message")
        .required("type")
        .required("param")
        .required("code");
    RefOr::T(Schema::Object(object.build()))
}

pub(super) fn header(kind: Type, about: &str) -> Header {
    HeaderBuilder::new().schema(Some(ObjectBuilder::new().schema_type(kind))).description(Some(about)).build()
}

/// A response with what every response has.
pub(super) fn response(about: impl Into<String>) -> ResponseBuilder {
    let id = header(Type::String, "The request's own, or one that the server made; its log has the same.");
    ResponseBuilder::new().description(about).header("x-request-id", id)
}

/// A success that is JSON of a named schema.
pub(super) fn json(about: &str, schema: &str) -> ResponseBuilder {
    response(about).content(JSON, Content::new(Some(Ref::from_schema_name(schema))))
}

/// One response for each status that these errors have; it says which of them it may be.
pub(super) fn failures(operation: OperationBuilder, codes: &[ErrorCode]) -> OperationBuilder {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let names = by_status.entry(code.status().as_u16()).or_default();
        names.push(code.name());
    }
    by_status.into_iter().fold(operation, |operation, (status, names)| {
        let codes = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        operation.response(status.to_string(), failure(status, format!("Error: {codes}.")))
    })
}

fn failure(status: u16, about: String) -> ResponseBuilder {
    let answer = response(about).content(JSON, Content::new(Some(Ref::from_schema_name("Error"))));
    match status {
        401 => answer.header("www-authenticate", header(Type::String, "`Bearer`.")),
        405 => answer.header("allow", header(Type::String, "What the path takes.")),
        429 | 503 => answer
            .header("retry-after", header(Type::Integer, "Whole seconds, 1 to 60."))
            .header("retry-after-ms", header(Type::Integer, "The same in milliseconds.")),
        500 => answer.header(
            "x-should-retry",
            header(Type::String, "`false` where the same request would fail the same way."),
        ),
        _ => answer,
    }
}
