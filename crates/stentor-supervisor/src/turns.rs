//! Whose turn it is: chunks of two lanes, of many clients, of many sessions, through one engine.
//!
//! The interactive lane goes first, but of every [`CYCLE`] turns for which the batch lane had a chunk it gets one. In
//! a lane the clients take turns, chunk by chunk. Of a client's sessions the oldest goes first, so whoever sends a
//! thousand requests delays only his own.

use std::collections::VecDeque;
use stentor_types::{ClientId, Lane};

/// Of this many turns one is for the batch lane when it has work.
pub(crate) const CYCLE: u32 = 4;

/// A session that has a chunk to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contender {
    /// Ascending with age: the smallest is the oldest.
    pub(crate) session: u64,
    pub(crate) client: ClientId,
    pub(crate) lane: Lane,
}

/// Who is there, in the order of their turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    interactive: VecDeque<ClientId>,
    batch: VecDeque<ClientId>,
    /// Interactive turns since the batch lane last had one, counted while it waited.
    passed: u32,
}

impl Turns {
    /// A client has a session in this lane; a new one joins behind those that are there.
    pub(crate) fn join(&mut self, lane: Lane, client: ClientId) {
        let ring = self.ring(lane);
        if !ring.contains(&client) {
            ring.push_back(client);
        }
    }

    /// A client has no session left in this lane.
    pub(crate) fn leave(&mut self, lane: Lane, client: ClientId) {
        self.ring(lane).retain(|other| *other != client);
    }

    /// The session whose turn it is among those that could use it; takes the turn.
    pub(crate) fn next(&mut self, contenders: &[Contender]) -> Option<u64> {
        let waits = |lane: Lane| contenders.iter().any(|contender| contender.lane == lane);
        let lane = match (waits(Lane::Interactive), waits(Lane::Batch)) {
            (false, false) => return None,
            (true, false) => Lane::Interactive,
            (true, true) if self.passed + 1 < CYCLE => {
                self.passed += 1;
                Lane::Interactive
            }
            (_, true) => {
                self.passed = 0;
                Lane::Batch
            }
        };
        let in_lane = || contenders.iter().filter(|contender| contender.lane == lane);
        let ring = self.ring(lane);
        let turn = ring.iter().position(|client| in_lane().any(|contender| contender.client == *client))?;
        let client = ring.remove(turn)?;
        ring.push_back(client);
        in_lane().filter(|contender| contender.client == client).map(|contender| contender.session).min()
    }

