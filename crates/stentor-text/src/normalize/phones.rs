//! Telephone numbers, and other numbers in groups (ISBN, card and account numbers): digit by digit, a pause per group.

use super::context::{Context, Hit};
use super::numbers;

/// Numbers known by their digits, after a word such as "call".
const EMERGENCY: [&str; 7] = ["911", "999", "112", "988", "411", "311", "101"];

/// A number in groups at `pos`: +1 (555) 123-4567, 555-1234, 020 7946 0958, 978-3-16-148410-0.
pub(super) fn phone(context: &Context, pos: usize) -> Option<Hit> {
    if let Some(hit) = emergency(context, pos) {
        return Some(hit);
    }
    if let Some(hit) = lettered(context, pos) {
        return Some(hit);
    }
    let plus = context.is(pos, "+");
    let mut at = pos + usize::from(plus);
    let mut groups: Vec<&str> = Vec::new();
    let mut gaps = String::new();
    let mut end = at;
    while groups.len() < 8 {
        let open = usize::from(context.is(at, "("));
        let digits = context.digits(at + open);
        if digits.is_empty() || digits.len() > 12 || (open == 1 && !context.is(at + 1 + digits.len(), ")")) {
            break;
        }
        groups.push(digits);
        end = at + open + digits.len() + open;
        let gap =
            context.char(end).filter(|c| matches!(c, ' ' | '-' | '.' | '/') || (open == 1 && *c == '('));
        let Some(gap) = gap else {
            if open == 1 && context.digit(end) {
                at = end;
                gaps.push('(');
                continue;
            }
            break;
        };
        gaps.push(if open == 1 { '(' } else { gap });
        at = end + 1;
        at += usize::from(gap != ' ' && context.is(at, " ") && context.digit(at + 1) && open == 1);
    }
    gaps.truncate(groups.len().saturating_sub(1));
    if !context.ends(end) || context.is(end, "%") || !is_phone(context, pos, plus, (&groups, &gaps)) {
        return None;
    }
    let words: Vec<String> = groups.iter().map(|group| numbers::digits(group)).collect();
    Some(Hit::one(pos..end, format!("{}{}", if plus { "plus " } else { "" }, words.join(", "))))
}

fn is_phone(context: &Context, pos: usize, plus: bool, (groups, gaps): (&[&str], &str)) -> bool {
    let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    let total: usize = sizes.iter().sum();
    let uniform = |set: &str| !gaps.is_empty() && gaps.chars().all(|c| set.contains(c));
    let bracketed = context.is(pos, "(") || gaps.contains('(');
    match sizes.as_slice() {
        _ if plus => (7..=15).contains(&total),
        _ if bracketed => (7..=13).contains(&total) && sizes.len() >= 2 && sizes[0] >= 2,
        [3, 3, 4] | [1, 3, 3, 4] => uniform("-. "),
        // 555-1234 is a telephone number, 100-1000 a range.
        [3, 4] => gaps == "-" && !(groups[0].ends_with('0') && groups[1].ends_with('0')),
        [first, .., last] if uniform(" ") => {
            // National numbers start with zero; card numbers come in fours.
            (groups[0].starts_with('0') && *first >= 3 && *last >= 3 && (9..=12).contains(&total))
                || (sizes.len() >= 3 && sizes.iter().all(|s| *s == 4))
        }
        [_, _, _, ..] => uniform("-") && total >= 7,
        _ => false,
    }
}

fn emergency(context: &Context, pos: usize) -> Option<Hit> {
    let digits = context.digits(pos);
    let end = pos + digits.len();
    let before = context.previous_word(pos).to_ascii_lowercase();
    let called = ["call", "dial", "called", "calling", "dialed", "dialled", "phone", "ring", "extension"];
    let known = EMERGENCY.contains(&digits) || (before == "extension" && !digits.is_empty());
    (known && called.contains(&before.as_str()) && context.ends(end))
        .then(|| Hit::one(pos..end, numbers::digits(digits)))
}

/// "1-800-FLOWERS": a free number whose end is a word.
fn lettered(context: &Context, pos: usize) -> Option<Hit> {
    const FREE: [&str; 4] = ["1-800-", "1-888-", "1-877-", "1-866-"];
    let written = FREE.into_iter().find(|written| context.is(pos, written))?;
    let word = context.compound(pos + written.len());
    let end = pos + written.len() + word.len();
    let fits = word.len() > 2 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    let area = numbers::label(&written[2..5], context.british);
    fits.then(|| Hit::one(pos..end, format!("one {area} {}", word.to_lowercase().replace('-', " "))))
}
