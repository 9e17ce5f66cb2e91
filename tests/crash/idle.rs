//! A model that nobody uses. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn an_idle_model_leaves_and_comes_back() {
    assert_small("idle", PROGRAM, 0.05).await;
}
