//! The document of the API at `/openapi.json`, the same as `docs/openapi.json`.
//!
//! What is answered is described by the very types that are serialized; bodies that are read by hand are described here,
//! with the limits that their readers use. Tests hold the document to the router, to the readers, and to the file.

mod answers;
mod bodies;
mod operations;
#[cfg(test)]
mod tests;

pub(crate) use answers::error_object;
pub(crate) use bodies::engine_parameters;

use crate::{
    api::{models, upload, voices, words},
    routes::{health, reading, sse},
};
use answers::BEARER;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr, Schema,
        SecurityRequirement,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        server::ServerBuilder,
        tag::TagBuilder,
    },
};

const ABOUT: &str = "Text to speech, for every client of OpenAI's `/v1/audio/speech`. Every response carries \
    `x-request-id`, every error is JSON of OpenAI's shape. Only what is refused before a route is known has neither: \
    400 for what is not HTTP/1, 414 for a path and 431 for a head that is too long. Limits are those of a server \
    with the default configuration.";

/// The whole document. It is the same for every server of this version, whatever its configuration.
pub fn document() -> OpenApi {
    let licence = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0"));
    let info = InfoBuilder::new()
        .title("Stentor")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(licence.build()));
    let tag = |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    OpenApiBuilder::new()
        .info(info.build())
        // Beside the document, so that it is right behind a proxy with a prefix too.
        .servers(Some([ServerBuilder::new().url("./").build()]))
        .paths(operations::all())
        .components(Some(components()))
        // A server without keys asks for none.
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new(BEARER, [""; 0])]))
        .tags(Some([
            tag("speech", "Text in, sound, events or captions out."),
            tag("voices", "What a model speaks with."),
            tag("models", "Who speaks, and whether it is loaded."),
            tag("probes", "For those who watch the server."),
            tag("pages", "For people with a browser."),
        ]))
        .build()
}

fn components() -> Components {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Where the operator gave keys. Without keys, any key and none are fine."));
    let mut schemas = Vec::new();
    add::<health::Readiness<'_>>(&mut schemas);
    add::<models::AudioModelList<'_>>(&mut schemas);
    add::<models::ModelDetail<'_>>(&mut schemas);
    add::<models::ModelList<'_>>(&mut schemas);
    add::<models::ModelName>(&mut schemas);
    add::<reading::PhonemizeAnswer<'_>>(&mut schemas);
    add::<sse::Event>(&mut schemas);
    add::<upload::DeletedVoice<'_>>(&mut schemas);
    add::<voices::LegacyVoiceList<'_>>(&mut schemas);
    add::<voices::VoiceDetail<'_>>(&mut schemas);
    add::<voices::VoiceList<'_>>(&mut schemas);
    add::<words::Word>(&mut schemas);
    ComponentsBuilder::new()
        .schemas_from_iter(schemas)
        .schema("Captions", answers::captions())
        .schema("Error", answers::error())
        .schema("LexiconEntry", bodies::lexicon_entry())
        .schema("SpeechRequest", bodies::speech())
        .schema("VoiceUpload", bodies::upload())
        .security_scheme(BEARER, SecurityScheme::Http(scheme.build()))
        .build()
}

/// A type with those that it refers to.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), <T as PartialSchema>::schema()));
    T::schemas(schemas);
}
