//! For tests only: a fake engine with injectable faults.
