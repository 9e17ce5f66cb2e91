//! `stentor pull`: fetches a model's published files, with a progress bar.

use super::print;
use crate::{cli::Pull, compose, config::Config};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::{process::ExitCode, time::Duration};
use stentor_catalog::{Model, PullEvent, PullProgress, Pulled, pull_voices};

pub(super) async fn run(config: &Config, pull: &Pull) -> Result<ExitCode> {
    let catalog = compose::catalog(config)?;
    let model = catalog.resolve_model(Some(&pull.id))?;
    let bar = Bar::new();
    let pulled = match pull.only_voices.as_slice() {
        [] => stentor_catalog::pull(&config.catalog, model, &bar).await?,
        voices => pull_voices(&config.catalog, model, voices, &bar).await?,
    };
    bar.0.finish_and_clear();
    report(model, &pulled)?;
    Ok(ExitCode::SUCCESS)
}

/// Fetches the model that the configuration names, when it is not here yet.
pub(crate) async fn configured_model(config: &Config) -> Result<()> {
    let Some(name) = &config.model else { return Ok(()) };
    let catalog = compose::catalog(config)?;
    let model = catalog.resolve_model(Some(name))?;
    if !model.installed {
        tracing::info!(model = %model.id, "fetching the model's files");
        let bar = Bar::new();
        stentor_catalog::pull(&config.catalog, model, &bar).await?;
        bar.0.finish_and_clear();
    }
    Ok(())
}

fn report(model: &Model, pulled: &Pulled) -> Result<()> {
    let (new, old) = (pulled.fetched.len(), pulled.present.len());
    print(&format!(
        "{} at {}: {new} files fetched, {old} were there, {} bytes in {}\n",
        model.id,
        pulled.revision,
        pulled.bytes,
        pulled.directory.display()
    ))
}

/// One bar for the file on its way; nothing is drawn when standard error is no terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }
}

impl PullProgress for Bar {
    fn event(&self, event: &PullEvent) {
        let bar = &self.0;
        match event {
            PullEvent::Waiting => bar.set_message("another pull is running"),
            PullEvent::Start { file, size, index, files } => {
                bar.reset();
                bar.set_length(*size);
                bar.set_message(format!("{file} ({} of {files})", index + 1));
            }
            PullEvent::Advance { bytes } => bar.inc(*bytes),
            PullEvent::Verify { file } => bar.set_message(format!("{file}: checking")),
            PullEvent::Done { .. } => {}
            PullEvent::Retry { error } => bar.println(format!("connection failed, going on: {error}")),
        }
    }
}
