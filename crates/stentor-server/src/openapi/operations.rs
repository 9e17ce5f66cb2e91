//! Every route with its parameters and answers.

use super::{
    answers::{failures, header, json, response},
    bodies::{LANES, any_case, field},
};
use crate::{
    ErrorCode::{
        self, BodyTimeout, BodyTooLarge, ChunkQuarantined, DeadlinePassed, DeadlineUnreachable, Forbidden,
        InputNotSpeakable, InputTooLarge, Internal, InvalidApiKey, InvalidJson, InvalidValue,
        LanguageNotSupported, MethodNotAllowed, MissingField, ModelBusy, ModelNotFound, ModelNotInstalled,
        ModelUnavailable, NotFound, QueueFull, RateLimitExceeded, StorageFailed, SynthesisFailed,
        TooManyVoices, UnsupportedMediaType, VoiceExists, VoiceNotFound, VoiceNotSupported,
    },
    captions::CaptionFormat,
    routes::metrics::OPEN_METRICS,
};
use stentor_types::AudioFormat;
use utoipa::openapi::{
    Content, HttpMethod, ObjectBuilder, PathItem, Paths, PathsBuilder, Ref, Required, ResponseBuilder,
    SecurityRequirement,
    path::{OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{AnyOfBuilder, KnownFormat, SchemaFormat, Type},
};

const GET: HttpMethod = HttpMethod::Get;
const POST: HttpMethod = HttpMethod::Post;
const JSON: &str = "application/json";

/// What any body may come to.
const OF_BODIES: [ErrorCode; 6] =
    [InvalidJson, InvalidValue, InvalidApiKey, BodyTimeout, BodyTooLarge, RateLimitExceeded];
/// What resolving the names in a body of speech may come to.
const OF_SPEECH: [ErrorCode; 12] = [
    MissingField,
    InputNotSpeakable,
    InputTooLarge,
    LanguageNotSupported,
    VoiceNotFound,
    VoiceNotSupported,
    ModelNotFound,
    ModelNotInstalled,
    QueueFull,
    DeadlinePassed,
    ModelUnavailable,
    Internal,
];

pub(super) fn all() -> Paths {
    let paths = PathsBuilder::new();
    let paths = speech(paths);
    let paths = voices(paths);
    let paths = models(paths);
    let paths = probes(paths);
    pages(paths).build()
}

fn operation(id: &str, tag: &str, summary: &str) -> OperationBuilder {
    OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary))
}

/// For routes that answer without a key.
fn open(operation: OperationBuilder) -> OperationBuilder {
    operation.securities(Some([SecurityRequirement::default()]))
}

fn json_body(schema: &str) -> RequestBodyBuilder {
    let content = Content::new(Some(Ref::from_schema_name(schema)));
    RequestBodyBuilder::new().required(Some(Required::True)).content(JSON, content)
}

fn parameter(place: ParameterIn, name: &str, schema: ObjectBuilder) -> ParameterBuilder {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema))
}

fn id_of(what: &str) -> ParameterBuilder {
    parameter(ParameterIn::Path, "id", field(Type::String, what).min_length(Some(1)))
}

fn speech(paths: PathsBuilder) -> PathsBuilder {
    let create = PathItem::new(POST, speak("createSpeech"));
    let phonemize = operation("phonemize", "speech", "Shows how a text would be read.")
        .description(Some("The fields that matter are `input`, up to 20,000 characters, `model`, `voice`, `language`, `normalize` and `lexicon`."))
        .request_body(Some(json_body("SpeechRequest").build()))
        .response("200", ignored(json("The text as it is read.", "PhonemizeAnswer")));
    let phonemize = PathItem::new(POST, failures(phonemize, &[&OF_BODIES[..], &OF_SPEECH].concat()));
    paths
        .path("/audio/speech", without_v1(&create))
        .path("/v1/audio/speech", create)
        .path("/audio/phonemize", without_v1(&phonemize))
        .path("/v1/audio/phonemize", phonemize)
}

/// The same for clients whose base URL lacks the `/v1`.
fn without_v1(item: &PathItem) -> PathItem {
    let mut item = item.clone();
    for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten() {
        operation.operation_id = operation.operation_id.take().map(|id| id + "WithoutV1");
    }
    item
}

fn speak(id: &str) -> OperationBuilder {
    let timeout =
        ObjectBuilder::new().schema_type(Type::Number).exclusive_minimum(Some(0.0)).maximum(Some(86_400.0));
    let timeout = timeout.description(Some("How many seconds the request may wait for its first sound."));
    let prefer =
        field(Type::String, "`wait=30`: the same, by RFC 7240, where there is no `X-Request-Timeout`.");
    let priority = field(Type::String, "`interactive` or `batch`; goes before the field `priority`.");
    let operation = operation(id, "speech", "Speaks a text.")
        .description(Some(
            "Streamed as it is spoken, unless the text is one piece or `stream` is `false`. What fails after the \
             first byte ends the body without its final chunk; events have `speech.audio.error` for it.",
        ))
        .parameter(parameter(ParameterIn::Header, "X-Request-Timeout", timeout))
        .parameter(parameter(ParameterIn::Header, "Prefer", prefer.examples(["wait=30"])))
        .parameter(parameter(ParameterIn::Header, "x-priority", priority.pattern(Some(any_case(&LANES)))))
        .request_body(Some(json_body("SpeechRequest").build()))
        .response("200", spoken());
    let of_speaking = [DeadlineUnreachable, SynthesisFailed, ChunkQuarantined];
    failures(operation, &[&OF_BODIES[..], &OF_SPEECH, &of_speaking].concat())
}

