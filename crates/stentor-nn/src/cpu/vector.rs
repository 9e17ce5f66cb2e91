//! Sixteen numbers at once, for the one loop that must stay in registers as it is written: the compiler does not keep a block
//! of sums there by itself.

use super::{FUSED, math::fma};
use half::f16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as arch;

pub(crate) const LANES: usize = 16;

/// Asks for numbers to be brought near: rows of a matrix lie so far apart that no machine guesses the next.
pub(crate) fn fetch(numbers: &[f32]) {
    numbers.chunks(LANES).for_each(|line| fetch_line(line.as_ptr()));
}

/// [`fetch`] for the line of a place, which may lie anywhere.
#[inline]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "an instruction"))]
pub(crate) fn fetch_line<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which every x86-64 has; it reads nothing.
    unsafe {
        arch::_mm_prefetch::<{ arch::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

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
    /// `self * factor + sum`, rounded once where the instructions have that.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn mul_add(self, factor: Self, sum: Self) -> Self;
    /// # Safety
    /// The machine has the instructions.
    unsafe fn add(self, other: Self) -> Self;
    /// # Safety
    /// The machine has the instructions.
    unsafe fn sub(self, other: Self) -> Self;
    /// The numbers of both in turn, in two vectors.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn zip(self, other: Self) -> [Self; 2];
    /// The numbers at even places of both, one after the other, and those at odd places: what [`Vector::zip`] has done, undone.
    ///
    /// # Safety
    /// The machine has the instructions.
    unsafe fn unzip(self, other: Self) -> [Self; 2];
    /// # Safety
    /// The machine has the instructions, and `to` may be written, whatever it holds.
    unsafe fn store(self, to: *mut [f32; LANES]);
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
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self(arch::_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe { Self(arch::_mm512_sub_ps(self.0, other.0)) }
    }

    #[inline(always)]
    unsafe fn zip(self, other: Self) -> [Self; 2] {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            let low = arch::_mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = arch::_mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
            [
                Self(arch::_mm512_permutex2var_ps(self.0, low, other.0)),
                Self(arch::_mm512_permutex2var_ps(self.0, high, other.0)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn unzip(self, other: Self) -> [Self; 2] {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            let even = arch::_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = arch::_mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
            [
                Self(arch::_mm512_permutex2var_ps(self.0, even, other.0)),
                Self(arch::_mm512_permutex2var_ps(self.0, odd, other.0)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut [f32; LANES]) {
        // SAFETY: the caller's promises.
        unsafe { arch::_mm512_storeu_ps(to.cast(), self.0) }
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
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            Self([arch::_mm256_add_ps(self.0[0], other.0[0]), arch::_mm256_add_ps(self.0[1], other.0[1])])
        }
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            Self([arch::_mm256_sub_ps(self.0[0], other.0[0]), arch::_mm256_sub_ps(self.0[1], other.0[1])])
        }
    }

    #[inline(always)]
    unsafe fn zip(self, other: Self) -> [Self; 2] {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            let low = arch::_mm256_unpacklo_ps(self.0[0], other.0[0]);
            let high = arch::_mm256_unpackhi_ps(self.0[0], other.0[0]);
            let more_low = arch::_mm256_unpacklo_ps(self.0[1], other.0[1]);
            let more_high = arch::_mm256_unpackhi_ps(self.0[1], other.0[1]);
            [
                Self([
                    arch::_mm256_permute2f128_ps::<0x20>(low, high),
                    arch::_mm256_permute2f128_ps::<0x31>(low, high),
                ]),
                Self([
                    arch::_mm256_permute2f128_ps::<0x20>(more_low, more_high),
                    arch::_mm256_permute2f128_ps::<0x31>(more_low, more_high),
                ]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn unzip(self, other: Self) -> [Self; 2] {
        // SAFETY: the caller's promise; what is read or written lies inside the reference, if there is one.
        unsafe {
            let [a, b] = [self.0, other.0];
            let even = arch::_mm256_shuffle_ps::<0b10_00_10_00>(a[0], a[1]);
            let more_even = arch::_mm256_shuffle_ps::<0b10_00_10_00>(b[0], b[1]);
            let odd = arch::_mm256_shuffle_ps::<0b11_01_11_01>(a[0], a[1]);
            let more_odd = arch::_mm256_shuffle_ps::<0b11_01_11_01>(b[0], b[1]);
            [
                Self([halves_in_line(even), halves_in_line(more_even)]),
                Self([halves_in_line(odd), halves_in_line(more_odd)]),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut [f32; LANES]) {
        let at = to.cast::<f32>();
        // SAFETY: the caller's promises.
        unsafe {
            arch::_mm256_storeu_ps(at, self.0[0]);
            arch::_mm256_storeu_ps(at.add(LANES / 2), self.0[1]);
        }
    }
}

/// The middle two of four pairs swapped.
///
/// # Safety
/// The machine has AVX2.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, clippy::inline_always, reason = "instructions that the caller has detected")]
unsafe fn halves_in_line(x: arch::__m256) -> arch::__m256 {
    // SAFETY: the caller's promise.
    unsafe { arch::_mm256_castpd_ps(arch::_mm256_permute4x64_pd::<0b11_01_10_00>(arch::_mm256_castps_pd(x))) }
}

/// Whatever the build's own target makes of it.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

#[expect(unsafe_code, clippy::inline_always, reason = "the trait's signature; nothing here is unsafe")]
impl Vector for Portable {
    // x86-64 has sixteen registers of four numbers, others that matter twice as many.
    const BLOCK: (usize, usize) = (if cfg!(target_arch = "x86_64") { 2 } else { 4 }, 1);
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
        let mut sums = sum;
        for lane in 0..LANES {
            sums.0[lane] = fma::<FUSED>(self.0[lane], factor.0[lane], sum.0[lane]);
        }
        sums
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        let mut sums = self;
        for lane in 0..LANES {
            sums.0[lane] += other.0[lane];
        }
        sums
    }

    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        let mut differences = self;
        for lane in 0..LANES {
            differences.0[lane] -= other.0[lane];
        }
        differences
    }

    #[inline(always)]
    unsafe fn zip(self, other: Self) -> [Self; 2] {
        let mut both = [self; 2];
        for lane in 0..LANES / 2 {
            let (low, high) = (2 * lane, lane + LANES / 2);
            (both[0].0[low], both[0].0[low + 1]) = (self.0[lane], other.0[lane]);
            (both[1].0[low], both[1].0[low + 1]) = (self.0[high], other.0[high]);
        }
        both
    }

    #[inline(always)]
    unsafe fn unzip(self, other: Self) -> [Self; 2] {
        let mut both = [self; 2];
        for lane in 0..LANES / 2 {
            let (low, high) = (2 * lane, lane + LANES / 2);
            (both[0].0[lane], both[1].0[lane]) = (self.0[low], self.0[low + 1]);
            (both[0].0[high], both[1].0[high]) = (other.0[low], other.0[low + 1]);
        }
        both
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut [f32; LANES]) {
        // SAFETY: the caller's promise.
        unsafe { to.write(self.0) }
    }
}

#[cfg(test)]
#[expect(unsafe_code, clippy::inline_always, reason = "as the trait's methods are")]
mod tests {
    use super::*;
    use crate::cpu::simd::widest;

    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn zip_and_back<V: Vector>(a: &[f32; LANES], b: &[f32; LANES], to: &mut [[f32; LANES]; 4]) {
        // SAFETY: the caller's promise.
        unsafe {
            let [low, high] = V::load(a).zip(V::load(b));
            let [even, odd] = low.unzip(high);
            for (vector, to) in [low, high, even, odd].into_iter().zip(to) {
                vector.store(to);
            }
        }
    }

    widest! {
        fn zip_widest(a: &[f32; LANES], b: &[f32; LANES], to: &mut [[f32; LANES]; 4]) => zip_and_back
    }

    #[test]
    fn numbers_of_two_vectors_in_turn_and_back() {
        let (a, b): ([f32; LANES], [f32; LANES]) =
            (std::array::from_fn(|i| i as f32), std::array::from_fn(|i| 100.0 + i as f32));
        let turn: Vec<f32> = a.iter().zip(&b).flat_map(|(a, b)| [*a, *b]).collect();
        let (mut plain, mut widest) = ([[0.0; LANES]; 4], [[0.0; LANES]; 4]);
        // SAFETY: the first asks for no instructions, the second for what was detected.
        unsafe {
            zip_and_back::<Portable>(&a, &b, &mut plain);
            zip_widest(&a, &b, &mut widest);
        }
        assert_eq!(plain[..2].as_flattened(), turn);
        assert_eq!(plain[2..], [a, b]);
        assert_eq!(widest, plain);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn avx2(a: &[f32; LANES], b: &[f32; LANES], to: &mut [[f32; LANES]; 4]) {
                // SAFETY: the features are enabled.
                unsafe { zip_and_back::<Avx2>(a, b, to) }
            }
            let mut halves = [[0.0; LANES]; 4];
            // SAFETY: the features were just detected.
            unsafe { avx2(&a, &b, &mut halves) };
            assert_eq!(halves, plain);
        }
    }
}
