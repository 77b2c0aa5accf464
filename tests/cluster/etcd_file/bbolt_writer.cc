#include "tests/cluster/etcd_file/bbolt_writer.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <numeric>

namespace kekd::testing {
namespace {

constexpr size_t kHeader = 16;

template <typename T>
void Append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void AppendHeader(std::string& out, uint64_t id, uint16_t flags, size_t count, size_t overflow) {
  Append<uint64_t>(out, id);
  Append<uint16_t>(out, flags);
  Append<uint16_t>(out, static_cast<uint16_t>(count));
  Append<uint32_t>(out, static_cast<uint32_t>(overflow));
}

void Check(bool ok) {
  if (ok) return;
  std::perror("bbolt_writer");
  std::abort();
}

std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

}  // namespace

std::string BigEndian64(uint64_t value) {
  std::string out(8, '\0');
  for (size_t i = 8; i-- > 0; value >>= 8) out[i] = static_cast<char>(value);
  return out;
}

std::string VarintField(uint32_t number, uint64_t value) {
  return Varint(number << 3) + Varint(value);
}

std::string BytesField(uint32_t number, absl::string_view content) {
  return Varint(number << 3 | 2) + Varint(content.size()) + std::string(content);
}

std::string RevisionKey(uint64_t main, uint64_t sub, bool tombstone) {
  return BigEndian64(main) + "_" + BigEndian64(sub) + (tombstone ? "t" : "");
}

std::string EncodeKeyValue(absl::string_view key, absl::string_view value, uint64_t mod_revision) {
  return BytesField(1, key) + VarintField(2, mod_revision) + VarintField(3, mod_revision) +
         VarintField(4, 1) + BytesField(5, value);
}

BboltWriter::BboltWriter(const std::string& path, const Options& options)
    : options_(options), file_(std::fopen(path.c_str(), "w+be")), path_(path) {
  Check(file_ != nullptr);
}

BboltWriter::~BboltWriter() { std::fclose(file_); }

std::string BboltWriter::LeafPage(const Elements& elements, bool buckets, bool as_inline) const {
  size_t size = kHeader;
  for (const auto& [key, value] : elements) size += kHeader + key.size() + value.size();
  const size_t pages = as_inline ? 1 : (size + options_.page_size - 1) / options_.page_size;
  std::string page;
  page.reserve(pages * options_.page_size);
  AppendHeader(page, 0, 0x02, elements.size(), pages - 1);
  size_t at = kHeader + elements.size() * kHeader;
  for (size_t i = 0; i < elements.size(); ++i) {
    Append<uint32_t>(page, buckets ? 1 : 0);
    Append<uint32_t>(page, static_cast<uint32_t>(at - kHeader - i * kHeader));
    Append<uint32_t>(page, static_cast<uint32_t>(elements[i].first.size()));
    Append<uint32_t>(page, static_cast<uint32_t>(elements[i].second.size()));
    at += elements[i].first.size() + elements[i].second.size();
  }
  for (const auto& [key, value] : elements) page += key + value;
  if (!as_inline) page.resize(pages * options_.page_size);
  return page;
}

uint64_t BboltWriter::Write(std::string page, uint64_t id) {
  std::memcpy(page.data(), &id, sizeof(id));
  Check(std::fseek(file_, static_cast<long>(id * options_.page_size), SEEK_SET) == 0);
  Check(std::fwrite(page.data(), 1, page.size(), file_) == page.size());
  next_page_ = std::max(next_page_, id + page.size() / options_.page_size);
  return id;
}

void BboltWriter::BeginBucket(const std::string& name) {
  EndBucket();
  bucket_ = name;
  in_bucket_ = true;
}

void BboltWriter::Put(const std::string& key, const std::string& value) {
  const size_t size = kHeader + key.size() + value.size();
  if (kHeader + leaf_bytes_ + size > options_.page_size && !leaf_.empty()) FlushLeaf();
  leaf_.emplace_back(key, value);
  leaf_bytes_ += size;
}

void BboltWriter::FlushLeaf() {
  std::string page = LeafPage(leaf_, false, false);
  waiting_bytes_ += page.size();
  waiting_.emplace_back(leaf_.empty() ? "" : leaf_.front().first, std::move(page));
  leaf_.clear();
  leaf_bytes_ = 0;
  if (waiting_bytes_ >= options_.shuffled_bytes) PlaceLeaves();
}

void BboltWriter::PlaceLeaves() {
  std::vector<size_t> order(waiting_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (options_.shuffled_bytes > 0) std::shuffle(order.begin(), order.end(), random_);
  std::vector<uint64_t> pages(waiting_.size());
  for (const size_t i : order) pages[i] = Write(std::move(waiting_[i].second), next_page_);
  for (size_t i = 0; i < waiting_.size(); ++i) {
    children_.push_back({std::move(waiting_[i].first), pages[i]});
  }
  waiting_.clear();
  waiting_bytes_ = 0;
}

uint64_t BboltWriter::WriteTree(std::vector<Child> children) {
  while (children.size() > 1) {
    std::vector<Child> parents;
    for (size_t begin = 0; begin < children.size();) {
      size_t end = begin;
      size_t size = kHeader;
      while (end < children.size() &&
             (end < begin + 2 || size + kHeader + children[end].key.size() <= options_.page_size)) {
        size += kHeader + children[end++].key.size();
      }
      const size_t pages = (size + options_.page_size - 1) / options_.page_size;
      std::string page;
      AppendHeader(page, 0, 0x01, end - begin, pages - 1);
      size_t at = kHeader + (end - begin) * kHeader;
      for (size_t i = begin; i < end; ++i) {
        Append<uint32_t>(page, static_cast<uint32_t>(at - kHeader - (i - begin) * kHeader));
        Append<uint32_t>(page, static_cast<uint32_t>(children[i].key.size()));
        Append<uint64_t>(page, children[i].page);
        at += children[i].key.size();
      }
      for (size_t i = begin; i < end; ++i) page += children[i].key;
      page.resize(pages * options_.page_size);
      parents.push_back({children[begin].key, Write(std::move(page), next_page_)});
      begin = end;
    }
    children = std::move(parents);
  }
  return children.front().page;
}

void BboltWriter::EndBucket() {
  if (!in_bucket_) return;
  in_bucket_ = false;
  std::string header;
  if (options_.inline_buckets && children_.empty() && waiting_.empty() &&
      leaf_bytes_ < options_.page_size / 4) {
    Append<uint64_t>(header, 0);
    Append<uint64_t>(header, 0);
    buckets_.emplace_back(bucket_, header + LeafPage(leaf_, false, true));
    leaf_.clear();
    leaf_bytes_ = 0;
    return;
  }
  if (!leaf_.empty() || (children_.empty() && waiting_.empty())) FlushLeaf();
  PlaceLeaves();
  Append<uint64_t>(header, WriteTree(std::exchange(children_, {})));
  Append<uint64_t>(header, 0);
  buckets_.emplace_back(bucket_, header);
}

uint64_t BboltWriter::AddUnused(const std::string& key, const std::string& value,
                                bool with_header) {
  const uint64_t id = Write(LeafPage({{key, value}}, false, false), next_page_);
  if (!with_header) {
    Check(std::fseek(file_, static_cast<long>(id * options_.page_size), SEEK_SET) == 0);
    Check(std::fwrite("overwritten here", 1, kHeader, file_) == kHeader);
  }
  return id;
}

void BboltWriter::WriteMeta(uint64_t id, uint64_t root, uint64_t freelist, uint64_t txid) {
  std::string meta;
  Append<uint32_t>(meta, 0xED0CDAED);
  Append<uint32_t>(meta, 2);
  Append<uint32_t>(meta, options_.page_size);
  Append<uint32_t>(meta, 0);
  Append<uint64_t>(meta, root);
  Append<uint64_t>(meta, 0);
  Append<uint64_t>(meta, freelist);
  Append<uint64_t>(meta, next_page_);
  Append<uint64_t>(meta, txid);
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : meta) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  Append<uint64_t>(meta, hash);
  std::string page;
  AppendHeader(page, id, 0x04, 0, 0);
  page += meta;
  page.resize(options_.page_size);
  Write(page, id);
}

void BboltWriter::Finish(bool as_snapshot) {
  EndBucket();
  const uint64_t root = Write(LeafPage(buckets_, true, false), next_page_);
  uint64_t freelist = UINT64_MAX;
  if (options_.freelist) {
    std::string page;
    AppendHeader(page, 0, 0x10, 0, 0);
    page.resize(options_.page_size);
    freelist = Write(page, next_page_);
  }
  WriteMeta(0, root, freelist, 2);
  WriteMeta(1, root, freelist, 1);
  Check(std::fflush(file_) == 0);
  if (!as_snapshot) return;
  std::rewind(file_);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Check(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1);
  std::string chunk(1 << 20, '\0');
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file_)) {
    EVP_DigestUpdate(context, chunk.data(), got);
  }
  uint8_t hash[32];
  EVP_DigestFinal_ex(context, hash, nullptr);
  EVP_MD_CTX_free(context);
  Check(std::fseek(file_, 0, SEEK_END) == 0);
  Check(std::fwrite(hash, 1, sizeof(hash), file_) == sizeof(hash) && std::fflush(file_) == 0);
}

}  // namespace kekd::testing
