// Logits to a token, as the sampler on the CPU has it: a block of threads for each sequence, a stretch of ids for each thread.
//
// Scores are computed in the same order and with the same roundings as there; sums of probabilities are f64, but in another order.
// `tests/draw_kernel.rs` compiles this file for the host as well and runs it there.

#define DRAW_THREADS 512
#define DRAW_WARPS (DRAW_THREADS / 32)
// Ids of a thread.
#define EACH 13
#define MOST_IDS (DRAW_THREADS * EACH)
#define ALL_LANES 0xffffffffu
// What a barred end scores: infinite, it would pass for a fault of the model.
#define NO_CHANCE (-1e30f)

// How a token is drawn.
enum Flags { LARGEST_FIRST = 1, GREEDY = 2, END_BARRED = 4, GUIDED = 8, WANTED = 16 };
// What came of it, in place of a token.
enum Outcome { NOT_FINITE = -1, NOTHING = -2, NOT_WANTED = -3 };

struct Draw {
    // In [0, 1).
    double drawn;
    float temperature, top_p, min_p, penalty, cfg_weight;
    unsigned top_k, flags;
    // Of logits: the row that sees the text; the one that does not follows.
    unsigned row;
    // A bit for each id that was said.
    unsigned said[(MOST_IDS + 31) / 32];
};

// Ids below `sounds` and `end` may be drawn. A row has `pitch` logits.
struct Drawing {
    const float* logits;
    const struct Draw* draws;
    int* tokens;
    unsigned sounds, end, pitch;
};

#define MINUS_INFINITY (-INFINITY)
#define EVERY_ID _Pragma("unroll") for (int i = 0; i < EACH; i++)

