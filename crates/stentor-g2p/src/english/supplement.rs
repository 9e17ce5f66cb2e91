//! A few words that the dictionaries lack, that texts are full of, and that spelling does not give away.

/// Lower case without hyphens and apostrophes; American and British phonemes.
const WORDS: &[(&str, &str, &str)] = &[
    ("brr", "bɹˈɜɹ", "bɹˈɜː"),
    ("brrr", "bɹˈɜɹ", "bɹˈɜː"),
    ("grr", "ɡɹˈɜɹ", "ɡɹˈɜː"),
    ("grrr", "ɡɹˈɜɹ", "ɡɹˈɜː"),
    ("huggingface", "hˈʌɡɪŋ fˌAs", "hˈʌɡɪŋ fˌAs"),
    ("ikea", "Ikˈiə", "Ikˈiːə"),
    ("jalapeno", "hˌæləpˈAnjO", "hˌaləpˈAnjQ"),
    ("jalapenos", "hˌæləpˈAnjOz", "hˌaləpˈAnjQz"),
    ("kubernetes", "kˌubəɹnˈɛTiz", "kˌuːbənˈɛtiːz"),
    ("leadacid", "lˌɛdˈæsɪd", "lˌɛdˈasɪd"),
    ("leadbased", "lˈɛdbˌAst", "lˈɛdbˌAst"),
    ("leadfree", "lˌɛdfɹˈi", "lˌɛdfɹˈiː"),
    ("linux", "lˈɪnəks", "lˈɪnəks"),
    ("nginx", "ˈɛnʤən ˈɛks", "ˈɛnʤɪn ˈɛks"),
    ("nguyen", "nwˈɪn", "nwˈɪn"),
    ("postgresql", "pˈOstɡɹɛs kjˌuˈɛl", "pˈQstɡɹɛs kjˌuːˈɛl"),
    ("psst", "pst", "pst"),
    ("saoirse", "sˈɪɹʃə", "sˈɜːʃə"),
    ("shh", "ʃʃ", "ʃʃ"),
    ("shhh", "ʃʃ", "ʃʃ"),
    ("siobhan", "ʃɪvˈɔn", "ʃɪvˈɔːn"),
    ("st", "sˈAnt", "sənt"),
    ("til", "tˈɪl", "tˈɪl"),
    ("wifi", "wˈIfˌI", "wˈIfˌI"),
    ("wwi", "wˌɜɹld wˌɔɹ wˈʌn", "wˌɜːld wˌɔː wˈʌn"),
    ("wwii", "wˌɜɹld wˌɔɹ tˈu", "wˌɜːld wˌɔː tˈuː"),
    ("xi", "ʃˈi", "ʃˈiː"),
    ("xiaomi", "ʃWmˈi", "ʃWmˈiː"),
    ("zsh", "zˌiˌɛsˈAʧ", "zˌɛdˌɛsˈAʧ"),
];

pub(super) fn get(word: &str, british: bool) -> Option<&'static str> {
    let at = WORDS.binary_search_by_key(&word, |(known, ..)| known).ok()?;
    let (_, american, in_britain) = WORDS[at];
    Some(if british { in_britain } else { american })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_and_in_the_vocabulary() {
        assert!(WORDS.is_sorted_by_key(|(word, ..)| word));
        for (word, american, british) in WORDS {
            assert!(american.chars().chain(british.chars()).all(crate::symbols::is_known), "{word}");
        }
    }
}
