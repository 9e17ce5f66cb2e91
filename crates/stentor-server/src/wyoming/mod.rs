//! The Wyoming protocol, by which Home Assistant speaks: `describe`, `synthesize`, and text that is spoken while it is
//! still being written. One conversation a connection; a client that leaves frees the engine within a step.

mod flow;
pub(crate) mod frame;
mod info;
mod sound;
mod wish;

use crate::{ApiError, AppState, ErrorCode, Terms};
use flow::Flow;
use frame::{Fault, Frame};
use serde_json::{Map, Value, json};
use sound::Sound;
use std::{future::pending, net::IpAddr, pin::pin, sync::atomic::Ordering, time::Duration};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf, split,
    },
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use tracing::Instrument as _;
use wish::Wish;

/// Events read ahead of the one that is being answered.
const AHEAD: usize = 2;
/// How long a client that was told of a failure gets to read it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Who is connected, and how long the connection may be silent.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: IpAddr,
    /// Between two requests.
    pub idle: Duration,
    /// Turns true when the server stops: what is being spoken is still finished.
    pub stop: watch::Receiver<bool>,
}

/// Holds a conversation to its end. `stream` should fail when its peer leaves written bytes unread for too long.
pub async fn converse<S: AsyncRead + AsyncWrite>(app: AppState, stream: S, peer: Peer) {
    let id = app.request_counter.fetch_add(1, Ordering::Relaxed);
    let span = tracing::info_span!("wyoming", id, peer = %peer.address);
    talk_and_close(app, stream, peer).instrument(span).await;
}

async fn talk_and_close<S: AsyncRead + AsyncWrite>(app: AppState, stream: S, peer: Peer) {
    let (source, mut out) = split(stream);
    let mut source = BufReader::new(source);
    let (events, received) = mpsc::channel(AHEAD);
    let (left, gone) = oneshot::channel();
    let terms = Terms::of_peer(Some(peer.address));
    let talk = Talk { app: &app, out: &mut out, events: received, gone, terms, peer, program: None };
    let result = tokio::select! {
        result = talk.run() => result,
        () = listen(&app, &mut source, events, left) => Ok(()),
    };
    match result {
        Ok(()) => {}
        Err(Fault::Left) => return tracing::info!("the client left"),
        Err(Fault::Told(error)) => {
            error.log();
            let told = json!({ "text": error.message, "code": error.code.name() });
            if frame::write(&mut out, "error", &told, &[]).await.is_err() {
                return;
            }
        }
    }
    let _ = timeout(LAST_WORDS, close(source, out)).await;
}

/// Closing with bytes unread would destroy what the client has not read yet.
async fn close<S: AsyncRead + AsyncWrite>(mut source: BufReader<ReadHalf<S>>, mut out: WriteHalf<S>) {
    let mut bin = vec![0; 8192];
    if out.shutdown().await.is_ok() {
        while source.read(&mut bin).await.is_ok_and(|read| read > 0) {}
    }
}

/// Reads events ahead, so that a client's leaving is noticed while it is spoken to. Never returns.
async fn listen<R: AsyncRead + Unpin>(
    app: &AppState,
    source: &mut BufReader<R>,
    events: mpsc::Sender<Result<Frame, ApiError>>,
    left: oneshot::Sender<()>,
) {
    loop {
        let event = match frame::read(source, &app.settings().limits).await {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) | Err(Fault::Left) => break,
            Err(Fault::Told(error)) => Err(error),
        };
        let broken = event.is_err();
        let _ = events.send(event).await;
        if broken {
            // To be told when it is its turn.
            pending::<()>().await;
        }
    }
    drop(events);
    let _ = left.send(());
    pending::<()>().await;
}

struct Talk<'a, W> {
    app: &'a AppState,
    out: &'a mut W,
    events: mpsc::Receiver<Result<Frame, ApiError>>,
    /// The client has closed its side.
    gone: oneshot::Receiver<()>,
    terms: Terms,
    peer: Peer,
    /// The model that this connection has chosen.
    program: Option<String>,
}

