#pragma once

// The parts of the addon and what they share.

#include <napi.h>

// Constructors of one environment (the main thread or a worker): no state is shared between them.
struct AddonData {
  Napi::FunctionReference netlinkSocket;
  Napi::FunctionReference datagramSocket;
  Napi::FunctionReference fileLock;
};

void InitNetlinkSocket(Napi::Env env, Napi::Object exports, AddonData& data);
void InitDatagramSocket(Napi::Env env, Napi::Object exports, AddonData& data);
void InitInterface(Napi::Env env, Napi::Object exports);
void InitFileLock(Napi::Env env, Napi::Object exports, AddonData& data);
void InitProcessControl(Napi::Env env, Napi::Object exports);
