/* Runs an artifact without Python: artifact.h, made by header.py, says what is in it.
 *
 *     python examples/c_program/header.py DIR > artifact.h
 *     cc -O2 -I. $(python examples/c_program/header.py --flags) examples/c_program/run.c -o run
 *     ./run DIR input0.bin ... output0.bin ...
 *
 * Inputs and outputs are raw arrays in the order, shapes and types of the manifest. Besides the artifact it needs
 * libtvm_ffi and libtvm_runtime only. Exit code 1: an error, named on stderr.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <tvm/ffi/c_api.h>
#include <unistd.h>

#include "artifact.h" /* THREADS, FEATURES, INPUTS, OUTPUTS, WEIGHTS: see header.py */

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void fail(const char *what) {
  fprintf(stderr, "error: %s\n", what);
  exit(1);
}

static void check(int status, const char *what) {
  if (status == 0) return;
  TVMFFIObjectHandle error = NULL;
  TVMFFIErrorMoveFromRaised(&error);
  if (error != NULL) {
    TVMFFIErrorCell *cell = (TVMFFIErrorCell *)((char *)error + sizeof(TVMFFIObject));
    fprintf(stderr, "%.*s\n", (int)cell->message.size, cell->message.data);
  }
  fail(what);
}

static TVMFFIAny text(const char *value) {
  TVMFFIAny any = {.type_index = kTVMFFIRawStr};
  any.v_c_str = value;
  return any;
}

static TVMFFIAny integer(int64_t value) {
  TVMFFIAny any = {.type_index = kTVMFFIInt};
  any.v_int64 = value;
  return any;
}

static TVMFFIAny boolean(int value) {
  TVMFFIAny any = {.type_index = kTVMFFIBool};
  any.v_int64 = value;
  return any;
}

static TVMFFIAny call(TVMFFIObjectHandle function, TVMFFIAny *arguments, int count, const char *what) {
  TVMFFIAny result = {.type_index = kTVMFFINone};
  check(TVMFFIFunctionCall(function, arguments, count, &result), what);
  return result;
}

static TVMFFIObjectHandle global(const char *name) {
  TVMFFIByteArray bytes = {name, strlen(name)};
  TVMFFIObjectHandle function = NULL;
  check(TVMFFIFunctionGetGlobal(&bytes, &function), name);
  if (function == NULL) fail(name);
  return function;
}

/* A function of a module, by name. */
static TVMFFIObjectHandle member(TVMFFIAny module, const char *name) {
  TVMFFIAny arguments[] = {module, text(name), boolean(1)};
  TVMFFIAny found = call(global("ffi.ModuleGetFunction"), arguments, 3, name);
  if (found.type_index == kTVMFFINone) fail(name);
  return found.v_obj;
}

/* A tensor over memory that outlives it. */
static TVMFFIAny tensor(void *data, const Tensor *spec) {
  DLManagedTensor *managed = calloc(1, sizeof *managed); /* as long as the program */
  managed->dl_tensor.data = data;
  managed->dl_tensor.device = (DLDevice){kDLCPU, 0};
  managed->dl_tensor.ndim = spec->rank;
  managed->dl_tensor.dtype = (DLDataType){spec->code, spec->bits, 1};
  managed->dl_tensor.shape = (int64_t *)spec->shape;
  TVMFFIAny any = {.type_index = kTVMFFITensor};
  check(TVMFFITensorFromDLPack(managed, 1, 1, (TVMFFIObjectHandle *)&any.v_obj), "a tensor");
  return any;
}

static size_t bytes_of(const Tensor *spec) {
  size_t size = spec->bits / 8;
  for (int i = 0; i < spec->rank; i++) size *= (size_t)spec->shape[i];
  return size;
}

static void *aligned(size_t size) {
  void *memory = aligned_alloc(64, (size + 63) / 64 * 64);
  if (memory == NULL) fail("no memory");
  return memory;
}

static void read_file(const char *path, void *to, size_t size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fread(to, 1, size, file) != size || fgetc(file) != EOF) fail(path);
  fclose(file);
}

