//! From an uploaded recording to a voice: it is decoded, judged, and kept as plain samples, so that nothing else of the
//! client's file (pictures, places, another format's tricks) stays. Blocks; for the threads that may.

use crate::{ApiError, App, ErrorCode, Limits, api::upload::Upload};
use std::{fs, io, path::Path};
use stentor_audio::{Clip, ClipError, ClipNeeds, Least, encoder};
use stentor_catalog::{Catalog, CatalogError, NewVoice, RECORDING};
use stentor_types::{AudioFormat, SampleRate};

/// What every model that clones asks of a recording; some ask for more, and say so when the voice is used.
const NEEDS: ClipNeeds = ClipNeeds { least: Least::AtLeast(1.0), good: 5.0 };
/// The client's file while it is listened to.
const SAMPLE: &str = "sample";
/// A recording may be this much longer than the limit, in seconds: encoders pad.
const SLACK: f64 = 0.1;

/// Keeps the voice under `id` and makes it known. On an error nothing of it is left. Gives what could be better about
/// the recording.
pub(crate) fn keep(app: &App, id: &str, upload: &Upload) -> Result<Vec<String>, ApiError> {
    let limits = app.settings().limits;
    let uploads = app.catalog().uploads().clone();
    // Before the work; asked again when nobody else can take the name any more.
    admissible(&app.catalog(), &upload.voice, &limits)?;
    let draft = uploads.draft(id).map_err(|error| not_stored(&error))?;
    let sample = draft.file(SAMPLE);
    draft.write(SAMPLE, &upload.recording).map_err(|error| not_stored(&error))?;
    let (clip, notes) = listen(&sample, &limits)?;
    let bytes = as_wav(&clip).map_err(|error| ApiError::internal(format!("a voice as WAV: {error}")))?;
    drop(clip);
    draft.write(RECORDING, &bytes).map_err(|error| not_stored(&error))?;
    fs::remove_file(&sample).map_err(|error| not_stored_at(&sample, error))?;
    let known = app.renew_catalog(|catalog| {
        admissible(catalog, &upload.voice, &limits)?;
        draft.commit(&upload.voice).map_err(|error| not_stored(&error))?;
        let mut fresh = catalog.clone();
        fresh.reload()?;
        Ok::<_, ApiError>(fresh)
    });
    // In its place, and yet not known: nobody would ever find it.
    known.inspect_err(|_| uploads.withdraw(id))?;
    Ok(notes)
}

/// Whether there is room for another voice, and nobody has its name.
fn admissible(catalog: &Catalog, voice: &NewVoice, limits: &Limits) -> Result<(), ApiError> {
    if limits.max_voices == 0 {
        return Err(ApiError::new(ErrorCode::Forbidden, "this server takes no voices from its clients"));
    }
    if catalog.uploaded().count() >= limits.max_voices {
        let message = format!("there are {} uploaded voices, as many as are allowed", limits.max_voices);
        return Err(ApiError { lasting: true, ..ApiError::new(ErrorCode::TooManyVoices, message) });
    }
    if catalog.is_voice_name(&voice.name) {
        let message = format!("`{}` already means a voice", voice.name);
        return Err(ApiError { lasting: true, ..ApiError::field(ErrorCode::VoiceExists, "name", message) });
    }
    Ok(())
}

fn listen(path: &Path, limits: &Limits) -> Result<(Clip, Vec<String>), ApiError> {
    let most = f64::from(limits.max_voice_seconds);
    let refuse = |error: ClipError| match error {
        ClipError::Io { source } => not_stored_at(path, source),
        error => bad_sample(&error.to_string()),
    };
    let clip = Clip::open(path, most + 2.0 * SLACK).map_err(refuse)?;
    let seconds = clip.whole_seconds.unwrap_or_default().max(clip.seconds());
    if clip.seconds() > most + SLACK {
        return Err(bad_sample(&format!("it lasts {seconds:.0} s, at most {most} s are taken")));
    }
    let checked = clip.check(NEEDS).map_err(refuse)?;
    let notes = clip.notes.iter().chain(&checked).map(ToString::to_string).collect();
    Ok((clip, notes))
}

fn bad_sample(why: &str) -> ApiError {
    ApiError::field(ErrorCode::InvalidValue, "audio_sample", format!("`audio_sample`: {why}"))
}

fn as_wav(clip: &Clip) -> Result<Vec<u8>, stentor_audio::AudioError> {
    let mut bytes = Vec::with_capacity(2 * clip.samples.len() + 64);
    let mut wav = encoder(AudioFormat::Wav, SampleRate(clip.rate), Some(clip.samples.len() as u64))?;
    wav.encode(&clip.samples, &mut bytes)?;
    wav.finish(&mut bytes)?;
    Ok(bytes)
}

fn not_stored(error: &CatalogError) -> ApiError {
    let detail = Some(error.to_string());
    ApiError { detail, ..ApiError::new(ErrorCode::StorageFailed, "the voice could not be stored") }
}

fn not_stored_at(path: &Path, source: io::Error) -> ApiError {
    not_stored(&CatalogError::Io { path: path.to_owned(), source })
}
