//! What must hold of `docker/Dockerfile.*`, for no test here builds an image.

use super::Finding;
use anyhow::{Context as _, Result};
use std::{fs, path::Path};

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in fs::read_dir(root.join("docker")).context("docker/")? {
        let path = entry?.path();
        let name = format!("docker/{}", path.file_name().unwrap_or_default().display());
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        let finding =
            |(line, text): (usize, String)| Finding { place: format!("{name}:{line}"), rule: "docker", text };
        findings.extend(faults(root, &text).into_iter().map(finding));
    }
    Ok(findings)
}

/// Instructions with the number of their first line, continued lines joined and comments left out.
fn instructions(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let part = line.trim_end_matches('\\').trim();
        match found.last_mut() {
            Some((_, instruction)) if open => *instruction = format!("{instruction} {part}"),
            _ => found.push((index + 1, part.to_owned())),
        }
        open = line.ends_with('\\');
    }
    found
}

/// Faults with their lines.
fn faults(root: &Path, text: &str) -> Vec<(usize, String)> {
    let instructions = instructions(text);
    let mut faults = Vec::new();
    for (line, instruction) in &instructions {
        let words: Vec<&str> = instruction.split_whitespace().collect();
        match words.as_slice() {
            ["FROM", image, ..] if image.split_once(':').is_none_or(|(_, tag)| !tag.contains('.')) => {
                faults.push((*line, format!("`{image}` is not pinned to a version")));
            }
            ["COPY", sources @ .., _] if sources.iter().all(|source| !source.starts_with("--from")) => {
                let missing = sources.iter().filter(|source| !root.join(source).exists());
                faults.extend(missing.map(|source| (*line, format!("`{source}` is not in the repository"))));
            }
            _ => {}
        }
    }
    let stages = instructions.iter().enumerate().filter(|(_, (_, text))| text.starts_with("FROM "));
    let last = stages.map(|(index, _)| index).max().unwrap_or(0);
    let image = &instructions[last..];
    let line = image.first().map_or(1, |(line, _)| *line);
    let argument =
        |keyword: &str| image.iter().find_map(|(_, text)| text.strip_prefix(keyword)?.strip_prefix(' '));
    let numeric = |user: &str| user.split(':').all(|id| id.parse().is_ok_and(|id: u32| id > 0));
    let rules = [
        (argument("USER").is_some_and(numeric), "the image has no numeric user other than root"),
        (
            argument("HEALTHCHECK")
                .is_some_and(|check| check.ends_with("CMD [\"stentor\", \"healthcheck\"]")),
            "the image does not check itself with `stentor healthcheck`",
        ),
        (argument("STOPSIGNAL") == Some("SIGTERM"), "the image is not stopped by SIGTERM"),
        (argument("VOLUME").is_some() && argument("EXPOSE").is_some(), "the image lacks a volume or a port"),
        (
            image
                .iter()
                .any(|(_, text)| text.starts_with("ENV ") && text.contains("STENTOR_LISTEN=0.0.0.0:8004")),
            "the image does not answer from outside",
        ),
        (!image.iter().any(|(_, text)| text.contains("curl")), "the image holds curl"),
    ];
    faults.extend(rules.iter().filter(|(holds, _)| !holds).map(|(_, text)| (line, (*text).to_owned())));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# A comment\nFROM a:1.2 AS build\nCOPY Cargo.toml \\\n  src ./\nRUN x\nFROM b:1.2\n\
                        COPY --from=build /x /y\nENV STENTOR_LISTEN=0.0.0.0:8004\nUSER 7:7\nVOLUME /d\nEXPOSE 8004\n\
                        STOPSIGNAL SIGTERM\nHEALTHCHECK --retries=3 CMD [\"stentor\", \"healthcheck\"]\n";

    #[test]
    fn a_good_file_passes_and_each_fault_is_found_in_its_line() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(faults(root, GOOD), []);
        for (before, after, line) in [
            ("FROM a:1.2", "FROM a:latest", 2),
            ("  src ./", "  source ./", 3),
            ("USER 7:7\n", "", 6),
            ("USER 7:7", "USER 0:0", 6),
            ("USER 7:7", "USER stentor", 6),
            ("STOPSIGNAL SIGTERM\n", "", 6),
            ("\"healthcheck\"]", "\"check\"]", 6),
            ("VOLUME /d\n", "", 6),
            ("0.0.0.0", "127.0.0.1", 6),
            ("EXPOSE 8004", "EXPOSE 8004\nRUN apt-get install curl", 6),
        ] {
            let text = GOOD.replace(before, after);
            assert_ne!(text, GOOD, "{before}");
            let found = faults(root, &text);
            assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [line], "{after}: {found:?}");
        }
    }
}
