//! What changes while the server runs: configuration on SIGHUP, and manifests and voices whenever their folders change.

use crate::{compose, config::Config, logging::one_line, startup::Trackers};
use anyhow::{Context as _, Result};
use std::time::Duration;
use stentor_server::AppState;
use tokio::{
    signal::unix::Signal,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// Between two looks at the folders.
const LOOK: Duration = Duration::from_secs(2);

/// Runs as long as the server.
pub(crate) async fn watch(config: Config, app: AppState, mut hangup: Signal) {
    let mut reloader =
        Reloader { at_start: config, trackers: Trackers::new(app.clone()), seen: None, failure: None, app };
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = hangup.recv() => reloader.reread().await,
            _ = look.tick() => reloader.look().await,
        }
        reloader.trackers.track();
    }
}

/// Reads manifests and voices again, as they are under the same configuration.
pub(crate) async fn refresh(app: &AppState) -> Result<()> {
    let app = app.clone();
    let renewed = spawn_blocking(move || {
        app.renew_catalog(|catalog| {
            let mut fresh = catalog.clone();
            fresh.reload()?;
            anyhow::Ok(fresh)
        })
    });
    renewed.await.context("reading the catalog")?
}

struct Reloader {
    /// What this process was started with, and stays with where a restart is needed.
    at_start: Config,
    app: AppState,
    trackers: Trackers,
    /// How the folders looked when they were last read.
    seen: Option<u64>,
    /// The last failure, which is told once.
    failure: Option<String>,
}

impl Reloader {
    /// Reads the folders again when they look different than before.
    async fn look(&mut self) {
        let catalog = self.app.catalog();
        let Ok(now) = spawn_blocking(move || catalog.fingerprint()).await else { return };
        if self.seen == Some(now) {
            return;
        }
        // The first time too: something may have come between the catalog's reading and this look.
        let first = self.seen.replace(now).is_none();
        match refresh(&self.app).await {
            Ok(()) => {
                self.failure = None;
                if !first {
                    tracing::info!("models and voices were read again");
                }
            }
            Err(error) => self.complain(&format!("models and voices stay as they were: {error:#}")),
        }
    }

    fn complain(&mut self, message: &str) {
        let message = one_line(message);
        if self.failure.as_ref() != Some(&message) {
            tracing::error!("{message}");
            self.failure = Some(message);
        }
    }

    /// Takes over what can change at run time; a configuration with a mistake changes nothing.
    async fn reread(&mut self) {
        match self.read().await {
            Ok(fresh) => {
                let later = needs_restart(&self.at_start, &fresh);
                if !later.is_empty() {
                    tracing::warn!("changed, and in force after a restart only: {}", later.join(", "));
                }
                self.app.replace_settings(fresh.settings.clone());
                tracing::info!("the configuration was read again");
            }
            Err(error) => {
                // One line, however many mistakes there are.
                tracing::error!("the configuration stays as it was: {}", one_line(&format!("{error:#}")));
            }
        }
    }

    async fn read(&self) -> Result<Config> {
        let (old, app) = (self.at_start.clone(), self.app.clone());
        let read = spawn_blocking(move || {
            let fresh = old.reread()?;
            let mut here = fresh.clone();
            app.renew_catalog(|catalog| {
                here.catalog.data_dir.clone_from(&catalog.config().data_dir);
                compose::settled(&here, catalog.reopen(here.catalog.clone())?)
            })?;
            anyhow::Ok(fresh)
        });
        read.await.context("reading the configuration")?
    }
}

fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("listen", old.listen != new.listen),
        ("wyoming", old.wyoming != new.wyoming),
        ("model", old.model != new.model),
        ("data_dir", old.catalog.data_dir != new.catalog.data_dir),
        ("listen_when", old.listen_when != new.listen_when),
        ("max_waiting", old.max_waiting != new.max_waiting),
        ("vram_floor_mib", old.vram_floor != new.vram_floor),
        ("cache_memory_mib or cache_disk_mib", old.cache != new.cache),
        ("cors_origins", old.settings.access.cors_origins != new.settings.access.cors_origins),
        ("max_connections", old.max_connections != new.max_connections),
        ("header_timeout", old.header_timeout != new.header_timeout),
        ("drain_delay", old.drain_delay != new.drain_delay),
        ("drain_timeout", old.drain_timeout != new.drain_timeout),
        ("log_format", old.log_format != new.log_format),
        ("log", old.log != new.log),
    ];
    changed.into_iter().filter_map(|(name, changed)| changed.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, RawConfig};
    use std::fs;

    #[tokio::test]
    async fn a_voice_that_comes_between_start_and_the_first_look_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let voices = folder.path().join("voices");
        fs::create_dir(&voices).expect("a folder");
        let data_dir = Some(folder.path().to_owned());
        let at_start = config::load(&RawConfig { data_dir, ..RawConfig::default() }).expect("no mistakes");
        let app = compose::app(&at_start, None).expect("the built-in model");
        fs::write(voices.join("Emily.wav"), b"x").expect("a file");
        let trackers = Trackers::new(app.clone());
        let mut reloader = Reloader { at_start, trackers, seen: None, failure: None, app: app.clone() };
        reloader.look().await;
        let catalog = app.catalog();
        let found = catalog.voice_files();
        assert!(found.iter().any(|file| file.ends_with("voices/Emily.wav")), "{found:?}");
    }
}
