// Links of the UDP family: two descriptors, a bound one that receives from anyone and one that
// sends from a port of its own, as peers written in C do. Batched both ways, with socket options
// that Node lacks.

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <linux/sock_diag.h>
#include <napi.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "addon.h"
#include "arguments.h"
#include "file_descriptor.h"
#include "readiness.h"

namespace {

constexpr size_t kBatch = 64;
constexpr size_t kDatagramBytesMax = 65536;
// A stride that is not a power of two: otherwise all slots would share the same few cache lines.
constexpr size_t kSlotBytes = kDatagramBytesMax + 1088;
constexpr int kSendPatienceMs = 20;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Settings of one link, read from the JavaScript object.
struct Options {
  bool ipv6 = false;
  bool multicast = false;
  bool checksum = true;
  uint16_t port = 0;
  unsigned interface_index = 0;
  std::string bind_address;
  std::string peer_address;
  int send_buffer_bytes = 0;
  int receive_buffer_bytes = 0;
};

bool ReadOptionalBytes(const Napi::Value& value, int& out) {
  return value.IsUndefined() || ReadInt(value, 0, INT_MAX, out);
}

// 0, or a negative errno: -EINVAL for a wrong type, -ENODEV for an unknown interface.
int ReadOptions(const Napi::Value& value, Options& out) {
  if (!value.IsObject()) return -EINVAL;
  const Napi::Object object = value.As<Napi::Object>();
  int family = 0;
  int port = 0;
  std::string interface_name;
  const Napi::Value multicast = object.Get("multicast");
  const Napi::Value checksum = object.Get("checksum");
  if (!ReadInt(object.Get("family"), 4, 6, family) || family == 5 ||
      !ReadInt(object.Get("port"), 0, USHRT_MAX, port) ||
      !ReadString(object.Get("bindAddress"), out.bind_address) ||
      !ReadString(object.Get("peerAddress"), out.peer_address) ||
      !ReadString(object.Get("interfaceName"), interface_name) || !multicast.IsBoolean() ||
      !checksum.IsBoolean() ||
      !ReadOptionalBytes(object.Get("sendBufferBytes"), out.send_buffer_bytes) ||
      !ReadOptionalBytes(object.Get("receiveBufferBytes"), out.receive_buffer_bytes)) {
    return -EINVAL;
  }
  out.ipv6 = family == 6;
  out.port = static_cast<uint16_t>(port);
  out.multicast = multicast.As<Napi::Boolean>().Value();
  out.checksum = checksum.As<Napi::Boolean>().Value();
  if (!interface_name.empty()) {
    out.interface_index = if_nametoindex(interface_name.c_str());
    if (out.interface_index == 0) return -errno;
  }
  return 0;
}

// An empty `text` is the unspecified address. The kernel looks at the scope only for link-local
// addresses, unicast or group.
bool ParseAddress(const std::string& text, const Options& options, uint16_t port, Address& out) {
  if (options.ipv6) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_scope_id = options.interface_index;
    if (!text.empty() && inet_pton(AF_INET6, text.c_str(), &address.sin6_addr) != 1) return false;
    std::memcpy(&out.storage, &address, sizeof(address));
    out.length = sizeof(address);
    return true;
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (!text.empty() && inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) return false;
  std::memcpy(&out.storage, &address, sizeof(address));
  out.length = sizeof(address);
  return true;
}

template <typename Value>
int SetOption(const FileDescriptor& fd, int level, int name, const Value& value) {
  return setsockopt(fd.get(), level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

in_addr Ipv4Of(const Address& address) {
  sockaddr_in in{};
  std::memcpy(&in, &address.storage, sizeof(in));
  return in.sin_addr;
}

in6_addr Ipv6Of(const Address& address) {
  sockaddr_in6 in{};
  std::memcpy(&in, &address.storage, sizeof(in));
  return in.sin6_addr;
}

// Which group, on which interface. Both the index and the address name the interface: the index
// decides, the address becomes the source of what we send.
ip_mreqn Ipv4Membership(const Address& group, const Address& local, unsigned index) {
  ip_mreqn membership{};
  membership.imr_multiaddr = Ipv4Of(group);
  membership.imr_address = Ipv4Of(local);
  membership.imr_ifindex = static_cast<int>(index);
  return membership;
}

FileDescriptor OpenUdp(const Options& options) {
  return FileDescriptor(socket(options.ipv6 ? AF_INET6 : AF_INET,
                               SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP));
}

// 0, or a negative errno.
int JoinGroup(const FileDescriptor& fd, const Options& options, const Address& group,
              const Address& local) {
  if (options.ipv6) {
    ipv6_mreq membership{};
    membership.ipv6mr_multiaddr = Ipv6Of(group);
    membership.ipv6mr_interface = options.interface_index;
    // Two links may use one group on two interfaces: each must hear only its own, and membership
    // alone does not tell them apart in IPv6. Before Linux 5.7 this needs a privilege we may lack;
    // then a link hears both, which is what always happened.
    SetOption(fd, SOL_SOCKET, SO_BINDTOIFINDEX, static_cast<int>(options.interface_index));
    return SetOption(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, membership);
  }
  const int off = 0;
  const int status = SetOption(fd, IPPROTO_IP, IP_MULTICAST_ALL, off);  // For the same reason.
  if (status < 0) return status;
  return SetOption(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP,
                   Ipv4Membership(group, local, options.interface_index));
}

// 0, or a negative errno. The hop limit of multicast stays 1, the kernel's default.
int AimAtGroup(const FileDescriptor& fd, const Options& options, const Address& group,
               const Address& local) {
  const int off = 0;
  if (options.ipv6) {
    const int status = SetOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, off);
    if (status < 0) return status;
    const int index = static_cast<int>(options.interface_index);
    return SetOption(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
  }
  const int status = SetOption(fd, IPPROTO_IP, IP_MULTICAST_LOOP, off);
  if (status < 0) return status;
  return SetOption(fd, IPPROTO_IP, IP_MULTICAST_IF,
                   Ipv4Membership(group, local, options.interface_index));
}

int64_t MonotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

// One link. Every method returns a value, or a negative errno; none throws.
class DatagramSocket : public Napi::ObjectWrap<DatagramSocket> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "DatagramSocket",
                       {InstanceMethod<&DatagramSocket::Receive>("receive"),
                        InstanceMethod<&DatagramSocket::Send>("send"),
                        InstanceMethod<&DatagramSocket::LastSendError>("lastSendError"),
                        InstanceMethod<&DatagramSocket::Dropped>("dropped"),
                        InstanceMethod<&DatagramSocket::LocalPort>("localPort"),
                        InstanceMethod<&DatagramSocket::WhenReadable>("whenReadable"),
                        InstanceMethod<&DatagramSocket::Close>("close")});
  }