impl<W: AsyncWrite + Unpin> Talk<'_, W> {
    async fn run(mut self) -> Result<(), Fault> {
        loop {
            let event = tokio::select! {
                biased;
                _ = self.peer.stop.wait_for(|stop| *stop) => return Ok(()),
                event = timeout(self.peer.idle, self.events.recv()) => event,
            };
            // Silence is no mistake: the connection is closed, as one over HTTP would be.
            let Ok(Some(event)) = event else { return Ok(()) };
            self.answer(event?).await?;
        }
    }

    async fn answer(&mut self, Frame { kind, data }: Frame) -> Result<(), Fault> {
        match kind.as_str() {
            "describe" => frame::write(self.out, "info", &info::info(self.app), &[]).await?,
            "ping" => {
                let text = data.get("text").filter(|text| text.is_string());
                frame::write(self.out, "pong", &json!({ "text": text }), &[]).await?;
            }
            "select-program" => self.choose(&data)?,
            "synthesize" => self.say(&data).await?,
            "synthesize-start" => self.say_as_it_comes(&data).await?,
            "synthesize-chunk" | "synthesize-stop" => {
                return Err(out_of_place(&kind));
            }
            // As the protocol has it, so that newer clients can be served.
            _ => tracing::debug!("an event of an unknown type was left out"),
        }
        Ok(())
    }

    /// A program is a model; its name was listed in `info`.
    fn choose(&mut self, data: &Map<String, Value>) -> Result<(), ApiError> {
        let Some(Value::String(name)) = data.get("name") else {
            return Err(wish::invalid("name", "`name` must be a string"));
        };
        let catalog = self.app.catalog();
        let id = &catalog.resolve_model(Some(name))?.id;
        // The default model may have stand-ins, which a named one has not.
        self.program = (*id != self.app.default_model).then(|| name.clone());
        Ok(())
    }

    fn wish(&self, data: &Map<String, Value>) -> Result<Wish, ApiError> {
        Wish::read(data)?.settle(&self.app.catalog(), self.program.as_deref())
    }

    async fn say(&mut self, data: &Map<String, Value>) -> Result<(), Fault> {
        let speech = self.wish(data)?.speech(self.app, wish::text(data)?)?;
        let mut sound = Sound::new(self.app, self.out);
        tokio::select! {
            spoken = sound.speak(self.app, &speech, self.terms) => spoken.map_err(in_these_words)?,
            _ = &mut self.gone => return Err(Fault::Left),
        }
        Ok(sound.end().await?)
    }

    /// From `synthesize-start` to `synthesize-stopped`: sentences are spoken while later ones are still to come.
    async fn say_as_it_comes(&mut self, data: &Map<String, Value>) -> Result<(), Fault> {
        let wish = self.wish(data)?;
        let limits = self.app.settings().limits;
        let mut flow = Flow::new(limits.max_input_bytes, wish.is_ssml());
        let mut sound = Sound::new(self.app, self.out);
        loop {
            let Some(part) = flow.take() else {
                if flow.has_ended() {
                    break;
                }
                let event = timeout(limits.stalled_reader, self.events.recv()).await;
                gather(&mut flow, event.map_err(|_| too_slow(limits.stalled_reader))?)?;
                continue;
            };
            let speech = wish.speech(self.app, &part)?;
            let mut speaking = pin!(sound.speak(self.app, &speech, self.terms));
            let spoken = loop {
                tokio::select! {
                    spoken = &mut speaking => break spoken,
                    event = self.events.recv(), if !flow.has_ended() => gather(&mut flow, event)?,
                    _ = &mut self.gone, if flow.has_ended() => return Err(Fault::Left),
                }
            };
            match spoken {
                // A line of dashes, a smiley: the other sentences are still wanted.
                Err(Fault::Told(error)) if error.code == ErrorCode::InputNotSpeakable => {}
                spoken => spoken.map_err(in_these_words)?,
            }
        }
        sound.end().await?;
        Ok(frame::write(self.out, "synthesize-stopped", &Value::Null, &[]).await?)
    }
}

/// Takes in an event that came within a stream of text.
fn gather(flow: &mut Flow, event: Option<Result<Frame, ApiError>>) -> Result<(), Fault> {
    let Frame { kind, data } = event.ok_or(Fault::Left)??;
    match kind.as_str() {
        "synthesize-chunk" => flow.push(wish::text(&data)?)?,
        "synthesize-stop" => flow.end(),
        "synthesize-start" => return Err(out_of_place(&kind)),
        // `synthesize` among them: the whole text once more, for servers that know no streams.
        _ => {}
    }
    Ok(())
}

fn out_of_place(kind: &str) -> Fault {
    wish::invalid("type", format!("`{kind}` is out of place here")).into()
}

fn too_slow(patience: Duration) -> Fault {
    let message = format!("no more of the text came within {} s", patience.as_secs());
    ApiError::new(ErrorCode::BodyTimeout, message).into()
}

fn in_these_words(fault: Fault) -> Fault {
    match fault {
        Fault::Told(error) => Fault::Told(wish::renamed(error)),
        Fault::Left => Fault::Left,
    }
}
