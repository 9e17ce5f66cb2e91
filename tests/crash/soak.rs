//! Many requests, many voices, few cores. The full drill is run by `just soak`.

use super::PROGRAM;
use stentor_tests::drill::assert_small;

#[tokio::test]
async fn the_eight_request_hang() {
    assert_small("the-eight-request-hang", PROGRAM, 0.04).await;
}
