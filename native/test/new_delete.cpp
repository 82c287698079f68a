// C++ on the allocator: every form of new and delete, containers, exceptions, threads with destructors of their own.
#include <dlfcn.h>
#include <malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static void check(bool holds, const char *what) {
    if (holds) return;
    std::fprintf(stderr, "does not hold: %s\n", what);
    std::exit(1);
}

struct alignas(256) Wide {
    unsigned char bytes[256];
    Wide() { std::memset(bytes, 0x5A, sizeof bytes); }
    ~Wide() { check(bytes[255] == 0x5A, "contents of an over-aligned object"); }
};

static void forms_of_new() {
    for (std::size_t size = 0; size < 3000; size += 7) {
        void *one = ::operator new(size), *two = ::operator new[](size, std::nothrow);
        check(one != nullptr && two != nullptr && one != two, "new of any size is unique");
        check(reinterpret_cast<std::uintptr_t>(one) % 16 == 0, "alignment of new");
        check(malloc_usable_size(one) >= size, "room of new");
        ::operator delete(one, size);
        ::operator delete[](two, std::nothrow);
    }
    for (std::size_t alignment = 32; alignment <= 1 << 17; alignment *= 2) {
        void *block = ::operator new(alignment + 1, std::align_val_t(alignment));
        check(reinterpret_cast<std::uintptr_t>(block) % alignment == 0, "alignment of aligned new");
        ::operator delete(block, std::align_val_t(alignment));
    }
    const std::unique_ptr<Wide[]> wides(new Wide[33]);
    check(reinterpret_cast<std::uintptr_t>(wides.get()) % alignof(Wide) == 0, "alignment of an array");
    ::operator delete(nullptr);
}

static void no_memory() {
    volatile std::size_t huge = SIZE_MAX / 2;
    check(::operator new(huge, std::nothrow) == nullptr, "huge nothrow new");
    bool thrown = false;
    try {
        ::operator delete(::operator new(huge));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    check(thrown, "huge new throws");
}

struct Diary {
    std::map<std::string, std::vector<int>> pages;
    ~Diary() { check(pages.empty() || !pages.begin()->second.empty(), "contents in a thread's destructor"); }
};
static thread_local Diary diary;

static void work(unsigned seed, std::vector<std::string> *told) {
    for (unsigned i = 0; i < 3000; i++) diary.pages[std::to_string(i * seed % 701)].push_back(static_cast<int>(i));
    for (const auto &page : diary.pages) told->push_back(page.first + std::string(page.second.size(), 'x'));
    if (seed % 2 == 0) throw std::string("an exception's own block");
}

static void threads() {
    std::vector<std::string> told[6];
    std::vector<std::thread> running;
    for (unsigned i = 0; i < 6; i++)
        running.emplace_back([i, &told] {
            try {
                work(i + 1, &told[i]);
            } catch (const std::string &text) {
                told[i].push_back(text);
            }
        });
    for (auto &thread : running) thread.join();
    std::size_t length = 0;
    for (const auto &one : told)
        for (const auto &text : one) length += text.size();
    std::printf("%zu characters\n", length);
}

int main() {
    Dl_info where;
    check(dladdr(reinterpret_cast<void *>(&malloc), &where) != 0, "malloc has an object");
    forms_of_new();
    no_memory();
    for (int round = 0; round < 5; round++) threads();
    std::puts(std::strrchr(where.dli_fname, '/') + 1);
    return 0;
}
