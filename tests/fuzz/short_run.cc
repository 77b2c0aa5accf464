// Runs a fuzzer without a fuzzing engine, with any compiler: every input of its corpus, and for a
// few seconds inputs made of them. The fuzz preset is what searches.
//
// usage: NAME CORPUS SECONDS
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t kMaxBytes = 4096;

// What is being run; written down if the process is ended by it.
std::string& Current() {
  static auto* const current = new std::string();
  return *current;
}

void WriteInput(int signal) {
  if (std::FILE* const file = std::fopen("crash-short-run", "wb")) {
    (void)std::fwrite(Current().data(), 1, Current().size(), file);
    (void)std::fclose(file);
    (void)std::fputs("the input was written to ./crash-short-run\n", stderr);
  }
  std::signal(signal, SIG_DFL);
  (void)std::raise(signal);
}

void Run(std::string input) {
  Current() = std::move(input);
  // A copy of exactly this size, so that a read behind it is noticed.
  const std::vector<uint8_t> bytes(Current().begin(), Current().end());
  (void)LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> ReadCorpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Mutator final {
 public:
  explicit Mutator(const std::vector<std::string>& corpus) : corpus_(corpus) {}

  std::string Next() {
    std::string input = Pick();
    for (size_t i = Below(4) + 1; i > 0; --i) Change(input);
    if (input.size() > kMaxBytes) input.resize(kMaxBytes);
    return input;
  }

 private:
  size_t Below(size_t count) { return count == 0 ? 0 : random_() % count; }
  const std::string& Pick() { return corpus_[Below(corpus_.size())]; }

  void Change(std::string& input) {
    const size_t at = Below(input.size());
    switch (Below(5)) {
      case 0:
        if (!input.empty()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8)));
        return;
      case 1:
        if (!input.empty()) input[at] = static_cast<char>(Below(256));
        return;
      case 2:
        input.erase(at, Below(8) + 1);
        return;
      case 3:
        input.insert(at, std::string(Below(8) + 1, static_cast<char>(Below(256))));
        return;
      default: {
        const std::string& other = Pick();
        input = input.substr(0, at) + other.substr(Below(other.size()));
      }
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937 random_;  // the same in every run
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::signal(SIGABRT, WriteInput);  // what the sanitizers end with too
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "there is no corpus in %s\n", argv[1]);
    return 1;
  }
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::seconds(std::atoi(argv[2]));
  for (const std::string& input : corpus) Run(input);
  Mutator mutator(corpus);
  uint64_t runs = 0;
  for (; Clock::now() < end; ++runs) Run(mutator.Next());
  std::printf("%zu inputs of the corpus, %llu made of them\n", corpus.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