/// Sound, events or captions.
fn spoken() -> ResponseBuilder {
    let text = |value: &str| header(Type::String, value);
    let answer =
        response("A file of sound, events, or captions, as `response_format` and `stream_format` ask.")
            .header("x-model", text("Who spoke."))
            .header("x-voice", text("With which voice."))
            .header("x-watermark", text("The watermark in the sound, or `none`."))
            .header("x-fallback-from", text("Who was to speak, where another model stood in."));
    let binary = || {
        let kind = ObjectBuilder::new().schema_type(Type::String);
        Content::new(Some(kind.format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))))
    };
    let lines = |about: &str| Content::new(Some(field(Type::String, about)));
    let answer = AudioFormat::ALL
        .into_iter()
        .fold(ignored(answer), |answer, format| answer.content(format.content_type(), binary()));
    let captions = CaptionFormat::ALL.into_iter().filter(|format| *format != CaptionFormat::Json);
    captions
        .fold(answer, |answer, format| answer.content(format.content_type(), lines("Captions.")))
        .content(CaptionFormat::Json.content_type(), Content::new(Some(Ref::from_schema_name("Captions"))))
        .content("text/event-stream", events())
}

/// As OpenAPI 3.2 describes events, and as tools that know events read 3.1: the schema is that of each.
fn events() -> Content {
    let data = field(Type::String, "A `SpeechEvent`, in one line.")
        .content_media_type(JSON)
        .content_schema(Some(Ref::from_schema_name("SpeechEvent")));
    let event = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("event", field(Type::String, "The `type` of the data."))
        .property("data", data)
        .required("event")
        .required("data");
    Content::new(Some(event))
}

/// With the header that names what had no effect.
fn ignored(answer: ResponseBuilder) -> ResponseBuilder {
    answer.header("x-ignored-params", header(Type::String, "Fields that had no effect, up to 16."))
}

fn voices(paths: PathsBuilder) -> PathsBuilder {
    let upload = RequestBodyBuilder::new()
        .required(Some(Required::True))
        .content("multipart/form-data", Content::new(Some(Ref::from_schema_name("VoiceUpload"))));
    let create = operation("createVoice", "voices", "Makes a voice of a recording.")
        .description(Some("It can be used at once, by id and by name, with every model that clones."))
        .request_body(Some(upload.build()))
        .response("200", ignored(json("The voice.", "VoiceDetail")));
    let of_uploads =
        [MissingField, Forbidden, VoiceExists, TooManyVoices, UnsupportedMediaType, StorageFailed, Internal];
    let create = failures(create, &[&OF_BODIES[..], &of_uploads].concat());
    let show = operation("getVoice", "voices", "One voice.").parameter(id_of("A voice's exact id."));
    let show = failures(
        show.response("200", json("The voice.", "VoiceDetail")),
        &[InvalidValue, InvalidApiKey, NotFound],
    );
    let delete = operation("deleteVoice", "voices", "Deletes an uploaded voice.")
        .description(Some(
            "Requests that speak with it go on to their end. The server's own voices can't be deleted.",
        ))
        .parameter(id_of("A voice's exact id."))
        .response("200", json("It is gone.", "DeletedVoice"));
    let of_deletion = [InvalidValue, InvalidApiKey, Forbidden, NotFound, RateLimitExceeded, Internal];
    let mut one = PathItem::new(GET, show);
    one.delete = Some(failures(delete, &of_deletion).build());
    let mut main = PathItem::new(GET, list_voices("listVoices"));
    main.post = Some(create.build());
    paths
        .path("/audio/voices", without_v1(&main))
        .path("/v1/audio/voices", main)
        .path("/v1/voices", PathItem::new(GET, list_voices("listVoicesAlias")))
        .path("/audio/voices/{id}", without_v1(&one))
        .path("/v1/audio/voices/{id}", one)
}

