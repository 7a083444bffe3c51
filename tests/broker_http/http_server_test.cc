#include "broker/http/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <thread>
#include <vector>

namespace gregor {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpServer::Options options = {}) {
    options.port = 0;
    options.handlers["/live"] = [] { return HttpServer::Reply{200, "text/plain", "alive\n"}; };
    options.handlers["/ready"] = [] { return HttpServer::Reply{503, "application/json", "{}"}; };
    auto server = HttpServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.error();
    server_ = std::move(*server);
  }
  tcp::socket Connect() {
    tcp::socket socket(context_);
    socket.connect({asio::ip::address_v4::loopback(), server_->port()});
    return socket;
  }
  // Sends `request` and returns all that comes until the server closes.
  std::string Exchange(const std::string& request) {
    tcp::socket socket = Connect();
    asio::write(socket, asio::buffer(request));
    return ReadAll(socket);
  }
  static std::string ReadAll(tcp::socket& socket) {
    std::string answer;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(answer), error);
    return answer;
  }

  std::unique_ptr<HttpServer> server_;
  asio::io_context context_;
};

TEST_F(HttpServerTest, AnswersKnownPathsWithTheirStatus) {
  Start();
  const std::string live = Exchange("GET /live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(live, StartsWith("HTTP/1.1 200 OK"));
  EXPECT_THAT(live, HasSubstr("\r\n\r\nalive\n"));
  EXPECT_THAT(Exchange("GET /ready?x=1 HTTP/1.1\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 503"));
}

TEST_F(HttpServerTest, KeepsTheConnectionForTheNextRequest) {
  Start();
  const std::string both =
      Exchange("GET /live HTTP/1.1\r\n\r\nGET /live HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_NE(both.find("alive"), both.rfind("alive"));
}

TEST_F(HttpServerTest, HeadGivesTheLengthWithoutTheBody) {
  Start();
  const std::string head = Exchange("HEAD /live HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 6"));
  EXPECT_THAT(head, Not(HasSubstr("alive")));
}

TEST_F(HttpServerTest, SaysWhatThereIsAndWhatItTakes) {
  Start();
  const std::string missing = Exchange("GET /nothing HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(missing, StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(missing, HasSubstr("/live"));
  const std::string post = Exchange("DELETE /live HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(post, StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(post, HasSubstr("Allow: GET, HEAD"));
}

TEST_F(HttpServerTest, RefusesWhatIsNotHttpOrTooLarge) {
  Start();
  EXPECT_THAT(Exchange("not http at all\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Exchange("GET /live HTTP/1.1\r\nA: " + std::string(9000, 'a')),
              StartsWith("HTTP/1.1 4"));
  EXPECT_THAT(Exchange("GET /live HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(HttpServerTest, WhatMethodsItTakesIsSaidBeforeTheBodyMatters) {
  Start();
  for (const std::string body : {"Content-Length: 5\r\n\r\nhello",
                                 "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}) {
    const std::string answer = Exchange("POST /live HTTP/1.1\r\n" + body);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405")) << body;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD"));
  }
}

TEST_F(HttpServerTest, ClosesAConnectionWhoseRequestNeverEnds) {
  HttpServer::Options options;
  options.idle_timeout = std::chrono::milliseconds(50);
  Start(std::move(options));
  tcp::socket slow = Connect();
  asio::write(slow, asio::buffer(std::string("GET /live HT")));
  EXPECT_EQ(ReadAll(slow), "");
  EXPECT_THAT(Exchange("GET /live HTTP/1.1\r\nConnection: close\r\n\r\n"), HasSubstr("alive"));
}

TEST_F(HttpServerTest, BeyondItsLimitTheConnectionThatIsIdleLongestMakesRoom) {
  HttpServer::Options options;
  options.connections_max = 2;
  Start(std::move(options));
  const std::string request = "GET /live HTTP/1.1\r\n\r\n";
  const auto ask = [&](tcp::socket& socket) {
    boost::system::error_code error;
    std::string answer;
    asio::write(socket, asio::buffer(request), error);
    asio::read_until(socket, asio::dynamic_buffer(answer), "alive\n", error);
    return answer;
  };
  tcp::socket first = Connect();
  EXPECT_THAT(ask(first), HasSubstr("alive"));
  tcp::socket second = Connect();
  EXPECT_THAT(ask(second), HasSubstr("alive"));
  EXPECT_THAT(ask(first), HasSubstr("alive"));  // now the second one is idle longer
  tcp::socket third = Connect();
  EXPECT_THAT(ask(third), HasSubstr("alive"));
  EXPECT_EQ(ReadAll(second), "");
  EXPECT_THAT(ask(first), HasSubstr("alive"));
  // However many come and say nothing.
  std::vector<tcp::socket> silent;
  for (int i = 0; i < 10; ++i) silent.push_back(Connect());
  EXPECT_THAT(Exchange("GET /live HTTP/1.1\r\nConnection: close\r\n\r\n"), HasSubstr("alive"));
  EXPECT_EQ(ReadAll(silent.front()), "");
}

TEST_F(HttpServerTest, SaysThatAPortIsTaken) {
  Start();
  HttpServer::Options options;
  options.port = server_->port();
  EXPECT_THAT(HttpServer::Start(std::move(options)).error().message, HasSubstr("--http-listen"));
}

}  // namespace
}  // namespace gregor
