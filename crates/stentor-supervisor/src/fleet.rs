//! Shares the memory of devices between models: who may start, who makes room, who yields the card to another
//! tenant and comes back. The decisions are in [`room`](crate::room).

use crate::{
    MemoryReading, ModelState, SupervisorConfig, Unloaded,
    room::{Lack, Room, Streak, Tenant, Verdict, longest_idle, verdict},
    shared::Shared,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use stentor_types::{DeviceSpec, ModelId};
use tokio::sync::{Semaphore, watch};

/// A reading that takes longer counts as failed.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// No look at the memory comes sooner after the last.
const SHORTEST_POLL: Duration = Duration::from_millis(1);

pub(crate) struct Fleet {
    config: Arc<SupervisorConfig>,
    desk: Mutex<Desk>,
    /// Counts claims given back: a reading from before is of no use.
    returned: watch::Sender<u64>,
    /// One reading at a time, so that a driver that hangs takes one thread.
    looking: Arc<Semaphore>,
}

#[derive(Default)]
struct Desk {
    members: BTreeMap<ModelId, Arc<Shared>>,
    /// Bytes promised to models that are loading.
    claims: BTreeMap<ModelId, (Device, u64)>,
    /// Models that had to go, or could not start, and come back when there is room for long enough.
    away: BTreeMap<ModelId, (Device, Streak)>,
    /// Whether the last reading of a device was good.
    readable: BTreeMap<Device, bool>,
}

/// An ordered device, as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Device {
    Cpu,
    Cuda(usize),
}

/// Memory promised to a model until it is loaded or has failed to. Given back on drop.
pub(crate) struct Claim {
    fleet: Arc<Fleet>,
    model: ModelId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut desk = self.fleet.desk();
        desk.claims.remove(&self.model);
        // Within the lock, so that nobody decides between the two by an old reading.
        self.fleet.returned.send_modify(|count| *count += 1);
    }
}

impl From<Device> for DeviceSpec {
    fn from(device: Device) -> Self {
        match device {
            Device::Cpu => Self::Cpu,
            Device::Cuda(index) => Self::Cuda(index),
        }
    }
}

impl Device {
    /// `None` for a device that is not known yet.
    fn known(spec: DeviceSpec) -> Option<Self> {
        match spec {
            DeviceSpec::Auto => None,
            DeviceSpec::Cpu => Some(Self::Cpu),
            DeviceSpec::Cuda(index) => Some(Self::Cuda(index)),
        }
    }
}

impl Fleet {
    pub(crate) fn new(config: Arc<SupervisorConfig>) -> Self {
        let (desk, returned) = (Mutex::default(), watch::Sender::new(0));
        Self { config, desk, returned, looking: Arc::new(Semaphore::new(1)) }
    }

