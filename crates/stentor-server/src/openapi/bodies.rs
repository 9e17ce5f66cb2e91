//! Bodies that are read by hand, with the limits that their readers use.

use crate::{
    Limits,
    api::{delivery::RATES, lexicon::MAX_ENTRIES, speech::MOST_INSTRUCTIONS, upload::MAX_TEXT},
    captions::CaptionFormat,
};
use serde_json::{Value, json};
use stentor_catalog::VOICE_NAME_LIMIT;
use stentor_text::lexicon::{MAX_IPA_BYTES, MAX_REPLACE_BYTES, MAX_WORD_BYTES};
use stentor_types::AudioFormat;
use utoipa::openapi::{
    ObjectBuilder, Ref, RefOr, Schema,
    schema::{AdditionalProperties, ArrayBuilder, KnownFormat, OneOfBuilder, SchemaFormat, SchemaType, Type},
};

/// A tag such as `en-gb`; empty and `auto` leave the language to the voice.
const LANGUAGE: &str = "^([A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*|[Aa][Uu][Tt][Oo])?$";
/// The same, or the letter of one of Kokoro's languages.
const LANGUAGE_OR_LETTER: &str =
    "^([A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*|[Aa][Uu][Tt][Oo]|[ABEFHIJPZabefhijpz])?$";
/// Whether somebody is listening.
pub(super) const LANES: [&str; 2] = ["interactive", "batch"];
/// As long as a tag may be.
const LANGUAGE_LENGTH: usize = 35;

pub(super) fn field(kind: Type, about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind).description(Some(about))
}

/// A field that may be `null`, which equals its absence.
fn optional(kind: Type, about: &str) -> ObjectBuilder {
    let kinds: SchemaType = [kind, Type::Null].into_iter().collect();
    ObjectBuilder::new().schema_type(kinds).description(Some(about))
}

/// A pattern for some words in any case, as clients of many kinds spell them.
pub(super) fn any_case(words: &[&str]) -> String {
    let letter = |c: char| match (c.to_ascii_uppercase(), c.to_ascii_lowercase()) {
        (upper, lower) if upper == lower => c.to_string(),
        (upper, lower) => format!("[{upper}{lower}]"),
    };
    let words: Vec<String> = words.iter().map(|word| word.chars().map(letter).collect()).collect();
    format!("^({})$", words.join("|"))
}

fn one_of<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Vec<Value> {
    values.into_iter().map(Into::into).chain([Value::Null]).collect()
}

/// The body of `POST /v1/audio/speech`.
pub(super) fn speech() -> ObjectBuilder {
    let names = AudioFormat::ALL.map(AudioFormat::name).into_iter();
    let formats = one_of(names.chain(CaptionFormat::ALL.map(CaptionFormat::name)));
    let input = field(Type::String, "The text, or an SSML document, up to 1 MiB of UTF-8.")
        .min_length(Some(1))
        .max_length(Some(Limits::default().max_input_bytes))
        .pattern(Some(r"\S"));
    let body = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some(
            "`null` equals absent. A model may take more fields, which `/v1/models/{id}` lists as its `parameters`; \
             what nobody knows changes nothing and is named in the header `x-ignored-params`.",
        ))
        .required("input")
        .property("input", input)
        .property("model", optional(Type::String, "A model's id, or OpenAI's `tts-1`, `tts-1-hd`, \
             `gpt-4o-mini-tts`, which mean the default model, as absence does."))
        .property("voice", voice())
        .property("response_format", optional(Type::String, "A format of sound, or of captions.")
            .enum_values(Some(formats)).default(Some(json!(AudioFormat::default().name()))))
        .property("speed", optional(Type::Number, "1 is the voice's own.")
            .minimum(Some(0.25)).maximum(Some(4.0)).default(Some(json!(1.0))))
        .property("stream_format", optional(Type::String, "`sse`: events that carry the sound; not for captions.")
            .enum_values(Some(one_of(["audio", "sse"]))).default(Some(json!("audio"))))
        .property("instructions", optional(Type::String, "How to speak; ignored by models that can't follow.")
            .max_length(Some(MOST_INSTRUCTIONS)));
    extensions(body)
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([json!({"input": "Hello, world."})])
}

