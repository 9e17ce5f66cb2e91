//! Abbreviations with a stop: titles, streets, Latin, companies, weekdays; and short forms with a slash.

use super::context::{Context, Hit};

/// What must follow or precede for the long form to be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Everywhere; a stop before a new sentence is kept.
    Always,
    /// Before a capitalised word: "Dr. Smith".
    BeforeName,
    /// Before a number: "No. 5", "pp. 3-5".
    BeforeNumber,
    /// After a capitalised word: "Elm Ave."
    AfterName,
    /// Like `Always`, and the stop may be missing: "vs".
    Bare,
    /// Before a name, and the stop may be missing: "Mr Smith".
    BareBeforeName,
}

use When::{AfterName, Always, Bare, BareBeforeName, BeforeName, BeforeNumber};

static TABLE: [(&str, &str, When); 99] = [
    ("Dr", "Doctor", BareBeforeName),
    ("Mr", "Mister", BareBeforeName),
    ("Mrs", "Missus", BareBeforeName),
    ("Ms", "Miz", BareBeforeName),
    ("Messrs", "Messers", BeforeName),
    ("Prof", "Professor", BareBeforeName),
    ("Rev", "Reverend", BeforeName),
    ("Hon", "Honorable", BeforeName),
    ("Gen", "General", BeforeName),
    ("Col", "Colonel", BeforeName),
    ("Maj", "Major", BeforeName),
    ("Capt", "Captain", BeforeName),
    ("Lt", "Lieutenant", BeforeName),
    ("Sgt", "Sergeant", BeforeName),
    ("Cpl", "Corporal", BeforeName),
    ("Cmdr", "Commander", BeforeName),
    ("Adm", "Admiral", BeforeName),
    ("Gov", "Governor", BeforeName),
    ("Sen", "Senator", BeforeName),
    ("Rep", "Representative", BeforeName),
    ("Pres", "President", BeforeName),
    ("Supt", "Superintendent", BeforeName),
    ("Fr", "Father", BeforeName),
    ("Mt", "Mount", BareBeforeName),
    ("Ft", "Fort", BeforeName),
    ("Sr", "Senior", Always),
    ("Jr", "Junior", Always),
    ("Esq", "Esquire", Always),
    ("Ave", "Avenue", AfterName),
    ("Blvd", "Boulevard", AfterName),
    ("Rd", "Road", AfterName),
    ("Ln", "Lane", AfterName),
    ("Hwy", "Highway", Bare),
    ("Pkwy", "Parkway", AfterName),
    ("Sq", "Square", AfterName),
    ("Apt", "Apartment", Always),
    ("Bldg", "Building", Always),
    ("No", "Number", BeforeNumber),
    ("no", "number", BeforeNumber),
    ("Nos", "Numbers", BeforeNumber),
    ("nos", "numbers", BeforeNumber),
    ("Nr", "Number", BeforeNumber),
    ("Vol", "Volume", BeforeNumber),
    ("vol", "volume", BeforeNumber),
    ("Ch", "Chapter", BeforeNumber),
    ("ch", "chapter", BeforeNumber),
    ("Fig", "Figure", BeforeNumber),
    ("fig", "figure", BeforeNumber),
    ("Figs", "Figures", BeforeNumber),
    ("Eq", "Equation", BeforeNumber),
    ("Sec", "Section", BeforeNumber),
    ("sec", "section", BeforeNumber),
    ("Art", "Article", BeforeNumber),
    ("p", "page", BeforeNumber),
    ("pp", "pages", BeforeNumber),
    ("est", "established", BeforeNumber),
    ("c", "circa", BeforeNumber),
    ("ca", "circa", Always),
    ("etc", "et cetera", Bare),
    ("vs", "versus", Bare),
    ("cf", "compare", Always),
    ("viz", "namely", Always),
    ("approx", "approximately", Always),
    ("Approx", "Approximately", Always),
    ("dept", "department", Always),
    ("Dept", "Department", Always),
    ("govt", "government", Always),
    ("Govt", "Government", Always),
    ("Univ", "University", Always),
    ("Inc", "Incorporated", Bare),
    ("Ltd", "Limited", Bare),
    ("Corp", "Corporation", Bare),
    ("Co", "Company", AfterName),
    ("Bros", "Brothers", Always),
    ("Assn", "Association", Always),
    ("misc", "miscellaneous", Always),
    ("incl", "including", Always),
    ("excl", "excluding", Always),
    ("avg", "average", Always),
    ("temp", "temperature", Always),
    ("Temp", "Temperature", Always),
    ("max", "maximum", Always),
    ("min", "minimum", Always),
    ("pts", "points", Always),
    ("pkg", "package", Always),
    ("Matt", "Matthew", BeforeNumber),
    ("Ps", "Psalm", BeforeNumber),
    ("Rom", "Romans", BeforeNumber),
    ("Cor", "Corinthians", BeforeNumber),
    ("ext", "extension", BeforeNumber),
    ("Wed", "Wednesday", Always),
    ("Sat", "Saturday", BeforeNumber),
    ("Sun", "Sunday", BeforeNumber),
    ("Mon", "Monday", BeforeNumber),
    ("Tue", "Tuesday", Always),
    ("Tues", "Tuesday", Always),
    ("Thurs", "Thursday", Always),
    ("Thu", "Thursday", Always),
    ("Fri", "Friday", Always),
];

