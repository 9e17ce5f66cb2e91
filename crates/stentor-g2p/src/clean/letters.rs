//! Letters and digits of other scripts, as an English reader would write them down.

/// Latin letters that do not decompose, Cyrillic, Greek and other scripts' digits in ASCII. `before` and `after`
/// are the neighbours: a Greek letter on its own is read by its name.
pub(super) fn read(c: char, before: Option<char>, after: Option<char>) -> Option<String> {
    if let Some(digit) = digit(c) {
        return Some(digit.to_string());
    }
    let lower = c.to_lowercase().next().unwrap_or(c);
    let plain = if let Some(at) = GREEK.iter().position(|(letter, ..)| *letter == lower) {
        let (_, plain, name) = GREEK[at];
        let alone = !before.is_some_and(is_greek) && !after.is_some_and(is_greek);
        if alone {
            return Some(format!(" {name} "));
        }
        plain
    } else {
        TABLE.iter().find(|(letter, _)| *letter == lower)?.1
    };
    Some(if c == lower { plain.to_owned() } else { capitalized(plain) })
}

fn is_greek(c: char) -> bool {
    ('\u{370}'..'\u{400}').contains(&c) || ('\u{1f00}'..'\u{2000}').contains(&c)
}

fn capitalized(plain: &str) -> String {
    let mut chars = plain.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// The zeros of scripts whose digits stand in a row.
const ZEROS: &str = "٠۰߀०০੦૦୦௦౦೦൦๐໐༠၀០᠐０";

fn digit(c: char) -> Option<u32> {
    ZEROS
        .chars()
        .find_map(|zero| (c as u32).checked_sub(zero as u32).filter(|value| *value < 10))
        .filter(|_| !c.is_ascii())
}

const GREEK: &[(char, &str, &str)] = &[
    ('α', "a", "alpha"),
    ('β', "v", "beta"),
    ('γ', "g", "gamma"),
    ('δ', "d", "delta"),
    ('ε', "e", "epsilon"),
    ('ζ', "z", "zeta"),
    ('η', "i", "eta"),
    ('θ', "th", "theta"),
    ('ι', "i", "iota"),
    ('κ', "k", "kappa"),
    ('λ', "l", "lambda"),
    ('μ', "m", "mu"),
    ('ν', "n", "nu"),
    ('ξ', "x", "xi"),
    ('ο', "o", "omicron"),
    ('π', "p", "pi"),
    ('ρ', "r", "rho"),
    ('σ', "s", "sigma"),
    ('ς', "s", "sigma"),
    ('τ', "t", "tau"),
    ('υ', "y", "upsilon"),
    ('φ', "f", "phi"),
    ('χ', "ch", "chi"),
    ('ψ', "ps", "psi"),
    ('ω', "o", "omega"),
];

const TABLE: &[(char, &str)] = &[
    // Latin
    ('ß', "ss"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('ø', "o"),
    ('ł', "l"),
    ('đ', "d"),
    ('ð', "th"),
    ('þ', "th"),
    ('ı', "i"),
    ('ħ', "h"),
    ('ŋ', "ng"),
    ('ə', "e"),
    ('ŧ', "t"),
    ('ƒ', "f"),
    ('ɛ', "e"),
    ('ɔ', "o"),
    ('ĸ', "k"),
    ('š', "sh"),
    ('č', "ch"),
    ('ć', "ch"),
    ('ž', "zh"),
    ('ş', "sh"),
    ('ș', "sh"),
    ('ț', "ts"),
    // Cyrillic
    ('а', "a"),
    ('б', "b"),
    ('в', "v"),
    ('г', "g"),
    ('ґ', "g"),
    ('д', "d"),
    ('е', "e"),
    ('ё', "yo"),
    ('є', "ye"),
    ('ж', "zh"),
    ('з', "z"),
    ('и', "i"),
    ('і', "i"),
    ('ї', "yi"),
    ('й', "y"),
    ('ј', "y"),
    ('к', "k"),
    ('л', "l"),
    ('љ', "ly"),
    ('м', "m"),
    ('н', "n"),
    ('њ', "ny"),
    ('о', "o"),
    ('п', "p"),
    ('р', "r"),
    ('с', "s"),
    ('т', "t"),
    ('ћ', "ch"),
    ('ђ', "dj"),
    ('у', "u"),
    ('ў', "w"),
    ('ф', "f"),
    ('х', "kh"),
    ('ц', "ts"),
    ('ч', "ch"),
    ('џ', "dzh"),
    ('ш', "sh"),
    ('щ', "shch"),
    ('ъ', ""),
    ('ы', "y"),
    ('ь', ""),
    ('э', "e"),
    ('ю', "yu"),
    ('я', "ya"),
];
