// Facts about network interfaces that are needed before any netlink socket exists.

#include <cerrno>
#include <cstring>
#include <string>

#include <napi.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "addon.h"
#include "arguments.h"
#include "file_descriptor.h"

namespace {

// interfaceIndex(name: string): index | -errno
Napi::Value InterfaceIndex(const Napi::CallbackInfo& info) {
  std::string name;
  if (!ReadString(info[0], name)) return Status(info, -EINVAL);
  const unsigned index = if_nametoindex(name.c_str());
  return Status(info, index == 0 ? -static_cast<int64_t>(errno) : static_cast<int64_t>(index));
}

// interfaceMtu(name: string): bytes | -errno
Napi::Value InterfaceMtu(const Napi::CallbackInfo& info) {
  std::string name;
  ifreq request{};
  if (!ReadString(info[0], name) || name.empty() || name.size() >= sizeof(request.ifr_name)) {
    return Status(info, -EINVAL);
  }
  const FileDescriptor fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Status(info, -errno);
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  if (ioctl(fd.get(), SIOCGIFMTU, &request) < 0) return Status(info, -errno);
  return Status(info, request.ifr_mtu);
}

}  // namespace

void InitInterface(Napi::Env env, Napi::Object exports) {
  exports.Set("interfaceIndex", Napi::Function::New<InterfaceIndex>(env, "interfaceIndex"));
  exports.Set("interfaceMtu", Napi::Function::New<InterfaceMtu>(env, "interfaceMtu"));
}