  explicit DatagramSocket(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<DatagramSocket>(info) {}

  ~DatagramSocket() override { Release(); }

  // 0, or a negative errno.
  int Open(const Options& options) {
    Address local;
    Address bound;
    if (!ParseAddress(options.bind_address, options, options.port, local) ||
        options.peer_address.empty() ||
        !ParseAddress(options.peer_address, options, options.port, peer_)) {
      return -EINVAL;
    }
    // Bound to the group itself, so that unicast datagrams to the same port stay out.
    bound = options.multicast ? peer_ : local;

    FileDescriptor receiver = OpenUdp(options);
    if (!receiver.valid()) return -errno;
    const int on = 1;
    int status = SetOption(receiver, SOL_SOCKET, SO_REUSEADDR, on);
    if (status == 0 && options.ipv6) {
      status = SetOption(receiver, IPPROTO_IPV6, IPV6_V6ONLY, on);
    }
    if (status == 0 && options.receive_buffer_bytes > 0) {
      status = SetOption(receiver, SOL_SOCKET, SO_RCVBUFFORCE, options.receive_buffer_bytes);
    }
    if (status == 0 && bind(receiver.get(), bound.get(), bound.length) < 0) status = -errno;
    if (status == 0 && options.multicast) status = JoinGroup(receiver, options, peer_, local);
    if (status < 0) return status;

    FileDescriptor sender = OpenUdp(options);
    if (!sender.valid()) return -errno;
    if (!options.checksum) status = SetOption(sender, SOL_SOCKET, SO_NO_CHECK, on);
    if (status == 0 && options.send_buffer_bytes > 0) {
      status = SetOption(sender, SOL_SOCKET, SO_SNDBUFFORCE, options.send_buffer_bytes);
    }
    if (status == 0 && options.multicast) status = AimAtGroup(sender, options, peer_, local);
    if (status < 0) return status;

    slots_.reset(new (std::nothrow) uint8_t[kBatch * kSlotBytes]);
    if (slots_ == nullptr) return -ENOMEM;
    for (size_t i = 0; i < kBatch; i++) {
      received_parts_[i] = iovec{slots_.get() + i * kSlotBytes, kDatagramBytesMax};
      received_[i].msg_hdr.msg_iov = &received_parts_[i];
      received_[i].msg_hdr.msg_iovlen = 1;
      sent_[i].msg_hdr.msg_iov = &sent_parts_[i];
      sent_[i].msg_hdr.msg_iovlen = 1;
      // The sender is not connected: a connected one would report "port unreachable" of an absent
      // peer at the next send, and that send's datagram would be lost on top.
      sent_[i].msg_hdr.msg_name = &peer_.storage;
      sent_[i].msg_hdr.msg_namelen = peer_.length;
    }
    receiver_ = std::move(receiver);
    sender_ = std::move(sender);
    return 0;
  }

 private:
  // receive(buffer: Uint8Array, ends: Int32Array, datagramsMax: number): number of datagrams |
  // -errno; -EAGAIN when there is nothing. They lie back to back, `ends[i]` is where number i ends.
  // The buffer has at least 64 KiB, so that any datagram fits; what does not fit any more waits
  // here for the next call.
  Napi::Value Receive(const Napi::CallbackInfo& info) {
    Lent<uint8_t> buffer;
    Lent<int32_t> ends;
    int datagrams_max = 0;
    if (!ReadBytes(info[0], buffer) || !ReadInts(info[1], ends) ||
        !ReadInt(info[2], 1, INT_MAX, datagrams_max) || buffer.size < kDatagramBytesMax ||
        buffer.size > INT_MAX || ends.size == 0) {
      return Status(info, -EINVAL);
    }
    if (!receiver_.valid()) return Status(info, -EBADF);
    const size_t wanted = std::min(static_cast<size_t>(datagrams_max), ends.size);
    size_t count = 0;
    size_t end = 0;
    int status = -EAGAIN;
    while (count < wanted) {
      if (next_ == filled_) {
        const size_t batch = std::min(kBatch, wanted - count);
        status = Fill(batch);
        if (status <= 0) break;
      }
      const size_t length = received_[next_].msg_len;
      if (length > buffer.size - end) break;
      std::memcpy(buffer.data + end, slots_.get() + next_ * kSlotBytes, length);
      end += length;
      ends.data[count++] = static_cast<int32_t>(end);
      next_++;
      // A batch that came back short means an empty queue: asking again would only cost a call.
      if (next_ == filled_ && filled_ < asked_) break;
    }
    // An error after some datagrams is not lost: the socket either repeats it or has recovered.
    return Status(info, count > 0 ? static_cast<int64_t>(count) : status);
  }

  // Number of datagrams read into the slots, or a negative errno.
  int Fill(size_t batch) {
    next_ = filled_ = 0;
    asked_ = batch;
    int received = 0;
    do {
      received = recvmmsg(receiver_.get(), received_, static_cast<unsigned>(batch), MSG_DONTWAIT,
                          nullptr);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    filled_ = static_cast<size_t>(received);
    return received;
  }

  // send(buffer: Uint8Array, ends: Int32Array, count: number): datagrams accepted | -errno. Goes
  // on after a datagram that is refused; `lastSendError` says why. A full socket is given 20 ms to
  // drain, then the rest is given up.
  Napi::Value Send(const Napi::CallbackInfo& info) {
    Lent<uint8_t> buffer;
    Lent<int32_t> ends;
    int count_given = 0;
    if (!ReadBytes(info[0], buffer) || !ReadInts(info[1], ends) ||
        !ReadInt(info[2], 0, INT_MAX, count_given) ||
        static_cast<size_t>(count_given) > ends.size) {
      return Status(info, -EINVAL);
    }
    const size_t count = static_cast<size_t>(count_given);
    int32_t previous = 0;
    for (size_t i = 0; i < count; i++) {
      if (ends.data[i] < previous) return Status(info, -EINVAL);
      previous = ends.data[i];
    }
    if (static_cast<size_t>(previous) > buffer.size) return Status(info, -EINVAL);
    if (!sender_.valid()) return Status(info, -EBADF);

    last_send_error_ = 0;
    size_t accepted = 0;
    int64_t deadline_ms = -1;
    for (size_t first = 0; first < count;) {
      const size_t batch = std::min(kBatch, count - first);
      for (size_t i = 0; i < batch; i++) {
        const size_t at = first + i == 0 ? 0 : static_cast<size_t>(ends.data[first + i - 1]);
        const size_t end = static_cast<size_t>(ends.data[first + i]);
        sent_parts_[i] = iovec{buffer.data + at, end - at};
      }
      const int sent = sendmmsg(sender_.get(), sent_, static_cast<unsigned>(batch), MSG_DONTWAIT);
      if (sent > 0) {
        accepted += static_cast<size_t>(sent);
        first += static_cast<size_t>(sent);
        continue;
      }
      if (errno == EINTR) continue;
      last_send_error_ = errno;
      if (errno != EAGAIN) {
        first++;  // Only the first of a batch can be refused: the next call begins behind it.
        continue;
      }
      if (!WaitUntilWritable(deadline_ms)) break;
    }
    return Status(info, static_cast<int64_t>(accepted));
  }

  // False when the socket stayed full until `deadline_ms`, which the first call of a send sets.
  bool WaitUntilWritable(int64_t& deadline_ms) {
    const int64_t now_ms = MonotonicMs();
    if (deadline_ms < 0) deadline_ms = now_ms + kSendPatienceMs;
    if (now_ms >= deadline_ms) return false;
    pollfd waiting{sender_.get(), POLLOUT, 0};
    return poll(&waiting, 1, static_cast<int>(deadline_ms - now_ms)) > 0 || errno == EINTR;
  }

  // lastSendError(): errno of the last datagram that the last send could not place, or 0
  Napi::Value LastSendError(const Napi::CallbackInfo& info) {
    return Status(info, last_send_error_);
  }

  // dropped(): datagrams discarded for want of room, or with a wrong checksum | -errno
  Napi::Value Dropped(const Napi::CallbackInfo& info) {
    uint32_t memory[SK_MEMINFO_VARS]{};
    socklen_t length = sizeof(memory);
    if (getsockopt(receiver_.get(), SOL_SOCKET, SO_MEMINFO, memory, &length) < 0) {
      return Status(info, -errno);
    }
    return Status(info, memory[SK_MEMINFO_DROPS]);
  }

  // localPort(): port the receiver is bound to; the kernel's choice when the option was 0
  Napi::Value LocalPort(const Napi::CallbackInfo& info) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    if (getsockname(receiver_.get(), reinterpret_cast<sockaddr*>(&storage), &length) < 0) {
      return Status(info, -errno);
    }
    if (storage.ss_family == AF_INET6) {
      sockaddr_in6 in{};
      std::memcpy(&in, &storage, sizeof(in));
      return Status(info, ntohs(in.sin6_port));
    }
    sockaddr_in in{};
    std::memcpy(&in, &storage, sizeof(in));
    return Status(info, ntohs(in.sin_port));
  }

  // whenReadable(ready: () => void): 0 | -errno
  Napi::Value WhenReadable(const Napi::CallbackInfo& info) {
    if (!info[0].IsFunction()) return Status(info, -EINVAL);
    if (!receiver_.valid()) return Status(info, -EBADF);
    // Datagrams already taken from the kernel make us readable at once. The receiver never sends,
    // hence is always writable: waiting for that too is a call-back on the next turn.
    const int events = next_ < filled_ ? UV_READABLE | UV_WRITABLE : UV_READABLE;
    return Status(info, readiness_.Wait(info.Env(), receiver_.get(), events,
                                        info.This().As<Napi::Object>(),
                                        info[0].As<Napi::Function>()));
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    Release();
    return Status(info, 0);
  }

  void Release() {
    readiness_.Close();
    receiver_.reset();
    sender_.reset();
    slots_.reset();
    next_ = filled_ = 0;
  }

  FileDescriptor receiver_;
  FileDescriptor sender_;
  Readiness readiness_;
  Address peer_;
  int last_send_error_ = 0;
  // Slots of the largest datagram each. Pages that no datagram ever reached occupy no memory.
  std::unique_ptr<uint8_t[]> slots_;
  size_t next_ = 0;
  size_t filled_ = 0;
  size_t asked_ = 0;
  mmsghdr received_[kBatch]{};
  iovec received_parts_[kBatch]{};
  mmsghdr sent_[kBatch]{};
  iovec sent_parts_[kBatch]{};
};

// openDatagram(options: DatagramOptions): DatagramSocket | -errno
Napi::Value OpenDatagram(const Napi::CallbackInfo& info) {
  Options options;
  int status = ReadOptions(info[0], options);
  if (status < 0) return Status(info, status);
  const Napi::Env env = info.Env();
  const Napi::Object handle = env.GetInstanceData<AddonData>()->datagramSocket.New({});
  status = DatagramSocket::Unwrap(handle)->Open(options);
  if (status < 0) return Status(info, status);
  return handle;
}

}  // namespace

void InitDatagramSocket(Napi::Env env, Napi::Object exports, AddonData& data) {
  data.datagramSocket = Napi::Persistent(DatagramSocket::Define(env));
  exports.Set("openDatagram", Napi::Function::New<OpenDatagram>(env, "openDatagram"));
}
