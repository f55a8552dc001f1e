"""What written sources use of TFLite Micro, as its headers declare it, and an echo in its place.

By tensorflow/tflite-micro at commit 90b983c. The echo's first outputs are its first inputs, so that
a program shows how it feeds and what it prints; that a model is computed is for the real library.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from prerequisites import skip_without

from edgekit.targets.tflm.operators import BUILTINS, CUSTOMS

_METHODS = "\n".join(
    f"  TfLiteStatus {name}() {{ return Count(); }}"
    for name in (*BUILTINS.values(), *CUSTOMS.values())
)
HEADERS = {
    "lite/core/c/common.h": """
#pragma once
#include <cstddef>
#include <cstdint>
typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef union TfLitePtrUnion { void* data; } TfLitePtrUnion;
typedef struct TfLiteTensor { TfLitePtrUnion data; size_t bytes; } TfLiteTensor;
""",
    "lite/schema/schema_generated.h": """
#pragma once
#include <cstdint>
#define TFLITE_SCHEMA_VERSION 3
namespace tflite {
struct Model { uint32_t version() const { return 3; } };
inline const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }
}
""",
    "lite/micro/micro_op_resolver.h": """
#pragma once
namespace tflite { class MicroOpResolver { public: virtual ~MicroOpResolver() {} }; }
""",
    "lite/micro/micro_mutable_op_resolver.h": f"""
#pragma once
#include "tensorflow/lite/core/c/common.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
namespace tflite {{
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {{
 public:
{_METHODS}
 private:
  TfLiteStatus Count() {{ return ++count_ > tOpCount ? kTfLiteError : kTfLiteOk; }}
  unsigned int count_ = 0;
}};
}}
""",
    "lite/micro/micro_log.h": """
#pragma once
void MicroPrintf(const char* format, ...) __attribute__((format(printf, 1, 2)));
""",
    "lite/micro/system_setup.h": """
#pragma once
namespace tflite { void InitializeTarget(); }
""",
    "lite/micro/micro_interpreter.h": """
#pragma once
#include "tensorflow/lite/core/c/common.h"
#include "tensorflow/lite/micro/micro_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"
namespace tflite {
template <class T> T* GetTensorData(TfLiteTensor* tensor) {
  return tensor != nullptr ? reinterpret_cast<T*>(tensor->data.data) : nullptr;
}
class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& op_resolver, uint8_t* tensor_arena,
                   size_t tensor_arena_size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t index);
  TfLiteTensor* output(size_t index);
  size_t arena_used_bytes() const;
};
}
""",
}
ECHO = """
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include "settings.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tensorflow/lite/micro/system_setup.h"
static edgekit::Input fed[edgekit::kImageSize];
static edgekit::Output given[edgekit::kClasses];
static TfLiteTensor in = {{fed}, sizeof fed}, out = {{given}, sizeof given};
void MicroPrintf(const char* format, ...) {
  va_list list;
  va_start(list, format);
  vprintf(format, list);
  va_end(list);
  printf("\\n");
}
namespace tflite {
void InitializeTarget() {}
MicroInterpreter::MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t*, size_t) {}
TfLiteStatus MicroInterpreter::AllocateTensors() { return kTfLiteOk; }
TfLiteStatus MicroInterpreter::Invoke() {
  for (int i = 0; i < edgekit::kClasses; ++i) given[i] = static_cast<edgekit::Output>(fed[i]);
  return kTfLiteOk;
}
TfLiteTensor* MicroInterpreter::input(size_t) { return &in; }
TfLiteTensor* MicroInterpreter::output(size_t) { return &out; }
size_t MicroInterpreter::arena_used_bytes() const { return 123; }
}
"""


def build(sources: Path, work: Path) -> Path:
    """Compiles written sources against the stub by their own Makefile; returns the program."""
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            skip_without(tool)
    for name, text in HEADERS.items():
        header = work / "tensorflow" / name
        header.parent.mkdir(parents=True, exist_ok=True)
        header.write_text(text)
    echo = work / "echo.cc"
    echo.write_text(ECHO)
    flags = "-O0 -Wall -Wextra -Werror -pedantic"
    compile_echo = ["g++", "-std=c++17", f"-I{sources}", f"-I{work}", "-c", echo, "-o"]
    subprocess.run([*compile_echo, work / "echo.o"], check=True)
    settings = [f"TFLM={work}", f"LIB={work / 'echo.o'}", f"CXXFLAGS={flags}"]
    subprocess.run(["make", "-s", *settings], cwd=sources, check=True)
    return sources / "classify"
