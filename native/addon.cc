// Entry of the addon: puts the functions of its parts into one object.

#include <napi.h>

#include "addon.h"

namespace {

Napi::Object InitAll(Napi::Env env, Napi::Object exports) {
  AddonData* data = new AddonData();
  env.SetInstanceData(data);  // The environment owns it from here.
  InitNetlinkSocket(env, exports, *data);
  InitDatagramSocket(env, exports, *data);
  InitInterface(env, exports);
  InitFileLock(env, exports, *data);
  InitProcessControl(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(conntrackd_native, InitAll)
