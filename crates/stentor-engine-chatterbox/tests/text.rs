//! What the tokenizers do beside giving the reference's ids: sources, cues, refusals.

mod text_files;

use stentor_engine::EngineError;
use stentor_engine_chatterbox::text::{TextTokens, Tokenizer};
use stentor_types::Language;
use text_files::{Family, files, tokenizer};

fn sources<'a>(tokens: &TextTokens, text: &'a str) -> Vec<&'a str> {
    tokens.source.iter().map(|range| &text[range.clone()]).collect()
}

#[test]
fn every_token_knows_its_bytes() {
    let text = "Hi…  the [said](/sˈɛd/) – “the”";
    let tokens = tokenizer(Family::English).encode(text, &Language::en_us()).unwrap();
    let joined: String = sources(&tokens, text).concat();
    for word in ["Hi", "…", "  ", "the", "said", "–", "“", "”"] {
        assert!(joined.contains(word), "{word}: {joined}");
    }
    assert!(!joined.contains("sˈɛd") && !joined.contains('['), "{joined}");
    let ends = tokens.source.iter().map(|range| range.start);
    assert!(ends.clone().zip(ends.skip(1)).all(|(left, right)| left <= right), "{tokens:?}");
    assert_eq!((tokens.ids[0], &tokens.source[0]), (255, &(0..0)));
    assert_eq!(tokens.ids.last(), Some(&0));
    assert!(tokens.source.last().unwrap().is_empty());
}

#[test]
fn decomposed_and_coded_characters_keep_their_bytes() {
    let multilingual = tokenizer(Family::Multilingual);
    for (language, text) in [("ko", "안녕"), ("zh", "你好"), ("fr", "Été"), ("hi", "क़")] {
        let language = language.parse().unwrap();
        let tokens = multilingual.encode(text, &language).unwrap();
        let inner = &tokens.source[2..]; // behind start and language
        assert_eq!(tokens.source[1], 0..0, "the language's tag");
        let first = text.chars().next().unwrap().len_utf8();
        assert!(
            inner.first().is_some_and(|range| range.start == 0 && range.end >= first),
            "{text} {tokens:?}"
        );
        assert_eq!(inner.iter().map(|range| range.end).max(), Some(text.len()), "{text} {tokens:?}");
    }
}

#[test]
fn cues_are_single_tokens_of_turbo() {
    let turbo = tokenizer(Family::Turbo);
    let tags = turbo.tags();
    assert_eq!(tags.len(), 9);
    assert!(["[clear throat]", "[laugh]", "[sigh]"].iter().all(|cue| tags.contains(&(*cue).to_owned())));
    for tag in tags {
        let text = format!("So {tag} yes");
        let tokens = turbo.encode(&text, &Language::en_us()).unwrap();
        let cue = tokens.source.iter().filter(|range| text[range.start..range.end] == tag);
        assert_eq!(cue.count(), 1, "{tag}: {tokens:?}");
        assert!(!turbo.encode(&tag, &Language::en_us()).unwrap().ids.is_empty(), "{tag} alone is heard");
    }
    assert!(tokenizer(Family::English).tags().is_empty());
    assert!(tokenizer(Family::Multilingual).tags().is_empty());
}

#[test]
fn nothing_speakable_gives_no_tokens() {
    for family in [Family::English, Family::Multilingual, Family::Turbo] {
        let tokenizer = tokenizer(family);
        for text in ["", " ", "...", "?!", "😀", "—"] {
            assert_eq!(tokenizer.encode(text, &Language::en_us()), Ok(TextTokens::default()), "{text:?}");
        }
    }
    // Letters that the vocabulary does not know.
    let english = tokenizer(Family::English);
    assert_eq!(english.encode("ᚠᛇᚻ", &Language::en_us()), Ok(TextTokens::default()));
}

#[test]
fn control_tokens_in_a_text_do_not_end_it() {
    let english = tokenizer(Family::English);
    let tokens = english.encode("one [STOP] two [START] three", &Language::en_us()).unwrap();
    assert_eq!(tokens.ids.iter().filter(|id| [0, 255].contains(*id)).count(), 2, "{tokens:?}");
}

#[test]
fn a_text_that_is_too_long_says_how_much_fits() {
    for family in [Family::English, Family::Multilingual, Family::Turbo] {
        let tokenizer = tokenizer(family);
        let text = "They've seen 7 xylophones. ".repeat(400);
        let limit = match tokenizer.encode(&text, &Language::en_us()) {
            Err(EngineError::ChunkTooLong { limit }) => limit,
            other => panic!("{:?}", other.map(|tokens| tokens.ids.len())),
        };
        assert!(tokenizer.encode(&text[..limit], &Language::en_us()).is_ok_and(|t| t.ids.len() > 1500));
    }
}

