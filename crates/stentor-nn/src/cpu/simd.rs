//! Compiles one loop for several instruction sets and picks the widest that the machine has.

use std::sync::OnceLock;

/// Whether multiplying and adding is one instruction of what the program as a whole is compiled for.
pub(crate) const FUSED: bool = cfg!(any(target_feature = "fma", not(target_arch = "x86_64")));

/// Instructions that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Instructions {
    /// What the program as a whole is compiled for.
    Portable,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// AVX-512 F, DQ, VL and BW, with all of AVX2's.
    Avx512,
}

impl Instructions {
    /// The widest that the machine has.
    #[cfg(target_arch = "x86_64")]
    fn present() -> Self {
        use std::arch::is_x86_feature_detected as has;
        if !(has!("avx2") && has!("fma") && has!("f16c")) {
            return Self::Portable;
        }
        if has!("avx512f") && has!("avx512dq") && has!("avx512vl") && has!("avx512bw") {
            Self::Avx512
        } else {
            Self::Avx2
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn present() -> Self {
        Self::Portable
    }
}

static USED: OnceLock<Instructions> = OnceLock::new();

/// The instructions that our kernels use in this process: the widest that the machine has. (The `gemm` crate, which multiplies for transposed convolutions,
/// Fourier transforms and some of attention, chooses for itself.)
pub fn instructions() -> Instructions {
    *USED.get_or_init(Instructions::present)
}

/// Rules wider instructions out for this process, whose kernels have not run yet: what other machines compute with is tested so.
///
/// Panics if a kernel has run with wider ones.
#[doc(hidden)]
pub fn compute_with_at_most(limit: Instructions) {
    let used = *USED.get_or_init(|| Instructions::present().min(limit));
    assert!(used <= limit, "{used:?} is in use already");
}

/// Defines a function whose body is compiled three times: for AVX-512, for AVX2 with FMA, and for the build's own target.
/// The body must be plain loops over slices, which the compiler then vectorises for each; its `FMA` says whether multiplying and adding is
/// one instruction.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body::<true>($($arg),*)
                }
                match $crate::cpu::instructions() {
                    $crate::cpu::Instructions::Avx512 => {
                        #[expect(unsafe_code, reason = "calls code compiled for features that the machine has")]
                        // SAFETY: every feature that `avx512` enables is present.
                        return unsafe { avx512($($arg),*) };
                    }
                    $crate::cpu::Instructions::Avx2 => {
                        #[expect(unsafe_code, reason = "calls code compiled for features that the machine has")]
                        // SAFETY: every feature that `avx2` enables is present.
                        return unsafe { avx2($($arg),*) };
                    }
                    $crate::cpu::Instructions::Portable => {}
                }
            }
            body::<{ $crate::cpu::FUSED }>($($arg),*)
        }
    };
}

/// Defines a function that calls an unsafe generic one with the widest [`Vector`](super::vector::Vector) that the machine has
/// instructions for. It is unsafe for what else the generic one asks.
macro_rules! widest {
    ($vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? => $body:ident) => {
        #[expect(unsafe_code, reason = "the generic function is compiled for each kind of vector")]
        $vis unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the features are enabled; the rest is the caller's promise.
                    unsafe { $body::<$crate::cpu::vector::Avx512>($($arg),*) }
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the features are enabled; the rest is the caller's promise.
                    unsafe { $body::<$crate::cpu::vector::Avx2>($($arg),*) }
                }
                match $crate::cpu::instructions() {
                    // SAFETY: every feature that `avx512` enables is present; the rest is the caller's promise.
                    $crate::cpu::Instructions::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: every feature that `avx2` enables is present; the rest is the caller's promise.
                    $crate::cpu::Instructions::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::Instructions::Portable => {}
                }
            }
            // SAFETY: no instructions are asked for; the rest is the caller's promise.
            unsafe { $body::<$crate::cpu::vector::Portable>($($arg),*) }
        }
    };
}

pub(crate) use {simd, widest};
