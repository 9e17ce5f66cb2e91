//! What a listener would notice: how words and marks are read, that nothing is silent, and that every phoneme can be
//! traced to the word that it came from.

mod tables;

use std::sync::LazyLock;
use stentor_g2p::{G2p, G2pOptions, Origin, Phonemes, symbols::VOCABULARY};
use stentor_types::Language;

static G2P: LazyLock<G2p> = LazyLock::new(|| G2p::new(G2pOptions::default()));

fn american(text: &str) -> Phonemes {
    G2P.phonemize(text, &Language::en_us()).expect("English is always there")
}

/// What holds for every result.
#[track_caller]
fn check(text: &str, read: &Phonemes) {
    let chars: Vec<char> = read.text.chars().collect();
    for c in &chars {
        assert!(VOCABULARY.contains(*c), "{c:?} of {text:?} is not in the vocabulary");
    }
    let (mut at, mut byte) = (0, 0);
    for word in &read.words {
        assert!(byte <= word.source.start && word.source.start < word.source.end, "{text:?}");
        assert!(text.get(word.source.clone()).is_some(), "{text:?}");
        assert!(at <= word.phonemes.start && word.phonemes.start < word.phonemes.end, "{text:?}");
        let between: String = chars[at..word.phonemes.start].iter().collect();
        assert!(
            between.chars().all(|c| " ;:,.!?—…\"()“”".contains(c)),
            "{between:?} is in no word of {text:?}"
        );
        (at, byte) = (word.phonemes.end, word.source.end);
    }
    assert!(chars[at..].iter().all(|c| " ;:,.!?—…\"()“”".contains(*c)), "{text:?}");
    assert!(!read.text.contains("  ") && read.text.trim() == read.text, "{text:?} has stray spaces");
}

/// The words as they stand in the text, with their phonemes and origins.
fn words<'a>(text: &'a str, read: &Phonemes) -> Vec<(&'a str, String, Origin)> {
    let chars: Vec<char> = read.text.chars().collect();
    let phonemes = |range: std::ops::Range<usize>| chars[range].iter().collect();
    read.words.iter().map(|w| (&text[w.source.clone()], phonemes(w.phonemes.clone()), w.origin)).collect()
}

