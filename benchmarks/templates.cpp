// Templates of the standard library inlined into each other: what benchmarks/inlines.py compiles and looks up.
#include <algorithm>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

template <class T> struct Node {
    T value;
    std::unique_ptr<Node> left, right;
};

template <class T> struct Tree {
    std::unique_ptr<Node<T>> root;
    void add(T value) {
        auto *place = &root;
        while (*place) place = value < (*place)->value ? &(*place)->left : &(*place)->right;
        *place = std::make_unique<Node<T>>();
        (*place)->value = std::move(value);
    }
    template <class F> void each(Node<T> *node, F &&function) {
        if (!node) return;
        each(node->left.get(), function);
        function(node->value);
        each(node->right.get(), function);
    }
};

int main(int argc, char **argv) {
    std::map<std::string, int> count;
    std::unordered_map<int, std::vector<std::string>> names;
    std::set<double> halves;
    std::deque<int> last;
    Tree<std::string> words;
    Tree<int> numbers;
    for (int i = 0; i < 1000; i++) {
        auto name = std::to_string(i * 79 % 503);
        count[name]++;
        names[i % 77].push_back(name);
        halves.insert(i * .5);
        last.push_front(i);
        if (last.size() > 100) last.pop_back();
        words.add(name);
        numbers.add(i * 31 % 1009);
    }
    std::vector<int> all(1000);
    std::iota(all.begin(), all.end(), 0);
    std::sort(all.begin(), all.end(), [](int a, int b) { return (a ^ 77) < (b ^ 77); });
    std::stable_sort(all.begin(), all.end(), std::greater<int>());
    std::partial_sort(all.begin(), all.begin() + 10, all.end());
    std::smatch match;
    std::string text = argc > 1 ? argv[1] : "abc123x";
    bool found = std::regex_search(text, match, std::regex("([a-z]+)([0-9]*)(x|y)?"));
    size_t total = 0;
    numbers.each(numbers.root.get(), [&](int x) { total += x; });
    words.each(words.root.get(), [&](const std::string &x) { total += x.size(); });
    std::ostringstream told;
    std::thread other([&] { told << total << found << std::accumulate(all.begin(), all.end(), 0L); });
    other.join();
    std::cout << told.str() << count.size() << names.size() << halves.size() << last.size() << "\n";
}
