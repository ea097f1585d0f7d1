#pragma once

// Reads and checks what JavaScript passed. A wrong type or range is `false`, which every caller
// answers with -EINVAL: the boundary knows no exceptions.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <napi.h>

// Memory of a typed array, valid during the call only: JavaScript may move or free it afterwards.
template <typename Element>
struct Lent {
  Element* data = nullptr;
  size_t size = 0;
};

inline Napi::Value Status(const Napi::CallbackInfo& info, int64_t status) {
  return Napi::Number::New(info.Env(), static_cast<double>(status));
}

inline bool ReadInteger(const Napi::Value& value, int64_t min, int64_t max, int64_t& out) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  // The range test comes first: it also refuses NaN, which must not be converted.
  if (!(number >= static_cast<double>(min) && number <= static_cast<double>(max))) return false;
  if (number != std::trunc(number)) return false;
  out = static_cast<int64_t>(number);
  return true;
}

inline bool ReadInt(const Napi::Value& value, int min, int max, int& out) {
  int64_t wide = 0;
  if (!ReadInteger(value, min, max, wide)) return false;
  out = static_cast<int>(wide);
  return true;
}

// A string that the system can take: no zero byte inside.
inline bool ReadString(const Napi::Value& value, std::string& out) {
  if (!value.IsString()) return false;
  out = value.As<Napi::String>().Utf8Value();
  return out.find('\0') == std::string::npos;
}

template <typename Element>
bool ReadTyped(const Napi::Value& value, napi_typedarray_type wanted, Lent<Element>& out) {
  if (!value.IsTypedArray()) return false;
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  const napi_status status = napi_get_typedarray_info(value.Env(), value, &type, &length, &data,
                                                      nullptr, nullptr);
  if (status != napi_ok || type != wanted || data == nullptr) return false;
  out.data = static_cast<Element*>(data);
  out.size = length;
  return true;
}

inline bool ReadBytes(const Napi::Value& value, Lent<uint8_t>& out) {
  return ReadTyped(value, napi_uint8_array, out);
}

inline bool ReadInts(const Napi::Value& value, Lent<int32_t>& out) {
  return ReadTyped(value, napi_int32_array, out);
}
