#pragma once

#include <cerrno>

#include <napi.h>
#include <uv.h>

// Owns a uv_poll_t: calls a JavaScript function once when a descriptor is readable, then stays
// silent until it is asked again.
//
// libuv frees a handle only after a turn of its loop, so the handle lives in a `Handle` of its own
// that outlives us until then. A worker that ends with an open handle would abort the process:
// each handle therefore registers an asynchronous clean-up hook of its environment.
class Readiness {
 public:
  Readiness() = default;
  ~Readiness() { Close(); }

  Readiness(const Readiness&) = delete;
  Readiness& operator=(const Readiness&) = delete;

  // `events` is a mask of UV_READABLE and UV_WRITABLE. `keep`, the JavaScript object that owns the
  // descriptor, is protected from garbage collection while we wait. 0, or a negative errno.
  int Wait(Napi::Env env, int fd, int events, Napi::Object keep, Napi::Function ready) {
    if (handle_ == nullptr) {
      const int opened = Open(env, fd);
      if (opened < 0) return opened;
    }
    const int started = uv_poll_start(&handle_->poll, events, &Readiness::OnEvent);
    if (started < 0) return started;
    ready_ = Napi::Persistent(ready);
    keep_ = Napi::Persistent(keep);
    return 0;
  }

  // Must be called before the descriptor is closed.
  void Close() {
    Forget();
    if (handle_ == nullptr) return;
    Handle* handle = handle_;
    handle_ = nullptr;
    handle->owner = nullptr;
    CloseHandle(handle);
  }

 private:
  struct Handle {
    uv_poll_t poll{};
    Readiness* owner = nullptr;
    napi_async_cleanup_hook_handle hook = nullptr;
  };

  int Open(Napi::Env env, int fd) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return -ENOSYS;
    Handle* handle = new Handle();
    const int initialised = uv_poll_init(loop, &handle->poll, fd);
    if (initialised < 0) {
      delete handle;
      return initialised;
    }
    handle->poll.data = handle;
    handle->owner = this;
    env_ = env;
    handle_ = handle;
    const napi_status hooked =
        napi_add_async_cleanup_hook(env, &Readiness::OnEnvironmentEnd, handle, &handle->hook);
    if (hooked != napi_ok) {
      Close();
      return -ENOMEM;
    }
    return 0;
  }

  void Forget() {
    ready_.Reset();
    keep_.Reset();
  }

  static void CloseHandle(Handle* handle) {
    uv_handle_t* base = reinterpret_cast<uv_handle_t*>(&handle->poll);
    if (uv_is_closing(base)) return;
    uv_close(base, [](uv_handle_t* closed) {
      Handle* done = static_cast<Handle*>(closed->data);
      if (done->hook != nullptr) napi_remove_async_cleanup_hook(done->hook);
      delete done;
    });
  }

  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
    Handle* handle = static_cast<Handle*>(data);
    if (handle->owner != nullptr) {
      handle->owner->Close();
    } else {
      CloseHandle(handle);
    }
  }

  static void OnEvent(uv_poll_t* poll, int, int) {
    // An error is readiness too: the read that follows reports it.
    uv_poll_stop(poll);
    Readiness* self = static_cast<Handle*>(poll->data)->owner;
    if (self == nullptr || self->ready_.IsEmpty()) return;
    const Napi::Env env(self->env_);
    Napi::HandleScope scope(env);
    // `self` may be gone when the function returns, so everything needed is taken out first.
    const Napi::Function ready = self->ready_.Value();
    const Napi::Object receiver = self->keep_.Value();
    self->Forget();
    ready.MakeCallback(receiver, 0, nullptr, nullptr);
    if (env.IsExceptionPending()) {
      napi_value exception;
      if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
        napi_fatal_exception(env, exception);
      }
    }
  }

  napi_env env_ = nullptr;
  Handle* handle_ = nullptr;
  Napi::FunctionReference ready_;
  Napi::ObjectReference keep_;
};
