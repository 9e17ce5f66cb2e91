//! What the kernel knows of a process: children, memory.

use std::{fs, path::Path};

/// Ids of the direct children of `parent` that are not zombies.
pub fn children(parent: u32) -> Vec<u32> {
    let ids = fs::read_dir("/proc")
        .expect("a /proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    ids.filter(|&id| stat(id).is_some_and(|(state, its_parent)| its_parent == parent && state != 'Z'))
        .collect()
}

pub fn is_alive(id: u32) -> bool {
    stat(id).is_some_and(|(state, _)| state != 'Z')
}

/// State letter and parent of a process; the name in between may hold anything.
fn stat(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Highest resident memory so far, in KiB.
pub fn peak_rss_kib(id: u32) -> u64 {
    field_kib(id, "VmHWM:")
}

fn field_kib(id: u32, name: &str) -> u64 {
    let path = format!("/proc/{id}/status");
    let text = fs::read_to_string(Path::new(&path)).expect("a live process");
    let line = text.lines().find(|line| line.starts_with(name)).expect("the field");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

/// Sends a signal by number to a process that this test started.
pub fn kill(id: u32, signal: &str) {
    let status = std::process::Command::new("kill").args([signal, &id.to_string()]).status();
    assert!(status.expect("kill").success(), "kill {signal} {id}");
}