    /// Never held across an await; the locks of single models may be taken under it.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self, shared: &Arc<Shared>) {
        self.desk().members.insert(shared.model.clone(), Arc::clone(shared));
    }

    /// The model does not come back by itself.
    pub(crate) fn forget(&self, model: &ModelId) {
        self.desk().away.remove(model);
    }

    /// Asks for memory to start in, and if it may `evict`, makes room for it where idle models can go. Cancel-safe.
    pub(crate) async fn claim(self: &Arc<Self>, shared: &Arc<Shared>, evict: bool) -> Result<Claim, Lack> {
        let device = self.device(shared).await;
        let need = shared.plan.need(device.into());
        let mut returned = self.returned.subscribe();
        let mut busy = BTreeSet::new();
        loop {
            returned.borrow_and_update();
            // A model that nobody knows the size of starts; so does one whose device can't be read.
            let reading = if need == 0 { None } else { self.read(device).await };
            let busy_ones = evict.then_some(&busy);
            let decided = self.decide(shared, (device, need), reading, (&returned, busy_ones));
            match decided {
                Decided::Claim => return Ok(Claim { fleet: Arc::clone(self), model: shared.model.clone() }),
                Decided::ReadAgain => {}
                Decided::Wait => {
                    // Only fails without a sender, which is ours.
                    let _ = returned.changed().await;
                }
                Decided::Evict(tenant) => {
                    tracing::info!(model = %shared.model, evicted = %tenant.model, "making room");
                    if tenant.unload(Unloaded::Evicted).await.is_err() {
                        busy.insert(tenant.model.clone());
                    }
                }
                Decided::Refuse(lack) => return Err(lack),
            }
        }
    }

    /// `busy`: models that can't be evicted; `None` if none may be.
    fn decide(
        &self,
        shared: &Shared,
        (device, need): (Device, u64),
        reading: Option<MemoryReading>,
        (returned, busy): (&watch::Receiver<u64>, Option<&BTreeSet<ModelId>>),
    ) -> Decided {
        let mut desk = self.desk();
        if let Some(MemoryReading { total, free }) = reading {
            if returned.has_changed().unwrap_or(false) {
                return Decided::ReadAgain;
            }
            let floor = self.floor(device);
            let room = Room { total, free, reserved: desk.reserved(device), floor };
            let mut tenants = desk.tenants(device);
            let may_go =
                |model: &ModelId| *model != shared.model && busy.is_some_and(|busy| !busy.contains(model));
            tenants.retain(|tenant| may_go(&tenant.model));
            match verdict(room, need, &tenants) {
                Verdict::Start => {}
                Verdict::Wait => return Decided::Wait,
                Verdict::Evict(model) => {
                    let tenant = desk.members.get(&model).map(Arc::clone);
                    return tenant.map_or(Decided::ReadAgain, Decided::Evict);
                }
                Verdict::Refuse => {
                    if busy.is_some() {
                        desk.away.insert(shared.model.clone(), (device, Streak::default()));
                    }
                    return Decided::Refuse(Lack { device: device.into(), need, free, floor });
                }
            }
        }
        desk.away.remove(&shared.model);
        desk.claims.insert(shared.model.clone(), (device, need));
        Decided::Claim
    }

    /// Where the model will run, as far as can be known before it does. Where it ran last says nothing: a card that was
    /// out of reach then may be there now.
    async fn device(&self, shared: &Shared) -> Device {
        match Device::known(shared.plan.spec().device) {
            Some(device) => device,
            None if self.read(Device::Cuda(0)).await.is_some() => Device::Cuda(0),
            None => Device::Cpu,
        }
    }

    fn floor(&self, device: Device) -> u64 {
        if device == Device::Cpu { 0 } else { self.config.vram_floor }
    }

    /// `None` if nothing is known; says so once.
    async fn read(&self, device: Device) -> Option<MemoryReading> {
        let (reader, looking) = (Arc::clone(&self.config.memory), Arc::clone(&self.looking));
        let look = async move {
            let turn = looking.acquire_owned().await.map_err(|error| error.to_string())?;
            let look = move || {
                let _turn = turn;
                reader.read(device.into())
            };
            tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(error.to_string()))
        };
        let result = tokio::time::timeout(READ_PATIENCE, look).await;
        let result = result.unwrap_or_else(|_| Err(format!("no answer within {READ_PATIENCE:?}")));
        let before = self.desk().readable.insert(device, result.is_ok());
        match (&result, before) {
            (Err(error), Some(true)) => {
                let device = DeviceSpec::from(device);
                tracing::warn!(%device, %error, "the device's memory can't be read any more; nothing is changed for it");
            }
            (Ok(_), Some(false)) => {
                tracing::info!(device = %DeviceSpec::from(device), "the device's memory can be read");
            }
            _ => {}
        }
        result.ok()
    }

    /// Looks after the devices for as long as the process lives.
    pub(crate) async fn guard(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.config.memory_poll.max(SHORTEST_POLL)).await;
            let devices = self.desk().devices(self.config.vram_floor > 0);
            for device in devices {
                self.patrol(device).await;
            }
        }
    }

    /// Yields a device to its other tenants, or takes it back.
    async fn patrol(&self, device: Device) {
        let floor = self.floor(device);
        let mut busy = BTreeSet::new();
        while let Some(reading) = self.read(device).await {
            if reading.free >= floor {
                if busy.is_empty() {
                    self.call_back(device, reading.free);
                }
                return;
            }
            let longest_idle = {
                let desk = self.desk();
                let mut tenants = desk.tenants(device);
                tenants.retain(|tenant| !busy.contains(&tenant.model));
                longest_idle(&tenants).and_then(|model| desk.members.get(&model).map(Arc::clone))
            };
            let Some(tenant) = longest_idle else { return self.desk().unsettle(device) };
            if tenant.unload(Unloaded::Yielded).await.is_ok() {
                self.desk().away.insert(tenant.model.clone(), (device, Streak::default()));
            } else {
                busy.insert(tenant.model.clone());
            }
        }
    }

    /// Starts one of the models that had to go, if there has been room for it for long enough.
    fn call_back(&self, device: Device, free: u64) {
        let floor = self.floor(device);
        let mut desk = self.desk();
        let free = free.saturating_sub(desk.reserved(device));
        let Desk { members, away, .. } = &mut *desk;
        away.retain(|model, _| members.get(model).is_some_and(|shared| shared.is_missed()));
        let mut called = None;
        for (model, (_, streak)) in away.iter_mut().filter(|(_, (on, _))| *on == device) {
            let Some(shared) = members.get(model) else { continue };
            let need = shared.plan.need(device.into()).saturating_add(floor);
            if streak.see(need <= free) && called.is_none() {
                called = Some(Arc::clone(shared));
            }
        }
        if let Some(shared) = called {
            tracing::info!(model = %shared.model, device = %DeviceSpec::from(device), "there is room again");
            away.remove(&shared.model);
            desk.unsettle(device);
            shared.usage.want_back();
            shared.wake.notify_one();
        }
    }
}

