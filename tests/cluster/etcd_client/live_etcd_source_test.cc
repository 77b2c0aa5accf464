#include "cluster/etcd_client/live_etcd_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/file_system.h"
#include "tests/cluster/etcd_client/fake_etcd.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::etcdserverpb::RangeRequest;
using ::etcdserverpb::RangeResponse;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Calls before the first page of the one prefix: the count that fixes the revision and the count of
// everything.
constexpr int kCounts = 2;

class LiveEtcdSourceTest : public ::testing::Test {
 protected:
  void Fill(FakeEtcd& etcd, int objects) {
    for (int i = 0; i < objects; ++i) {
      etcd.Put(absl::StrFormat("/registry/secrets/%05d", i), absl::StrCat("value ", i));
    }
  }

  absl::StatusOr<SourceFacts> Read(std::vector<std::string> endpoints,
                                   ReadRange range = {.prefixes = {"/registry/"}}) {
    options_.endpoints = std::move(endpoints);
    options_.retry_pause = absl::Milliseconds(1);
    auto client = EtcdClient::Create(options_, FileSystem::System());
    if (!client.ok()) return client.status();
    keys_.clear();
    return CreateLiveEtcdSource(*std::move(client))
        ->Read(
            range,
            [this](const StoredObject& object) {
              keys_.emplace_back(object.key);
              return visit_status_;
            },
            [](uint64_t, uint64_t) {});
  }

  EtcdClientOptions options_;
  std::vector<std::string> keys_;
  absl::Status visit_status_;
};

auto GapIs(const std::string& what, const std::string& why) {
  return AllOf(Field(&Gap::what, HasSubstr(what)), Field(&Gap::why, HasSubstr(why)));
}

TEST_F(LiveEtcdSourceTest, VisitsEachObjectOnceInPagesAtOneRevision) {
  FakeEtcd etcd;
  Fill(etcd, 1000);
  etcd.Put("/elsewhere", "x");
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}));
  EXPECT_THAT(keys_, SizeIs(1000));
  EXPECT_EQ(facts.other_keys, 1u);
  EXPECT_EQ(facts.revision, 1002);
  EXPECT_EQ(facts.identity, "c1");
  EXPECT_EQ(facts.version, "3.9.9");
  EXPECT_THAT(facts.gaps, IsEmpty());
  const std::vector<RangeRequest> requests = etcd.requests();
  EXPECT_EQ(requests[0].revision(), 0);
  EXPECT_FALSE(requests[0].serializable());
  for (size_t i = 1; i < requests.size(); ++i) EXPECT_EQ(requests[i].revision(), 1002);
  for (size_t i = kCounts; i < requests.size(); ++i) EXPECT_TRUE(requests[i].serializable());
}

TEST_F(LiveEtcdSourceTest, VisitsWhatTwoPrefixesCoverOnce) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  etcd.Put("/elsewhere", "x");
  KEKD_ASSERT_OK(Read({etcd.endpoint()}, {.prefixes = {"/registry/secrets/", "", "/registry/"}}));
  EXPECT_THAT(keys_, ElementsAre("/elsewhere", "/registry/secrets/00000", "/registry/secrets/00001",
                                 "/registry/secrets/00002"));
}

TEST_F(LiveEtcdSourceTest, SaysThatHistoryCannotBeSeen) {
  FakeEtcd etcd;
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts,
                            Read({etcd.endpoint()}, {.prefixes = {"/registry/"}, .history = true}));
  EXPECT_THAT(facts.gaps, ElementsAre(GapIs("old revisions", "does not show them")));
}

TEST_F(LiveEtcdSourceTest, AsksKineOnlyForWhatItKnows) {
  FakeEtcd etcd;
  etcd.SetClusterId(0);
  Fill(etcd, 100);
  etcd.Put("compact_rev_key", "1");
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}, {.prefixes = {""}}));
  EXPECT_THAT(keys_, SizeIs(100));
  EXPECT_EQ(facts.other_keys, 0u);
  EXPECT_EQ(facts.identity, "");
  for (const RangeRequest& request : etcd.requests()) {
    EXPECT_FALSE(request.serializable());
    EXPECT_NE(request.range_end(), std::string(1, '\0'));
  }
}

TEST_F(LiveEtcdSourceTest, EtcdThatStopsHalfWayIsUnavailable) {
  FakeEtcd etcd;
  Fill(etcd, 200);
  for (int i = 0; i < 20; ++i) {
    etcd.FailAfter(i == 0 ? kCounts + 1 : 0, [](const RangeRequest&, RangeResponse&) {
      return grpc::Status(grpc::StatusCode::UNAVAILABLE, "etcdserver: server stopped");
    });
  }
  EXPECT_THAT(Read({etcd.endpoint()}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("server stopped")));
  EXPECT_THAT(keys_, SizeIs(50));
}

