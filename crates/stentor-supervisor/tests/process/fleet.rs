//! Several models on a card that is too small for them, and that others use too.

use crate::harness::{Outcome, chunk, config, ensure, hear, process_state, ticket, trial, until, voice};
use libtest_mimic::{Failed, Trial};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stentor_supervisor::{
    MemoryReader, MemoryReading, ModelOptions, ModelState, ModelStatus, Session, SessionRequest, SpeechError,
    Supervisor, Unloaded,
};
use stentor_testkit::{FakeOptions, LoadFault};
use stentor_types::{DeviceSpec, Language, ModelId, Params, Speed};
use tokio::sync::watch;

const GIB: u64 = 1 << 30;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("the_idle_model_used_longest_ago_makes_room", eviction),
        trial("a_model_in_use_is_never_evicted_and_the_next_is_told_the_numbers", nothing_to_evict),
        trial("a_reading_that_fails_changes_nothing", unreadable),
        trial("the_card_is_yielded_to_others_and_taken_back", floor),
        trial("two_models_that_start_at_once_do_not_claim_the_same_memory", no_double_claim),
        trial("what_a_worker_measured_counts_more_than_what_was_expected", measured),
        trial("what_speaking_takes_is_claimed_with_what_is_held", speaking),
        trial("memory_is_kept_per_device", devices),
        trial("a_failed_model_that_waits_for_memory_answers_at_once", failed_and_waiting),
        trial("nobody_makes_room_for_a_model_that_cannot_load", unsound),
    ]
}

/// A card of a given size; its free memory follows from what is loaded.
#[derive(Default)]
struct Card(Mutex<State>);

#[derive(Default)]
struct State {
    total: u64,
    /// Taken by other tenants.
    others: u64,
    broken: bool,
    models: Vec<(u64, watch::Receiver<ModelStatus>)>,
}

impl Card {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryReader for Card {
    fn read(&self, device: DeviceSpec) -> Result<MemoryReading, String> {
        let state = self.state();
        if state.broken || device != DeviceSpec::Cuda(0) {
            return Err("no driver".to_owned());
        }
        // A model takes its memory when it is loaded, and gives it back when its process is gone.
        let held = state.models.iter().filter(|(_, status)| status.borrow().memory.is_some());
        let used: u64 = held.map(|(bytes, _)| bytes).sum::<u64>() + state.others;
        Ok(MemoryReading { total: state.total, free: state.total.saturating_sub(used) })
    }
}

struct Bench {
    supervisor: Supervisor,
    card: Arc<Card>,
}

impl Bench {
    /// A card of 24 GiB of which `floor` stay free.
    fn new(floor: u64) -> Result<Self, Failed> {
        let card = Arc::new(Card::default());
        card.state().total = 24 * GIB;
        let mut config = config()?;
        config.memory = Arc::clone(&card) as Arc<dyn MemoryReader>;
        config.vram_floor = floor * GIB;
        config.memory_poll = Duration::from_millis(30);
        Ok(Self { supervisor: Supervisor::new(config), card })
    }

    /// A model that takes `size` GiB, as is expected of it.
    fn add(&self, name: &str, size: u64, options: FakeOptions) -> Outcome {
        self.add_on(name, (size, size), options, DeviceSpec::Cuda(0))
    }

    fn add_on(
        &self,
        name: &str,
        (size, expected): (u64, u64),
        options: FakeOptions,
        device: DeviceSpec,
    ) -> Outcome {
        let mut spec = options.load_spec(name);
        spec.device = device;
        spec.files.insert("memory".to_owned(), (size * GIB).to_string().into());
        self.supervisor.add_model(spec, ModelOptions { idle_timeout: None, memory: expected * GIB });
        let status = self.supervisor.watch(&name.into()).ok_or("unknown")?;
        self.card.state().models.push((size * GIB, status));
        Ok(())
    }

    async fn ready(&self, name: &str) -> Outcome {
        self.supervisor.ready(&name.into()).await?;
        // Two uses are never at the same instant.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(())
    }