    fn ring(&mut self, lane: Lane) -> &mut VecDeque<ClientId> {
        match lane {
            Lane::Interactive => &mut self.interactive,
            Lane::Batch => &mut self.batch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contender(session: u64, client: u64, lane: Lane) -> Contender {
        Contender { session, client: ClientId(client), lane }
    }

    fn turns(contenders: &[Contender]) -> Turns {
        let mut turns = Turns::default();
        for contender in contenders {
            turns.join(contender.lane, contender.client);
        }
        turns
    }

    fn sessions(contenders: &[Contender], count: usize) -> Vec<u64> {
        let mut turns = turns(contenders);
        (0..count).map(|_| turns.next(contenders).expect("somebody waits")).collect()
    }

    #[test]
    fn clients_take_turns_whatever_the_number_of_their_sessions() {
        let mut all: Vec<_> = (1..=50).map(|session| contender(session, 1, Lane::Interactive)).collect();
        all.push(contender(51, 2, Lane::Interactive));
        all.push(contender(52, 3, Lane::Interactive));
        assert_eq!(sessions(&all, 6), [1, 51, 52, 1, 51, 52]);
    }

    #[test]
    fn a_clients_oldest_session_goes_first() {
        let all = [7, 3, 5].map(|session| contender(session, 1, Lane::Batch));
        assert_eq!(sessions(&all, 2), [3, 3]);
    }

    #[test]
    fn the_batch_lane_gets_one_turn_of_four_and_all_when_it_is_alone() {
        let both = [contender(1, 1, Lane::Batch), contender(2, 2, Lane::Interactive)];
        assert_eq!(sessions(&both, 9), [2, 2, 2, 1, 2, 2, 2, 1, 2]);
        assert_eq!(sessions(&both[..1], 3), [1, 1, 1]);
    }

    #[test]
    fn interactive_turns_that_nobody_waited_for_give_the_batch_lane_no_claim() {
        let both = [contender(1, 1, Lane::Batch), contender(2, 2, Lane::Interactive)];
        let mut turns = turns(&both);
        for _ in 0..20 {
            turns.next(&both[1..]);
        }
        assert_eq!(turns.next(&both), Some(2));
    }

    #[test]
    fn who_comes_back_stands_behind_who_waits() {
        let both = [contender(1, 1, Lane::Interactive), contender(2, 2, Lane::Interactive)];
        let mut turns = turns(&both);
        assert_eq!(turns.next(&both), Some(1));
        turns.leave(Lane::Interactive, ClientId(1));
        turns.join(Lane::Interactive, ClientId(1));
        assert_eq!(turns.next(&both), Some(2), "leaving and coming back gains nothing");
        assert_eq!(turns.next(&[]), None);
    }

    proptest! {
        /// Whoever waits, in whatever company: served once all older chunks of his client and a bounded number of
        /// others' have been.
        #[test]
        fn nobody_waits_for_ever(
            parties in proptest::collection::vec((0_u64..5, any::<bool>(), 1_usize..6), 1..12)
        ) {
            let lane = |batch| if batch { Lane::Batch } else { Lane::Interactive };
            let mut left: Vec<(Contender, usize)> = (1..)
                .zip(parties)
                .map(|(session, (client, batch, chunks))| (contender(session, client, lane(batch)), chunks))
                .collect();
            let total: usize = left.iter().map(|(_, chunks)| chunks).sum();
            let all: Vec<_> = left.iter().map(|(contender, _)| *contender).collect();
            let mut turns = turns(&all);
            let (mut without_batch, mut served) = (0, 0);
            while !left.is_empty() {
                let waiting: Vec<_> = left.iter().map(|(contender, _)| *contender).collect();
                let session = turns.next(&waiting).expect("somebody waits");
                let index = left.iter().position(|(c, _)| c.session == session).expect("one of them");
                let chosen = left[index].0;
                let older = |c: &Contender| c.client == chosen.client && c.lane == chosen.lane && c.session < session;
                prop_assert!(!waiting.iter().any(older), "a younger session of a client overtook");
                let batch_waits = waiting.iter().any(|contender| contender.lane == Lane::Batch);
                without_batch = if chosen.lane == Lane::Batch || !batch_waits { 0 } else { without_batch + 1 };
                prop_assert!(without_batch < CYCLE, "the batch lane was passed over too often");
                served += 1;
                left[index].1 -= 1;
                if left[index].1 == 0 {
                    left.remove(index);
                }
            }
            prop_assert_eq!(served, total);
        }

        /// Between two turns of a client that waits, no other of its lane has more than one.
        #[test]
        fn no_client_of_a_lane_gets_two_turns_while_another_waits(
            clients in proptest::collection::vec((0_u64..6, any::<bool>()), 2..20)
        ) {
            let lane = |batch| if batch { Lane::Batch } else { Lane::Interactive };
            let all: Vec<_> = (1..).zip(clients).map(|(s, (c, batch))| contender(s, c, lane(batch))).collect();
            let mut turns = turns(&all);
            let mut seen: Vec<(Lane, Vec<ClientId>)> = vec![(Lane::Interactive, vec![]), (Lane::Batch, vec![])];
            for _ in 0..60 {
                let session = turns.next(&all).expect("somebody waits");
                let chosen = all.iter().find(|c| c.session == session).expect("one of them");
                let mut present: Vec<_> = all.iter().filter(|c| c.lane == chosen.lane).map(|c| c.client).collect();
                present.sort_unstable();
                present.dedup();
                let (_, round) = seen.iter_mut().find(|(lane, _)| *lane == chosen.lane).expect("two lanes");
                prop_assert!(!round.contains(&chosen.client), "a second turn in one round");
                round.push(chosen.client);
                if round.len() == present.len() {
                    round.clear();
                }
            }
        }
    }
}
