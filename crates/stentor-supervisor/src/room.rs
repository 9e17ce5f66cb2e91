//! Who gets a device's memory: whether a model may start, which idle one makes room, when a yielded one comes
//! back. Pure: readings and idle times are handed in.

use std::{fmt, time::Duration};
use stentor_types::{DeviceSpec, ModelId};

/// Readings in a row that must have room for a model before it comes back by itself.
const STEADY: u32 = 3;

/// A ready model on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) model: ModelId,
    /// For how long nobody has used it; `None` while somebody does.
    pub(crate) idle: Option<Duration>,
}

/// A device's memory in bytes, as far as a start is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Promised to models that are loading; they may have taken some of it already.
    pub(crate) reserved: u64,
    /// Stays free.
    pub(crate) floor: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Start,
    /// It fits unless a model that is loading takes all that it was promised: look again when that one is done.
    Wait,
    Evict(ModelId),
    Refuse,
}

/// What to do about a model that needs `need` bytes.
pub(crate) fn verdict(room: Room, need: u64, tenants: &[Tenant]) -> Verdict {
    let Room { total, free, reserved, floor } = room;
    let wanted = need.saturating_add(floor);
    if wanted.saturating_add(reserved) <= free {
        return Verdict::Start;
    }
    if wanted > total {
        return Verdict::Refuse;
    }
    if reserved > 0 {
        return Verdict::Wait;
    }
    longest_idle(tenants).map_or(Verdict::Refuse, Verdict::Evict)
}

/// The model that has gone unused for the longest; never one that is in use.
pub(crate) fn longest_idle(tenants: &[Tenant]) -> Option<ModelId> {
    let idle = tenants.iter().filter_map(|tenant| Some((tenant.idle?, &tenant.model)));
    idle.max_by_key(|(idle, _)| *idle).map(|(_, model)| model.clone())
}

/// Waits for room that stays: one good reading between two of another tenant's bursts is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Streak(u32);

impl Streak {
    /// Takes in a reading; true when there has been room for long enough.
    pub(crate) fn see(&mut self, roomy: bool) -> bool {
        self.0 = if roomy { self.0.saturating_add(1) } else { 0 };
        self.0 >= STEADY
    }
}

/// Why a model was not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) device: DeviceSpec,
    pub(crate) need: u64,
    pub(crate) free: u64,
    pub(crate) floor: u64,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, need, free, floor } = *self;
        write!(f, "does not fit: needs {}, {} free on {device}", Size(need), Size(free))?;
        if floor > 0 {
            write!(f, ", of which {} must stay free", Size(floor))?;
        }
        Ok(())
    }
}

/// Bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        let mib = self.0 as f64 / MIB;
        if mib < 1024.0 { write!(f, "{mib:.0} MiB") } else { write!(f, "{:.1} GiB", mib / 1024.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn tenant(model: &str, idle: Option<u64>) -> Tenant {
        Tenant { model: model.into(), idle: idle.map(Duration::from_secs) }
    }

    fn room(free: u64, reserved: u64, floor: u64) -> Room {
        Room { total: 24 * GIB, free: free * GIB, reserved: reserved * GIB, floor: floor * GIB }
    }

    #[test]
    fn the_idle_model_that_was_used_longest_ago_makes_room_and_a_busy_one_never_does() {
        let tenants = [tenant("busy", None), tenant("recent", Some(3)), tenant("old", Some(90))];
        assert_eq!(verdict(room(8, 0, 2), 6 * GIB, &tenants), Verdict::Start, "it fits to the byte");
        assert_eq!(verdict(room(8, 0, 2), 6 * GIB + 1, &tenants), Verdict::Evict("old".into()));
        assert_eq!(verdict(room(8, 0, 2), 7 * GIB, &tenants[..1]), Verdict::Refuse);
    }

    #[test]
    fn nobody_is_evicted_for_a_model_that_is_larger_than_the_device() {
        let tenants = [tenant("idle", Some(1))];
        assert_eq!(verdict(room(20, 0, 2), 23 * GIB, &tenants), Verdict::Refuse);
        assert_eq!(verdict(room(20, 4, 0), u64::MAX, &tenants), Verdict::Refuse, "no overflow");
    }

    #[test]
    fn what_is_promised_to_another_start_is_waited_for_and_costs_nobody_its_place() {
        let tenants = [tenant("idle", Some(1))];
        assert_eq!(verdict(room(8, 4, 0), 4 * GIB, &tenants), Verdict::Start);
        assert_eq!(verdict(room(8, 4, 0), 5 * GIB, &tenants), Verdict::Wait);
        assert_eq!(verdict(room(4, 4, 0), 5 * GIB, &tenants), Verdict::Wait);
    }

    #[test]
    fn only_steady_room_brings_a_model_back() {
        let mut streak = Streak::default();
        let seen = [true, true, false, true, true, true].map(|roomy| streak.see(roomy));
        assert_eq!(seen, [false, false, false, false, false, true]);
    }

    #[test]
    fn a_refusal_names_the_numbers() {
        let lack = Lack { device: DeviceSpec::Cuda(0), need: 6 * GIB, free: 700 << 20, floor: GIB };
        assert_eq!(
            lack.to_string(),
            "does not fit: needs 6.0 GiB, 700 MiB free on cuda:0, of which 1.0 GiB must stay free"
        );
    }
}