#[test]
fn the_published_manifests_list_what_is_spoken_and_nothing_else() {
    for (manifest, family) in [
        (include_str!("../../../models/chatterbox.toml"), Family::English),
        (include_str!("../../../models/chatterbox-turbo.toml"), Family::Turbo),
        (include_str!("../../../models/chatterbox-nano.toml"), Family::Turbo),
        (include_str!("../../../models/chatterbox-multilingual.toml"), Family::Multilingual),
        (include_str!("../../../models/chatterbox-multilingual-v2.toml"), Family::Multilingual),
    ] {
        let list = manifest.split_once("\nlanguages = [").and_then(|(_, rest)| rest.split_once(']'));
        let mut listed: Vec<&str> = list.expect("a list").0.split('"').skip(1).step_by(2).collect();
        let spoken = tokenizer(family).languages();
        let mut spoken: Vec<&str> = spoken.iter().map(Language::as_str).collect();
        listed.sort_unstable();
        spoken.sort_unstable();
        assert_eq!(listed, spoken, "{family:?}");
    }
}

#[test]
fn languages_are_those_that_can_be_spoken() {
    let multilingual = tokenizer(Family::Multilingual);
    assert_eq!(multilingual.languages().len(), 24, "of 23, English in two ways");
    let mut without = files(Family::Multilingual);
    without.remove("cangjie");
    let without = Tokenizer::load(&without).unwrap();
    let chinese: Language = "zh-cn".parse().unwrap();
    assert!(!without.languages().iter().any(|language| language.primary() == "zh"));
    assert_eq!(without.languages().len(), 23);
    assert!(matches!(without.encode("你好", &chinese), Err(EngineError::Rejected(_))));
    assert!(multilingual.encode("你好", &chinese).is_ok());
    let welsh: Language = "cy".parse().unwrap();
    assert!(matches!(multilingual.encode("Shwmae", &welsh), Err(EngineError::Rejected(_))));
    assert!(matches!(
        tokenizer(Family::Turbo).encode("Bonjour", &"fr".parse().unwrap()),
        Err(EngineError::Rejected(_))
    ));
    let bokmal = multilingual.encode("Takk", &"nb".parse().unwrap()).unwrap();
    assert_eq!(bokmal, multilingual.encode("Takk", &"no".parse().unwrap()).unwrap());
}

#[test]
fn a_byte_level_tokenizer_json_is_turbo_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let old = files(Family::Turbo);
    let vocabulary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&old["vocab"]).unwrap()).unwrap();
    let merges = std::fs::read_to_string(&old["merges"]).unwrap();
    let merges: Vec<&str> = merges.lines().skip(1).collect();
    let next = vocabulary.as_object().unwrap().len();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "decoder": null,
        "added_tokens": [{ "id": next, "content": "[laugh]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": true, "special": false }],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocabulary, "merges": merges },
    });
    std::fs::write(&path, json.to_string()).unwrap();
    let one = Tokenizer::load(&[("tokenizer".to_owned(), path)].into()).unwrap();
    assert_eq!((one.family(), one.tags()), (Family::Turbo, vec!["[laugh]".to_owned()]));
    let text = "It's the story; of a woman's life";
    let four = tokenizer(Family::Turbo);
    assert_eq!(one.encode(text, &Language::en_us()), four.encode(text, &Language::en_us()));
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.json");
    std::fs::write(&path, "{").unwrap();
    for (family, role) in [
        (Family::English, "tokenizer"),
        (Family::Multilingual, "cangjie"),
        (Family::Multilingual, "words"),
        (Family::Turbo, "vocab"),
        (Family::Turbo, "merges"),
        (Family::Turbo, "added_tokens"),
    ] {
        let mut files = files(family);
        files.insert(role.to_owned(), path.clone());
        let error = Tokenizer::load(&files).err().expect("a broken file");
        assert!(error.contains("broken.json"), "{role}: {error}");
        files.insert(role.to_owned(), folder.path().join("absent.json"));
        let error = Tokenizer::load(&files).err().expect("an absent file");
        assert!(error.contains("absent.json"), "{role}: {error}");
    }
    assert!(Tokenizer::load(&std::collections::BTreeMap::new()).is_err());
}