TEST_F(LiveEtcdSourceTest, GoesOnWithTheNextEndpointAtTheSameRevision) {
  FakeEtcd first;
  FakeEtcd second;
  Fill(first, 500);
  Fill(second, 500);
  second.Put("/registry/later", "not to be asked for");
  first.FailAfter(kCounts + 1, [](const RangeRequest&, RangeResponse&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "etcdserver: server stopped");
  });
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({first.endpoint(), second.endpoint()}));
  EXPECT_THAT(keys_, SizeIs(500));
  EXPECT_EQ(facts.revision, 501);
  ASSERT_FALSE(second.requests().empty());
  for (const RangeRequest& request : second.requests()) EXPECT_EQ(request.revision(), 501);
}

TEST_F(LiveEtcdSourceTest, HasAMemberThatLagsCatchUp) {
  FakeEtcd etcd;
  Fill(etcd, 10);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse&) {
    return grpc::Status(grpc::StatusCode::OUT_OF_RANGE,
                        "etcdserver: mvcc: required revision is a future revision");
  });
  KEKD_ASSERT_OK(Read({etcd.endpoint()}));
  EXPECT_THAT(keys_, SizeIs(10));
  EXPECT_FALSE(etcd.requests().back().serializable());
}

TEST_F(LiveEtcdSourceTest, FewerKeysThanCountedAreAGap) {
  FakeEtcd etcd;
  Fill(etcd, 30);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse& response) {
    response.mutable_kvs()->DeleteSubrange(20, 10);
    return grpc::Status::OK;
  });
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}));
  EXPECT_THAT(facts.gaps,
              ElementsAre(GapIs("/registry/secrets/00019", "there are 30 keys, and 20 came")));
}

TEST_F(LiveEtcdSourceTest, KeysThatComeTwiceAreRefused) {
  FakeEtcd etcd;
  Fill(etcd, 30);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse& response) {
    *response.mutable_kvs(5) = response.kvs(4);
    return grpc::Status::OK;
  });
  EXPECT_THAT(Read({etcd.endpoint()}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("out of order")));
}

TEST_F(LiveEtcdSourceTest, KeysOutsideOfTheRangeAreRefused) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse& response) {
    response.mutable_kvs(2)->set_key("/zoo\n");
    return grpc::Status::OK;
  });
  EXPECT_THAT(Read({etcd.endpoint()}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("/zoo\\n")));
}

TEST_F(LiveEtcdSourceTest, ObjectsNewerThanTheRevisionAreRefused) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse& response) {
    response.mutable_kvs(2)->set_mod_revision(1000);
    return grpc::Status::OK;
  });
  EXPECT_THAT(Read({etcd.endpoint()}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("newer")));
}

TEST_F(LiveEtcdSourceTest, MoreWithoutAnyEndsTheReading) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse& response) {
    response.clear_kvs();
    response.set_more(true);
    return grpc::Status::OK;
  });
  EXPECT_THAT(Read({etcd.endpoint()}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("none")));
}

TEST_F(LiveEtcdSourceTest, HalvesPagesThatAreTooLargeAndNamesAValueThatIs) {
  options_.max_message_bytes = 10000;
  FakeEtcd etcd;
  for (int i = 0; i < 60; ++i) {
    etcd.Put(absl::StrFormat("/registry/%02d", i), std::string(i == 7 ? 20000 : 2000, 'x'));
  }
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}));
  EXPECT_THAT(keys_, SizeIs(59));
  EXPECT_THAT(facts.gaps, ElementsAre(GapIs("/registry/07", "too large")));
}

TEST_F(LiveEtcdSourceTest, AnswerThatIsNoMessageIsAnError) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  etcd.FailAfter(kCounts, [](const RangeRequest&, RangeResponse&) {
    return grpc::Status(grpc::StatusCode::INTERNAL, "failed to unmarshal\x1b[2J");
  });
  EXPECT_THAT(Read({etcd.endpoint()}),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("unmarshal\\x1b[2J")));
}

TEST_F(LiveEtcdSourceTest, EtcdThatHangsIsUnavailable) {
  options_.command_timeout = absl::Milliseconds(50);
  FakeEtcd etcd;
  for (int i = 0; i < 20; ++i) {
    etcd.FailAfter(0, [](const RangeRequest&, RangeResponse&) {
      absl::SleepFor(absl::Milliseconds(100));
      return grpc::Status::OK;
    });
  }
  EXPECT_THAT(Read({etcd.endpoint()}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("did not answer within 50ms")));
}

