/* Runs kernels and functions of TVM from shared libraries on arrays from a file, for profiles: `runner JOB`.
 *
 * JOB is a file of commands, one a line:
 *
 *   arena FIRST BYTES            where all arrays and the stack lie, in hexadecimal
 *   array ADDRESS BYTES FILE|-   fill memory with a file, or with ones where there is none
 *   tensor BITS CODE LANES ADDRESS SIZE...
 *                                describe a tensor, by DLPack's type; they are numbered from 0
 *   library FILE                 use another library from now on
 *   empty                        a profile begins, with empty caches
 *   touch ADDRESS BYTES          read memory, so that it is in the caches
 *   stack END FIRST LAST         the end of the stack of the code, and memory for workspaces of TVM's functions
 *   kernel SYMBOL NUMBER...      call a kernel with numbers, addresses among them; the profile is of such calls
 *   function SYMBOL ARGUMENT...  call a function of TVM; tN is a tensor, iN a number
 *   profile                      the profile ends
 *   write ADDRESS BYTES FILE     write memory to a file
 *   done TEXT                    print the text: the job has come so far
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dlpack/dlpack.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tvm/ffi/c_api.h>

enum { MOST_WORDS = 96, MOST_TENSORS = 256, MOST_SIZES = 8, LINE_BYTES = 64 };

/* Calls a function with numbers on a stack of its own; what a profile counts is exactly that. */
int64_t call_on_stack(void *function, const int64_t *arguments, int64_t count, void *stack);
__asm__(
    ".text\n.global call_on_stack\n.type call_on_stack, %function\ncall_on_stack:\n"
    "  stp x29, x30, [sp, #-32]!\n  stp x19, x20, [sp, #16]\n  mov x29, sp\n  mov x19, sp\n"
    "  mov x16, x0\n  mov x17, x1\n  mov x20, x2\n"
    "  sub x9, x20, #8\n  cmp x9, #0\n  csel x9, x9, xzr, gt\n"      /* numbers for the stack */
    "  add x10, x9, #1\n  bic x10, x10, #1\n  sub x3, x3, x10, lsl #3\n  mov sp, x3\n"
    "  add x11, x17, #64\n"
    "1: cbz x9, 2f\n  ldr x12, [x11], #8\n  str x12, [x3], #8\n  sub x9, x9, #1\n  b 1b\n"
    "2: ldp x0, x1, [x17]\n  ldp x2, x3, [x17, #16]\n  ldp x4, x5, [x17, #32]\n  ldp x6, x7, [x17, #48]\n"
    "  hint #92\n  blr x16\n  hint #93\n"
    "  mov sp, x19\n  ldp x19, x20, [sp, #16]\n  ldp x29, x30, [sp], #32\n  ret\n"
    ".size call_on_stack, .-call_on_stack\n");

static void begin_profile(void) { __asm__ volatile("hint #90" ::: "memory"); }

static void end_profile(void) { __asm__ volatile("hint #94" ::: "memory"); }

/* Read a byte of each line, and nothing else, while the caches are simulated. */
static void touch(const char *memory, int64_t bytes) {
  const char *end = memory + bytes;
  __asm__ volatile(
      "  hint #91\n1: cmp %0, %1\n  b.hs 2f\n  ldrb w9, [%0], %2\n  b 1b\n2: hint #93\n"
      : "+r"(memory)
      : "r"(end), "i"(LINE_BYTES)
      : "x9", "cc", "memory");
}

static void fail(const char *what, const char *which) {
  fprintf(stderr, "%s: %s\n", what, which);
  exit(3);
}

/* What TVM's functions ask of its runtime. */
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
  fprintf(stderr, "%s: ", kind);
  for (int32_t i = 0; i < count; i++) fputs(parts[i] ? parts[i] : "", stderr);
  fputc('\n', stderr);
}

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message) {
  fprintf(stderr, "%s: %s\n", kind, message);
}

static int64_t scratch, scratch_first;

static void *allocate(int device, int number, uint64_t bytes, int code, int bits) {
  (void)device, (void)number, (void)code, (void)bits;
  scratch -= (int64_t)((bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES);
  if (scratch < scratch_first) fail("no room for a workspace", "TVM");
  return (void *)scratch;
}

static int release(int device, int number, void *memory) {
  (void)device, (void)number, (void)memory;
  return 0;
}

typedef struct { void *handle; int32_t tasks; } Environment;

static int launch(int (*task)(int, Environment *, void *), void *data, int tasks) {
  (void)tasks;
  Environment alone = {NULL, 1};
  return task(0, &alone, data);
}

static void provide(void *library, const char *name, void *function) {
  void **place = dlsym(library, name);
  if (place) *place = function;
}

static void *open_library(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) fail("cannot load", dlerror());
  provide(library, "__TVMBackendAllocWorkspace", allocate);
  provide(library, "__TVMBackendFreeWorkspace", release);
  provide(library, "__TVMBackendParallelLaunch", launch);
  return library;
}

