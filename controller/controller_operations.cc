// ControllerImpl: operations, from the call to the answer.
#include <utility>

#include "controller/controller_impl.h"

namespace gregor {

template <typename T>
void ControllerImpl::Run(const char* name, UniqueFunction<Plan<T>(const MetadataImage&)> plan,
                         bool validate_only, Done<T> done) {
  const size_t max = options_.behavior.operations_queued_max;
  const bool is_full = queued_count_.fetch_add(1) >= max;
  Done<T> counted = [this, alive = alive_, done = std::move(done)](Result<T> result) mutable {
    queued_count_.fetch_sub(1);
    done(std::move(result));
  };
  options_.loop->Post(name, [this, alive = alive_, plan = std::move(plan), validate_only, is_full,
                             max, done = std::move(counted)]() mutable {
    if (!*alive) return;
    if (is_full) {
      return done(Error(Reason::kQuotaExceeded, std::to_string(max) +
                                                    " operations wait for the controller already: "
                                                    "retry more slowly")
                      .With("outcome", "NOT_APPLIED"));
    }
    if (const auto failed = failure()) return done(*failed);
    if (!leading_.has_value()) {
      return done(Error(Reason::kNotController, closing_ ? "the node stops: try another one"
                                                         : "the metadata quorum has no leader "
                                                           "here: retry")
                      .With("outcome", "NOT_APPLIED"));
    }
    Execute<T>(plan(*speculative_), validate_only, std::move(done));
  });
}

template <typename T>
void ControllerImpl::Execute(Plan<T> plan, bool validate_only, Done<T> done) {
  const Offset base = log_->end_offset();
  Result<T> answer = Error(Reason::kUnspecified, "");
  std::optional<MetadataDelta> delta;
  if (!plan.ok()) {
    answer = std::move(plan).error();
  } else if (plan->records.empty()) {
    answer = plan->answer(*speculative_, base);
  } else if (validate_only) {
    answer = plan->answer(*Replayed(plan->records).after, base);
  } else {
    auto appended = Append(plan->records);
    if (appended.ok()) {
      answer = plan->answer(*appended->after, base);
      delta = *std::move(appended);
    } else {
      answer = std::move(appended).error();
    }
  }
  const Offset end =
      delta.has_value() ? delta->after->version : (waiting_.empty() ? committed_ : waiting_.end());
  AnswerWhenCommitted(
      end, std::move(delta),
      [answer = std::move(answer), done = std::move(done)](const Error* failed) mutable {
        if (failed == nullptr) return done(std::move(answer));
        done(*failed);
      });
}

void ControllerImpl::AnswerWhenCommitted(Offset end, std::optional<MetadataDelta> delta,
                                         CommitQueue::Answer answer) {
  if (waiting_.empty() && !delta.has_value()) return answer(nullptr);
  waiting_.Add({end, std::move(delta), std::move(answer)});
}

MetadataDelta ControllerImpl::Replayed(const std::vector<pb::MetadataRecord>& records) const {
  Replay replay(speculative_);
  Offset offset = log_->end_offset();
  for (const pb::MetadataRecord& record : records) {
    const auto applied = replay.Apply(offset, record);
    CHECK(applied.ok()) << applied.error();
    offset = offset + 1;
  }
  return replay.Finish({offset, speculative_->last_term, speculative_->last_timestamp});
}

Result<MetadataDelta> ControllerImpl::Append(const std::vector<pb::MetadataRecord>& records) {
  Replay replay(speculative_);
  Offset offset = log_->end_offset();
  std::vector<std::string> serialized;
  serialized.reserve(records.size());
  for (const pb::MetadataRecord& record : records) {
    serialized.push_back(SerializeRecord(record));
    // What cannot be read again must not get into the log. Partitions have no text.
    if (!record.has_partitions() && !ParseRecord(serialized.back()).ok()) {
      return Error(Reason::kInvalidArgument,
                   "the operation has text that is not UTF-8: names, racks and hosts must be")
          .With("outcome", "NOT_APPLIED");
    }
    // The plan was made for this very image: it cannot contradict it.
    const auto applied = replay.Apply(offset, record);
    CHECK(applied.ok()) << applied.error();
    offset = offset + 1;
  }
  ASSIGN_OR_RETURN(const AppendedRecords appended, log_->Append(*leading_, std::move(serialized)));
  CHECK_EQ(appended.next_offset.value, offset.value);
  MetadataDelta delta =
      replay.Finish({appended.next_offset, LeaderEpoch{leading_->value}, appended.appended});
  speculative_ = delta.after;
  return delta;
}

void ControllerImpl::Create(CreateTopic operation, Done<TopicPtr> done, const OperationContext&) {
  const bool validate_only = operation.validate_only;
  Done<TopicPtr> answer = std::move(done);
  if (validate_only) {
    answer = [done = std::move(answer)](Result<TopicPtr> topic) mutable {
      if (!topic.ok()) return done(std::move(topic));
      auto shown = std::make_shared<TopicImage>(**topic);
      shown->id = TopicId{};
      done(TopicPtr(std::move(shown)));
    };
  }
  Run<TopicPtr>(
      "controller.create_topic",
      [this, operation = std::move(operation)](const MetadataImage& image) {
        return PlanCreate(operation, image, options_.behavior, options_.random);
      },
      validate_only, std::move(answer));
}

void ControllerImpl::Delete(TopicKey topic, Done<void> done, const OperationContext&) {
  Run<bool>(
      "controller.delete_topic",
      [topic = std::move(topic)](const MetadataImage& image) { return PlanDelete(topic, image); },
      false,
      [done = std::move(done)](Result<bool> deleted) mutable {
        if (deleted.ok()) return done({});
        done(std::move(deleted).error());
      });
}

void ControllerImpl::Add(AddPartitions operation, Done<TopicPtr> done, const OperationContext&) {
  const bool validate_only = operation.validate_only;
  Run<TopicPtr>(
      "controller.add_partitions",
      [this, operation = std::move(operation)](const MetadataImage& image) {
        return PlanAdd(operation, image, options_.behavior, options_.random);
      },
      validate_only, std::move(done));
}

void ControllerImpl::Alter(std::vector<AlterConfig> alterations, bool validate_only,
                           Done<std::vector<Result<void>>> done, const OperationContext&) {
  Run<std::vector<Result<void>>>(
      "controller.alter_configs",
      [this, alterations = std::move(alterations)](const MetadataImage& image) {
        return PlanAlter(alterations, image, options_.behavior);
      },
      validate_only, std::move(done));
}

void ControllerImpl::Register(RegisterBroker registration, Done<BrokerEpoch> done,
                              const OperationContext&) {
  Run<BrokerEpoch>(
      "controller.register_broker",
      [broker = std::move(registration.broker)](const MetadataImage& image) {
        return PlanRegister(broker, image);
      },
      false, std::move(done));
}

void ControllerImpl::AllocateProducerIds(int64_t count, Done<ProducerIdBlock> done,
                                         const OperationContext&) {
  Run<ProducerIdBlock>(
      "controller.producer_ids",
      [this, count](const MetadataImage& image) {
        return PlanProducerIds(count, producer_ids_from_, options_.behavior.node_id, image);
      },
      false, std::move(done));
}

}  // namespace gregor