fn list_voices(id: &str) -> OperationBuilder {
    let legacy = field(Type::String, "`true`: plain strings under `voices`: ids, of uploaded voices names.")
        .pattern(Some(any_case(&["true", "false", "1", "0", ""])));
    let shapes = AnyOfBuilder::new()
        .item(Ref::from_schema_name("VoiceList"))
        .item(Ref::from_schema_name("LegacyVoiceList"));
    let answer = response("The voices, in the two shapes that clients read.");
    let operation = operation(id, "voices", "The voices of a model.")
        .description(Some("Without a key, where keys are needed, names are ids, or the list is closed, as the operator decides."))
        .parameter(parameter(ParameterIn::Query, "model", field(Type::String, "A model's id; absent: the default one, and every voice that was uploaded.")))
        .parameter(parameter(ParameterIn::Query, "legacy", legacy))
        .response("200", answer.content(JSON, Content::new(Some(shapes))));
    failures(operation, &[InvalidValue, InvalidApiKey, ModelNotFound, ModelNotInstalled])
}

fn models(paths: PathsBuilder) -> PathsBuilder {
    let list = operation("listModels", "models", "The models, in OpenAI's shape.");
    let list = failures(list.response("200", json("The models.", "ModelList")), &[InvalidApiKey]);
    let list = PathItem::new(GET, list);
    let audio = operation("listAudioModels", "models", "The models that can speak here.");
    let audio = audio.response("200", json("The models.", "AudioModelList"));
    let audio = PathItem::new(GET, failures(audio, &[InvalidApiKey]));
    let show = operation("getModel", "models", "One model with its life and its work.")
        .parameter(id_of("A model's id, which may hold slashes."))
        .response("200", json("The model.", "ModelDetail"));
    let of_showing = [InvalidValue, InvalidApiKey, ModelNotFound, ModelNotInstalled, MethodNotAllowed];
    let act = |id: &str, summary: &str, codes: &[ErrorCode]| {
        let operation = operation(id, "models", summary)
            .request_body(Some(json_body("ModelName").build()))
            .response("200", json("The model as it is now.", "ModelDetail"));
        let of_acts = [Forbidden, ModelNotFound, ModelNotInstalled, Internal];
        PathItem::new(POST, failures(operation, &[&OF_BODIES[..], &of_acts, codes].concat()))
    };
    paths
        .path("/models", without_v1(&list))
        .path("/v1/models", list)
        .path("/v1/models/{id}", PathItem::new(GET, failures(show, &of_showing)))
        .path(
            "/v1/models/load",
            act("loadModel", "Loads a model and waits until it can speak.", &[ModelUnavailable]),
        )
        .path("/v1/models/unload", act("unloadModel", "Unloads a model that does not speak.", &[ModelBusy]))
        .path("/audio/models", without_v1(&audio))
        .path("/v1/audio/models", audio)
}

fn probes(paths: PathsBuilder) -> PathsBuilder {
    let text = || Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
    let live = |id| {
        let answer = response("`ok`.").content("text/plain; charset=utf-8", text());
        PathItem::new(GET, open(operation(id, "probes", "The server answers.")).response("200", answer))
    };
    let ready = |id| {
        let operation = open(operation(id, "probes", "Somebody can speak, and the server is not leaving."))
            .response("200", json("Ready, or degraded: a fallback speaks.", "Readiness"))
            .response("503", json("Unavailable, with the reason.", "Readiness"));
        PathItem::new(GET, operation)
    };
    let metrics = open(operation("metrics", "probes", "Figures for Prometheus."))
        .response("200", response("OpenMetrics.").content(OPEN_METRICS, text()));
    paths
        .path("/livez", live("livez"))
        .path("/healthz", live("healthz"))
        .path("/readyz", ready("readyz"))
        .path("/health", ready("health"))
        .path("/metrics", PathItem::new(GET, failures(metrics, &[Internal])))
}

fn pages(paths: PathsBuilder) -> PathsBuilder {
    let file = |kind: &str| {
        let content = Content::new(Some(ObjectBuilder::new().schema_type(Type::String)));
        response("The file.").content(kind, content)
    };
    let page = |id, about, kind: &str| open(operation(id, "pages", about)).response("200", file(kind));
    let kept =
        |operation: OperationBuilder| operation.response("304", response("The browser has this very file."));
    let name = |name: &str, what: &str| {
        parameter(ParameterIn::Path, name, field(Type::String, what).min_length(Some(1)))
    };
    let html = "text/html; charset=utf-8";
    let part = kept(page("pageFile", "A part of the page.", "*/*")).parameter(name("name", "A file's name."));
    let docs_part = page("docsFile", "A part of that page.", "*/*").parameter(name("file", "A file's name."));
    let moved = response("The page is at `/docs/`.").header("location", header(Type::String, "`docs/`."));
    let redirect =
        open(operation("docs", "pages", "This document, to read and to try.")).response("307", moved);
    paths
        .path("/", PathItem::new(GET, kept(page("page", "A page to try all of this.", html))))
        .path("/page/{name}", PathItem::new(GET, failures(part, &[NotFound])))
        .path("/openapi.json", PathItem::new(GET, page("openapi", "This document.", JSON)))
        .path("/docs", PathItem::new(GET, redirect))
        .path(
            "/docs/",
            PathItem::new(GET, page("docsPage", "This document, to read and to try.", "text/html")),
        )
        .path("/docs/{file}", PathItem::new(GET, failures(docs_part, &[NotFound])))
}
