//! Sixteen numbers at once, for the one loop that must stay in registers as it is written: the compiler does not keep a block
//! of sums there by itself.

use half::f16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as arch;

pub(crate) const LANES: usize = 16;

/// [`LANES`] numbers. The caller of any method has made sure that the machine has the implementation's instructions.
#[expect(unsafe_code, reason = "instructions that only some machines have")]
pub(crate) trait Vector: Copy {
    /// Rows and vectors of the largest block of sums that the registers hold, beside what is multiplied.
    const BLOCK: (usize, usize);
    /// Panels at once where there are one or two rows: their sums are so few that each would wait for the one before.
    const PANELS: usize;

    /// # Safety
    /// The machine has the instructions.
    unsafe fn splat(x: f32) -> Self;
    /// # Safety
    /// The machine has the instructions.
    unsafe fn load(from: &[f32; LANES]) -> Self;
    /// # Safety
    /// The machine has the instructions.
    unsafe fn of_halves(from: &[f16; LANES]) -> Self;
    /// # Safety
    /// The machine has the instructions.
    unsafe fn of_bytes(from: &[i8; LANES]) -> Self;
    /// `self * factor + sum`, rounded once.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// # Safety
    /// The machine has the instructions.
    unsafe fn store(self, to: &mut [f32; LANES]);
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512(arch::__m512);

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, clippy::inline_always, reason = "instructions that the caller has detected")]
impl Vector for Avx512 {
    const BLOCK: (usize, usize) = (12, 2);
    const PANELS: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self(arch::_mm512_set1_ps(x)) }
    }

    #[inline(always)]
    unsafe fn load(from: &[f32; LANES]) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self(arch::_mm512_loadu_ps(from.as_ptr())) }
    }

    #[inline(always)]
    unsafe fn of_halves(from: &[f16; LANES]) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self(arch::_mm512_cvtph_ps(arch::_mm256_loadu_si256(from.as_ptr().cast()))) }
    }

    #[inline(always)]
    unsafe fn of_bytes(from: &[i8; LANES]) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            let wide = arch::_mm512_cvtepi8_epi32(arch::_mm_loadu_si128(from.as_ptr().cast()));
            Self(arch::_mm512_cvtepi32_ps(wide))
        }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self(arch::_mm512_fmadd_ps(self.0, factor.0, sum.0)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { arch::_mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }
}

#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2([arch::__m256; 2]);

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, clippy::inline_always, reason = "instructions that the caller has detected")]
impl Vector for Avx2 {
    const BLOCK: (usize, usize) = (6, 1);
    const PANELS: usize = 2;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self([arch::_mm256_set1_ps(x); 2]) }
    }

    #[inline(always)]
    unsafe fn load(from: &[f32; LANES]) -> Self {
        let at = from.as_ptr();
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self([arch::_mm256_loadu_ps(at), arch::_mm256_loadu_ps(at.add(LANES / 2))]) }
    }

    #[inline(always)]
    unsafe fn of_halves(from: &[f16; LANES]) -> Self {
        let at = from.as_ptr();
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            Self([
                arch::_mm256_cvtph_ps(arch::_mm_loadu_si128(at.cast())),
                arch::_mm256_cvtph_ps(arch::_mm_loadu_si128(at.add(LANES / 2).cast())),
            ])
        }
    }

    #[inline(always)]
    unsafe fn of_bytes(from: &[i8; LANES]) -> Self {
        let at = from.as_ptr();
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            let low = arch::_mm_loadl_epi64(at.cast());
            let high = arch::_mm_loadl_epi64(at.add(LANES / 2).cast());
            Self([
                arch::_mm256_cvtepi32_ps(arch::_mm256_cvtepi8_epi32(low)),
                arch::_mm256_cvtepi32_ps(arch::_mm256_cvtepi8_epi32(high)),
            ])
        }
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            Self([
                arch::_mm256_fmadd_ps(self.0[0], factor.0[0], sum.0[0]),
                arch::_mm256_fmadd_ps(self.0[1], factor.0[1], sum.0[1]),
            ])
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        let at = to.as_mut_ptr();
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            arch::_mm256_storeu_ps(at, self.0[0]);
            arch::_mm256_storeu_ps(at.add(LANES / 2), self.0[1]);
        }
    }
}

/// Whatever the build's own target makes of it.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

#[expect(unsafe_code, clippy::inline_always, reason = "the trait's signature; nothing here is unsafe")]
impl Vector for Portable {
    const BLOCK: (usize, usize) = (4, 1);
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: &[f32; LANES]) -> Self {
        Self(*from)
    }

    #[inline(always)]
    unsafe fn of_halves(from: &[f16; LANES]) -> Self {
        Self(from.map(f16::to_f32))
    }

    #[inline(always)]
    unsafe fn of_bytes(from: &[i8; LANES]) -> Self {
        Self(from.map(f32::from))
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane].mul_add(factor.0[lane], sum.0[lane])))
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }
}
