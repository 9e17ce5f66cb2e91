//! Commands and flags. What may also stand in the environment or the file is in [`RawConfig`].

use crate::config::RawConfig;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// An OpenAI-compatible text-to-speech server.
#[derive(Debug, Parser)]
#[command(name = "stentor", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: RawConfig,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer HTTP requests.
    Serve,
    /// Speak a text into a file.
    Say(Say),
    /// List the voices of a model.
    Voices(Listing),
    /// List the models.
    Models(Listing),
    /// Check the configuration, models and voices, and print what is in force.
    Check(Listing),
    /// Look at everything that speaking needs: devices, files, port, voices; exit status 0 when nothing failed.
    Doctor(Doctor),
    /// Ask a running server whether it is ready; exit status 0 when it is.
    Healthcheck,
    /// Fetch a model's files.
    Pull(Pull),
    /// Make a key for a client, and the lines that make it known to the server.
    Key(NewKey),
    /// Run one model for a server. The server starts this itself.
    #[command(hide = true)]
    Worker,
}

impl Command {
    pub(crate) fn is_serve(&self) -> bool {
        matches!(self, Self::Serve)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Say {
    /// The text; read from standard input when absent or `-`.
    #[arg(allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Read the text from a file.
    #[arg(short, long, value_name = "PATH", conflicts_with = "text")]
    pub(crate) file: Option<PathBuf>,
    /// Where the audio goes, or captions, if it ends in `.srt`, `.vtt` or `.json`; `-` is standard output.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// A voice's name, or a blend such as `af_bella(2)+af_sky`.
    #[arg(short, long)]
    pub(crate) voice: Option<String>,
    /// mp3, opus, aac, flac, wav or pcm, or srt, vtt or json for captions; by default what the output's extension says,
    /// else wav.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Speaking rate, 0.25 to 4.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) speed: f32,
    /// The text's language, e.g. `en-gb`.
    #[arg(long)]
    pub(crate) language: Option<String>,
    /// Fixes the noise; by default it follows from text and voice.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) seed: Option<i64>,
    /// Speak numbers and symbols as they are written.
    #[arg(long)]
    pub(crate) no_normalize: bool,
    /// Write when each word of the text is spoken: captions to `.srt` and `.vtt`, else JSON as over HTTP,
    /// `{"words": [{"word", "start", "end", "start_char", "end_char"}], "duration"}`, in seconds and characters of the text;
    /// `-` is standard output.
    #[arg(long, value_name = "PATH")]
    pub(crate) timings: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct NewKey {
    /// Who will use it.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print a JSON array of checks.
    #[arg(long)]
    pub(crate) json: bool,
    /// Compare sizes of model files, not their content.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Don't start a worker.
    #[arg(long)]
    pub(crate) no_speak: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// A model's id; see `stentor models`.
    #[arg(value_name = "MODEL")]
    pub(crate) id: String,
    /// Only these of the published voices, separated by commas [default: all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only_voices: Vec<String>,
}
