//! `stentor say`: the server's own path from text to bytes, without HTTP.

use super::{print, pull};
use crate::{cli::Say, compose, config::Config};
use anyhow::{Context as _, Result, anyhow, ensure};
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
use stentor_types::{AudioFormat, Language, Params, Seed, SourceTiming, SpeechRequest, Speed};

/// For a model to load: nobody else is waiting.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(config: &Config, say: Say) -> Result<ExitCode> {
    let form = form(&say)?;
    ensure!(
        say.output != Path::new("-") || say.timings.as_deref() != Some(Path::new("-")),
        "`-o -` and `--timings -` can't both go to standard output"
    );
    let request = request(config, &say, form)?;
    pull::configured_model(config).await?;
    let app = compose::app(config, None)?;
    let result = speak(&app, &request, (form, &say)).await;
    app.supervisor.shutdown(Duration::ZERO).await;
    result.map(|()| ExitCode::SUCCESS)
}

fn request(config: &Config, say: &Say, form: Form) -> Result<SpeechRequest> {
    Ok(SpeechRequest {
        model: config.model.clone(),
        voice: say.voice.clone(),
        input: check_input(&text(say, &config.settings.limits)?, &config.settings.limits)?,
        format: match form {
            Form::Sound(format) => format,
            Form::Captions(_) => AudioFormat::Pcm,
        },
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

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Sound(AudioFormat),
    Captions(CaptionFormat),
}

impl Form {
    fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let sound = || AudioFormat::from_extension(&name).map(Self::Sound);
        CaptionFormat::from_name(&name).map(Self::Captions).or_else(sound)
    }
}

fn form(say: &Say) -> Result<Form> {
    let sounds = AudioFormat::ALL.map(AudioFormat::name).into_iter();
    let names = || sounds.chain(CaptionFormat::ALL.map(CaptionFormat::name)).collect::<Vec<_>>().join(", ");
    if let Some(name) = &say.format {
        let sound = || name.parse().map(Form::Sound).ok();
        let captions = CaptionFormat::from_name(name).map(Form::Captions);
        return captions.or_else(sound).ok_or_else(|| anyhow!("--format must be one of {}", names()));
    }
    let Some(extension) = say.output.extension().and_then(|e| e.to_str()) else {
        return Ok(Form::Sound(AudioFormat::Wav));
    };
    Form::named(extension)
        .ok_or_else(|| anyhow!("`.{extension}` is no known format; give --format, one of {}", names()))
}

async fn speak(app: &App, request: &SpeechRequest, (form, say): (Form, &Say)) -> Result<()> {
    let terms = Terms { deadline: Some(PATIENCE), ..Terms::default() };
    let synthesis = synthesis::begin(app, Request::new(request, terms)).await?;
    let rate = synthesis.rate;
    let mut encoded = EncodedSynthesis::new(synthesis, request.format, rate)?;
    let words = match form {
        Form::Captions(format) => {
            let words = only_words(&mut encoded).await?;
            write_text(&say.output, &captions(format, &encoded, words.clone()))?;
            words
        }
        Form::Sound(format) => {
            if say.output == Path::new("-") {
                write_all(&mut encoded, &mut io::stdout()).await?;
            } else if is_special(&say.output) {
                // A device or a pipe is written to, never replaced.
                write_all(&mut encoded, &mut fs::File::create(&say.output)?).await?;
            } else {
                write_file(&mut encoded, format, &say.output).await?;
            }
            encoded.take_words()
        }
    };
    if let Some(path) = &say.timings {
        let named = path.extension().and_then(|e| e.to_str()).and_then(Form::named);
        let format = if let Some(Form::Captions(format)) = named { format } else { CaptionFormat::Json };
        write_text(path, &captions(format, &encoded, words))?;
    }
    // Where nothing else is written to standard output.
    if [Some(&say.output), say.timings.as_ref()].iter().flatten().all(|path| *path != Path::new("-"))
        && !is_special(&say.output)
    {
        print(&format!("{}\n", say.output.display()))?;
    }
    Ok(())
}

/// Speaks to the end and throws the sound away.
async fn only_words(encoded: &mut EncodedSynthesis) -> Result<Vec<SourceTiming>> {
    let mut words = Vec::new();
    while let Some(stretch) = encoded.next_stretch().await {
        words.extend(stretch?.words);
    }
    Ok(words)
}

fn captions(format: CaptionFormat, encoded: &EncodedSynthesis, words: Vec<SourceTiming>) -> String {
    let mut text = String::new();
    let shown = (Arc::clone(encoded.original()), Arc::clone(encoded.view()));
    let mut captions = Captions::new(format, shown, false);
    captions.push(words, &mut text);
    captions.finish(encoded.spoken().audio, &mut text);
    text
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    if path == Path::new("-") {
        return print(text);
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
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
    Ok(())
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
