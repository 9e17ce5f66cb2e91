//! Money: $5.99, £1, €10-20, $2.5 million, $3bn, US$5, 5€, 100 USD, 50¢, $999.99/month.

use super::context::{Context, Hit, Number, Part};
use super::{numbers, units};

/// A currency: how it is written, its unit and its hundredth.
struct Currency {
    written: &'static str,
    one: &'static str,
    many: &'static str,
    minor: Option<(&'static str, &'static str)>,
}

const CENTS: Option<(&str, &str)> = Some(("cent", "cents"));
const PENCE: Option<(&str, &str)> = Some(("penny", "pence"));

const fn money(
    written: &'static str,
    one: &'static str,
    many: &'static str,
    minor: Option<(&'static str, &'static str)>,
) -> Currency {
    Currency { written, one, many, minor }
}

/// Longer spellings come before those they start with.
static CURRENCIES: [Currency; 24] = [
    money("US$", "U S dollar", "U S dollars", CENTS),
    money("CA$", "Canadian dollar", "Canadian dollars", CENTS),
    money("C$", "Canadian dollar", "Canadian dollars", CENTS),
    money("AU$", "Australian dollar", "Australian dollars", CENTS),
    money("A$", "Australian dollar", "Australian dollars", CENTS),
    money("NZ$", "New Zealand dollar", "New Zealand dollars", CENTS),
    money("HK$", "Hong Kong dollar", "Hong Kong dollars", CENTS),
    money("R$", "real", "reais", None),
    money("$", "dollar", "dollars", CENTS),
    money("£", "pound", "pounds", PENCE),
    money("€", "euro", "euros", CENTS),
    money("¥", "yen", "yen", None),
    money("₹", "rupee", "rupees", Some(("paisa", "paise"))),
    money("₩", "won", "won", None),
    money("₽", "ruble", "rubles", None),
    money("USD", "U S dollar", "U S dollars", CENTS),
    money("EUR", "euro", "euros", CENTS),
    money("GBP", "pound", "pounds", PENCE),
    money("JPY", "yen", "yen", None),
    money("CHF", "Swiss franc", "Swiss francs", None),
    money("CAD", "Canadian dollar", "Canadian dollars", CENTS),
    money("AUD", "Australian dollar", "Australian dollars", CENTS),
    money("INR", "rupee", "rupees", None),
    money("CNY", "yuan", "yuan", None),
];

const SCALES: [(&str, &str); 15] = [
    ("thousand", "thousand"),
    ("million", "million"),
    ("billion", "billion"),
    ("trillion", "trillion"),
    ("hundred", "hundred"),
    ("k", "thousand"),
    ("K", "thousand"),
    ("m", "million"),
    ("M", "million"),
    ("mn", "million"),
    ("bn", "billion"),
    ("b", "billion"),
    ("B", "billion"),
    ("tn", "trillion"),
    ("T", "trillion"),
];

fn currency_at(context: &Context, pos: usize) -> Option<(&'static Currency, usize)> {
    let currency = CURRENCIES.iter().find(|c| context.is(pos, c.written))?;
    Some((currency, pos + currency.written.len()))
}

/// The currency in front: "$5.99", "-$3", "US$ 2.5 million", "EUR 5".
pub(super) fn prefixed(context: &Context, pos: usize) -> Option<Hit> {
    let signed = context.is(pos, "-") || context.is(pos, "+");
    let sign = match context.byte(pos) {
        Some(b'-') => "minus ",
        Some(b'+') => "plus ",
        _ => "",
    };
    let (currency, end) = currency_at(context, pos + usize::from(signed))?;
    let code = currency.written.ends_with(char::is_alphabetic);
    let space = usize::from(context.is(end, " "));
    if code && space == 0 {
        return None;
    }
    let minus = usize::from(context.is(end, "-") && context.digit(end + 1));
    let number = context.number(end + space + minus)?;
    let sign = if minus == 1 { "minus " } else { sign };
    Some(amount(context, currency, pos, &number, sign))
}

fn amount(context: &Context, currency: &Currency, pos: usize, number: &Number, sign: &str) -> Hit {
    if let Some(hit) = range(context, currency, pos, number) {
        return hit;
    }
    let end = number.end;
    if let Some((word, at, scale_end)) = scale(context, end) {
        let digits = format!("{sign}{}", numbers::number(number, context.british));
        // "a $3bn deal", "its $30-million deal"
        let single = context.after_article(pos) || context.is(end, "-");
        let many = if single { currency.one } else { currency.many };
        let (unit, reading_end) = behind(context, many, currency.one, scale_end);
        if at == end {
            return Hit::one(pos..reading_end, format!("{digits} {word} {unit}"));
        }
        let parts = vec![Part::new(pos..end, digits), Part::new(at..reading_end, format!("{word} {unit}"))];
        return Hit::of(parts, reading_end);
    }
    let mut words = format!("{sign}{}", exact(currency, number, context.british));
    if number.fraction.is_none() && context.after_article(pos) && words.ends_with(currency.many) {
        words.truncate(words.len() - currency.many.len());
        words.push_str(currency.one);
    }
    // "$5-a-day", "$20-plus", "$100-million" say the unit once and go on.
    let (tail, end) = match units::per(context, end) {
        Some((per, end)) => (format!(" {per}"), end),
        None => (String::new(), end),
    };
    if context.is(end, "+") && !context.digit(end + 1) {
        return Hit::one(pos..end + 1, format!("{words} plus"));
    }
    Hit::one(pos..end, format!("{words}{tail}"))
}