TEST_F(LiveEtcdSourceTest, CompactedRevisionIsAborted) {
  FakeEtcd etcd;
  Fill(etcd, 60);
  etcd.FailAfter(kCounts + 1, [](const RangeRequest&, RangeResponse&) {
    return grpc::Status(grpc::StatusCode::OUT_OF_RANGE,
                        "etcdserver: mvcc: required revision has been compacted");
  });
  EXPECT_THAT(Read({etcd.endpoint()}),
              StatusIs(absl::StatusCode::kAborted,
                       AllOf(HasSubstr("compacted revision 61"), HasSubstr("50 keys had come"),
                             HasSubstr("run this again"))));
}

TEST_F(LiveEtcdSourceTest, EndpointsOfDifferentClustersAreRefused) {
  FakeEtcd first;
  FakeEtcd second;
  second.SetClusterId(0xc2);
  EXPECT_THAT(Read({first.endpoint(), second.endpoint()}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("different clusters"), HasSubstr("c1"), HasSubstr("c2"))));
}

TEST_F(LiveEtcdSourceTest, AlarmAboutItsDataIsAGapAndOneAboutSpaceIsNot) {
  FakeEtcd etcd;
  etcd.SetErrors({"memberID:1 alarm:CORRUPT ", "memberID:1 alarm:NOSPACE "});
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}));
  EXPECT_THAT(facts.gaps, ElementsAre(GapIs("soundness", "CORRUPT")));
}

TEST_F(LiveEtcdSourceTest, GapsAreBounded) {
  FakeEtcd etcd;
  etcd.SetErrors(std::vector<std::string>(SourceFacts::kMaxGaps + 5, "alarm:CORRUPT"));
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}));
  EXPECT_THAT(facts.gaps, SizeIs(SourceFacts::kMaxGaps));
  EXPECT_EQ(facts.gaps.back().what, "6 more");
}

TEST_F(LiveEtcdSourceTest, ReadsAsAUserWhoMayNotAskForTheStatusOrCountEverything) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  const grpc::Status denied(grpc::StatusCode::PERMISSION_DENIED, "etcdserver: permission denied");
  etcd.SetStatus(denied);
  etcd.FailAfter(1, [&](const RangeRequest&, RangeResponse&) { return denied; });
  KEKD_ASSERT_OK_AND_ASSIGN(const SourceFacts facts, Read({etcd.endpoint()}));
  EXPECT_THAT(keys_, SizeIs(3));
  EXPECT_THAT(facts.gaps, ElementsAre(GapIs("number of keys outside", "grant a role")));
}

TEST_F(LiveEtcdSourceTest, AsksForACertificateWhereAuthenticationIsEnabled) {
  FakeEtcd etcd;
  etcd.FailAfter(0, [](const RangeRequest&, RangeResponse&) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "etcdserver: user name is empty");
  });
  EXPECT_THAT(Read({etcd.endpoint()}),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       AllOf(HasSubstr(etcd.endpoint()), HasSubstr("client certificate"))));
}

TEST_F(LiveEtcdSourceTest, GivesTheReasonOfEachEndpoint) {
  FakeEtcd gone;
  gone.Stop();
  EXPECT_THAT(Read({gone.endpoint(), "http://127.0.0.1:1"}),
              StatusIs(absl::StatusCode::kUnavailable,
                       AllOf(HasSubstr(absl::StrCat(gone.endpoint(), ": nobody listens")),
                             HasSubstr("http://127.0.0.1:1: nobody listens"))));
}

TEST_F(LiveEtcdSourceTest, TheVisitorEndsTheReading) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  visit_status_ = absl::CancelledError("enough");
  EXPECT_THAT(Read({etcd.endpoint()}), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(keys_, SizeIs(1));
}

TEST_F(LiveEtcdSourceTest, GetFindsOneKeyAtARevision) {
  FakeEtcd etcd;
  Fill(etcd, 3);
  options_.endpoints = {etcd.endpoint()};
  KEKD_ASSERT_OK_AND_ASSIGN(const std::unique_ptr<EtcdClient> client,
                            EtcdClient::Create(options_, FileSystem::System()));
  KEKD_ASSERT_OK_AND_ASSIGN(const EtcdKeyValue object, client->Get("/registry/secrets/00001", 4));
  EXPECT_EQ(object.value, "value 1");
  EXPECT_EQ(object.mod_revision, 3);
  EXPECT_EQ(etcd.requests().back().revision(), 4);
  EXPECT_THAT(client->Get("/registry/nothing", 0), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace kekd::testing