    fn begin(&self, name: &str) -> Result<Session, Failed> {
        let permit = self.supervisor.admit(&ModelId::from(name), ticket())?;
        let request = SessionRequest {
            voice: voice(),
            voice_digest: String::new(),
            keep: None,
            language: Language::en_us(),
            speed: Speed::NORMAL,
            styles: Vec::new(),
            seed: 7,
            params: Params::new(),
            later: Params::new(),
            chunks: Box::new(std::iter::once(chunk(0, "a few words"))),
            resplit: |chunk, _| vec![chunk],
        };
        Ok(self.supervisor.session(permit, request))
    }

    fn status(&self, name: &str) -> Result<ModelStatus, Failed> {
        Ok(self.supervisor.status(&name.into()).ok_or("unknown")?)
    }

    fn is(&self, name: &str, state: ModelState) -> bool {
        self.status(name).is_ok_and(|status| status.state == state)
    }

    fn check(&self, name: &str, state: ModelState, why: Option<Unloaded>) -> Outcome {
        let status = self.status(name)?;
        ensure(status.state == state && status.why_unloaded == why, format!("{name}: {status:?}"))
    }
}

async fn eviction() -> Outcome {
    let bench = Bench::new(2)?;
    for name in ["a", "b", "c"] {
        bench.add(name, 9, FakeOptions::default())?;
    }
    bench.ready("a").await?;
    bench.ready("b").await?;
    let pid = bench.status("b")?.pid.ok_or("no worker")?;
    // The last use of `a` is later than that of `b`.
    ensure(hear(bench.begin("a")?).await.error.is_none(), "a speaks")?;
    bench.ready("c").await?;
    bench.check("a", ModelState::Ready, None)?;
    bench.check("b", ModelState::Unloaded, Some(Unloaded::Evicted))?;
    ensure(process_state(pid).is_none(), "its worker is gone and reaped")?;
    ensure(hear(bench.begin("b")?).await.error.is_none(), "b is loaded again on demand")?;
    bench.check("a", ModelState::Unloaded, Some(Unloaded::Evicted))?;
    bench.check("c", ModelState::Ready, None)
}

async fn nothing_to_evict() -> Outcome {
    let bench = Bench::new(2)?;
    for name in ["a", "b", "c"] {
        bench.add(name, 9, FakeOptions { steps: 40, step_ms: 10, ..FakeOptions::default() })?;
    }
    bench.ready("a").await?;
    bench.ready("b").await?;
    // `a` was used longer ago, but is in use.
    let speaking = tokio::spawn(hear(bench.begin("a")?));
    bench.ready("c").await?;
    bench.check("a", ModelState::Ready, None)?;
    bench.check("b", ModelState::Unloaded, Some(Unloaded::Evicted))?;
    let admitted = bench.supervisor.admit(&"c".into(), ticket())?;
    let Some(SpeechError::Unavailable { reason, retry_after_s }) = hear(bench.begin("b")?).await.error else {
        return Err("b was started where there is no room".into());
    };
    let expected = "does not fit: needs 9.0 GiB, 6.0 GiB free on cuda:0, of which 2.0 GiB must stay free";
    ensure(reason == expected && (1..=60).contains(&retry_after_s), format!("{reason} ({retry_after_s} s)"))?;
    let refused = bench.supervisor.ready(&"b".into()).await;
    ensure(matches!(refused, Err(SpeechError::Unavailable { .. })), format!("{refused:?}"))?;
    let status = bench.status("b")?;
    ensure(status.state == ModelState::Unloaded, format!("{status:?}"))?;
    ensure(status.reason.as_deref() == Some(expected), format!("{status:?}"))?;
    bench.check("a", ModelState::Ready, None)?;
    bench.check("c", ModelState::Ready, None)?;
    ensure(speaking.await?.error.is_none(), "a is heard to its end")?;
    drop(admitted);
    bench.ready("b").await?;
    ensure(bench.status("b")?.reason.is_none(), "there is room on demand")
}

async fn unreadable() -> Outcome {
    let bench = Bench::new(2)?;
    for name in ["a", "b", "c"] {
        bench.add(name, 9, FakeOptions::default())?;
    }
    bench.ready("a").await?;
    bench.card.state().broken = true;
    bench.ready("b").await?;
    bench.ready("c").await?;
    // Others take the whole card, for all that anybody knows.
    bench.card.state().others = 24 * GIB;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for name in ["a", "b", "c"] {
        bench.check(name, ModelState::Ready, None)?;
    }
    Ok(())
}

async fn floor() -> Outcome {
    let bench = Bench::new(4)?;
    let slow = FakeOptions { steps: 50, step_ms: 10, ..FakeOptions::default() };
    bench.add("first", 6, FakeOptions::default())?;
    bench.add("second", 6, slow)?;
    bench.ready("first").await?;
    bench.ready("second").await?;
    let speaking = tokio::spawn(hear(bench.begin("second")?));
    until("it speaks", || bench.supervisor.counters(&"second".into()).is_some_and(|c| c.running == 1))
        .await?;
    // Another tenant wakes and needs more than one of ours frees.
    bench.card.state().others = 15 * GIB;
    until("the idle one goes", || bench.is("first", ModelState::Unloaded)).await?;
    bench.check("first", ModelState::Unloaded, Some(Unloaded::Yielded))?;
    bench.check("second", ModelState::Ready, None)?;
    ensure(speaking.await?.error.is_none(), "the busy one speaks to its end")?;
    until("the busy one goes when it is idle", || bench.is("second", ModelState::Unloaded)).await?;
    bench.check("second", ModelState::Unloaded, Some(Unloaded::Yielded))?;
    let refused = bench.supervisor.ready(&"first".into()).await;
    ensure(matches!(refused, Err(SpeechError::Unavailable { .. })), format!("{refused:?}"))?;
    // Room for one of them, then for both.
    bench.card.state().others = 13 * GIB;
    let back = |name| bench.is(name, ModelState::Ready);
    until("one comes back", || back("first") || back("second")).await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    ensure(back("first") != back("second"), "and the other one has no room")?;
    bench.card.state().others = 0;
    until("both are back", || back("first") && back("second")).await
}

async fn no_double_claim() -> Outcome {
    let bench = Bench::new(0)?;
    let slow = FakeOptions { load: LoadFault::Slow(400), steps: 100, step_ms: 10, ..FakeOptions::default() };
    bench.add("a", 14, slow)?;
    bench.add("b", 14, slow)?;
    let (a, b) = (bench.begin("a")?, bench.begin("b")?);
    let (a, b) = tokio::join!(hear(a), hear(b));
    let refused = [&a, &b].map(|heard| heard.error.clone());
    let said = "does not fit: needs 14.0 GiB, 10.0 GiB free on cuda:0";
    let told = |error: &Option<SpeechError>| matches!(error, Some(SpeechError::Unavailable { reason, .. }) if reason == said);
    ensure(refused.iter().filter(|error| error.is_none()).count() == 1, format!("{refused:?}"))?;
    ensure(refused.iter().filter(|error| told(error)).count() == 1, format!("{refused:?}"))
}

async fn speaking() -> Outcome {
    let bench = Bench::new(0)?;
    let mut spec = FakeOptions::default().load_spec("a");
    spec.device = DeviceSpec::Cuda(0);
    spec.files.insert("memory".to_owned(), (8 * GIB).to_string().into());
    spec.files.insert("speaking".to_owned(), (7 * GIB).to_string().into());
    bench.supervisor.add_model(spec, ModelOptions { idle_timeout: None, memory: GIB });
    let status = bench.supervisor.watch(&"a".into()).ok_or("unknown")?;
    bench.card.state().models.push((8 * GIB, status));
    bench.add("b", 10, FakeOptions::default())?;
    bench.ready("a").await?;
    // Loaded it holds 8 GiB, as is shown.
    ensure(bench.status("a")?.memory == Some(8 * GIB), format!("{:?}", bench.status("a")?))?;
    bench.supervisor.unload(&"a".into()).await?;
    bench.ready("b").await?;
    let _busy = bench.supervisor.admit(&"b".into(), ticket())?;
    let Err(SpeechError::Unavailable { reason, .. }) = bench.supervisor.ready(&"a".into()).await else {
        return Err("it was started where it could be loaded and not speak".into());
    };
    ensure(reason.contains("needs 15.0 GiB, 14.0 GiB free"), reason)
}

async fn measured() -> Outcome {
    let bench = Bench::new(0)?;
    // It is expected to be small and turns out to be large.
    bench.add_on("a", (16, 1), FakeOptions::default(), DeviceSpec::Cuda(0))?;
    bench.add("b", 10, FakeOptions::default())?;
    bench.ready("a").await?;
    ensure(bench.status("a")?.memory == Some(16 * GIB), format!("{:?}", bench.status("a")?))?;
    bench.ready("b").await?;
    bench.check("a", ModelState::Unloaded, Some(Unloaded::Evicted))?;
    let _busy = bench.supervisor.admit(&"b".into(), ticket())?;
    let Err(SpeechError::Unavailable { reason, .. }) = bench.supervisor.ready(&"a".into()).await else {
        return Err("it was started where it is known not to fit".into());
    };
    ensure(reason.contains("needs 16.0 GiB, 14.0 GiB free"), reason)
}

async fn devices() -> Outcome {
    let bench = Bench::new(0)?;
    bench.add("card", 20, FakeOptions::default())?;
    bench.add_on("processor", (1, 20), FakeOptions::default(), DeviceSpec::Cpu)?;
    bench.add_on("anywhere", (1, 20), FakeOptions::default(), DeviceSpec::Auto)?;
    bench.ready("card").await?;
    bench.ready("processor").await?;
    bench.check("card", ModelState::Ready, None)?;
    // Nobody knows yet that it will run on the CPU, and the card answers.
    bench.ready("anywhere").await?;
    bench.check("card", ModelState::Unloaded, Some(Unloaded::Evicted))?;
    bench.supervisor.unload(&"anywhere".into()).await?;
    bench.ready("card").await?;
    // That it ran on the CPU does not mean that it will again: the card is claimed for it as before.
    bench.ready("anywhere").await?;
    bench.check("card", ModelState::Unloaded, Some(Unloaded::Evicted))
}

async fn failed_and_waiting() -> Outcome {
    let bench = Bench::new(0)?;
    bench.add("broken", 14, FakeOptions { load: LoadFault::Fail, ..FakeOptions::default() })?;
    bench.add("slow", 14, FakeOptions { load: LoadFault::Slow(8000), ..FakeOptions::default() })?;
    ensure(bench.supervisor.ready(&"broken".into()).await.is_err(), "it can't be loaded")?;
    bench.supervisor.start(&"slow".into());
    until("the other one loads", || bench.status("slow").is_ok_and(|status| status.pid.is_some())).await?;
    for _ in 0..2 {
        let heard = tokio::time::timeout(Duration::from_secs(3), hear(bench.begin("broken")?)).await;
        let heard = heard.map_err(|_| "it waits for the start of another model")?;
        ensure(matches!(heard.error, Some(SpeechError::Unavailable { .. })), format!("{:?}", heard.error))?;
    }
    bench.check("slow", ModelState::Starting, None)
}

async fn unsound() -> Outcome {
    let bench = Bench::new(0)?;
    bench.add("broken", 14, FakeOptions { load: LoadFault::Fail, ..FakeOptions::default() })?;
    bench.add("well", 14, FakeOptions::default())?;
    ensure(bench.supervisor.ready(&"broken".into()).await.is_err(), "it can't be loaded")?;
    bench.ready("well").await?;
    for _ in 0..3 {
        let Err(SpeechError::Unavailable { reason, .. }) = bench.supervisor.ready(&"broken".into()).await
        else {
            return Err("it was loaded".into());
        };
        ensure(reason.contains("fake.weight"), reason)?;
        bench.check("well", ModelState::Ready, None)?;
        ensure(bench.is("broken", ModelState::Failed), format!("{:?}", bench.status("broken")))?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
