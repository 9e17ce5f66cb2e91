//! What the doctor found, for people and for programs.

use crate::commands::{print, print_json};
use anyhow::Result;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// The server runs, but not as it could.
    Warn,
    /// The server can't do what it is configured for.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) status: Status,
    /// What was found.
    pub(super) detail: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status, detail: detail.into(), remedy: None }
    }

    pub(super) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    pub(super) fn warn(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Warn, detail)
    }

    pub(super) fn fail(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Fail, detail)
    }

    #[must_use]
    pub(super) fn remedy(mut self, what: impl Into<String>) -> Self {
        self.remedy = Some(what.into());
        self
    }
}

#[derive(Debug, Default)]
pub(super) struct Report(Vec<Check>);

impl Report {
    pub(super) fn add(&mut self, check: Check) {
        self.0.push(check);
    }

    pub(super) fn extend(&mut self, checks: impl IntoIterator<Item = Check>) {
        self.0.extend(checks);
    }

    pub(super) fn print(&self, json: bool) -> Result<ExitCode> {
        if json {
            print_json(&serde_json::to_value(&self.0)?)?;
        } else {
            print(&self.text())?;
        }
        Ok(if self.count(Status::Fail) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn count(&self, status: Status) -> usize {
        self.0.iter().filter(|check| check.status == status).count()
    }

    fn text(&self) -> String {
        let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        let line = |status: &str, name: &str, words: &str| {
            let indent = " ".repeat(width + 7);
            let words = words.trim_end().replace('\n', &format!("\n{indent}"));
            format!("{status:4}  {name:width$} {words}\n")
        };
        let lines = self.0.iter().map(|check| {
            let status = match check.status {
                Status::Ok => "ok",
                Status::Warn => "warn",
                Status::Fail => "FAIL",
            };
            let remedy = check.remedy.as_ref().map(|remedy| line("", "", &format!("-> {remedy}")));
            line(status, &check.name, &check.detail) + &remedy.unwrap_or_default()
        });
        let [ok, warn, fail] = [Status::Ok, Status::Warn, Status::Fail].map(|status| self.count(status));
        let total = self.0.len();
        lines.collect::<String>() + &format!("{total} checks: {ok} ok, {warn} to look at, {fail} failed\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_aligned_lines() {
        let mut report = Report::default();
        report.add(Check::ok("port", "free"));
        report.add(Check::fail("voice Emily", "two\nlines").remedy("replace it"));
        let expected = "\
ok    port        free
FAIL  voice Emily two
                  lines
                  -> replace it
2 checks: 1 ok, 0 to look at, 1 failed
";
        assert_eq!(report.text(), expected);
    }
}