/// What OpenAI's body does not have.
fn extensions(body: ObjectBuilder) -> ObjectBuilder {
    let seed = OneOfBuilder::new()
        .item(
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(isize::MIN))
                .maximum(Some(usize::MAX)),
        )
        .item(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["random"])))
        .item(ObjectBuilder::new().schema_type(Type::Null))
        .description(Some(
            "Absent: derived from text and voice, so that the same request gives the same sound.",
        ));
    let granularity = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["word"]));
    let timestamps = ArrayBuilder::new().items(granularity).schema_type(nullable(Type::Array)).description(Some(
        "When each word is heard: in events, or in captions with a cue for each word. Not in files of sound.",
    ));
    let entries = ArrayBuilder::new()
        .items(Ref::from_schema_name("LexiconEntry"))
        .schema_type(nullable(Type::Array))
        .max_items(Some(MAX_ENTRIES))
        .description(Some("How words are read in this text; before the server's own lexicon."));
    body.property(
        "language",
        language("A tag such as `en-gb`; absent, empty or `auto`: the voice's.", LANGUAGE),
    )
    .property(
        "lang_code",
        language("Another name for `language`, which also takes Kokoro's letters.", LANGUAGE_OR_LETTER),
    )
    .property(
        "sample_rate",
        optional(Type::Integer, "Hertz; Opus has those that divide 48000.")
            .enum_values(Some(one_of(RATES)))
            .default(Some(json!(24_000))),
    )
    .property("timestamps", timestamps)
    .property("seed", seed)
    .property(
        "normalize",
        optional(Type::Boolean, "Digits and symbols are written out.").default(Some(json!(true))),
    )
    .property("stream", optional(Type::Boolean, "`false`: the whole file at once, up to 30,000 characters."))
    .property(
        "priority",
        optional(Type::String, "`interactive` or `batch`; absent: by the length of the text.")
            .pattern(Some(any_case(&LANES))),
    )
    .property(
        "cache",
        optional(Type::Boolean, "Finished pieces may be kept, and taken from the store.")
            .default(Some(json!(true))),
    )
    .property("lexicon", entries)
}

fn nullable(kind: Type) -> SchemaType {
    [kind, Type::Null].into_iter().collect()
}

fn language(about: &str, pattern: &str) -> ObjectBuilder {
    optional(Type::String, about).pattern(Some(pattern)).max_length(Some(LANGUAGE_LENGTH))
}

fn voice() -> OneOfBuilder {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("id", ObjectBuilder::new().schema_type(nullable(Type::String)))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    OneOfBuilder::new()
        .item(ObjectBuilder::new().schema_type(nullable(Type::String)))
        .item(object)
        .description(Some(
            "An id, name or alias, one of OpenAI's names, or a blend such as `af_bella(2)+af_sky`. Absent: the model's own.",
        ))
}

/// An entry of the field `lexicon`.
pub(super) fn lexicon_entry() -> ObjectBuilder {
    let text = |about: &str, limit: usize| optional(Type::String, about).max_length(Some(limit));
    let case = optional(Type::String, "`exact`: only as it is written here.");
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("It needs `replace` or `ipa`, or both. Lengths are in bytes of UTF-8."))
        .required("word")
        .property(
            "word",
            field(Type::String, "A word or a phrase.").min_length(Some(1)).max_length(Some(MAX_WORD_BYTES)),
        )
        .property(
            "case",
            case.enum_values(Some([json!("any"), json!("exact"), Value::Null])).default(Some(json!("any"))),
        )
        .property("language", text("Only in this language; `en` is every English.", LANGUAGE_LENGTH))
        .property("replace", text("Text that is read instead.", MAX_REPLACE_BYTES))
        .property("ipa", text("Phonemes that are spoken.", MAX_IPA_BYTES))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// The form of `POST /v1/audio/voices`.
pub(super) fn upload() -> ObjectBuilder {
    let recording =
        field(Type::String, "A recording in any usual format, up to 10 MiB, of 1 to 120 seconds.")
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
    let text = |about: &str| field(Type::String, about).max_length(Some(MAX_TEXT));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .required("name")
        .required("audio_sample")
        .property(
            "name",
            field(Type::String, "No path, no control characters, and not the name of a voice that exists.")
                .min_length(Some(1))
                .max_length(Some(VOICE_NAME_LIMIT)),
        )
        .property("audio_sample", recording)
        .property("consent", text("Whatever refers to the speaker's consent; kept with the voice."))
        .property(
            "language",
            field(Type::String, "The voice's, such as `en-gb`.").max_length(Some(LANGUAGE_LENGTH)),
        )
        .property("transcript", text("What is said in the recording."))
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

/// What a model takes beyond the common fields, in its detail.
pub(crate) fn engine_parameters() -> RefOr<Schema> {
    let kinds = ["bool", "integer", "number", "text"];
    let kind = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("type", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds)))
        .property("min", field(Type::Number, "Of integers and numbers."))
        .property("max", field(Type::Number, "Of integers and numbers."))
        .property("default", ObjectBuilder::new().schema_type(SchemaType::AnyValue))
        .required("type")
        .required("default");
    let parameter = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("name", field(Type::String, "A field of the body of speech."))
        .property("kind", kind)
        .property(
            "later",
            ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .description(Some("The default from a text's second chunk on, where it is another.")),
        )
        .property("description", field(Type::String, "What it does."))
        .required("name")
        .required("kind")
        .required("description");
    let list = ArrayBuilder::new().items(parameter).schema_type(nullable(Type::Array));
    let about = "What a request may set beyond the common fields; `null` until the model was loaded.";
    RefOr::T(Schema::Array(list.description(Some(about)).build()))
}