// The sum over the block, in the same order for all threads. Two calls in a row need different rooms.
__device__ static double sum_of_block(double x, double* room) {
    for (unsigned offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    double sum = 0.0;
    for (unsigned warp = 0; warp < DRAW_WARPS; warp++) sum += room[warp];
    return sum;
}

// A number that is larger the larger the score is.
__device__ static unsigned rank_of(float score) {
    unsigned bits = __float_as_uint(score);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The largest score and the first id that has it.
__device__ static float largest_of(const float* scores, unsigned* id, double* room) {
    __shared__ unsigned ids[DRAW_WARPS];
    float best = MINUS_INFINITY;
    unsigned at = 0xffffffffu;
    EVERY_ID {
        if (scores[i] > best) best = scores[i], at = threadIdx.x * EACH + i;
    }
    for (unsigned offset = 16; offset > 0; offset /= 2) {
        float other = __shfl_xor_sync(ALL_LANES, best, offset);
        unsigned other_at = __shfl_xor_sync(ALL_LANES, at, offset);
        if (other > best || (other == best && other_at < at)) best = other, at = other_at;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = best, ids[threadIdx.x / 32] = at;
    __syncthreads();
    best = MINUS_INFINITY;
    for (unsigned warp = 0; warp < DRAW_WARPS; warp++) {
        if (room[warp] > best) best = (float)room[warp], *id = ids[warp];
    }
    __syncthreads();
    return best;
}

__device__ static void soften(float* scores, float temperature) {
    if (temperature <= 0.0f) return;
    EVERY_ID scores[i] /= temperature;
}

__device__ static void penalize(float* scores, const Draw& draw) {
    if (draw.penalty <= 0.0f) return;
    EVERY_ID {
        unsigned id = threadIdx.x * EACH + i;
        if (draw.said[id / 32] >> id % 32 & 1) scores[i] = scores[i] < 0.0f ? scores[i] * draw.penalty : scores[i] / draw.penalty;
    }
}

// Rules out all but the `count` largest and what equals the last of those. It is found bit by bit: the largest rank that so many
// have or exceed.
__device__ static void keep_largest(float* scores, unsigned count, unsigned ids) {
    if (count == 0 || count >= ids) return;
    __shared__ unsigned tally[32];
    if (threadIdx.x < 32) tally[threadIdx.x] = 0;
    __syncthreads();
    unsigned least = 0;
    for (int bit = 31; bit >= 0; bit--) {
        unsigned candidate = least | 1u << bit, found = 0;
        EVERY_ID {
            // What lies behind the last id counts as ruled out.
            found += threadIdx.x * EACH + i < ids && rank_of(scores[i]) >= candidate;
        }
        for (unsigned offset = 16; offset > 0; offset /= 2) found += __shfl_xor_sync(ALL_LANES, found, offset);
        if (threadIdx.x % 32 == 0) atomicAdd(tally + bit, found);
        __syncthreads();
        if (tally[bit] >= count) least = candidate;
    }
    // Of two zeros, the CPU compares the sign only while it sorts.
    float score = __uint_as_float(least & 0x80000000u ? least & 0x7fffffffu : ~least);
    EVERY_ID {
        if (!(scores[i] >= score)) scores[i] = MINUS_INFINITY;
    }
    __syncthreads();
}

// How likely what is not ruled out is, relative to the largest.
__device__ static void weigh(const float* scores, float largest, double* weights) {
    EVERY_ID weights[i] = scores[i] > MINUS_INFINITY ? exp((double)(scores[i] - largest)) : 0.0;
}

// Of the ids whose rank is `last`, keeps the highest that `above` needs to reach `mass`.
__device__ static void keep_of_equals(float* scores, const double* weights, unsigned last, double above, double mass, double* room) {
    __shared__ unsigned equals[DRAW_THREADS];
    unsigned own = 0;
    double weight = 0.0;
    EVERY_ID {
        if (weights[i] > 0.0 && rank_of(scores[i]) == last) own++, weight = weights[i];
    }
    equals[threadIdx.x] = own;
    if (sum_of_block(own, room) <= 1.0) return;
    unsigned higher = 0;
    for (unsigned thread = threadIdx.x + 1; thread < DRAW_THREADS; thread++) higher += equals[thread];
    for (int i = EACH - 1; i >= 0; i--) {
        if (weights[i] > 0.0 && rank_of(scores[i]) == last) {
            if (above + (double)higher * weight >= mass) scores[i] = MINUS_INFINITY;
            higher++;
        }
    }
    __syncthreads();
}

// Keeps the most likely ids that together reach `share` of the probability, with the one that crosses it.
__device__ static void keep_mass(float* scores, float share, double (*rooms)[DRAW_WARPS]) {
    if (share >= 1.0f) return;
    unsigned id;
    double weights[EACH], own = 0.0;
    weigh(scores, largest_of(scores, &id, rooms[0]), weights);
    EVERY_ID own += weights[i];
    // The most likely stays even if nothing is to be reached.
    double mass = fmax((double)share * sum_of_block(own, rooms[0]), 1e-300);
    // The largest rank that, with all above it, reaches the mass.
    unsigned last = 0;
    for (int bit = 31; bit >= 0; bit--) {
        unsigned candidate = last | 1u << bit;
        own = 0.0;
        EVERY_ID own += rank_of(scores[i]) >= candidate ? weights[i] : 0.0;
        if (sum_of_block(own, rooms[bit % 2]) >= mass) last = candidate;
    }
    own = 0.0;
    EVERY_ID own += rank_of(scores[i]) > last ? weights[i] : 0.0;
    double above = sum_of_block(own, rooms[1]);
    keep_of_equals(scores, weights, last, above, mass, rooms[0]);
    EVERY_ID {
        if (weights[i] == 0.0 || rank_of(scores[i]) < last) scores[i] = MINUS_INFINITY;
    }
}

// The first of `count` sums at which those so far exceed `left`, which becomes what was left before it. Rounding may leave a rest: it is
// the last one's.
__device__ static unsigned walk(const double* sums, unsigned count, double* left) {
    unsigned chosen = 0;
    double rest = *left;
    for (unsigned i = 0; i < count; i++) {
        if (sums[i] <= 0.0) continue;
        chosen = i, *left = rest;
        rest -= sums[i];
        if (rest < 0.0) break;
    }
    return chosen;
}

// The first id at which the weights so far exceed `drawn` of their sum: first its warp, then its thread, then the id.
__device__ static int pick(const double* weights, double drawn) {
    __shared__ double sums[DRAW_THREADS], of_warps[DRAW_WARPS];
    __shared__ unsigned chosen;
    __shared__ double rest;
    __shared__ int token;
    unsigned thread = threadIdx.x;
    double own = 0.0;
    EVERY_ID own += weights[i];
    sums[thread] = own;
    __syncthreads();
    if (thread % 32 == 0) {
        double sum = 0.0;
        for (unsigned i = 0; i < 32; i++) sum += sums[thread + i];
        of_warps[thread / 32] = sum;
    }
    __syncthreads();
    if (thread == 0) {
        double total = 0.0;
        for (unsigned i = 0; i < DRAW_WARPS; i++) total += of_warps[i];
        double left = drawn * total;
        unsigned warp = walk(of_warps, DRAW_WARPS, &left);
        chosen = warp * 32 + walk(sums + warp * 32, 32, &left);
        rest = left;
    }
    __syncthreads();
    if (thread == chosen) {
        double left = rest;
        int last = -1;
        for (int i = 0; i < EACH; i++) {
            if (weights[i] <= 0.0) continue;
            last = (int)(thread * EACH) + i;
            left -= weights[i];
            if (left < 0.0) break;
        }
        token = last;
    }
    __syncthreads();
    return token;
}

extern "C" __global__ void __launch_bounds__(DRAW_THREADS) draw_tokens(Drawing d) {
    __shared__ double rooms[2][DRAW_WARPS];
    const Draw& draw = d.draws[blockIdx.x];
    int* token = d.tokens + blockIdx.x;
    unsigned thread = threadIdx.x, ids = d.end + 1;
    if (!(draw.flags & WANTED)) {
        if (thread == 0) *token = NOT_WANTED;
        return;
    }
    const float *logits = d.logits + (size_t)draw.row * d.pitch, *unguided = logits + d.pitch;
    float scores[EACH];
    bool is_bad = false;
    EVERY_ID {
        unsigned id = thread * EACH + i;
        scores[i] = MINUS_INFINITY;
        if (id < d.sounds || id == d.end) {
            float score = logits[id];
            // As two operations, not one: the CPU rounds in between.
            if (draw.flags & GUIDED) score = __fadd_rn(score, __fmul_rn(draw.cfg_weight, __fsub_rn(score, unguided[id])));
            if (id == d.end && draw.flags & END_BARRED) score = NO_CHANCE;
            is_bad |= score != score || score == INFINITY;
            scores[i] = score;
        }
    }
    if (__syncthreads_or(is_bad)) {
        if (thread == 0) *token = NOT_FINITE;
        return;
    }
    unsigned id = 0;
    bool by_rank = draw.flags & LARGEST_FIRST;
    if (!by_rank) penalize(scores, draw);
    soften(scores, draw.temperature);
    float largest = largest_of(scores, &id, rooms[0]);
    if (largest == MINUS_INFINITY) {
        if (thread == 0) *token = NOTHING;
        return;
    }
    if (by_rank) {
        keep_largest(scores, draw.top_k, ids);
    } else if (draw.min_p > 0.0f) {
        EVERY_ID {
            bool likely = scores[i] >= largest || exp((double)(scores[i] - largest)) >= (double)draw.min_p;
            if (!likely) scores[i] = MINUS_INFINITY;
        }
    }
    keep_mass(scores, draw.top_p, rooms);
    if (by_rank) penalize(scores, draw);
    largest = largest_of(scores, &id, rooms[0]);
    if (draw.flags & GREEDY || draw.temperature <= 0.0f) {
        if (thread == 0) *token = (int)id;
        return;
    }
    double weights[EACH];
    weigh(scores, largest, weights);
    int picked = pick(weights, draw.drawn);
    if (thread == 0) *token = picked;
}
