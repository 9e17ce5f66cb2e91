//! The data directory: can everything be written that has to be, and is there room.

use super::report::Check;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Below this a pull or a full chunk store may not fit.
const PLENTY: u64 = 2 << 30;
/// Below this not even a story's chunks fit.
const BARELY: u64 = 64 << 20;

/// Directories in the data directory that are written to, and what for.
const PLACES: [(&str, &str); 3] =
    [("cache", "tables that engines keep"), ("chunks", "finished speech"), ("huggingface", "pulled models")];

pub(super) fn checks(data_dir: &Path) -> Vec<Check> {
    // Where a relative one lies is part of the answer, and only absolute ones can be held against what exists.
    let data_dir = &std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let mut checks = vec![directory("data directory", data_dir, "everything the program writes")];
    for (name, what) in PLACES {
        let path = data_dir.join(name);
        // What is not there yet is made in the data directory, which was looked at.
        if path.exists() {
            checks.push(directory(name, &path, what));
        }
    }
    checks.extend(free_space(data_dir));
    checks
}

/// Whether a file can be written in `path`, or `path` be made. Leaves no trace.
fn directory(name: &str, path: &Path, what: &str) -> Check {
    let shown = path.display();
    let Some(there) = nearest_that_exists(path) else {
        return Check::fail(name, format!("{shown}: no part of the path exists"));
    };
    if let Err(error) = try_to_write(&there) {
        let remedy =
            format!("make {} a directory that this user may write to, or set another", there.display());
        return Check::fail(name, format!("{shown} ({what}) cannot be written: {error}")).remedy(remedy);
    }
    let state = if there == path { "can be written" } else { "is made when it is needed" };
    Check::ok(name, format!("{shown} {state}"))
}

fn nearest_that_exists(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.symlink_metadata().is_ok()).map(Path::to_path_buf)
}

fn try_to_write(directory: &Path) -> io::Result<()> {
    if !fs::metadata(directory)?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory));
    }
    tempfile::tempfile_in(directory).map(drop)
}

fn free_space(data_dir: &Path) -> Option<Check> {
    let name = "free space";
    let there = nearest_that_exists(data_dir)?;
    let free = match rustix::fs::statvfs(&there) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => return Some(Check::warn(name, format!("{}: {error}", there.display()))),
    };
    let detail = format!("{} free for {}", size(free), data_dir.display());
    Some(match free {
        0..BARELY => Check::fail(name, detail).remedy("free some space, or set another data directory"),
        BARELY..PLENTY => {
            Check::warn(name, detail).remedy("a model or a full cache may not fit: free some space")
        }
        _ => Check::ok(name, detail),
    })
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Status, *};

    #[test]
    fn a_missing_directory_is_well_where_it_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let check = directory("data directory", &dir.path().join("a/b"), "files");
        assert_eq!(check.status, Status::Ok, "{check:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no trace");
        fs::write(dir.path().join("a"), "x").unwrap();
        let check = directory("data directory", &dir.path().join("a/b"), "files");
        assert!(check.status == Status::Fail && check.remedy.is_some(), "{check:?}");
    }

    #[test]
    fn sizes_are_rounded_as_people_read_them() {
        assert_eq!(size(300 << 20), "300 MiB");
        assert_eq!(size(139 << 30), "139.0 GiB");
    }
}
