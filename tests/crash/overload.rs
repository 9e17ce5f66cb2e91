//! More requests than can be served. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn what_is_served_under_overload_stays_as_much() {
    assert_small("overload", PROGRAM, 0.1).await;
}
