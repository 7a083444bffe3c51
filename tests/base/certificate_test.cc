#include "base/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/certificate_authority.h"

namespace gregor {
namespace {

using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Timestamp kNow{1'800'000'000'000};  // 2027-01-15 08:00:00 UTC
constexpr int64_t kDayMs = 24 * 3600 * 1000;

KeyAndCertificate Authority(const std::string& name = "authority",
                            Duration lifetime = hours(2400)) {
  auto made = MakeAuthority(name, kNow, lifetime);
  CHECK(made.ok()) << made.error();
  return *std::move(made);
}

CertificateRequest Request(const std::string& name = "node-1") {
  CertificateRequest request;
  request.name = name;
  request.hosts = {"broker1.example.org", "10.0.0.1", "::1"};
  request.uris = {"gregor://cluster/node/1"};
  request.now = kNow;
  request.lifetime = hours(240);
  return request;
}

KeyAndCertificate Issued(const KeyAndCertificate& authority,
                         const CertificateRequest& request = Request()) {
  auto made = IssueCertificate(authority, request);
  CHECK(made.ok()) << made.error();
  return *std::move(made);
}

std::string TrustErrorOf(const KeyAndCertificate& issued, const KeyAndCertificate& authority,
                         Timestamp now = kNow) {
  const auto trusted = CheckTrust(issued.certificate, authority.certificate, now);
  return trusted.ok() ? "" : trusted.error().message;
}

TEST(Certificate, SaysWhomItStandsForAndUntilWhen) {
  const auto authority = Authority();
  const auto read = ReadCertificates(Issued(authority).certificate + authority.certificate);
  ASSERT_TRUE(read.ok()) << read.error();
  ASSERT_EQ(read->size(), 2u);
  const CertificateInfo& info = read->front();
  EXPECT_EQ(info.subject, "CN=node-1,O=Gregor");
  EXPECT_EQ(info.issuer, "CN=authority,O=Gregor");
  EXPECT_THAT(info.dns_names, ElementsAre("broker1.example.org"));
  EXPECT_THAT(info.ip_addresses, ElementsAre("10.0.0.1", "0:0:0:0:0:0:0:1"));
  EXPECT_THAT(info.uris, ElementsAre("gregor://cluster/node/1"));
  EXPECT_LT(info.not_before, kNow);
  EXPECT_EQ(info.not_after, kNow + 10 * kDayMs);
  EXPECT_FALSE(info.is_authority);
  EXPECT_EQ(info.key, "EC prime256v1");
  EXPECT_EQ(info.fingerprint.size(), 64u);
  EXPECT_TRUE(read->back().is_authority);
  EXPECT_NE(info.serial, read->back().serial);
  EXPECT_EQ(ShowTime(kNow), "2027-01-15 08:00:00 UTC");
}

TEST(Certificate, IsTrustedWhereItsAuthorityIs) {
  const auto authority = Authority();
  const auto issued = Issued(authority);
  EXPECT_EQ(TrustErrorOf(issued, authority), "");
  EXPECT_THAT(TrustErrorOf(issued, Authority()), HasSubstr("is not signed by the authority"));
  const auto both = Authority("other").certificate + authority.certificate;
  EXPECT_TRUE(CheckTrust(issued.certificate, both, kNow).ok());
  EXPECT_THAT(TrustErrorOf(Authority("self"), authority), HasSubstr("is not signed by"));
}

TEST(Certificate, IsTrustedInItsTimeOnly) {
  const auto authority = Authority();
  const auto issued = Issued(authority);
  EXPECT_EQ(TrustErrorOf(issued, authority, kNow + 10 * kDayMs - 1000), "");
  EXPECT_THAT(TrustErrorOf(issued, authority, kNow + 10 * kDayMs + 1000),
              HasSubstr("\"CN=node-1,O=Gregor\" has expired on 2027-01-25 08:00:00 UTC"));
  EXPECT_THAT(TrustErrorOf(issued, authority, kNow - kDayMs), HasSubstr("is valid only from"));
}

TEST(Certificate, EndsWithItsAuthorityAtTheLatest) {
  const auto authority = Authority("short", hours(24));
  const auto issued = Issued(authority);
  EXPECT_EQ(ReadCertificates(issued.certificate)->front().not_after, kNow + kDayMs);
  auto late = Request();
  late.now = kNow + 2 * kDayMs;
  const auto refused = IssueCertificate(authority, late);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("has expired on"));
}

TEST(Certificate, OfAClientAloneIsNotThatOfANode) {
  const auto authority = Authority();
  auto request = Request();
  request.for_server = false;
  EXPECT_NE(TrustErrorOf(Issued(authority, request), authority), "");
}

TEST(Certificate, HasOneKey) {
  const auto authority = Authority();
  const auto issued = Issued(authority);
  EXPECT_TRUE(CheckKey(issued.certificate, issued.key).ok());
  // Both in one file are found.
  EXPECT_TRUE(CheckKey(issued.key + issued.certificate, issued.key + issued.certificate).ok());
  const auto other = CheckKey(issued.certificate, authority.key);
  ASSERT_FALSE(other.ok());
  EXPECT_THAT(other.error().message, HasSubstr("is not that of the certificate"));
  const auto none = CheckKey(issued.certificate, issued.certificate);
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.error().message, HasSubstr("no private key"));
}

TEST(Certificate, DamagedFilesAreRefused) {
  const std::string pem = Authority().certificate;
  EXPECT_FALSE(ReadCertificates("").ok());
  EXPECT_FALSE(ReadCertificates("no certificate\n").ok());
  for (size_t size = 1; size + 2 < pem.size(); ++size)
    EXPECT_FALSE(ReadCertificates(pem.substr(0, size)).ok()) << size;
  const auto second = ReadCertificates(pem + pem.substr(0, pem.size() / 2));
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr("certificate 2 cannot be read"));
  std::string changed = pem;
  changed[pem.size() / 2] = '!';
  EXPECT_FALSE(ReadCertificates(changed).ok());
}

TEST(Certificate, NamesThatWouldSaySomethingElseAreRefused) {
  const auto authority = Authority();
  for (const std::string host : {"", "a b", "a,DNS:b", "a/b", "user@host", "b\n"}) {
    auto request = Request();
    request.hosts = {host};
    EXPECT_FALSE(IssueCertificate(authority, request).ok()) << host;
  }
  auto request = Request("");
  EXPECT_FALSE(IssueCertificate(authority, request).ok());
  request.name = std::string(65, 'n');
  EXPECT_FALSE(IssueCertificate(authority, request).ok());
  EXPECT_FALSE(MakeAuthority("", kNow, hours(1)).ok());
}

TEST(Certificate, IsSignedByAnAuthorityWithItsOwnKeyOnly) {
  const auto authority = Authority();
  const auto issued = Issued(authority);
  EXPECT_FALSE(IssueCertificate(issued, Request()).ok());
  EXPECT_FALSE(IssueCertificate({issued.key, authority.certificate}, Request()).ok());
  auto without = Request();
  without.hosts.clear();
  without.uris.clear();
  const auto plain = ReadCertificates(Issued(authority, without).certificate);
  EXPECT_THAT(plain->front().uris, IsEmpty());
}

}  // namespace
}  // namespace gregor
