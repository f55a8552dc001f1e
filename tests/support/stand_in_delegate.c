/* A stand-in for libedgetpu: TFLite's external delegate, without a device. It claims no operator.

   RECORD  the file where it writes the options that it was given
   CRASH, HANG  in its constructor;  NO_DEVICE  it cannot be created;  TOO_OLD  it refuses a model
   NO_ENTRY  it is no delegate at all;  HANG_AT_END  when it is destroyed */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* As in tensorflow/lite/core/c/common.h. */
typedef struct Context {
  size_t tensors_size;
  void *get_execution_plan, *tensors, *impl, *resize_tensor;
  void (*report_error)(struct Context *, const char *, ...);
} Context;

typedef struct Delegate {
  void *data;
  int (*prepare)(Context *, struct Delegate *);
  void *copy_from_buffer_handle, *copy_to_buffer_handle, *free_buffer_handle;
  int64_t flags;
  void *opaque_builder;
} Delegate;

__attribute__((constructor)) static void load(void) {
  puts("{\"result\": \"a stray print on stdout\"}");
  fflush(stdout);
  fputs("the stand-in was loaded\n", stderr);
#ifdef CRASH
  raise(SIGSEGV);
#endif
#ifdef HANG
  for (;;) pause();
#endif
}

#ifndef NO_ENTRY
static int prepare(Context *context, Delegate *delegate) {
#ifdef TOO_OLD
  context->report_error(context, "Package requires runtime version (14), which is newer than "
                                 "this runtime version (13)");
  return 1;
#endif
  return 0;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count,
                                        void (*report_error)(const char *)) {
#ifdef RECORD
  FILE *record = fopen(RECORD, "w");
  for (size_t i = 0; i < count; i++) fprintf(record, "%s=%s\n", keys[i], values[i]);
  fprintf(record, "%zu options\n", count);
  fclose(record);
#endif
#ifdef NO_DEVICE
  return NULL;
#endif
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
#ifdef HANG_AT_END
  for (;;) pause();
#endif
  free(delegate);
}
#endif
