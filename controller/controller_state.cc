// ControllerImpl: whether this node's state is the one that the records make, and what is done
// where it is not (docs/adr/0017-state-hash.md).
#include <algorithm>
#include <utility>

#include "controller/controller_impl.h"
#include "controller/image/image_diff.h"
#include "controller/image/snapshot.h"
#include "raft/core/mutant.h"

namespace gregor {
namespace {

// A new active controller says soon what it has.
constexpr Duration kFirstHashAfter = std::chrono::seconds(1);
constexpr Duration kFetchAgainAfter = std::chrono::seconds(1);
// So many snapshots of the leader's that cannot be read, each after twice the time: the node is
// another version than it, and will never read one.
constexpr int kUselessMax = 6;
// How often a node whose state is made again tries to hand over before it leads with what it has.
constexpr int kHandOversMax = 5;
// What a number of Prometheus' holds exactly.
constexpr uint64_t kShownBits = (uint64_t{1} << 48) - 1;

}  // namespace

void ControllerImpl::WatchHash() {
  hashed_ = Offset{0};
  if (hash_timer_.has_value()) options_.loop->Cancel(*hash_timer_);
  WriteHashAfter(std::min(kFirstHashAfter, options_.behavior.hash_interval));
}

void ControllerImpl::WriteHashAfter(Duration delay) {
  hash_timer_ = options_.loop->After(delay, "controller.state_hash", [this, alive = alive_] {
    if (!*alive) return;
    hash_timer_.reset();
    if (!leading_.has_value()) return;
    WriteHash();
    WriteHashAfter(options_.behavior.hash_interval);
  });
}

void ControllerImpl::WriteHash() {
  const MetadataImage& image = *speculative_;
  const Offset before = image.version;
  if (image.feature_level < kStateHashLevel || before == hashed_ || failure()) return;
  if (is_in_transaction_) return;  // an abort comes in front of the next record
  pb::MetadataRecord record;
  // Control batches may lie between the image's last record and the next one.
  record.mutable_state_hash()->set_offset(log_->end_offset().value);
  record.mutable_state_hash()->set_hash(image.state_hash);
  Settle("state_hash",
         Planned{{record}, [](const MetadataImage&, Offset) { return std::monostate(); }}, false,
         [](Result<OperationAnswer> answer) {
           LOG_IF(WARNING, !answer.ok())
               << "The state's hash could not be written: " << answer.error();
         });
  if (speculative_ != nullptr && speculative_->version > before) hashed_ = speculative_->version;
}

void ControllerImpl::OnHashCheck(const StateHashCheck& check) {
  state_->checked = check.offset.value + 1;
  if (check.matches()) {
    if (leading_.has_value() || healing_.has_value()) return;  // its own word; or more is known
    LOG_IF(INFO, state_->differs)
        << "The state of the metadata agrees with the active controller's again, at offset "
        << check.offset;
    // What was given up on is right again by itself.
    if (state_->differs.exchange(false)) keeper_->Resume(/*is_healed=*/false);
    healed_in_ = Term{-1};
    return;
  }
  if (raft::IsMutant(21, 'b')) return;
  ++state_->mismatches;
  if (healing_.has_value()) return;  // it is known
  const bool was_known = state_->differs.exchange(true);
  if (healed_in_.value >= 0 && healed_in_ == leader().term) {
    LOG_IF(ERROR, !was_known)
        << "The state of the metadata differs from the active controller's again, at offset "
        << check.offset << " (" << StateHashText(check.actual) << " here, "
        << StateHashText(check.expected) << " there), although it was made of its snapshot: "
        << "nothing more is done, and this node serves on. Do the nodes run different versions?";
    return;
  }
  LOG(ERROR) << "The state of the metadata differs from the active controller's at offset "
             << check.offset << " (" << StateHashText(check.actual) << " here, "
             << StateHashText(check.expected)
             << " there): it is made again of the newest snapshot and the log; until then this "
                "node serves what it has";
  HealFromOwn(check.offset);
}

// What is kept in memory is not what its hash says.
void ControllerImpl::OnDamagedImage(const ImagePtr& image, uint64_t actual) {
  ++state_->mismatches;
  const bool was_known = state_->differs.exchange(true);
  LOG_IF(ERROR, !was_known) << "The state of the metadata at offset " << image->version
                            << " is damaged: its hash is " << StateHashText(actual)
                            << " instead of " << StateHashText(image->state_hash)
                            << ". No snapshot is made of it, and it is made again";
  if (leading_.has_value()) return HandOverDamaged();
  if (!healing_.has_value()) HealFromOwn(committed_);
}

// Whoever leads says what is right: that is not for a node whose state is wrong.
void ControllerImpl::HandOverDamaged() {
  if (UsableLog() == nullptr) return;
  log_->Transfer(std::nullopt, [](Result<NodeId> led) {
    LOG_IF(ERROR, !led.ok()) << "No other node could take over from this active controller, whose "
                                "state of the metadata is damaged ("
                             << led.error() << "): restart it, which makes its state again";
  });
}

// A wrong state contradicts records that are right: what is made of them takes its place.
void ControllerImpl::OnContradiction(const Error& error) {
  LOG(ERROR) << "The state of the metadata moves no further than offset " << image_->version
             << ", until it is made again: " << error;
  following_.reset();
  following_bytes_ = 0;
  state_->differs = true;
  ++state_->mismatches;
  if (!healing_.has_value()) return HealFromOwn(image_->version, error);
  healing_->behind = error;
}

void ControllerImpl::HealFromOwn(Offset right_until, std::optional<Error> behind) {
  healing_ = Healing();
  healing_->number = ++healings_;
  healing_->behind = std::move(behind);
  keeper_->LoadAgain(
      right_until,
      [this](const ImagePosition& position) -> Result<bool> {
        return position.version >= log_->start_offset();
      },
      [this, alive = alive_, number = healings_](Result<ImagePtr> loaded) {
        if (!*alive || !IsHealing(number)) return;
        const bool is_whole =
            loaded.ok() && (*loaded != nullptr || log_->start_offset() == Offset{0});
        if (!is_whole) return HealFromLeader();
        ReplayFrom(*loaded != nullptr ? *loaded : std::make_shared<const MetadataImage>());
      });
}

void ControllerImpl::HealFromLeader() {
  LOG(ERROR) << "What this node's own snapshots and log make of the metadata differs from the "
                "active controller's, too: a snapshot of that is fetched";
  healing_->from = Healing::From::kLeader;
  healing_->number = ++healings_;
  healing_->image = nullptr;
  healing_->replay.reset();
  healing_->agrees.reset();
  FetchState();
}

void ControllerImpl::FetchState() {
  const NodeId leader = this->leader().leader;
  if (closing_ || failure()) return;
  if (options_.snapshots == nullptr) return GiveUpHealing();
  if (leader.value < 0 || leader == options_.behavior.node_id) return FetchStateLater();
  healing_->from_term = this->leader().term;
  options_.snapshots->Fetch(
      leader, std::max(log_->start_offset(), Offset{1}),
      [this, alive = alive_, number = healings_](Result<TravellingSnapshot> fetched) {
        if (!*alive || !IsHealing(number)) return;
        if (!fetched.ok()) return FetchStateLater();
        CheckFetched(*std::move(fetched), [this, number](Result<DecodedSnapshot> snapshot) {
          if (IsHealing(number)) OnState(std::move(snapshot));
        });
      });
}

void ControllerImpl::OnState(Result<DecodedSnapshot> snapshot) {
  LOG_IF(WARNING, !snapshot.ok()) << "The active controller's snapshot is of no use: "
                                  << snapshot.error();
  if (!snapshot.ok() && ++healing_->useless_count >= kUselessMax) return GiveUpHealing();
  // One that is ahead of this node is of use a little later.
  const bool fits = snapshot.ok() && snapshot->image->version >= log_->start_offset() &&
                    snapshot->image->version <= committed_;
  if (!fits) return FetchStateLater();
  const ImagePtr image = snapshot->image;
  keeper_->Replace(*std::move(snapshot), [this, number = healings_, image](Result<void> kept) {
    LOG_IF(ERROR, !kept.ok()) << "The snapshot is not kept: " << kept.error();
    if (IsHealing(number)) ReplayFrom(image);
  });
}

void ControllerImpl::FetchStateLater() {
  options_.loop->After(kFetchAgainAfter * (1 << healing_->useless_count), "controller.fetch_state",
                       [this, alive = alive_, number = healings_] {
                         if (*alive && IsHealing(number)) FetchState();
                       });
}

// What the log has behind `base` comes again. Posted: this may be inside of the log's call.
void ControllerImpl::ReplayFrom(ImagePtr base) {
  options_.loop->Post("controller.replay_again",
                      [this, alive = alive_, number = healings_, base = std::move(base)]() mutable {
                        if (!*alive || !IsHealing(number) || closing_ || failure()) return;
                        if (base->version < log_->start_offset())
                          return HealFromLeader();  // trimmed meanwhile
                        const Offset from = base->version;
                        healing_->image = std::move(base);
                        if (from >= committed_) return EndHealing();
                        log_->DeliverAgain(from);
                      });
}

void ControllerImpl::ReplayAgain(const CommittedRecords& batch) {
  CHECK(batch.base_offset >= healing_->image->version) << batch.base_offset;
  const auto give_up = [this] {
    return healing_->from == Healing::From::kOwn ? HealFromLeader() : GiveUpHealing();
  };
  if (!healing_->replay.has_value()) healing_->replay.emplace(healing_->image);
  if (const auto applied = Apply(batch, *healing_->replay); !applied.ok()) {
    LOG(ERROR) << "The metadata cannot be made again: " << applied.error();
    return give_up();
  }
  if (!healing_->replay->open_since().has_value()) {
    const MetadataDelta delta = healing_->replay->Finish();
    healing_->replay.reset();
    healing_->image = delta.after;
    if (delta.hash_check.has_value()) {
      healing_->agrees = delta.hash_check->matches();
      if (!*healing_->agrees) ++state_->mismatches;
      if (!*healing_->agrees && healing_->from == Healing::From::kOwn) return HealFromLeader();
    }
  }
  if (batch.next_offset() < committed_) return;
  committed_ = batch.next_offset();
  EndHealing();
}

// What was made takes the place of what is served.
void ControllerImpl::EndHealing() {
  Healing ended = *std::exchange(healing_, std::nullopt);
  const bool is_from_leader = ended.from == Healing::From::kLeader;
  const bool differs = !ended.agrees.value_or(true);
  keeper_->Resume(/*is_healed=*/true);
  healed_in_ = is_from_leader && !ended.agrees.value_or(false) ? ended.from_term : Term{-1};
  state_->differs = differs;
  LOG_IF(INFO, !differs) << "The state of the metadata was made again up to offset "
                         << ended.image->version << ", from "
                         << (is_from_leader ? "the active controller's snapshot"
                                            : "this node's own files");
  LOG_IF(ERROR, differs)
      << "The state of the metadata differs from the active controller's, although it was made "
         "of its snapshot: this node serves on. Do the nodes run different versions?";
  Publish(DiffImages(image_, ended.image), 0);
  following_ = std::move(ended.replay);  // it may be inside of a transaction
  EndFollowing();
  LeadSoon();
}

// Nothing is kept of what is served.
void ControllerImpl::GiveUpHealing() {
  const Healing ended = *std::exchange(healing_, std::nullopt);
  LOG(ERROR) << "This node serves on with a state of the metadata that is known to be wrong: "
                "restart it, or replace its data directory";
  if (ended.behind.has_value()) return Resign(*ended.behind);
  LeadSoon();
}

void ControllerImpl::LeadSoon() {
  if (!elected_.has_value()) return;
  // Not inside of the log's call.
  options_.loop->Post("controller.lead", [this, alive = alive_, term = *elected_] {
    if (!*alive || elected_ != term || healing_.has_value() || UsableLog() == nullptr) return;
    elected_.reset();
    leader_ = QuorumLeader{options_.behavior.node_id, term};
    // From now on what this node has is right, also where it gave up making it again.
    keeper_->Resume(/*is_healed=*/false);
    Lead(term);
  });
}

// Another image, which is right, takes the place of what was to be healed.
void ControllerImpl::DropHealing() {
  healing_.reset();
  keeper_->Resume(/*is_healed=*/true);
  state_->differs = false;
  healed_in_ = Term{-1};
}

void ControllerImpl::LeadOnceHealed(Term term) {
  LOG(ERROR) << "This node was elected while its state of the metadata is made again: it hands "
                "over, or leads once that is done";
  elected_ = term;
  leader_ = QuorumLeader{NodeId{-1}, term};
  // Not inside of the log's call.
  options_.loop->Post("controller.hand_over", [this, alive = alive_, term] {
    if (*alive) HandOverUnhealed(term);
  });
}

void ControllerImpl::HandOverUnhealed(Term term) {
  if (elected_ != term || !healing_.has_value() || UsableLog() == nullptr) return;
  // Where nobody else can lead either, a state that may be wrong is better than none.
  if (++healing_->hand_overs > kHandOversMax) return GiveUpHealing();
  log_->Transfer(std::nullopt, [this, alive = alive_, term](const Result<NodeId>& led) {
    if (!*alive || led.ok()) return;
    options_.loop->After(kFetchAgainAfter, "controller.hand_over", [this, alive, term] {
      if (*alive) HandOverUnhealed(term);
    });
  });
}

void ControllerImpl::ExportState() {
  if (options_.metrics == nullptr) return;
  const auto add = [&](Metrics::Kind kind, const char* name, const char* help, auto value) {
    options_.metrics->AddCallback(kind, name, help, {}, [numbers = state_, value] {
      return static_cast<double>(value(*numbers));
    });
  };
  add(Metrics::Kind::kGauge, "gregor_metadata_state_hash",
      "The lower 48 bits of the hash of the node's state of the metadata: the same on all nodes "
      "with the same gregor_metadata_version.",
      [](const StateNumbers& numbers) { return numbers.hash.load() & kShownBits; });
  add(Metrics::Kind::kGauge, "gregor_metadata_state_bytes",
      "Size of the node's state of the metadata, as it is hashed.",
      [](const StateNumbers& numbers) { return numbers.bytes.load(); });
  add(Metrics::Kind::kGauge, "gregor_metadata_state_differs",
      "1 while the node's state of the metadata is known to differ from the active controller's.",
      [](const StateNumbers& numbers) { return numbers.differs.load() ? 1 : 0; });
  add(Metrics::Kind::kGauge, "gregor_metadata_hash_offset",
      "Offset after the last state hash record with which the node compared its state.",
      [](const StateNumbers& numbers) { return numbers.checked.load(); });
  add(Metrics::Kind::kCounter, "gregor_metadata_hash_mismatches_total",
      "How often the node's state of the metadata did not have the hash that it should have.",
      [](const StateNumbers& numbers) { return numbers.mismatches.load(); });
}

}  // namespace gregor
