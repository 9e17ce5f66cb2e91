//! Compiles one loop for several instruction sets and picks the widest that the machine has.

/// Defines a function whose body is compiled three times: for AVX-512, for AVX2 with FMA, and for the build's own target.
/// The body must be plain loops over slices, which the compiler then vectorises for each.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    #[expect(unsafe_code, reason = "calls code compiled for features that were just detected")]
                    // SAFETY: every feature that `avx512` enables is present (AVX-512F implies AVX2).
                    return unsafe { avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "calls code compiled for features that were just detected")]
                    // SAFETY: both features that `avx2` enables are present.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
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
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: every feature that `avx512` enables is present; the rest is the caller's promise.
                    return unsafe { avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                    && std::arch::is_x86_feature_detected!("f16c")
                {
                    // SAFETY: every feature that `avx2` enables is present; the rest is the caller's promise.
                    return unsafe { avx2($($arg),*) };
                }
            }
            // SAFETY: no instructions are asked for; the rest is the caller's promise.
            unsafe { $body::<$crate::cpu::vector::Portable>($($arg),*) }
        }
    };
}

pub(crate) use {simd, widest};
