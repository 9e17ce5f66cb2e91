//! File paths: /usr/local/bin, ./run.sh, ~/notes, src/main.rs, C:\Users\me, .gitignore.

use super::context::{Context, Hit};
use super::urls;

const TRAILING: [char; 12] = ['.', ',', ';', ':', '!', '?', ')', ']', '"', '\'', '>', '…'];

pub(super) fn path(context: &Context, pos: usize, token: &str) -> Option<Hit> {
    let written = token.trim_end_matches(TRAILING);
    let token = written.split('#').next().unwrap_or(written);
    let plain = |c: char| c.is_alphanumeric() || "/\\._-~+:".contains(c);
    if token.len() < 3 || !token.chars().all(plain) || !token.contains(char::is_alphabetic) {
        return None;
    }
    let rooted =
        ["/", "./", "../", "~/"].iter().any(|root| token.starts_with(root)) && !token.starts_with("//");
    let mut chars = token.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && token[1..].starts_with(":\\");
    let parts = token.split('/').filter(|part| !part.is_empty()).count();
    // "he/she/they" has slashes too; a path has a dot, an underscore or a root somewhere.
    let relative =
        parts > 1 && token.split('/').any(|part| part.contains(['.', '_'])) && !token.contains("...");
    let hidden = token.starts_with('.') && token[1..].starts_with(|c: char| c.is_ascii_lowercase());
    if !(rooted || drive || (relative && starts_lettered(token)) || hidden) {
        return None;
    }
    let spoken = urls::spell(token.trim_end_matches('/'), context.british);
    let spoken = spoken.strip_prefix("dot slash ").unwrap_or(&spoken);
    Some(Hit::one(pos..pos + written.len(), spoken))
}

fn starts_lettered(token: &str) -> bool {
    token.starts_with(char::is_alphabetic)
        && token.bytes().filter(u8::is_ascii_digit).count() * 2 < token.len()
}