enum Decided {
    Claim,
    ReadAgain,
    Wait,
    Evict(Arc<Shared>),
    Refuse(Lack),
}

impl Desk {
    fn reserved(&self, device: Device) -> u64 {
        self.claims.values().filter(|(on, _)| *on == device).map(|(_, bytes)| bytes).sum()
    }

    /// The models that are ready on the device.
    fn tenants(&self, device: Device) -> Vec<Tenant> {
        let ready =
            self.members.values().filter(|shared| shared.ready_on().and_then(Device::known) == Some(device));
        let idle = |shared: &Shared| shared.usage.idle_since().map(|since| since.elapsed());
        ready.map(|shared| Tenant { model: shared.model.clone(), idle: idle(shared) }).collect()
    }

    /// Devices to look after: CUDA devices in use, if they are `guarded`, and those that somebody waits for.
    fn devices(&self, guarded: bool) -> BTreeSet<Device> {
        let used = self.members.values().filter_map(|shared| shared.ready_on().and_then(Device::known));
        let used = used.filter(|device| guarded && *device != Device::Cpu);
        used.chain(self.away.values().map(|(device, _)| *device)).collect()
    }

    /// The room on a device is not what it was: those who wait for it to be steady wait anew.
    fn unsettle(&mut self, device: Device) {
        self.away
            .values_mut()
            .filter(|(on, _)| *on == device)
            .for_each(|(_, streak)| *streak = Streak::default());
    }
}

impl Shared {
    /// Where a ready model runs.
    fn ready_on(&self) -> Option<DeviceSpec> {
        let status = self.status.borrow();
        let descriptor = status.descriptor.as_ref().filter(|_| status.state == ModelState::Ready);
        descriptor.map(|descriptor| descriptor.device)
    }

    /// Unloaded, and would not have been unloaded by idleness meanwhile.
    fn is_missed(&self) -> bool {
        let unloaded = self.status.borrow().state == ModelState::Unloaded;
        let patience = self.plan.options().idle_timeout;
        let idle = self.usage.idle_since().map_or(Duration::ZERO, |since| since.elapsed());
        unloaded && patience.is_none_or(|patience| idle < patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryReader, WorkerCommand, logged::Lines};
    use tracing::Level;

    /// Gives its readings one after the other, then panics.
    struct Script(Mutex<Vec<Result<u64, &'static str>>>);

    impl MemoryReader for Script {
        fn read(&self, _: DeviceSpec) -> Result<MemoryReading, String> {
            let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(0)?;
            Ok(MemoryReading { total: 10, free })
        }
    }

    #[test]
    fn a_device_that_can_no_longer_be_read_is_said_once_and_so_is_its_return() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let command = WorkerCommand { program: "unused".into(), args: Vec::new() };
        let mut config = SupervisorConfig::new(command, "build");
        let script = vec![Err("never yet"), Ok(3), Err("gone"), Err("gone"), Err("gone"), Ok(4), Err("gone")];
        let readings = script.len() + 1;
        config.memory = Arc::new(Script(Mutex::new(script)));
        let fleet = Fleet::new(Arc::new(config));
        let read: Vec<_> = runtime.block_on(async {
            let mut read = Vec::new();
            for _ in 0..readings {
                read.push(fleet.read(Device::Cuda(0)).await.map(|reading| reading.free));
            }
            read
        });
        assert_eq!(
            read,
            [None, Some(3), None, None, None, Some(4), None, None],
            "a panic is a failed reading"
        );
        let of = |level| lines.all().iter().filter(|(at, _)| *at == level).count();
        assert_eq!((of(Level::WARN), of(Level::INFO)), (2, 2), "{:?}", lines.all());
    }
}
