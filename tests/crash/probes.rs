//! Probes of a busy server. The bound is generous: others share the machine that tests run on. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn probes_are_answered_while_every_core_synthesizes() {
    assert_small("probes", PROGRAM, 0.008).await;
}
