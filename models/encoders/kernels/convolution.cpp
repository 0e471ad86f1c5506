// The edge-gated convolution between its matrix products, in float32 on a CPU: what models/encoders/convolution.py computes
// with LayerNorm, row by row, so that a row stays in the processor's cache from its first sum to its last.
//
//     m  = gate[e] + A[start] + B[end]             s = w·σ(m)            w: how many edges e stands for
//     h' = h + SiLU(LN(U + Σ s·V[start] / (Σ s + ε)))                    sums over the edges that end at the node
//     e' = e + SiLU(LN(m))
//
// A and V lie side by side in a row of `starts`, B and U in one of `ends`. Edges are sorted by their end node. Every sum
// has a fixed order, whatever the number of threads. Plain loops over a row that any compiler turns into vector
// instructions; no header of torch is needed, and NaN stays NaN.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using Index = const int64_t*;
using Row = const float*;

constexpr int64_t CHUNKS = 64;  // pieces of work, and of the sums over all rows; a constant, not the number of threads

// e^x to 1e-7 relative, after Cody & Waite: x = n·ln 2 + r, and a polynomial for e^r
inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float n = std::nearbyint(x * 1.44269504f);
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n) + 127) * (1 << 23);
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return p * power;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

struct Moments {
    float mean, inverse;  // 1 / standard deviation
};

inline Moments moments(Row row, float sum, int64_t width, float epsilon) {
    const float mean = sum / width;
    float squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t k = 0; k < width; k++) squares += (row[k] - mean) * (row[k] - mean);
    return {mean, 1.0f / std::sqrt(squares / width + epsilon)};
}

inline float sum_of(Row row, int64_t width) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < width; k++) sum += row[k];
    return sum;
}

// out = old + SiLU(LN(row)); scale, then shift
inline void add_normed(Row old, Row row, Moments its, Row norm, int64_t width, float* out) {
    const Row shift = norm + width;
#pragma omp simd
    for (int64_t k = 0; k < width; k++) {
        const float normed = (row[k] - its.mean) * its.inverse * norm[k] + shift[k];
        out[k] = old[k] + normed * sigmoid(normed);
    }
}

// The gradient of SiLU(LN(row)) with respect to row, and added to `d_norm` those of scale and shift.
inline void normed_backward(Row row, Moments its, Row norm, Row d_out, int64_t width, float* d_row, float* d_norm) {
    const Row shift = norm + width;
    float* d_shift = d_norm + width;
    float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
    for (int64_t k = 0; k < width; k++) {
        const float x = (row[k] - its.mean) * its.inverse;
        const float normed = x * norm[k] + shift[k];
        const float s = sigmoid(normed);
        const float d = d_out[k] * s * (1.0f + normed * (1.0f - s));
        d_norm[k] += d * x;
        d_shift[k] += d;
        d_row[k] = d * norm[k];
        sum += d_row[k];
        product += d_row[k] * x;
    }
    sum /= width;
    product /= width;
#pragma omp simd
    for (int64_t k = 0; k < width; k++)
        d_row[k] = its.inverse * (d_row[k] - sum - (row[k] - its.mean) * its.inverse * product);
}

// The first group of chunk number `chunk`: chunks have about equally many rows and groups.
int64_t first_of(int64_t chunk, int64_t groups, Index offsets) {
    if (chunk >= CHUNKS) return groups;
    const int64_t target = (offsets[groups] + groups) * chunk / CHUNKS;
    int64_t low = 0, high = groups;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (offsets[middle] + middle < target) low = middle + 1;
        else high = middle;
    }
    return low;
}

// Calls work(chunk, first, last) for every chunk of the groups.
template <class Work>
void in_chunks(int threads, int64_t groups, Index offsets, Work work) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int64_t chunk = 0; chunk < CHUNKS; chunk++)
        work(chunk, first_of(chunk, groups, offsets), first_of(chunk + 1, groups, offsets));
}

// parts (CHUNKS, size) → total (size), in the order of the chunks
void add_parts(const std::vector<float>& parts, int64_t size, float* total) {
    std::fill(total, total + size, 0.0f);
    for (int64_t chunk = 0; chunk < CHUNKS; chunk++)
        for (int64_t k = 0; k < size; k++) total[k] += parts[chunk * size + k];
}

}  // namespace

