#include "broker/http/http_server.h"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <thread>
#include <utility>

#include "base/listening.h"

namespace gregor {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

using Request = http::request<http::empty_body>;
using Response = http::response<http::string_body>;

HttpServer::Reply NotFound(const std::map<std::string, HttpServer::Handler>& handlers) {
  std::string body = "not found; there are:";
  for (const auto& [path, handler] : handlers) body += " " + path;
  return {404, "text/plain; charset=utf-8", body + "\n"};
}

class Connection;

// Shared with the connections: what they need of the server.
struct Shared {
  HttpServer::Options options;
  std::list<Connection*> connections;  // those that are open; what has done nothing longest first
};

bool IsTaken(http::verb method) { return method == http::verb::get || method == http::verb::head; }

HttpServer::Reply NotTaken() { return {405, "text/plain; charset=utf-8", "only GET and HEAD\n"}; }

HttpServer::Reply Answer(const Shared& shared, const Request& request) {
  if (!IsTaken(request.method())) return NotTaken();
  const std::string target(request.target());
  const auto handler = shared.options.handlers.find(target.substr(0, target.find('?')));
  return handler == shared.options.handlers.end() ? NotFound(shared.options.handlers)
                                                  : handler->second();
}

// One connection; keeps itself alive by the operation that is pending.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<Shared> shared)
      : stream_(std::move(socket)), shared_(std::move(shared)), buffer_(2 * kHeaderBytesMax) {
    place_ = shared_->connections.insert(shared_->connections.end(), this);
  }
  ~Connection() {
    if (!is_closed_) shared_->connections.erase(place_);
  }

  // Whether it waits for a request, or for the rest of one.
  bool is_waiting() const { return is_waiting_; }

  // Makes room for another one. What is pending ends with an error.
  void Close() {
    shared_->connections.erase(place_);
    is_closed_ = true;
    stream_.close();
  }

  void Read() {
    SetWaiting(true);
    parser_.emplace();
    parser_->header_limit(kHeaderBytesMax);
    parser_->body_limit(0);
    // For the whole request: a client that sends a byte a second does not hold the connection
    // longer.
    stream_.expires_after(shared_->options.idle_timeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, size_t) { self->OnRead(error); });
  }

 private:
  static constexpr uint32_t kHeaderBytesMax = 8192;

  void SetWaiting(bool is_waiting) {
    is_waiting_ = is_waiting;
    auto& all = shared_->connections;
    if (!is_closed_) all.splice(all.end(), all, place_);
  }

  void OnRead(beast::error_code error) {
    if (error == http::error::end_of_stream || error == beast::error::timeout ||
        error == asio::error::operation_aborted || error == asio::error::connection_reset) {
      return Shutdown();
    }
    // A body that is too large is no matter where its method is not taken anyway.
    if (error == http::error::body_limit && !IsTaken(parser_->get().method()))
      return Write(NotTaken(), 11, false, true);
    if (error) {
      const int status = error == http::error::header_limit ? 431
                         : error == http::error::body_limit ? 413
                                                            : 400;
      return Write({status, "text/plain; charset=utf-8", error.message() + "\n"}, 11, false, true);
    }
    const Request& request = parser_->get();
    Write(Answer(*shared_, request), request.version(), request.method() == http::verb::head,
          !request.keep_alive());
  }

  void Write(HttpServer::Reply reply, unsigned version, bool head, bool close) {
    SetWaiting(false);
    response_ = Response();
    response_.version(version);
    response_.result(static_cast<unsigned>(reply.status));
    response_.set(http::field::content_type, reply.content_type);
    if (reply.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(!close);
    response_.content_length(reply.body.size());
    if (!head) response_.body() = std::move(reply.body);
    serializer_.emplace(response_);
    stream_.expires_after(shared_->options.idle_timeout);
    const auto done = [self = shared_from_this(), close](beast::error_code error, size_t) {
      if (error || close) return self->Shutdown();
      self->Read();
    };
    if (head) {
      http::async_write_header(stream_, *serializer_, done);
    } else {
      http::async_write(stream_, *serializer_, done);
    }
  }

  void Shutdown() {
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  beast::tcp_stream stream_;
  std::shared_ptr<Shared> shared_;
  std::list<Connection*>::iterator place_;
  bool is_waiting_ = true;
  bool is_closed_ = false;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  Response response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
};

class BeastServer : public HttpServer {
 public:
  explicit BeastServer(Options options)
      : acceptor_(context_), retry_(context_), shared_(std::make_shared<Shared>()) {
    shared_->options = std::move(options);
  }

  ~BeastServer() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> Listen() {
    const Options& options = shared_->options;
    const auto fail = [&](const beast::error_code& error) {
      return CannotListen({options.host, options.port, "HTTP", "--http-listen"}, error.message());
    };
    beast::error_code error;
    tcp::resolver resolver(context_);
    const auto found =
        resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
    if (error || found.empty()) return fail(error);
    const tcp::endpoint endpoint = found.begin()->endpoint();
    if (acceptor_.open(endpoint.protocol(), error); error) return fail(error);
    if (acceptor_.set_option(asio::socket_base::reuse_address(true), error); error)
      return fail(error);
    if (acceptor_.bind(endpoint, error); error) return fail(error);
    if (acceptor_.listen(asio::socket_base::max_listen_connections, error); error)
      return fail(error);
    port_ = acceptor_.local_endpoint().port();
    Accept();
    thread_ = std::thread([this] {
      pthread_setname_np(pthread_self(), "http");
      context_.run();
    });
    return {};
  }

  uint16_t port() const override { return port_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) return AcceptLater();
      if (shared_->connections.size() >= shared_->options.connections_max) MakeRoom();
      std::make_shared<Connection>(std::move(socket), shared_)->Read();
      Accept();
    });
  }

  // Closes the connection that has waited longest for a request, else that whose answer has been
  // under way longest.
  void MakeRoom() {
    const auto& all = shared_->connections;
    const auto idle = std::find_if(all.begin(), all.end(), [](const Connection* connection) {
      return connection->is_waiting();
    });
    Connection* const closed = idle != all.end() ? *idle : all.front();
    closed->Close();
  }

  // Out of file descriptors, for instance: the next attempt comes a little later, not at once in a
  // circle.
  void AcceptLater() {
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([this](beast::error_code error) {
      if (!error) Accept();
    });
  }

  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::shared_ptr<Shared> shared_;
  uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Start(Options options) {
  auto server = std::make_unique<BeastServer>(std::move(options));
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace gregor
