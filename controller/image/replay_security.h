#ifndef GREGOR_CONTROLLER_IMAGE_REPLAY_SECURITY_H_
#define GREGOR_CONTROLLER_IMAGE_REPLAY_SECURITY_H_

#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/records.h"

namespace gregor {

// Changes that a table is yet to get: many records change it in one step. Thread: its owner's.
template <typename Key, typename Value>
class TableChanges {
 public:
  using Table = PersistentMap<Key, Value>;

  // As the key's value is so far; nullptr if it has none.
  const Value* Find(const Table& base, const Key& key) const {
    const auto changed = changes_.find(key);
    if (changed == changes_.end()) return base.Find(key);
    return changed->second.has_value() ? &*changed->second : nullptr;
  }
  void Set(Key key, Value value) { changes_[std::move(key)] = std::move(value); }
  void Erase(const Key& key) { changes_[key] = std::nullopt; }
  // Makes the changes; false if there are none.
  bool Finish(Table& table) {
    if (changes_.empty()) return false;
    table.Apply(
        {std::make_move_iterator(changes_.begin()), std::make_move_iterator(changes_.end())});
    return true;
  }

 private:
  std::map<Key, std::optional<Value>> changes_;
};

// The part of Replay that is about rules, users and quotas. Thread: its owner's.
class SecurityReplay {
 public:
  // REQUIRES: `base` is not null.
  explicit SecurityReplay(ImagePtr base) : base_(std::move(base)) {}

  // Fail with kStorageError where the record contradicts those before it.
  Result<void> Apply(const pb::ClientQuotaRecord& record);
  Result<void> Apply(const pb::AclRecord& record);
  Result<void> Apply(const pb::RemoveAclRecord& record);
  Result<void> Apply(const pb::UserCredentialRecord& record);
  Result<void> Apply(const pb::RemoveUserCredentialRecord& record);

  // Puts the changes into `image`, and says in `delta` which tables have some. Once.
  void Finish(MetadataImage& image, MetadataDelta& delta);

 private:
  ImagePtr base_;
  TableChanges<Acl, std::monostate> acls_;
  TableChanges<UserKey, std::shared_ptr<const ScramCredential>> users_;
  TableChanges<QuotaEntity, std::shared_ptr<const QuotaValues>> quotas_;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_REPLAY_SECURITY_H_