extern "C" {

// n nodes, M edges, rows of `width`. offsets (n+1): edges that end at each node; start (M); weight (M) or null;
// value (M) or null: the row of `edge_gates` and `old_edges` that an edge has, null: its own. starts, ends (n, 2·width);
// norms (2·width): scale, shift. gates (M, width) may be edge_gates itself. new_edges may be null: nobody reads them.
// means (n, width) and shares (n, width): Σ s·V / (Σ s + ε) and Σ s + ε, for the way back.
void forward(int threads, int64_t nodes, int64_t width, Index offsets, Index start, Row weight, Index value, Row starts,
             Row ends, Row edge_gates, Row old_edges, Row old_nodes, Row edge_norm, Row node_norm, float norm_epsilon,
             float gate_epsilon, float* gates, float* new_edges, float* new_nodes, float* means, float* shares) {
    in_chunks(threads, nodes, offsets, [=](int64_t, int64_t first, int64_t last) {
        std::vector<float> scratch(width);
        for (int64_t node = first; node < last; node++) {
            const Row end = ends + node * 2 * width, update = end + width;
            float *mean = means + node * width, *share = shares + node * width, *sum = scratch.data();
            std::fill(mean, mean + width, 0.0f);
            std::fill(share, share + width, gate_epsilon);
            for (int64_t edge = offsets[node]; edge < offsets[node + 1]; edge++) {
                const Row from = starts + start[edge] * 2 * width, carried = from + width;
                const int64_t given = (value ? value[edge] : edge) * width;
                const Row edge_gate = edge_gates + given;
                const float times = weight ? weight[edge] : 1.0f;
                float* gate = gates + edge * width;
                float total = 0;
#pragma omp simd reduction(+ : total)
                for (int64_t k = 0; k < width; k++) {
                    const float m = edge_gate[k] + from[k] + end[k];
                    const float s = sigmoid(m) * times;
                    gate[k] = m;
                    mean[k] += s * carried[k];
                    share[k] += s;
                    total += m;
                }
                if (new_edges)
                    add_normed(old_edges + given, gate, moments(gate, total, width, norm_epsilon), edge_norm, width,
                               new_edges + edge * width);
            }
#pragma omp simd
            for (int64_t k = 0; k < width; k++) {
                mean[k] /= share[k];
                sum[k] = update[k] + mean[k];
            }
            add_normed(old_nodes + node * width, sum, moments(sum, sum_of(sum, width), width, norm_epsilon), node_norm,
                       width, new_nodes + node * width);
        }
    });
}

// Gradients, given those of new nodes and edges (d_new_edges may be null). by_start (M) sorts the edges by start node,
// start_offsets (n+1) are its offsets; end (M). d_starts, d_ends (n, 2·width); d_gates (M, width); d_edge_norm and
// d_node_norm (2·width).
void backward(int threads, int64_t nodes, int64_t width, Index offsets, Index end, Index by_start, Index start_offsets,
              Row weight, Row starts, Row ends, Row edge_norm, Row node_norm, float norm_epsilon, Row gates, Row means,
              Row shares, Row d_new_nodes, Row d_new_edges, float* d_starts, float* d_ends, float* d_gates,
              float* d_edge_norm, float* d_node_norm) {
    std::vector<float> node_parts(CHUNKS * 2 * width), edge_parts(CHUNKS * 2 * width);
    std::vector<float> of_sums(nodes * 2 * width);  // gradients of Σ s·V and of Σ s, of each node
    float *node_part = node_parts.data(), *edge_part = edge_parts.data(), *of_sum = of_sums.data();
    in_chunks(threads, nodes, offsets, [=](int64_t chunk, int64_t first, int64_t last) {
        std::vector<float> scratch(width);
        for (int64_t node = first; node < last; node++) {
            const Row update = ends + node * 2 * width + width, mean = means + node * width, share = shares + node * width;
            float *sum = scratch.data(), *d_update = d_ends + node * 2 * width + width;
            float *d_carried = of_sum + node * 2 * width, *d_share = d_carried + width;
#pragma omp simd
            for (int64_t k = 0; k < width; k++) sum[k] = update[k] + mean[k];
            normed_backward(sum, moments(sum, sum_of(sum, width), width, norm_epsilon), node_norm,
                            d_new_nodes + node * width, width, d_update, node_part + chunk * 2 * width);
#pragma omp simd
            for (int64_t k = 0; k < width; k++) {
                d_carried[k] = d_update[k] / share[k];
                d_share[k] = -d_carried[k] * mean[k];
            }
        }
    });
    // by start node, so that what flows back to it is added in one place
    in_chunks(threads, nodes, start_offsets, [=](int64_t chunk, int64_t first, int64_t last) {
        for (int64_t node = first; node < last; node++) {
            const Row carried = starts + node * 2 * width + width;
            float *d_start = d_starts + node * 2 * width, *d_carried = d_start + width;
            std::fill(d_start, d_start + 2 * width, 0.0f);
            for (int64_t place = start_offsets[node]; place < start_offsets[node + 1]; place++) {
                const int64_t edge = by_start[place];
                const Row gate = gates + edge * width, of_carried = of_sum + end[edge] * 2 * width;
                const Row of_share = of_carried + width;
                const float times = weight ? weight[edge] : 1.0f;
                float* d_gate = d_gates + edge * width;
                if (d_new_edges)
                    normed_backward(gate, moments(gate, sum_of(gate, width), width, norm_epsilon), edge_norm,
                                    d_new_edges + edge * width, width, d_gate, edge_part + chunk * 2 * width);
                else
                    std::fill(d_gate, d_gate + width, 0.0f);
#pragma omp simd
                for (int64_t k = 0; k < width; k++) {
                    const float s = sigmoid(gate[k]);
                    const float d = times * (of_carried[k] * carried[k] + of_share[k]) * s * (1.0f - s);
                    d_carried[k] += times * of_carried[k] * s;
                    d_gate[k] += d;
                    d_start[k] += d_gate[k];
                }
            }
        }
    });
    in_chunks(threads, nodes, offsets, [=](int64_t, int64_t first, int64_t last) {
        for (int64_t node = first; node < last; node++) {
            float* d_end = d_ends + node * 2 * width;
            std::fill(d_end, d_end + width, 0.0f);
            for (int64_t edge = offsets[node]; edge < offsets[node + 1]; edge++) {
                const Row d_gate = d_gates + edge * width;
#pragma omp simd
                for (int64_t k = 0; k < width; k++) d_end[k] += d_gate[k];
            }
        }
    });
    add_parts(node_parts, 2 * width, d_node_norm);
    add_parts(edge_parts, 2 * width, d_edge_norm);
}

}  // extern "C"
