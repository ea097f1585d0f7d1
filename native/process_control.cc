// Process controls that Node does not offer: scheduling, the service manager, the system log.

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include <napi.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "file_descriptor.h"

namespace {

bool ReadPolicy(const Napi::Value& value, int& out) {
  std::string name;
  if (!ReadString(value, name)) return false;
  if (name == "rr") {
    out = SCHED_RR;
  } else if (name == "fifo") {
    out = SCHED_FIFO;
  } else if (name == "other") {
    out = SCHED_OTHER;
  } else {
    return false;
  }
  return true;
}

// setScheduler(policy: "rr" | "fifo" | "other", priority: number): 0 | -errno. For the thread that
// calls, which is the one that does the work.
Napi::Value SetScheduler(const Napi::CallbackInfo& info) {
  int policy = 0;
  sched_param parameters{};
  if (!ReadPolicy(info[0], policy) ||
      !ReadInt(info[1], INT_MIN, INT_MAX, parameters.sched_priority)) {
    return Status(info, -EINVAL);
  }
  return Status(info, sched_setscheduler(0, policy, &parameters) < 0 ? -errno : 0);
}

// schedulerMaxPriority(policy): highest priority of the policy | -errno
Napi::Value SchedulerMaxPriority(const Napi::CallbackInfo& info) {
  int policy = 0;
  if (!ReadPolicy(info[0], policy)) return Status(info, -EINVAL);
  const int priority = sched_get_priority_max(policy);
  return Status(info, priority < 0 ? -errno : priority);
}

// setNice(value: number): 0 | -errno. For the thread that calls.
Napi::Value SetNice(const Napi::CallbackInfo& info) {
  int value = 0;
  if (!ReadInt(info[0], INT_MIN, INT_MAX, value)) return Status(info, -EINVAL);
  return Status(info, setpriority(PRIO_PROCESS, 0, value) < 0 ? -errno : 0);
}

// Sends `text` to the Unix socket `path`; a leading '@' is the abstract name space. 0 | -errno
int SendToUnix(const std::string& path, int type, const std::string& text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return -EINVAL;
  std::memcpy(address.sun_path, path.data(), path.size());
  socklen_t length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path[0] == '@') {
    address.sun_path[0] = '\0';
  } else {
    length += 1;  // The terminating zero belongs to the name of a file.
  }
  const FileDescriptor fd(socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return -errno;
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), length) < 0) return -errno;
  const ssize_t sent = send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return sent < 0 ? -errno : 0;
}

// notifyServiceManager(state: string): 1 when told, 0 when there is no service manager | -errno
Napi::Value NotifyServiceManager(const Napi::CallbackInfo& info) {
  std::string state;
  if (!ReadString(info[0], state)) return Status(info, -EINVAL);
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || path[0] == '\0') return Status(info, 0);
  if (path[0] != '/' && path[0] != '@') return Status(info, -EAFNOSUPPORT);
  const int status = SendToUnix(path, SOCK_DGRAM, state);
  return Status(info, status < 0 ? status : 1);
}

// syslog(facility: number, level: number, ident: string, line: string, path?: string): 0 | -errno.
// Written here and not by the C library, which keeps the identity in a static variable.
Napi::Value Syslog(const Napi::CallbackInfo& info) {
  int facility = 0;
  int level = 0;
  std::string ident;
  std::string line;
  std::string path = "/dev/log";
  if (!ReadInt(info[0], 0, 23, facility) || !ReadInt(info[1], 0, 7, level) ||
      !ReadString(info[2], ident) || !ReadString(info[3], line) ||
      (!info[4].IsUndefined() && !ReadString(info[4], path))) {
    return Status(info, -EINVAL);
  }
  const time_t now = time(nullptr);
  tm local{};
  char date[32]{};
  if (localtime_r(&now, &local) == nullptr ||
      std::strftime(date, sizeof(date), "%b %e %H:%M:%S", &local) == 0) {
    return Status(info, -EINVAL);
  }
  const std::string text = "<" + std::to_string(facility * 8 + level) + ">" + date + " " + ident +
                           "[" + std::to_string(getpid()) + "]: " + line;
  const int status = SendToUnix(path, SOCK_DGRAM, text);
  if (status != -EPROTOTYPE) return Status(info, status);
  // Some log daemons listen on a stream; there a zero ends the line.
  return Status(info, SendToUnix(path, SOCK_STREAM, text + '\0'));
}

}  // namespace

void InitProcessControl(Napi::Env env, Napi::Object exports) {
  exports.Set("setScheduler", Napi::Function::New<SetScheduler>(env, "setScheduler"));
  exports.Set("schedulerMaxPriority",
              Napi::Function::New<SchedulerMaxPriority>(env, "schedulerMaxPriority"));
  exports.Set("setNice", Napi::Function::New<SetNice>(env, "setNice"));
  exports.Set("notifyServiceManager",
              Napi::Function::New<NotifyServiceManager>(env, "notifyServiceManager"));
  exports.Set("syslog", Napi::Function::New<Syslog>(env, "syslog"));
}
