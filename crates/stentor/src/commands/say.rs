//! `stentor say`: the server's own path from text to bytes, without HTTP.

use super::{print, pull};
use crate::{cli::Say, compose, config::Config};
use anyhow::{Context as _, Result, anyhow};
use std::{
    fs,
    io::{self, Read as _, Seek as _, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use stentor_server::{
    App, Limits, Terms,
    captions::{CaptionFormat, Captions},
    encoded::EncodedSynthesis,
    synthesis::{self, Request, check_input},
};
use stentor_types::{AudioFormat, Language, Params, Seed, SpeechRequest, Speed};

/// For a model to load: nobody else is waiting.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(config: &Config, say: Say) -> Result<ExitCode> {
    let request = request(config, &say)?;
    pull::configured_model(config).await?;
    let app = compose::app(config, None)?;
    let result = speak(&app, &request, &say).await;
    app.supervisor.shutdown(Duration::ZERO).await;
    result.map(|()| ExitCode::SUCCESS)
}

fn request(config: &Config, say: &Say) -> Result<SpeechRequest> {
    Ok(SpeechRequest {
        model: config.model.clone(),
        voice: say.voice.clone(),
        input: check_input(&text(say, &config.settings.limits)?, &config.settings.limits)?,
        format: format(say)?,
        speed: Speed::try_from(say.speed)?,
        language: say.language.as_deref().map(str::parse::<Language>).transpose()?,
        seed: say.seed.map_or(Seed::FromContent, |seed| Seed::Fixed(seed.cast_unsigned())),
        normalize: !say.no_normalize,
        stream: None,
        params: Params::new(),
    })
}

/// Reads at most one byte more than the limit, so that an endless input is refused too.
fn text(say: &Say, limits: &Limits) -> Result<String> {
    let most = (limits.max_input_bytes as u64).saturating_add(1);
    let mut bytes = Vec::new();
    match (&say.file, say.text.as_deref()) {
        (Some(path), _) => {
            let file = fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
            file.take(most).read_to_end(&mut bytes)?;
        }
        (None, None | Some("-")) => drop(io::stdin().lock().take(most).read_to_end(&mut bytes)?),
        (None, Some(text)) => return Ok(text.to_owned()),
    }
    if bytes.len() as u64 == most {
        // The cut may fall inside a character; the length alone decides.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes).context("the text is not UTF-8")
}

fn format(say: &Say) -> Result<AudioFormat> {
    let names = || AudioFormat::ALL.map(AudioFormat::name).join(", ");
    if let Some(name) = &say.format {
        return name.parse().map_err(|()| anyhow!("--format must be one of {}", names()));
    }
    let Some(extension) = say.output.extension().and_then(|e| e.to_str()) else {
        return Ok(AudioFormat::Wav);
    };
    AudioFormat::from_extension(extension)
        .ok_or_else(|| anyhow!("`.{extension}` is no known format; give --format, one of {}", names()))
}

async fn speak(app: &App, request: &SpeechRequest, say: &Say) -> Result<()> {
    let terms = Terms { deadline: Some(PATIENCE), ..Terms::default() };
    let synthesis = synthesis::begin(app, Request::new(request, terms)).await?;
    let rate = synthesis.rate;
    let mut encoded = EncodedSynthesis::new(synthesis, request.format, rate)?;
    if say.output == Path::new("-") {
        write_all(&mut encoded, &mut io::stdout()).await?;
    } else if is_special(&say.output) {
        // A device or a pipe is written to, never replaced.
        write_all(&mut encoded, &mut fs::File::create(&say.output)?).await?;
    } else {
        write_file(&mut encoded, request.format, &say.output).await?;
    }
    match &say.timings {
        Some(path) => write_timings(path, &mut encoded),
        None => Ok(()),
    }
}

/// Something is there, and it is not a regular file.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// The file appears under its name only when it is complete. A link is followed; a file that is replaced keeps its
/// permissions.
async fn write_file(encoded: &mut EncodedSynthesis, format: AudioFormat, path: &Path) -> Result<()> {
    const WAV_HEADER: u64 = 44;
    let rate = encoded.rate();
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The process's umask narrows these permissions, as for any new file.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .with_context(|| format!("creating a file in {}", directory.display()))?;
    let bytes = write_all(encoded, &mut file).await?;
    if format == AudioFormat::Wav {
        let samples = bytes.saturating_sub(WAV_HEADER) / 2;
        file.as_file_mut().rewind()?;
        file.write_all(&stentor_audio::wav_header(rate, Some(samples)))?;
    }
    if let Ok(replaced) = fs::metadata(path) {
        file.as_file().set_permissions(replaced.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| format!("writing {}", path.display()))?;
    print(&format!("{}\n", path.display()))
}

async fn write_all(encoded: &mut EncodedSynthesis, out: &mut impl Write) -> Result<u64> {
    let mut total = 0;
    while let Some(bytes) = encoded.next().await {
        let bytes = bytes?;
        out.write_all(&bytes)?;
        total += bytes.len() as u64;
    }
    out.flush()?;
    Ok(total)
}

/// As captions where the file is named as such, else as JSON.
fn write_timings(path: &Path, encoded: &mut EncodedSynthesis) -> Result<()> {
    let words = encoded.take_words();
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let format = extension.as_deref().and_then(CaptionFormat::from_name);
    let text = match format.filter(|format| *format != CaptionFormat::Json) {
        Some(format) => {
            let mut text = String::new();
            let shown = (Arc::clone(encoded.original()), Arc::clone(encoded.view()));
            let mut captions = Captions::new(format, shown, false);
            captions.push(words, &mut text);
            captions.finish(encoded.spoken().audio, &mut text);
            text
        }
        None => serde_json::to_string_pretty(&words)? + "\n",
    };
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
