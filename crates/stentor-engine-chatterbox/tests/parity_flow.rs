//! From tokens to mel frames against the reference implementation, at full width and one block of each kind.

mod golden_checks {
    pub(crate) mod flow;
}

use candle_core::Device;
use golden_checks::flow::{Case, check, check_together, load, load_quiet, prompt, tokens};
use std::sync::atomic::{AtomicUsize, Ordering};
use stentor_engine_chatterbox::voice::S3GenPrompt;
use stentor_nn::{NnError, Unwatched, Watch};
use stentor_testkit::chatterbox::{self, Depth, Golden, Part};

const TOLERANCE: [f64; 2] = [1e-5, 1e-5];

#[test]
fn the_guided_flow_agrees_layer_by_layer() {
    let golden = Golden::open("flow");
    let flow = load(Part::S3Gen, Depth::Reduced, 1.0, &Device::Cpu);
    assert!(!flow.is_meanflow());
    let whole = Case { name: "whole", last: true, steps: 10, tolerance: TOLERANCE };
    assert_eq!(check(&flow, &golden, &whole), 22);
    check(&flow, &golden, &Case { name: "steps", last: true, steps: 3, tolerance: TOLERANCE });
    check(&flow, &golden, &Case { name: "begun", last: false, steps: 4, tolerance: TOLERANCE });
}

#[test]
fn the_mean_flow_agrees_layer_by_layer() {
    let golden = Golden::open("flow-meanflow");
    let flow = load(Part::S3GenMeanflow, Depth::Reduced, 1.0, &Device::Cpu);
    assert!(flow.is_meanflow());
    let whole = Case { name: "whole", last: true, steps: 2, tolerance: TOLERANCE };
    assert_eq!(check(&flow, &golden, &whole), 15);
    check(&flow, &golden, &Case { name: "steps", last: true, steps: 3, tolerance: TOLERANCE });
}

/// Norms of small activations, where an epsilon of 1e-5 would not be 1e-12.
#[test]
fn small_activations_agree_layer_by_layer() {
    let flow = load_quiet(Depth::Reduced, &Device::Cpu);
    let quiet = Case { name: "quiet", last: true, steps: 1, tolerance: TOLERANCE };
    check(&flow, &Golden::open("flow"), &quiet);
}

#[test]
fn tasks_together_are_to_the_bit_what_each_is_alone() {
    check_together(&load(Part::S3Gen, Depth::Reduced, 1.0, &Device::Cpu), 2, 0.0);
    check_together(&load(Part::S3GenMeanflow, Depth::Reduced, 1.0, &Device::Cpu), 2, 0.0);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let flow = load(Part::S3GenMeanflow, Depth::Reduced, 1.0, &Device::Cpu);
    let (prompt, tokens, noise) = (prompt(), tokens(), chatterbox::noise("noise", 160 * 80));
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let mel = pool.install(|| flow.render(&prompt, (&tokens, true), (&noise, 2), &Unwatched));
        mel.expect("mel frames").to_vec2::<f32>().expect("values")
    });
    assert!(one == three);
}

/// Stops after a number of ticks.
struct StopAfter(AtomicUsize);

impl Watch for StopAfter {
    fn tick(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) > 1
    }
}

#[test]
fn what_can_not_be_rendered_is_an_error() {
    let flow = load(Part::S3GenMeanflow, Depth::Reduced, 1.0, &Device::Cpu);
    let (prompt, tokens) = (prompt(), tokens());
    let noise = chatterbox::noise("noise", 160 * 80);
    let render = |tokens: &[u32], last, noise: &[f32], steps| {
        let error = flow.render(&prompt, (tokens, last), (noise, steps), &Unwatched).expect_err("an error");
        error.to_string()
    };
    let mut wrong = tokens.clone();
    wrong[7] = 6561;
    assert!(render(&wrong, true, &noise, 2).contains("6561 is no speech token"));
    assert!(render(&[1, 2, 3], false, &noise, 2).contains("too few"));
    assert!(render(&[], true, &noise, 2).contains("too few"));
    assert!(render(&tokens, true, &noise[1..], 2).contains("noise"));
    assert!(render(&tokens, true, &noise, 0).contains("step"));
    for broken in [
        S3GenPrompt { mel: prompt.mel[80..].to_vec(), ..prompt.clone() },
        S3GenPrompt { xvector: vec![1.0; 191], ..prompt.clone() },
    ] {
        assert!(flow.render(&broken, (&tokens, true), (&noise, 2), &Unwatched).is_err());
    }
    let stop = StopAfter(AtomicUsize::new(200));
    let stopped = flow.render(&prompt, (&tokens, true), (&noise, 2), &stop);
    assert!(matches!(stopped, Err(NnError::Stopped)), "{stopped:?}");
}
