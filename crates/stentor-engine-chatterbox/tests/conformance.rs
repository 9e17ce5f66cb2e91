//! Models with every layer of the real width keep the engine contract.

mod models;

mod english {
    stentor_engine::conformance!(super::models::english);
}

mod multilingual {
    stentor_engine::conformance!(super::models::multilingual);
}

mod turbo {
    stentor_engine::conformance!(super::models::turbo);
}

mod nano {
    stentor_engine::conformance!(super::models::nano);
}
