// A lock file that cannot go stale: the kernel releases the lock when its owner ends, however it
// ends. The process id inside the file is for people, and for `lockOwner` to name the owner.

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string>
#include <utility>

#include <fcntl.h>
#include <napi.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addon.h"
#include "arguments.h"
#include "file_descriptor.h"

namespace {

constexpr int kAttemptsMax = 16;

// Locks of an open file description, not of a process: those would be dropped as soon as anything
// in this process, Node's own file functions included, closed another descriptor of the file.
struct flock WholeFile(short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

// Is `fd` still the file that `path` names? The previous owner may have removed it meanwhile.
bool IsStillNamed(const FileDescriptor& fd, const std::string& path) {
  struct stat opened{};
  struct stat named{};
  return fstat(fd.get(), &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

int WriteOwner(const FileDescriptor& fd) {
  const std::string text = std::to_string(getpid()) + "\n";
  if (ftruncate(fd.get(), 0) < 0) return -errno;
  const ssize_t written = pwrite(fd.get(), text.data(), text.size(), 0);
  if (written < 0) return -errno;
  return static_cast<size_t>(written) == text.size() ? 0 : -EIO;
}

// 0 and the locked file in `out`, or a negative errno; -EAGAIN when another process holds it.
int Lock(const std::string& path, FileDescriptor& out) {
  for (int attempt = 0; attempt < kAttemptsMax; attempt++) {
    // Lock directories are often writable by everyone: never follow a link somebody left there.
    FileDescriptor fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd.valid()) return -errno;
    struct flock lock = WholeFile(F_WRLCK);
    if (fcntl(fd.get(), F_OFD_SETLK, &lock) < 0) return errno == EACCES ? -EAGAIN : -errno;
    if (!IsStillNamed(fd, path)) continue;
    const int written = WriteOwner(fd);
    if (written < 0) return written;
    out = std::move(fd);
    return 0;
  }
  return -EAGAIN;
}

// The lock, held until `unlock`, or until this object is collected or the process ends.
class FileLock : public Napi::ObjectWrap<FileLock> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "FileLock", {InstanceMethod<&FileLock::Unlock>("unlock")});
  }

  explicit FileLock(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FileLock>(info) {}

  int Take(const std::string& path) { return Lock(path, fd_); }

 private:
  // unlock(): 0. Whoever removes the file does so before, while nobody else can have the lock.
  Napi::Value Unlock(const Napi::CallbackInfo& info) {
    fd_.reset();
    return Status(info, 0);
  }

  FileDescriptor fd_;
};

// lockFile(path: string): FileLock | -errno; -EAGAIN when another process holds it
Napi::Value LockFile(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadString(info[0], path)) return Status(info, -EINVAL);
  const Napi::Env env = info.Env();
  const Napi::Object handle = env.GetInstanceData<AddonData>()->fileLock.New({});
  const int status = FileLock::Unwrap(handle)->Take(path);
  if (status < 0) return Status(info, status);
  return handle;
}

// lockOwner(path: string): process id of the holder, 0 when nobody holds the lock | -errno;
// -ESRCH when it is held and the file does not say by whom
Napi::Value LockOwner(const Napi::CallbackInfo& info) {
  std::string path;
  if (!ReadString(info[0], path)) return Status(info, -EINVAL);
  const FileDescriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return Status(info, -errno);
  struct flock lock = WholeFile(F_WRLCK);
  if (fcntl(fd.get(), F_OFD_GETLK, &lock) < 0) return Status(info, -errno);
  if (lock.l_type == F_UNLCK) return Status(info, 0);
  char text[16]{};
  const ssize_t length = pread(fd.get(), text, sizeof(text) - 1, 0);
  if (length < 0) return Status(info, -errno);
  char* end = nullptr;
  const long owner = std::strtol(text, &end, 10);
  const bool named = end != text && owner > 0 && owner <= INT_MAX;
  return Status(info, named ? owner : -ESRCH);
}

}  // namespace

void InitFileLock(Napi::Env env, Napi::Object exports, AddonData& data) {
  data.fileLock = Napi::Persistent(FileLock::Define(env));
  exports.Set("lockFile", Napi::Function::New<LockFile>(env, "lockFile"));
  exports.Set("lockOwner", Napi::Function::New<LockOwner>(env, "lockOwner"));
}
