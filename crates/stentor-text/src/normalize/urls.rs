//! Addresses on the net, and the tags and names of social media.

use super::context::{Context, Hit};
use super::numbers;

/// Endings that make "name.ending" an address or a file rather than two sentences without a space.
const ENDINGS: [&str; 63] = [
    "com", "org", "net", "edu", "gov", "io", "dev", "ai", "co", "uk", "de", "fr", "app", "info", "biz", "us",
    "ca", "eu", "ly", "tv", "gg", "xyz", "ch", "nl", "es", "jp", "cn", "au", "in", "rs", "py", "js", "ts",
    "md", "txt", "json", "toml", "yaml", "yml", "html", "css", "pdf", "png", "jpg", "jpeg", "gif", "mp3",
    "wav", "mp4", "zip", "gz", "tar", "exe", "sh", "csv", "xml", "doc", "docx", "xlsx", "cpp", "lock",
    "conf", "log",
];

/// What closes a sentence around a token and is no part of it.
const TRAILING: [char; 13] = ['.', ',', ';', ':', '!', '?', ')', ']', '}', '"', '\'', '>', '…'];

/// https://example.com/a, www.example.com, me@example.com, example.com, main.rs.
pub(super) fn address(context: &Context, pos: usize, token: &str) -> Option<Hit> {
    let token = token.trim_end_matches(TRAILING);
    let schemes = ["https://", "http://", "ftp://", "mailto:"];
    let lower = token.get(..9.min(token.len())).unwrap_or(token).to_ascii_lowercase();
    let scheme = schemes.into_iter().find(|s| lower.starts_with(s)).map_or(0, str::len);
    let rest = &token[scheme..];
    let rest_lower = rest.get(..4).map(str::to_ascii_lowercase);
    let www = if rest_lower.as_deref() == Some("www.") { 4 } else { 0 };
    let body = &rest[www..];
    if body.is_empty() || !body.starts_with(char::is_alphanumeric) {
        return None;
    }
    let bare = scheme == 0 && www == 0;
    if bare && !(is_mail(body) || is_host(body)) {
        return None;
    }
    // What follows "?" and "#" is for machines.
    let heard = body.split(['?', '#']).next().unwrap_or(body).trim_end_matches('/');
    let spoken = spell(heard, context.british);
    (!spoken.is_empty()).then(|| Hit::one(pos..pos + token.len(), spoken))
}

fn is_mail(body: &str) -> bool {
    body.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !host.contains('@')
            && host.contains('.')
            && !host.ends_with('.')
            && !host.contains("..")
    })
}

fn is_host(body: &str) -> bool {
    let host = body.split(['/', '?', '#', ':']).next().unwrap_or_default();
    let Some((name, ending)) = host.rsplit_once('.') else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let lettered = name.bytes().any(|b| b.is_ascii_alphabetic());
    !name.is_empty()
        && host.bytes().all(plain)
        && lettered
        && !host.contains("..")
        && ENDINGS.contains(&ending)
}

/// Reads an address: its signs by name, digits as numbers, words as they are.
pub(super) fn spell(text: &str, british: bool) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let len = if letters > 0 {
            words.push(camel(&rest[..letters]));
            letters
        } else if digits > 0 {
            words.push(if digits < 4 {
                numbers::whole(&rest[..digits], british)
            } else {
                numbers::label(&rest[..digits], british)
            });
            digits
        } else {
            words.extend(sign(c).map(str::to_owned));
            c.len_utf8()
        };
        rest = &rest[len..];
    }
    words.join(" ")
}

fn sign(c: char) -> Option<&'static str> {
    Some(match c {
        '.' => "dot",
        '/' => "slash",
        '\\' => "backslash",
        '-' => "dash",
        '_' => "underscore",
        '@' => "at",
        ':' => "colon",
        '~' => "tilde",
        '+' => "plus",
        '&' => "and",
        '=' => "equals",
        '%' => "percent",
        _ => return None,
    })
}

/// "RustLang" to "Rust Lang"; capitals in a row stay together.
fn camel(word: &str) -> String {
    let mut out = String::with_capacity(word.len() + 4);
    let mut previous = ' ';
    for c in word.chars() {
        if c.is_uppercase() && previous.is_lowercase() {
            out.push(' ');
        }
        out.push(c);
        previous = c;
    }
    out
}

/// #RustLang and @john_doe.
pub(super) fn social(context: &Context, pos: usize, token: &str) -> Option<Hit> {
    let mark = token.chars().next().filter(|c| matches!(c, '#' | '@'))?;
    let name = &token[1..];
    let len = name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len());
    let name = name[..len].trim_end_matches('_');
    if !name.starts_with(char::is_alphabetic) {
        return None;
    }
    let spoken = spell(&name.replace('_', " "), context.british);
    let word = if mark == '#' { "hashtag" } else { "at" };
    Some(Hit::one(pos..pos + 1 + name.len(), format!("{word} {spoken}")))
}
