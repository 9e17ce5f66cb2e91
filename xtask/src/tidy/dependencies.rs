//! Rules on who may depend on whom, and on Cargo features.

use super::Finding;
use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs,
    path::Path,
};

/// Crates of ours that never reach a tensor (never 1).
const TENSOR_FREE: [&str; 12] = [
    "stentor-types",
    "stentor-text",
    "stentor-g2p",
    "stentor-audio",
    "stentor-catalog",
    "stentor-engine",
    "stentor-protocol",
    "stentor-supervisor",
    "stentor-server",
    "stentor-jobs",
    "stentor-testkit",
    "stentor-tests",
];

/// What an engine never reaches (never 2): async, HTTP, the protocol, the catalog.
const NOT_IN_ENGINES: [&str; 8] =
    ["axum", "tokio", "hyper", "reqwest", "hf-hub", "stentor-protocol", "stentor-catalog", "stentor-server"];

/// What a worker never reaches (never 4): it downloads nothing and reads no manifest.
const NOT_IN_WORKERS: [&str; 5] = ["stentor-catalog", "stentor-server", "hf-hub", "reqwest", "axum"];

/// The only Cargo features of ours (never 9).
const FEATURES: [&str; 5] = ["default", "cuda", "cudnn", "metal", "nats"];

pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata = MetadataCommand::new().current_dir(root).exec().context("cargo metadata")?;
    let graph = Graph::new(&metadata)?;
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        findings.extend(forbidden_paths(&graph, package)?);
        findings.extend(foreign_features(package)?);
    }
    Ok(findings)
}

fn forbidden_paths(graph: &Graph, package: &Package) -> Result<Vec<Finding>> {
    let name = package.name.as_str();
    let mut findings = Vec::new();
    let mut forbid = |rule, forbidden: &dyn Fn(&str) -> bool| -> Result<()> {
        if let Some(path) = graph.path_to(&package.id, forbidden) {
            let first = path.get(1).copied().unwrap_or_default();
            findings.push(Finding {
                place: manifest_line(package, first)?,
                rule,
                text: format!("{} reaches what it must not", path.join(" -> ")),
            });
        }
        Ok(())
    };
    // The end-to-end tests link the composition root and with it everything; their own code is what counts.
    if TENSOR_FREE.contains(&name) && name != "stentor-tests" {
        forbid("never 1", &|dependency| {
            dependency.starts_with("candle") || dependency == "stentor-nn" || is_engine(dependency)
        })?;
    }
    if is_engine(name) {
        forbid("never 2", &|d| NOT_IN_ENGINES.contains(&d) || (is_engine(d) && d != name))?;
    }
    if name == "stentor-worker" {
        forbid("never 4", &|dependency| NOT_IN_WORKERS.contains(&dependency))?;
    }
    Ok(findings)
}

fn is_engine(name: &str) -> bool {
    name.starts_with("stentor-engine-")
}

fn foreign_features(package: &Package) -> Result<Vec<Finding>> {
    let foreign = package.features.keys().filter(|name| !FEATURES.contains(&name.as_str()));
    foreign
        .map(|name| {
            Ok(Finding {
                place: manifest_line(package, name)?,
                rule: "never 9",
                text: format!("feature `{name}`: features are for devices and `nats` only"),
            })
        })
        .collect()
}

/// `path:line` of the first line of a manifest that starts with `word`.
fn manifest_line(package: &Package, word: &str) -> Result<String> {
    let text = fs::read_to_string(&package.manifest_path)?;
    let line = text.lines().position(|line| line.starts_with(word)).map_or(1, |index| index + 1);
    Ok(format!("{}:{line}", package.manifest_path))
}

/// Normal and build dependencies, as resolved.
struct Graph<'a> {
    names: HashMap<&'a PackageId, &'a str>,
    edges: HashMap<&'a PackageId, Vec<&'a PackageId>>,
}

impl<'a> Graph<'a> {
    fn new(metadata: &'a Metadata) -> Result<Self> {
        let names = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
        let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
        let edges = resolve.nodes.iter().map(|node| {
            let real = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development)
            });
            (&node.id, real.map(|dependency| &dependency.pkg).collect())
        });
        Ok(Self { names, edges: edges.collect() })
    }

    /// The shortest chain of names from `start` to a crate that is forbidden.
    fn path_to(&self, start: &'a PackageId, forbidden: &dyn Fn(&str) -> bool) -> Option<Vec<&'a str>> {
        let mut queue = VecDeque::from([vec![start]]);
        let mut seen = HashSet::from([start]);
        while let Some(path) = queue.pop_front() {
            let last = *path.last()?;
            if path.len() > 1 && forbidden(self.names[last]) {
                return Some(path.into_iter().map(|id| self.names[id]).collect());
            }
            for &next in self.edges.get(last).into_iter().flatten() {
                if seen.insert(next) {
                    queue.push_back(path.iter().copied().chain([next]).collect());
                }
            }
        }
        None
    }
}