/// Forms that hold stops or slashes themselves.
static COMPOUND: [(&str, &str); 21] = [
    ("TL;DR", "T L D R"),
    ("tl;dr", "T L D R"),
    ("e.g.", "for example"),
    ("E.g.", "For example"),
    ("e.g", "for example"),
    ("i.e.", "that is"),
    ("I.e.", "That is"),
    ("i.e", "that is"),
    ("a.k.a.", "also known as"),
    ("a.k.a", "also known as"),
    ("et al.", "et al"),
    ("w/o", "without"),
    ("w/", "with"),
    ("b/c", "because"),
    ("c/o", "care of"),
    ("N/A", "not applicable"),
    ("n/a", "not applicable"),
    ("and/or", "and or"),
    ("R.I.P.", "rest in peace"),
    ("n.b.", "note well"),
    ("N.B.", "note well"),
];

pub(super) fn abbreviation(context: &Context, pos: usize) -> Option<Hit> {
    if let Some((written, spoken)) = COMPOUND.iter().find(|(written, _)| compound_fits(context, pos, written))
    {
        return Some(Hit::one(pos..pos + written.len(), *spoken));
    }
    let word = context.letters(pos);
    let end = pos + word.len();
    if let Some(hit) = weekdays(context, pos, end) {
        return Some(hit);
    }
    if word.len() > 6 {
        return None;
    }
    if word == "v" {
        return versus(context, pos);
    }
    if word == "St" {
        return street_or_saint(context, pos, end);
    }
    if word == "Dr" && context.is(end, ".") && after_name(context, pos) && !before_name(context, end + 1) {
        return Some(reading(context, pos..end, "Drive"));
    }
    let (_, spoken, when) = TABLE.iter().find(|(written, ..)| *written == word)?;
    let stopped = context.is(end, ".");
    // "Sat 10am", but not "the Sun 4 billion years ago".
    let weekday = matches!(word, "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat")
        && context.is(end, " ")
        && context.digit(end + 1);
    let bare_ok = weekday || matches!(when, Bare | BareBeforeName);
    if !stopped && (!bare_ok || !context.ends(end) || context.is(end, "-") || context.is(end, "'")) {
        return None;
    }
    let next = if stopped { end + 1 } else { end };
    let fits = match when {
        Always | Bare => true,
        BeforeName | BareBeforeName => before_name(context, next) || before_title(context, next),
        BeforeNumber => before_number(context, next),
        AfterName => after_name(context, pos),
    };
    if !fits {
        return None;
    }
    if matches!(when, BeforeName | BareBeforeName | BeforeNumber) {
        // These never end a sentence: their stop goes.
        let mut hit = Hit::one(pos..end, *spoken);
        hit.end = next;
        return Some(hit);
    }
    Some(reading(context, pos..end, spoken))
}

