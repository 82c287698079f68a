// Containers, new and delete of every kind, exceptions and threads that free what others made.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <queue>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

struct alignas(64) Line { std::uint64_t words[8]; };

static std::mutex guard;
static std::queue<std::unique_ptr<std::string>> handed;

static void make(unsigned seed) {
    for (unsigned i = 0; i < 20000; i++) {
        auto text = std::make_unique<std::string>(1 + (seed * 31 + i) % 300, static_cast<char>('a' + i % 26));
        const std::lock_guard<std::mutex> hold(guard);
        handed.push(std::move(text));
    }
}

static std::size_t take(std::size_t wanted) {
    std::size_t bytes = 0;
    while (wanted != 0) {
        std::unique_ptr<std::string> text;
        {
            const std::lock_guard<std::mutex> hold(guard);
            if (handed.empty()) continue;
            text = std::move(handed.front());
            handed.pop();
        }
        bytes += text->size();
        wanted--;
    }
    return bytes;
}

static std::size_t containers() {
    std::map<int, std::string> ordered;
    std::unordered_map<std::string, std::vector<int>> hashed;
    for (int i = 0; i < 50000; i++) {
        ordered[(i * 7919) % 50021] = std::string(static_cast<std::size_t>(i % 40), 'x');
        hashed[std::to_string(i % 5000)].push_back(i);
    }
    for (int i = 0; i < 50021; i += 2) ordered.erase(i);
    return std::accumulate(ordered.begin(), ordered.end(), std::size_t{0},
                           [](std::size_t sum, const auto &entry) { return sum + entry.second.size(); }) +
           hashed.size();
}

static bool aligned() {
    std::vector<std::unique_ptr<Line[]>> lines;
    for (std::size_t i = 1; i < 200; i++) lines.push_back(std::make_unique<Line[]>(i));
    return std::all_of(lines.begin(), lines.end(),
                       [](const auto &line) { return reinterpret_cast<std::uintptr_t>(line.get()) % 64 == 0; });
}

static bool too_much() {
    volatile std::size_t huge = SIZE_MAX / 4;
    try {
        delete[] new char[huge];
    } catch (const std::bad_alloc &) {
        return ::operator new(huge, std::nothrow) == nullptr;
    }
    return false;
}

int main() {
    std::vector<std::thread> makers;
    for (unsigned seed = 0; seed < 4; seed++) makers.emplace_back(make, seed);
    std::size_t bytes = 0;
    std::thread taker([&bytes] { bytes = take(80000); });
    for (auto &maker : makers) maker.join();
    taker.join();
    std::printf("%zu %zu %d %d\n", bytes, containers(), aligned(), too_much());
    return 0;
}
