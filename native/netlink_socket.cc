// Netlink sockets: batched receive into a lent buffer, batched send. Knows nothing of messages.

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <napi.h>
#include <sys/socket.h>

#include "addon.h"
#include "arguments.h"
#include "file_descriptor.h"
#include "readiness.h"

namespace {

constexpr int kDatagramsPerCallMax = 1024;

// One netlink socket. Every method returns a value, or a negative errno; none throws.
class NetlinkSocket : public Napi::ObjectWrap<NetlinkSocket> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "NetlinkSocket",
        {InstanceAccessor<&NetlinkSocket::PortId>("portId"),
         InstanceMethod<&NetlinkSocket::Join>("join"),
         InstanceMethod<&NetlinkSocket::Leave>("leave"),
         InstanceMethod<&NetlinkSocket::SetOption>("setOption"),
         InstanceMethod<&NetlinkSocket::SetReceiveBuffer>("setReceiveBuffer"),
         InstanceMethod<&NetlinkSocket::SetSendBuffer>("setSendBuffer"),
         InstanceMethod<&NetlinkSocket::ReceiveBufferBytes>("receiveBufferBytes"),
         InstanceMethod<&NetlinkSocket::AttachFilter>("attachFilter"),
         InstanceMethod<&NetlinkSocket::Receive>("receive"),
         InstanceMethod<&NetlinkSocket::Send>("send"),
         InstanceMethod<&NetlinkSocket::Dropped>("dropped"),
         InstanceMethod<&NetlinkSocket::WhenReadable>("whenReadable"),
         InstanceMethod<&NetlinkSocket::Close>("close")});
  }

  explicit NetlinkSocket(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NetlinkSocket>(info) {}

  ~NetlinkSocket() override { Release(); }

  // 0, or a negative errno.
  int Open(int protocol) {
    FileDescriptor fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    if (!fd.valid()) return -errno;
    sockaddr_nl local{};
    local.nl_family = AF_NETLINK;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&local), sizeof(local)) < 0) return -errno;
    socklen_t length = sizeof(local);
    if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&local), &length) < 0) return -errno;
    port_id_ = local.nl_pid;
    fd_ = std::move(fd);
    return 0;
  }

 private:
  Napi::Value PortId(const Napi::CallbackInfo& info) { return Status(info, port_id_); }

  // join(group: number): 0 | -errno
  Napi::Value Join(const Napi::CallbackInfo& info) {
    return Membership(info, NETLINK_ADD_MEMBERSHIP);
  }

  // leave(group: number): 0 | -errno
  Napi::Value Leave(const Napi::CallbackInfo& info) {
    return Membership(info, NETLINK_DROP_MEMBERSHIP);
  }

  Napi::Value Membership(const Napi::CallbackInfo& info, int name) {
    int group = 0;
    if (!ReadInt(info[0], 0, INT_MAX, group)) return Status(info, -EINVAL);
    return Status(info, SetInt(SOL_NETLINK, name, group));
  }

  // setOption(level: number, name: number, value: number): 0 | -errno
  Napi::Value SetOption(const Napi::CallbackInfo& info) {
    int level = 0;
    int name = 0;
    int value = 0;
    if (!ReadInt(info[0], 0, INT_MAX, level) || !ReadInt(info[1], 0, INT_MAX, name) ||
        !ReadInt(info[2], INT_MIN, INT_MAX, value)) {
      return Status(info, -EINVAL);
    }
    return Status(info, SetInt(level, name, value));
  }

  // setReceiveBuffer(bytes: number): 0 | -errno. The kernel stores twice the value.
  Napi::Value SetReceiveBuffer(const Napi::CallbackInfo& info) {
    return SetBuffer(info, SO_RCVBUFFORCE, SO_RCVBUF);
  }

  // setSendBuffer(bytes: number): 0 | -errno. The kernel stores twice the value.
  Napi::Value SetSendBuffer(const Napi::CallbackInfo& info) {
    return SetBuffer(info, SO_SNDBUFFORCE, SO_SNDBUF);
  }

  Napi::Value SetBuffer(const Napi::CallbackInfo& info, int forced, int plain) {
    int bytes = 0;
    if (!ReadInt(info[0], 0, INT_MAX, bytes)) return Status(info, -EINVAL);
    const int status = SetInt(SOL_SOCKET, forced, bytes);
    // Without CAP_NET_ADMIN the system's limit applies, silently: `receiveBufferBytes` tells.
    return Status(info, status == -EPERM ? SetInt(SOL_SOCKET, plain, bytes) : status);
  }

  // receiveBufferBytes(): bytes as the kernel accounts them (twice what was set) | -errno
  Napi::Value ReceiveBufferBytes(const Napi::CallbackInfo& info) {
    int bytes = 0;
    socklen_t length = sizeof(bytes);
    if (getsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, &length) < 0) {
      return Status(info, -errno);
    }
    return Status(info, bytes);
  }

  // attachFilter(program: Uint8Array): 0 | -errno. An array of struct sock_filter; it is copied.
  Napi::Value AttachFilter(const Napi::CallbackInfo& info) {
    Lent<uint8_t> program;
    if (!ReadBytes(info[0], program) || program.size == 0 ||
        program.size % sizeof(sock_filter) != 0 || program.size / sizeof(sock_filter) > USHRT_MAX) {
      return Status(info, -EINVAL);
    }
    // Copied because the caller's bytes need not be aligned for a struct.
    std::vector<sock_filter> instructions(program.size / sizeof(sock_filter));
    std::memcpy(instructions.data(), program.data, program.size);
    sock_fprog attach{};
    attach.len = static_cast<unsigned short>(instructions.size());
    attach.filter = instructions.data();
    const int status =
        setsockopt(fd_.get(), SOL_SOCKET, SO_ATTACH_FILTER, &attach, sizeof(attach));
    return Status(info, status < 0 ? -errno : 0);
  }

  // receive(buffer: Uint8Array, slotBytes: number, lengths: Int32Array, datagramsMax: number):
  // number of datagrams | -errno; -EAGAIN when there is nothing, -ENOBUFS when events were lost.
  // Datagram i begins at i * slotBytes. `lengths[i]` is negative when the datagram, of that many
  // bytes, did not fit its slot. What other processes sent us is thrown away here.
  Napi::Value Receive(const Napi::CallbackInfo& info) {
    Lent<uint8_t> buffer;
    Lent<int32_t> lengths;
    int slot_bytes = 0;
    int datagrams_max = 0;
    if (!ReadBytes(info[0], buffer) || !ReadInt(info[1], 1, INT_MAX, slot_bytes) ||
        !ReadInts(info[2], lengths) || !ReadInt(info[3], 1, INT_MAX, datagrams_max)) {
      return Status(info, -EINVAL);
    }
    const size_t slot = static_cast<size_t>(slot_bytes);
    size_t wanted = static_cast<size_t>(datagrams_max);
    if (wanted > kDatagramsPerCallMax) wanted = kDatagramsPerCallMax;
    if (wanted > lengths.size) wanted = lengths.size;
    if (wanted > buffer.size / slot) wanted = buffer.size / slot;
    if (wanted == 0) return Status(info, -EINVAL);
    Prepare(buffer.data, slot, wanted);
    for (;;) {
      const int received = recvmmsg(fd_.get(), headers_.data(), static_cast<unsigned>(wanted),
                                    MSG_DONTWAIT | MSG_TRUNC, nullptr);
      if (received < 0) {
        if (errno == EINTR) continue;
        return Status(info, -errno);
      }
      const int kept = Keep(buffer.data, slot, lengths.data, received);
      if (kept > 0) return Status(info, kept);
    }
  }

  // send(bytes: Uint8Array, length: number): bytes sent | -errno. The kernel carries out the
  // requests, all of them, before it returns.
  Napi::Value Send(const Napi::CallbackInfo& info) {
    Lent<uint8_t> bytes;
    int length = 0;
    if (!ReadBytes(info[0], bytes) || !ReadInt(info[1], 0, INT_MAX, length) ||
        static_cast<size_t>(length) > bytes.size) {
      return Status(info, -EINVAL);
    }
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    for (;;) {
      const ssize_t sent = sendto(fd_.get(), bytes.data, static_cast<size_t>(length), MSG_DONTWAIT,
                                  reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
      if (sent >= 0) return Status(info, sent);
      if (errno != EINTR) return Status(info, -errno);
    }
  }

  // dropped(): datagrams the kernel could not queue for us since the socket was opened | -errno
  Napi::Value Dropped(const Napi::CallbackInfo& info) {
    uint32_t memory[SK_MEMINFO_VARS]{};
    socklen_t length = sizeof(memory);
    if (getsockopt(fd_.get(), SOL_SOCKET, SO_MEMINFO, memory, &length) < 0) {
      return Status(info, -errno);
    }
    return Status(info, memory[SK_MEMINFO_DROPS]);
  }

  // whenReadable(ready: () => void): 0 | -errno
  Napi::Value WhenReadable(const Napi::CallbackInfo& info) {
    if (!info[0].IsFunction()) return Status(info, -EINVAL);
    if (!fd_.valid()) return Status(info, -EBADF);
    return Status(info, readiness_.Wait(info.Env(), fd_.get(), UV_READABLE,
                                        info.This().As<Napi::Object>(),
                                        info[0].As<Napi::Function>()));
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    Release();
    return Status(info, 0);
  }

  void Release() {
    readiness_.Close();
    fd_.reset();
  }

  int SetInt(int level, int name, int value) {
    return setsockopt(fd_.get(), level, name, &value, sizeof(value)) < 0 ? -errno : 0;
  }

  // Points the headers at the caller's slots. Filling them costs as much as receiving a few
  // datagrams, and callers lend the same buffer each time, so it is done only after a change. The
  // addresses are used only in calls that lent this buffer again.
  void Prepare(uint8_t* base, size_t slot, size_t wanted) {
    if (base == base_ && slot == slot_ && wanted <= headers_.size()) return;
    headers_.assign(wanted, mmsghdr{});
    parts_.resize(wanted);
    senders_.resize(wanted);
    for (size_t i = 0; i < wanted; i++) {
      parts_[i] = iovec{base + i * slot, slot};
      headers_[i].msg_hdr.msg_name = &senders_[i];
      headers_[i].msg_hdr.msg_namelen = sizeof(sockaddr_nl);
      headers_[i].msg_hdr.msg_iov = &parts_[i];
      headers_[i].msg_hdr.msg_iovlen = 1;
    }
    base_ = base;
    slot_ = slot;
  }

  // Writes the lengths and closes the gaps left by datagrams that did not come from the kernel.
  int Keep(uint8_t* base, size_t slot, int32_t* lengths, int received) {
    int kept = 0;
    for (int i = 0; i < received; i++) {
      const mmsghdr& header = headers_[static_cast<size_t>(i)];
      if (senders_[static_cast<size_t>(i)].nl_pid != 0) continue;
      const size_t length = header.msg_len;
      const bool truncated = (header.msg_hdr.msg_flags & MSG_TRUNC) != 0 || length > slot;
      if (kept != i) {
        std::memcpy(base + static_cast<size_t>(kept) * slot, base + static_cast<size_t>(i) * slot,
                    truncated ? slot : length);
      }
      lengths[kept++] = truncated ? -static_cast<int32_t>(length) : static_cast<int32_t>(length);
    }
    return kept;
  }

  FileDescriptor fd_;
  Readiness readiness_;
  uint32_t port_id_ = 0;
  uint8_t* base_ = nullptr;
  size_t slot_ = 0;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> parts_;
  std::vector<sockaddr_nl> senders_;
};

// openNetlink(protocol: number): NetlinkSocket | -errno
Napi::Value OpenNetlink(const Napi::CallbackInfo& info) {
  int protocol = 0;
  if (!ReadInt(info[0], 0, INT_MAX, protocol)) return Status(info, -EINVAL);
  const Napi::Env env = info.Env();
  const Napi::Object handle = env.GetInstanceData<AddonData>()->netlinkSocket.New({});
  const int status = NetlinkSocket::Unwrap(handle)->Open(protocol);
  if (status < 0) return Status(info, status);
  return handle;
}

}  // namespace

void InitNetlinkSocket(Napi::Env env, Napi::Object exports, AddonData& data) {
  data.netlinkSocket = Napi::Persistent(NetlinkSocket::Define(env));
  exports.Set("openNetlink", Napi::Function::New<OpenNetlink>(env, "openNetlink"));
}
