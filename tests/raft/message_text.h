#ifndef GREGOR_TESTS_RAFT_MESSAGE_TEXT_H_
#define GREGOR_TESTS_RAFT_MESSAGE_TEXT_H_

#include <string>

#include "raft/core/raft.h"

namespace gregor::raft {

// As scenarios and traces show them: "follower"; "append-reply";
// "2->1 append-reply (term 3) has 7, durable 5".
const char* NameOf(Role role);
std::string KindOf(const Message& message);
std::string TextOf(const Message& message);

}  // namespace gregor::raft

#endif  // GREGOR_TESTS_RAFT_MESSAGE_TEXT_H_
