//! Models: files as they were published, and a voice for the default model.

use super::{patient::Patient, places::size, report::Check};
use sha2::{Digest as _, Sha256};
use stentor_catalog::{Catalog, FileCheck, Model};

/// The models inside the program, whose files can be damaged with the program.
pub(super) fn embedded() -> Vec<Check> {
    let files = stentor_worker::embedded_files();
    let damaged = files
        .iter()
        .filter(|(_, content, sum)| format!("{:x}", Sha256::digest(content)) != *sum)
        .map(|(name, ..)| *name);
    let damaged: Vec<&str> = damaged.collect();
    let name = "embedded files";
    vec![if damaged.is_empty() {
        Check::ok(name, format!("{} files of the built-in model have the hashes they should", files.len()))
    } else {
        Check::fail(name, format!("{}: not what was built in", damaged.join(", ")))
            .remedy("the program's file is damaged: install it again")
    }]
}

/// `hash`: read files whole, else only look at their sizes.
pub(super) fn checks(patient: &Patient, catalog: &Catalog, hash: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    if !catalog.warnings().is_empty() {
        checks.push(Check::warn("catalog", catalog.warnings().join("\n")));
    }
    for model in catalog.models() {
        if model.directory().is_some() {
            checks.push(files(catalog, model, hash));
        } else if !model.installed {
            checks.push(missing(patient, catalog, model));
        }
    }
    checks.push(default_voice(catalog));
    checks
}

fn files(catalog: &Catalog, model: &Model, hash: bool) -> Check {
    let name = format!("model {}", model.id);
    let files = match catalog.check_files(model, hash) {
        Ok(files) => files,
        Err(error) => return Check::fail(name, error.to_string()),
    };
    let faults: Vec<String> = files.iter().filter_map(fault).collect();
    if !faults.is_empty() {
        let remedy = if model.manifest().source.is_some() {
            format!("remove what is damaged and run `stentor pull {}`", model.id)
        } else {
            "put the right files there".to_owned()
        };
        return Check::fail(name, faults.join("\n")).remedy(remedy);
    }
    let hashed = files.iter().filter(|file| file.hashed).count();
    let bytes = size(files.iter().map(|file| file.size).sum());
    let unhashed = match (files.len() - hashed, hash) {
        (0, _) => String::new(),
        (left, true) => format!(", {left} have no known hash"),
        (left, false) => format!(", {left} not read (--quick)"),
    };
    Check::ok(name, format!("{} files, {bytes}: {hashed} have the hash they should{unhashed}", files.len()))
}

fn fault(file: &FileCheck) -> Option<String> {
    file.fault.as_ref().map(|fault| format!("{}: {fault}", file.path.display()))
}

/// A model that is not here is nobody's loss, unless it was asked for.
fn missing(patient: &Patient, catalog: &Catalog, model: &Model) -> Check {
    let name = format!("model {}", model.id);
    let manifest = model.manifest();
    if manifest.source.is_none() {
        // Nobody can fetch them.
        let folder = catalog.config().data_dir.join("models").join(model.id.as_str());
        let files: Vec<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        let remedy = format!("put {} into {}", files.join(", "), folder.display());
        return if patient.is_asked_for(&model.id, catalog) {
            Check::fail(name, "not installed, and its manifest names no source").remedy(remedy)
        } else {
            Check::ok(name, format!("not installed; to have it, {remedy}"))
        };
    }
    let pull = format!("run `stentor pull {}`", model.id);
    match (patient.is_asked_for(&model.id, catalog), patient.is_offline()) {
        (false, _) => Check::ok(name, format!("not installed; to have it, {pull}")),
        (true, false) => Check::warn(name, "not installed; `stentor serve` fetches it first").remedy(pull),
        (true, true) => Check::fail(name, "not installed, and HF_HUB_OFFLINE forbids to fetch it")
            .remedy(format!("unset HF_HUB_OFFLINE and {pull}")),
    }
}

fn default_voice(catalog: &Catalog) -> Check {
    let name = "default voice";
    let model = match catalog.default_model() {
        Ok(model) => model,
        Err(error) => return Check::fail(name, error.to_string()).remedy("pull a model or name another"),
    };
    if !model.installed {
        return Check::warn(name, format!("known once model {} is installed", model.id));
    }
    let voices = catalog.voices(model).len();
    match catalog.resolve_voice(model, None) {
        Ok(voice) => Check::ok(name, format!("{} of model {}, one of {voices}", voice.id, model.id)),
        Err(error) => Check::fail(name, error.to_string())
            .remedy(format!("put a voice into a voices directory, or pull those of {}", model.id)),
    }
}
