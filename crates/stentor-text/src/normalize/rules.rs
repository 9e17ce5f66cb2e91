//! Which rules are asked, in which order, by the first character of what they read.

use super::context::{Context, Hit};
use super::{
    abbreviations, codes, currency, dates, fractions, initials, paths, phones, plain, ranges, roman, symbols,
    times, units, urls, versions,
};

/// Longest token that the address and path rules look at, in bytes.
pub(super) const TOKEN_LIMIT: usize = 400;

/// One rule: reads from `pos` on, or answers `None`.
type Rule = fn(&Context, usize) -> Option<Hit>;

const NUMERIC: [Rule; 16] = [
    plain::list_number,
    dates::numeric,
    phones::phone,
    times::clock,
    dates::day_month,
    versions::dotted,
    fractions::fraction,
    plain::decade,
    plain::scientific,
    plain::era,
    ranges::sequence,
    ranges::range,
    units::feet_and_inches,
    currency::suffixed,
    units::quantity,
    codes::digits_first,
];
const LAST_NUMERIC: [Rule; 1] = [plain::number];
const SIGNED: [Rule; 4] = [phones::phone, currency::prefixed, units::quantity, plain::signed];
const WORDS: [Rule; 8] = [
    dates::month_day,
    versions::prefixed,
    currency::prefixed,
    abbreviations::abbreviation,
    initials::initials,
    roman::numeral,
    codes::letters_first,
    symbols::letter_signs,
];

/// The first rule's answer at `pos`, where a word or symbol starts with `c`.
pub(super) fn find(context: &Context, c: char, pos: usize) -> Option<Hit> {
    let ask = |rules: &[Rule]| rules.iter().find_map(|rule| rule(context, pos));
    match c {
        '0'..='9' => ask(&NUMERIC).or_else(|| ask(&LAST_NUMERIC)),
        '.' if context.digit(pos + 1) => ask(&[units::quantity, plain::number]),
        '.' => symbols::dotted_name(context, pos),
        '+' | '-' | '(' | '~' | '±' => ask(&SIGNED).or_else(|| symbols::symbol(context, c, pos)),
        '\'' => plain::decade(context, pos),
        '$' | '£' | '€' | '¥' | '₹' | '₩' | '₽' => currency::prefixed(context, pos),
        _ if c.is_alphabetic() => ask(&WORDS),
        _ => symbols::symbol(context, c, pos),
    }
}

/// Rules for a whole token from `pos` to the space at `end`: addresses, paths, tags.
pub(super) fn token(context: &Context, pos: usize, end: usize) -> Option<Hit> {
    let token = context.text.get(pos..end)?;
    urls::address(context, pos, token)
        .or_else(|| urls::social(context, pos, token))
        .or_else(|| paths::path(context, pos, token))
}
