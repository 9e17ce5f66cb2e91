//! `stentor pull`: fetches a model's published files, with a progress bar.

use super::print;
use crate::{cli::Pull, compose, config::Config};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::{process::ExitCode, sync::Mutex};
use stentor_catalog::PullProgress;

pub(super) async fn run(config: &Config, pull: &Pull) -> Result<ExitCode> {
    let catalog = compose::catalog(config)?;
    let model = catalog.resolve_model(Some(&pull.id))?;
    let pulled = stentor_catalog::pull(&config.catalog, model, &Bar::default()).await?;
    print(&format!("{} is installed: {} files, {} bytes\n", model.id, pulled.files, pulled.bytes))?;
    Ok(ExitCode::SUCCESS)
}
