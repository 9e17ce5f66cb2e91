//! A story that takes longer than its client waits. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn an_impatient_client_gets_its_whole_story() {
    assert_small("drainer", PROGRAM, 0.0125).await;
}