/* An artifact holds instructions that not every processor has: they are never run where one is missing. */
static void check_features(void) {
  static char line[1 << 16];
  FILE *file = fopen("/proc/cpuinfo", "r");
  if (file == NULL) fail("/proc/cpuinfo");
  while (fgets(line, sizeof line, file) != NULL && strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0) {
  }
  fclose(file);
  for (size_t i = 0; i < COUNT(FEATURES); i++) {
    char word[64];
    snprintf(word, sizeof word, " %s", FEATURES[i]);
    char *at = strstr(line, word);
    while (at != NULL && at[strlen(word)] > ' ') at = strstr(at + 1, word);
    if (at == NULL) {
      fprintf(stderr, "this processor lacks %s\n", FEATURES[i]);
      fail("the artifact was compiled for another processor");
    }
  }
}

/* Tile registers (AMX) need Linux's permission, once in a process. */
static void permit_tiles(void) {
#ifdef SYS_arch_prctl
  for (size_t i = 0; i < COUNT(FEATURES); i++) {
    if (strcmp(FEATURES[i], "amx_tile") == 0 && syscall(SYS_arch_prctl, 0x1023, 18) != 0) fail("arch_prctl");
  }
#endif
}

int main(int count, char **paths) {
  if (count != 2 + (int)(COUNT(INPUTS) + COUNT(OUTPUTS))) fail("usage: run DIR INPUT... OUTPUT...");
  check_features();
  permit_tiles();
  char library[4096], blob[4096];
  snprintf(library, sizeof library, "%s/" LIBRARY, paths[1]);
  snprintf(blob, sizeof blob, "%s/" WEIGHTS_FILE, paths[1]);

  TVMFFIAny load[] = {text(library)};
  TVMFFIAny module = call(global("ffi.ModuleLoadFromFile"), load, 1, library);
  TVMFFIAny machine = call(member(module, "vm_load_executable"), NULL, 0, "vm_load_executable");
  TVMFFIAny device[] = {integer(kDLCPU), integer(0), integer(2 /* pooled memory */)};
  call(member(machine, "vm_initialization"), device, 3, "vm_initialization");
  TVMFFIAny pool[] = {integer(1 /* big cores first */), integer(THREADS)};
  call(global("runtime.config_threadpool"), pool, 2, "runtime.config_threadpool");

  int file = open(blob, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) fail(blob);
  char *weights = mmap(NULL, (size_t)status.st_size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  if (weights == MAP_FAILED) fail(blob);
  if ((size_t)status.st_size != bytes_of(&WEIGHTS[0])) fail("the weights are not those of the header");
  static TVMFFIAny arguments[COUNT(INPUTS) + COUNT(WEIGHTS)];
  for (size_t i = 0; i < COUNT(INPUTS); i++) {
    void *memory = aligned(bytes_of(&INPUTS[i]));
    read_file(paths[2 + i], memory, bytes_of(&INPUTS[i]));
    arguments[i] = tensor(memory, &INPUTS[i]);
  }
  for (size_t i = 0; i < COUNT(WEIGHTS); i++) arguments[COUNT(INPUTS) + i] = tensor(weights + OFFSETS[i], &WEIGHTS[i]);

  TVMFFIAny results = call(member(machine, "main"), arguments, COUNT(arguments), "main");
  for (size_t i = 0; i < COUNT(OUTPUTS); i++) {
    TVMFFIAny place[] = {results, integer((int64_t)i)};
    TVMFFIAny result = call(global("ffi.ArrayGetItem"), place, 2, "an output");
    DLTensor *array = (DLTensor *)((char *)result.v_obj + sizeof(TVMFFIObject));
    FILE *out = fopen(paths[2 + COUNT(INPUTS) + i], "wb");
    size_t size = bytes_of(&OUTPUTS[i]);
    if (out == NULL || fwrite((char *)array->data + array->byte_offset, 1, size, out) != size || fclose(out) != 0)
      fail(paths[2 + COUNT(INPUTS) + i]);
  }
  return 0;
}
