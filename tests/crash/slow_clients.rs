//! Clients that read, write or say nothing. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn slow_clients_hold_up_nobody() {
    assert_small("slow-clients", PROGRAM, 0.1).await;
}
