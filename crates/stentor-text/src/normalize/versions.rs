//! Versions and addresses of several dots: v1.2.3, 3.14.15, 192.168.1.1, v2.

use super::context::{Context, Hit};
use super::numbers;
use std::fmt::Write as _;

/// 3.14.15: each group is a number. Four groups of an internet address are read digit by digit.
pub(super) fn dotted(context: &Context, pos: usize) -> Option<Hit> {
    let (groups, end) = groups(context, pos);
    if groups.len() < 3 {
        return None;
    }
    let address = groups.len() == 4 && groups.iter().all(|g| g.parse::<u16>().is_ok_and(|v| v < 256));
    let words: Vec<String> = groups
        .iter()
        .map(|g| if address { numbers::digits(g) } else { numbers::whole(g, context.british) })
        .collect();
    let mut spoken = words.join(if address { " dot " } else { " point " });
    let end = if address { port(context, end, &mut spoken) } else { suffix(context, end, &mut spoken) };
    Some(Hit::one(pos..end, spoken))
}

/// v1.2.3 and v2: "version one point two point three".
pub(super) fn prefixed(context: &Context, pos: usize) -> Option<Hit> {
    if !matches!(context.byte(pos), Some(b'v' | b'V')) || !context.digit(pos + 1) {
        return None;
    }
    let (groups, end) = groups(context, pos + 1);
    let words: Vec<String> = groups.iter().map(|g| numbers::whole(g, context.british)).collect();
    let mut spoken = format!("version {}", words.join(" point "));
    if context.previous_word(pos).eq_ignore_ascii_case("version") {
        spoken.drain(..8);
    }
    let end = suffix(context, end, &mut spoken);
    context.ends(end).then(|| Hit::one(pos..end, spoken))
}

fn groups<'a>(context: &Context<'a>, pos: usize) -> (Vec<&'a str>, usize) {
    let mut groups = vec![context.digits(pos)];
    let mut end = pos + groups[0].len();
    while groups.len() < 8 && context.is(end, ".") && context.digit(end + 1) {
        let group = context.digits(end + 1);
        end += 1 + group.len();
        groups.push(group);
    }
    (groups, end)
}

/// "-beta.1" behind a version.
fn suffix(context: &Context, mut end: usize, spoken: &mut String) -> usize {
    let word = if context.is(end, "-") { context.letters(end + 1) } else { "" };
    if !matches!(word, "alpha" | "beta" | "rc" | "dev" | "preview" | "nightly" | "pre") {
        return end;
    }
    end += 1 + word.len();
    let word = if word == "rc" { "R C" } else { word };
    let _ = write!(spoken, " {word}");
    let at = end + usize::from(context.is(end, "."));
    let digits = context.digits(at);
    if !digits.is_empty() {
        let _ = write!(spoken, " {}", numbers::whole(digits, context.british));
        end = at + digits.len();
    }
    end
}

fn port(context: &Context, end: usize, spoken: &mut String) -> usize {
    let digits = if context.is(end, ":") { context.digits(end + 1) } else { "" };
    if digits.is_empty() {
        return end;
    }
    let _ = write!(spoken, " port {}", numbers::digits(digits));
    end + 1 + digits.len()
}
