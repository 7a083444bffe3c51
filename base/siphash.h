#ifndef GREGOR_BASE_SIPHASH_H_
#define GREGOR_BASE_SIPHASH_H_

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace gregor {

// SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash of 64 bits whose collisions cannot be
// made without the key. Input may come in pieces; the result is that of their concatenation.
// Thread: its owner's.
class SipHash {
 public:
  static_assert(std::endian::native == std::endian::little);  // words are read as they lie
  explicit SipHash(const std::array<uint8_t, 16>& key) {
    uint64_t k0, k1;
    std::memcpy(&k0, key.data(), 8);
    std::memcpy(&k1, key.data() + 8, 8);
    v0_ ^= k0;
    v1_ ^= k1;
    v2_ ^= k0;
    v3_ ^= k1;
  }

  void Add(std::string_view data) {
    for (; (size_ & 7) == 0 && data.size() >= 8; data.remove_prefix(8)) {
      std::memcpy(&word_, data.data(), 8);
      size_ += 8;
      Absorb();
    }
    for (const char byte : data) {
      word_ |= static_cast<uint64_t>(static_cast<uint8_t>(byte)) << (8 * (size_ & 7));
      if ((++size_ & 7) == 0) Absorb();
    }
  }
  // The 8 bytes of `number`, least significant first: also what separates fields.
  void Add(uint64_t number) {
    if ((size_ & 7) == 0) {
      word_ = number;
      size_ += 8;
      return Absorb();
    }
    for (int shift = 0; shift < 64; shift += 8) {
      word_ |= ((number >> shift) & 0xff) << (8 * (size_ & 7));
      if ((++size_ & 7) == 0) Absorb();
    }
  }

  // Bytes that were added.
  uint64_t size() const { return size_; }
  // REQUIRES: nothing is added afterwards.
  uint64_t Finish() {
    word_ |= size_ << 56;
    Absorb();
    v2_ ^= 0xff;
    for (int round = 0; round < 4; ++round) Round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void Absorb() {
    v3_ ^= word_;
    Round();
    Round();
    v0_ ^= word_;
    word_ = 0;
  }
  void Round() {
    v0_ += v1_;
    v1_ = std::rotl(v1_, 13) ^ v0_;
    v0_ = std::rotl(v0_, 32);
    v2_ += v3_;
    v3_ = std::rotl(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = std::rotl(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = std::rotl(v1_, 17) ^ v2_;
    v2_ = std::rotl(v2_, 32);
  }

  uint64_t v0_ = 0x736f6d6570736575, v1_ = 0x646f72616e646f6d, v2_ = 0x6c7967656e657261,
           v3_ = 0x7465646279746573;
  uint64_t word_ = 0;
  uint64_t size_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_BASE_SIPHASH_H_
