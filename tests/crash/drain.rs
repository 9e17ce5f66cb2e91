//! Stop signals at random moments. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn a_stop_signal_under_load_cuts_no_stream() {
    assert_small("drain", PROGRAM, 0.1).await;
}