/// "dollars" or "dollars per year"; "$5 million-a-year" and "$5 million deal" keep to the plural too.
fn behind(context: &Context, many: &str, one: &str, end: usize) -> (String, usize) {
    match units::per(context, end) {
        Some((per, end)) => (format!("{many} {per}"), end),
        None if context.is(end, "-") && context.char(end + 1).is_some_and(char::is_alphabetic) => {
            (one.to_owned(), end)
        }
        None => (many.to_owned(), end),
    }
}

/// A scale word behind the number: how it is said, where it starts and ends.
fn scale(context: &Context, end: usize) -> Option<(&'static str, usize, usize)> {
    let at = if context.is(end, "-") { end + 1 } else { context.skip_space(end) };
    let word = context.letters(at);
    let (written, spoken) = SCALES.iter().find(|(written, _)| *written == word)?;
    let spelled = written.len() > 2 || matches!(*written, "bn" | "mn" | "tn");
    (spelled || at == end).then_some((*spoken, at, at + word.len()))
}

/// "five dollars and ninety-nine cents"; more or fewer than two decimals are read as a decimal.
fn exact(currency: &Currency, number: &Number, british: bool) -> String {
    let unit = if number.whole == "1" { currency.one } else { currency.many };
    let cents = number.fraction.as_ref().filter(|f| f.len() == 2).and_then(|f| f.parse::<u64>().ok());
    let whole = numbers::whole(if number.whole.is_empty() { "0" } else { &number.whole }, british);
    match (cents, currency.minor, &number.fraction) {
        (_, _, None) | (Some(0), Some(_), _) => format!("{whole} {unit}"),
        (Some(cents), Some((one, many)), _) => {
            let minor = format!("{} {}", numbers::below_hundred(cents), if cents == 1 { one } else { many });
            if whole == "zero" { minor } else { format!("{whole} {unit} and {minor}") }
        }
        _ => format!("{} {}", numbers::number(number, british), currency.many),
    }
}

/// "$10-20", "$10–$20 million".
fn range(context: &Context, currency: &Currency, pos: usize, first: &Number) -> Option<Hit> {
    let low_scale = scale(context, first.end).filter(|s| s.1 == first.end && !context.is(first.end, "-"));
    let low_end = low_scale.map_or(first.end, |s| s.2);
    let dash = context.char(low_end).filter(|c| matches!(c, '-' | '–'))?;
    let at = low_end + dash.len_utf8();
    let at =
        currency_at(context, at).filter(|(c, _)| c.written == currency.written).map_or(at, |(_, end)| end);
    let second = context.number(at).filter(|n| !n.whole.is_empty())?;
    let low = numbers::number(first, context.british);
    let low = low_scale.map_or(low.clone(), |(word, ..)| format!("{low} {word}"));
    let high = numbers::number(&second, context.british);
    let (high, end) = match scale(context, second.end) {
        Some((word, _, end)) => (format!("{high} {word}"), end),
        None => (high, second.end),
    };
    let (unit, end) = behind(context, currency.many, currency.one, end);
    Some(Hit::one(pos..end, format!("{low} to {high} {unit}")))
}

/// The currency behind: "5€", "100 USD", "50¢", "20p" in Britain.
pub(super) fn suffixed(context: &Context, pos: usize) -> Option<Hit> {
    let number = context.number(pos)?;
    if context.is(number.end, "¢") {
        let words = numbers::number(&number, context.british);
        let unit = if number.is_one() { "cent" } else { "cents" };
        return Some(Hit::one(pos..number.end + '¢'.len_utf8(), format!("{words} {unit}")));
    }
    let lines = ["240", "360", "480", "720", "1080", "1440", "2160"].contains(&number.whole.as_str()); // of a screen
    if context.british && !lines && context.is(number.end, "p") && context.ends(number.end + 1) {
        let unit = if number.is_one() { "penny" } else { "pence" };
        let words = numbers::number(&number, true);
        return Some(Hit::one(pos..number.end + 1, format!("{words} {unit}")));
    }
    if let Some((word, at, scale_end)) = scale(context, number.end) {
        let (currency, end) = currency_at(context, context.skip_space(scale_end))?;
        let digits = numbers::number(&number, context.british);
        let tail = format!("{word} {}", currency.many);
        let free = context.ends(end) && !context.digit(context.skip_space(end));
        if !free {
            return None;
        }
        if at == number.end {
            return Some(Hit::one(pos..end, format!("{digits} {tail}")));
        }
        return Some(Hit::of(vec![Part::new(pos..number.end, digits), Part::new(at..end, tail)], end));
    }
    let (currency, end) = currency_at(context, context.skip_space(number.end))?;
    // "in 2020 $5 was ..." has the sign of the next number.
    let free = context.ends(end) && !context.digit(context.skip_space(end));
    free.then(|| Hit::one(pos..end, exact(currency, &number, context.british)))
}
