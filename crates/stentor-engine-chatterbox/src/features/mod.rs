//! The four front ends of a recording, each as its network was trained, and the resamplers before them.