#[test]
fn american_and_british_are_read_as_in_the_tables() {
    let mut wrong = Vec::new();
    for (language, table) in [(Language::en_us(), tables::AMERICAN), (Language::en_gb(), tables::BRITISH)] {
        for (text, want) in table {
            let read = G2P.phonemize(text, &language).unwrap();
            check(text, &read);
            if read.text != *want {
                wrong.push(format!("{language} {text:?}: {} instead of {want}", read.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_can_be_traced_to_the_text() {
    let text = "“Wasn’t [Kokoro](/kˈoʊkəroʊ/)’s café well-known?” asked Zylophia, 3 times.";
    let read = american(text);
    check(text, &read);
    assert_eq!(read.text, "“wˈʌzᵊnt kˈOkəɹOz kæfˈA wˌɛlnˈOn?” ˈæskt zIlˈɑfiə, θɹˈi tˈImz.");
    let found = words(text, &read);
    let sources: Vec<&str> = found.iter().map(|(source, ..)| *source).collect();
    assert_eq!(
        sources,
        ["Wasn’t", "[Kokoro](/kˈoʊkəroʊ/)", "’s", "café", "well-known", "asked", "Zylophia", "3", "times"]
    );
    assert_eq!(found[1], ("[Kokoro](/kˈoʊkəroʊ/)", "kˈOkəɹO".to_owned(), Origin::Markup));
    assert_eq!(found[6].2, Origin::LetterToSound);
    assert_eq!(found[7], ("3", "θɹˈi".to_owned(), Origin::Number));
    assert_eq!(Origin::LetterToSound.to_string(), "letter-to-sound");
}

#[test]
fn links_give_phonemes_or_stress() {
    for (text, want) in [
        ("[hello](/həˈloʊ/) you", "həlˈO ju"),
        ("[a b](/wˈʌn tˈu/)", "wˈʌn tˈu"),
        ("[hello](-2)", "həlO"),
        ("[or](+2)", "ˈɔɹ"),
        ("[北京](/bAʤˈɪŋ/)!", "bAʤˈɪŋ!"),
        ("[hello](there)", "həlˈO"),
        ("[hello](//)", "həlˈO"),
        ("[Kokoro](/kˈOkəɹO/)'s", "kˈOkəɹOz"),
        ("the [apple](/ˈæpᵊl/)", "ði ˈæpᵊl"),
    ] {
        let read = american(text);
        check(text, &read);
        assert_eq!(read.text, want, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_reported_and_nothing_else_is() {
    let text = "Ask 𓀀𓀁 or Здравствуйте now";
    let read = american(text);
    check(text, &read);
    assert_eq!(read.skipped.iter().map(|range| &text[range.clone()]).collect::<Vec<_>>(), ["𓀀𓀁"]);
    assert_eq!(read.words.len(), 4);
    for text in ["", "  \n\t", "…!?", "🎉🎊", "\u{0}\u{1}", "***"] {
        let read = american(text);
        assert_eq!((read.text.as_str(), read.words.len(), read.skipped.len()), ("", 0, 0), "{text:?}");
    }
}

#[test]
fn words_in_other_scripts_sound_and_can_be_traced() {
    let text = "Hello 日本語 world.";
    let read = american(text);
    check(text, &read);
    let found = words(text, &read);
    assert_eq!(found.iter().map(|(source, ..)| *source).collect::<Vec<_>>(), ["Hello", "日本語", "world"]);
    assert_eq!(found[1].2, Origin::Transliterated);
    assert_eq!(found[1].2.to_string(), "transliterated");
    let text = "مرحبا بالعالم، עברית; 안녕하세요 नमस्ते सभी। สวัสดี Привет Ελλάδα გამარჯობა Բարեւ “東京”'s.";
    for language in [Language::en_us(), Language::en_gb()] {
        let read = G2P.phonemize(text, &language).unwrap();
        check(text, &read);
        assert!(read.skipped.is_empty());
        let sources: Vec<&str> = words(text, &read).iter().map(|(source, ..)| *source).collect();
        let want =
            text.split(|c: char| " ،;।“”'.".contains(c)).filter(|word| !word.is_empty() && *word != "s");
        assert_eq!(
            sources.into_iter().filter(|word| !word.ends_with('s')).collect::<Vec<_>>(),
            want.collect::<Vec<_>>()
        );
        for (source, phonemes, _) in words(text, &read) {
            assert!(phonemes.chars().any(char::is_alphabetic), "{source} is silent");
        }
    }
    let read = american("日本語のテキスト。");
    assert!(read.words.len() == 2 && read.text.ends_with('.'), "{}", read.text);
}

#[test]
fn text_without_spaces_is_cut_into_words_that_leave_nothing_out() {
    for text in
        ["今天天气很好我们去公园散步吧".repeat(30), "これはテストです".repeat(30), "สวัสดีครับ".repeat(30)]
    {
        let read = american(&text);
        check(&text, &read);
        assert!(read.skipped.is_empty());
        let mut end = 0;
        for word in &read.words {
            assert!(word.source.start == end && word.phonemes.len() <= 32, "{word:?} of {text}");
            end = word.source.end;
        }
        assert_eq!(end, text.len());
    }
}

/// xorshift64*, so that every run sees the same texts.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn word(&mut self, letters: &[u8]) -> String {
        (0..=self.below(12)).map(|_| char::from(letters[self.below(letters.len())])).collect()
    }
}

#[test]
fn every_word_of_latin_letters_and_digits_sounds() {
    let mut random = Random(7);
    let alphabets: [&[u8]; 4] =
        [b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"aeiou", b"bcXYZ0123456789"];
    for round in 0..40 {
        let language = if round % 2 == 0 { Language::en_us() } else { Language::en_gb() };
        let texts: Vec<String> = (0..20).map(|_| random.word(alphabets[round % 4])).collect();
        let text = texts.join(" ");
        let read = G2P.phonemize(&text, &language).unwrap();
        check(&text, &read);
        let sources: Vec<&str> = read.words.iter().map(|word| &text[word.source.clone()]).collect();
        assert_eq!(sources, texts);
        for (source, phonemes, _) in words(&text, &read) {
            assert!(phonemes.chars().any(char::is_alphabetic), "{source} is silent");
        }
    }
}

#[test]
fn every_number_sounds() {
    let mut texts: Vec<String> =
        (0..=120).flat_map(|n| [n.to_string(), format!("{n}th"), format!("{n}s")]).collect();
    texts.extend(
        ["1500", "1906", "2000", "9999", "10000", "1,000,000,000,000", "00", "3.07"].map(str::to_owned),
    );
    for language in [Language::en_us(), Language::en_gb()] {
        for part in texts.chunks(60) {
            let text = part.join(" ");
            let read = G2P.phonemize(&text, &language).unwrap();
            check(&text, &read);
            assert_eq!(read.words.len(), part.len(), "{text}");
        }
    }
    let spoken = american("3rd 11th 12th 20th 40s").text;
    assert_eq!(spoken, "θˈɜɹd əlˈɛvənθ twˈɛlfθ twˈɛntiəθ fˈɔɹTiz");
}

#[test]
fn no_text_makes_it_panic() {
    const MARKS: &[char] = &[
        '\'', '’', '"', '[', ']', '(', ')', '/', '-', '.', ',', ':', '$', '£', '%', '&', '@', '#', '+',
        '\u{301}', '\u{ad}', 'é', 'ß', 'İ', 'ﬁ', 'Ж', 'Ω', '中', 'の', 'ע', 'ि', '٣', '½', '🎉', '\u{200d}',
        '\0', '\n', '\u{a0}', 's', 'd', '1', 'A',
    ];
    let mut random = Random(11);
    for _ in 0..400 {
        let text: String = (0..=random.below(30))
            .map(|_| match random.below(5) {
                0 => char::from(b'a' + random.below(26) as u8),
                1 | 4 => MARKS[random.below(MARKS.len())],
                2 => ' ',
                _ => char::from_u32(random.below(0x3000) as u32).unwrap_or('x'),
            })
            .collect();
        check(&text, &american(&text));
    }
}

#[test]
fn long_runs_of_anything_take_linear_time() {
    for piece in [
        "a", "a.", "a'", "a-", "[", "[a](", "'", "\"", "1", "1,", ".", "é", "A1", "中", "の中", "ि", "-", "$",
    ] {
        let text = piece.repeat(20_000 / piece.len());
        let begun = std::time::Instant::now();
        check(&text, &american(&text));
        assert!(begun.elapsed().as_secs() < 20, "{piece:?} took {:?}", begun.elapsed());
    }
}

#[test]
fn one_phonemizer_serves_many_threads() {
    let want = american("The quick brown fox.").text;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(american("The quick brown fox.").text, want));
        }
    });
}

#[test]
fn english_can_be_warmed_and_is_always_listed() {
    let g2p = G2p::new(G2pOptions { espeak: stentor_g2p::EspeakMode::Off, cache_dir: None });
    assert_eq!(g2p.languages(), [Language::en_us(), Language::en_gb()]);
    g2p.warm(&Language::en_gb()).unwrap();
    let error = g2p.warm(&"fr".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("`fr`") && error.contains("espeak-ng"), "{error}");
}
