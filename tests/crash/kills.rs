//! Workers that die by the dozen under load. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn workers_killed_at_random_moments_cost_nothing_but_time() {
    assert_small("kills", PROGRAM, 0.03).await;
}
