// Prints the peak of fused multiply-adds of one core in GFLOP per CPU-second: independent sums in registers.
#include <cstdio>
#include <ctime>
#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif
typedef float Vector __attribute__((vector_size(4 * lanes)));

int main() {
    constexpr int sums = 12;
    constexpr long rounds = 20000000;
    Vector x[sums], a = Vector{} + 0.999f, b = Vector{} + 0.001f;
    for (int i = 0; i < sums; ++i) x[i] = Vector{} + static_cast<float>(i);
    double best = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        const std::clock_t start = std::clock();
        for (long k = 0; k < rounds; ++k)
#pragma GCC unroll 12
            for (int i = 0; i < sums; ++i) x[i] = x[i] * a + b;
        const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
        const double found = 2e-9 * sums * lanes * rounds / seconds;
        if (found > best) best = found;
    }
    float used = 0;
    for (int i = 0; i < sums; ++i) used += x[i][0];
    std::printf("%.1f\n", used != used ? 0.0 : best);
}