fn compound_fits(context: &Context, pos: usize, written: &str) -> bool {
    context.is(pos, written)
        && (!written.ends_with(char::is_alphanumeric) || context.ends(pos + written.len()))
        && context.before(pos) != Some('/') // "a/b/c"
        && !(written == "w/" && context.digit(pos + 2))
        && !(!written.ends_with('.') && context.is(pos + written.len(), ".") && written.contains('.'))
}

/// The long form, with the stop kept where it ends the sentence.
fn reading(context: &Context, range: std::ops::Range<usize>, spoken: &str) -> Hit {
    let stop = context.after_stop(range.end);
    let mut hit = Hit::one(range, spoken);
    hit.end = stop;
    hit
}

fn before_name(context: &Context, pos: usize) -> bool {
    let at = context.skip_space(pos);
    at > pos && context.char(at).is_some_and(|c| c.is_uppercase() || c == '[')
}

/// "Mr. & Mrs. Smith": the name comes behind a second title.
fn before_title(context: &Context, pos: usize) -> bool {
    [" & ", " and "].into_iter().any(|joint| {
        context.is(pos, joint)
            && ["Mr", "Mrs", "Ms", "Dr", "Prof"].contains(&context.letters(pos + joint.len()))
    })
}

fn before_number(context: &Context, pos: usize) -> bool {
    let at = context.skip_space(pos);
    let letters = context.letters(at);
    let roman = !letters.is_empty() && letters.bytes().all(|b| b"IVXL".contains(&b)) && letters != "I";
    let weekdays = (context.is(pos, "-") || context.is(pos, "–")) && context.char(pos + 1).is_some();
    context.digit(at) || roman || weekdays || (context.is(at, "#") && context.digit(at + 1))
}

fn after_name(context: &Context, pos: usize) -> bool {
    let before = context.previous_word(pos);
    before.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit())
        || context.text[..pos].ends_with("& ")
}

/// "Roe v. Wade".
fn versus(context: &Context, pos: usize) -> Option<Hit> {
    let fits = context.is(pos + 1, ". ") && before_name(context, pos + 2) && after_name(context, pos);
    fits.then(|| {
        let mut hit = Hit::one(pos..pos + 1, "versus");
        hit.end = pos + 2;
        hit
    })
}

/// "St. Paul" is a saint, "Baker St." a street, "Mount St. Helens" a saint again.
fn street_or_saint(context: &Context, pos: usize, end: usize) -> Option<Hit> {
    let stopped = context.is(end, ".");
    let next = end + usize::from(stopped);
    let before = context.previous_word(pos);
    let named = before.starts_with(char::is_uppercase) && !super::words::STARTERS.contains(&before);
    let numbered = before.starts_with(|c: char| c.is_ascii_digit());
    let mount =
        matches!(before, "Mount" | "Mt" | "Port" | "Fort" | "Lake" | "Cape" | "Near" | "East" | "North");
    let street = (named || numbered) && !mount && before != "St";
    if street && (stopped || !before_name(context, next)) {
        return Some(reading(context, pos..end, "Street"));
    }
    before_name(context, next).then(|| {
        let mut hit = Hit::one(pos..end, "Saint");
        hit.end = next;
        hit
    })
}

/// "Mon-Fri", "Monday–Friday": the hyphen says "to".
fn weekdays(context: &Context, pos: usize, end: usize) -> Option<Hit> {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = |written: &str| DAYS.iter().find(|d| written.len() > 2 && d.starts_with(written));
    let dash = context.char(end).filter(|c| matches!(c, '-' | '–'))?;
    let at = end + dash.len_utf8();
    let last = context.letters(at);
    let (from, to) = (day(&context.text[pos..end])?, day(last)?);
    Some(Hit::one(pos..at + last.len(), format!("{from} to {to}")))
}