static void *find(void *library, const char *prefix, const char *symbol) {
  char name[512];
  snprintf(name, sizeof name, "%s%s", prefix, symbol);
  void *function = library ? dlsym(library, name) : NULL;
  if (!function) fail("there is no function", name);
  return function;
}

static int64_t number(const char *text) { return strtoll(text, NULL, 0); }

static FILE *open_file(const char *name, const char *mode) {
  FILE *file = fopen(name, mode);
  if (!file) fail("cannot open", name);
  return file;
}

static DLTensor tensors[MOST_TENSORS];
static int64_t sizes[MOST_TENSORS][MOST_SIZES], strides[MOST_TENSORS][MOST_SIZES];
static int tensor_count;

static void describe(char **words, int count) {
  DLTensor *tensor = &tensors[tensor_count];
  int dimensions = count - 5;
  if (tensor_count == MOST_TENSORS || dimensions > MOST_SIZES) fail("too many", "tensors");
  memset(tensor, 0, sizeof *tensor);
  tensor->dtype.bits = number(words[1]);
  tensor->dtype.code = number(words[2]);
  tensor->dtype.lanes = number(words[3]);
  tensor->data = (void *)number(words[4]);
  tensor->device.device_type = kDLCPU;
  tensor->ndim = dimensions;
  for (int i = 0; i < dimensions; i++) sizes[tensor_count][i] = number(words[5 + i]);
  int64_t stride = 1;
  for (int i = dimensions - 1; i >= 0; i--) {
    strides[tensor_count][i] = stride;
    stride *= sizes[tensor_count][i];
  }
  tensor->shape = sizes[tensor_count];
  tensor->strides = strides[tensor_count];
  tensor_count++;
}

int main(int count, char **given) {
  if (count != 2) fail("usage", "runner JOB");
  FILE *job = open_file(given[1], "r");
  char *line = NULL, *words[MOST_WORDS];
  size_t room = 0;
  void *library = NULL;
  char *stack = NULL;
  while (getline(&line, &room, job) > 0) {
    int n = 0;
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
      if (n == MOST_WORDS) fail("too many words", words[0]);
      words[n++] = word;
    }
    if (n == 0) continue;
    const char *command = words[0];
    if (!strcmp(command, "arena")) {
      void *wanted = (void *)number(words[1]);
      void *found = mmap(wanted, number(words[2]), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
      if (found != wanted) fail("no memory at", words[1]);
    } else if (!strcmp(command, "array")) {
      char *memory = (char *)number(words[1]);
      size_t bytes = number(words[2]);
      if (!strcmp(words[3], "-")) {
        memset(memory, 0xff, bytes);
      } else {
        FILE *file = open_file(words[3], "rb");
        if (fread(memory, 1, bytes, file) != bytes) fail("too short", words[3]);
        fclose(file);
      }
    } else if (!strcmp(command, "tensor")) {
      describe(words, n);
    } else if (!strcmp(command, "library")) {
      library = open_library(words[1]);
      tensor_count = 0;
    } else if (!strcmp(command, "empty")) {
      begin_profile();
    } else if (!strcmp(command, "touch")) {
      touch((const char *)number(words[1]), number(words[2]));
    } else if (!strcmp(command, "stack")) {
      stack = (char *)number(words[1]);
      scratch_first = number(words[2]);
      scratch = number(words[3]);
    } else if (!strcmp(command, "profile")) {
      end_profile();
    } else if (!strcmp(command, "kernel")) {
      int64_t arguments[MOST_WORDS] = {0};
      for (int i = 2; i < n; i++) arguments[i - 2] = number(words[i]);
      if ((int32_t)call_on_stack(find(library, "", words[1]), arguments, n - 2, stack) != 0) fail("failed", words[1]);
    } else if (!strcmp(command, "function")) {
      TVMFFIAny arguments[MOST_WORDS], result;
      memset(arguments, 0, sizeof arguments);
      memset(&result, 0, sizeof result);
      for (int i = 2; i < n; i++) {
        TVMFFIAny *argument = &arguments[i - 2];
        argument->type_index = words[i][0] == 't' ? kTVMFFIDLTensorPtr : kTVMFFIInt;
        if (words[i][0] == 't')
          argument->v_ptr = &tensors[number(words[i] + 1)];
        else
          argument->v_int64 = number(words[i] + 1);
      }
      int64_t call[8] = {0, (int64_t)arguments, n - 2, (int64_t)&result};
      if ((int32_t)call_on_stack(find(library, "__tvm_ffi_", words[1]), call, 4, stack) != 0) fail("failed", words[1]);
    } else if (!strcmp(command, "write")) {
      FILE *file = open_file(words[3], "wb");
      if (fwrite((void *)number(words[1]), 1, number(words[2]), file) != (size_t)number(words[2]) || fclose(file))
        fail("cannot write", words[3]);
    } else if (!strcmp(command, "done")) {
      puts(words[1]);
      fflush(stdout);
    } else {
      fail("not understood", command);
    }
  }
  return 0;
}
