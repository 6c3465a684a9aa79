/* TVM's RPC server without Python, for a board or for qemu-user: plain C against the C interface of tvm-ffi, and
 * libtvm_runtime.so, which has the loop that serves a session.
 *
 *   rpc_server FOLDER [--address A] [--port N] [--key KEY] [--once]
 *
 * It binds to the loopback interface unless told otherwise, and prints "port N" when it listens, "begin I" and "end I"
 * around session I. One session at a time: each is a process of its own with a folder of its own in FOLDER, so that a
 * crash ends the session and nothing else; with --once the only session is this process. A client that sends another key
 * is refused. "-timeout=S" behind the key, as TVM's client sends it, ends the session after so many seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tvm/ffi/c_api.h>
#include <unistd.h>

enum { MAGIC = 0xFF271, SUCCESS = MAGIC, MISMATCH = MAGIC + 2, LONGEST_KEY = 1000, HANDSHAKE_SECONDS = 10 };
enum { ONCE_SECONDS = 120 }; /* who has started a server for itself and has not come by then is gone */

static char folder[PATH_MAX];

static void fail(const char *what) {
  perror(what);
  exit(2);
}

/* Ends the process with the message of the error that TVM has raised, if a call has failed. */
static void check(int status, const char *what) {
  if (status == 0) return;
  TVMFFIObjectHandle error = NULL;
  TVMFFIErrorMoveFromRaised(&error);
  if (error != NULL) {
    TVMFFIErrorCell *cell = (TVMFFIErrorCell *)((char *)error + sizeof(TVMFFIObject));
    fprintf(stderr, "%s: %.*s: %.*s\n", what, (int)cell->kind.size, cell->kind.data, (int)cell->message.size,
            cell->message.data);
  }
  exit(3);
}

static TVMFFIObjectHandle global_function(const char *name) {
  TVMFFIByteArray text = {name, strlen(name)};
  TVMFFIObjectHandle function = NULL;
  check(TVMFFIFunctionGetGlobal(&text, &function), name);
  if (function == NULL) {
    fprintf(stderr, "TVM's runtime has no function %s\n", name);
    exit(3);
  }
  return function;
}

/* The path of a file of the session: the last part of the name that is given, in its folder. */
static int path_of(const TVMFFIAny *given, char *path) {
  TVMFFIByteArray name;
  if (given->type_index == kTVMFFISmallStr) {
    name.data = given->v_bytes;
    name.size = given->small_str_len;
  } else if (given->type_index == kTVMFFIRawStr) {
    name.data = given->v_c_str;
    name.size = strlen(given->v_c_str);
  } else if (given->type_index == kTVMFFIStr) {
    name = *(TVMFFIByteArray *)((char *)given->v_obj + sizeof(TVMFFIObject));
  } else {
    return -1;
  }
  for (size_t i = name.size; i > 0; i--) {
    if (name.data[i - 1] == '/') {
      name.data += i;
      name.size -= i;
      break;
    }
  }
  if (name.size == 0 || name.size > NAME_MAX || (name.size <= 2 && memcmp(name.data, "..", name.size) == 0)) return -1;
  return snprintf(path, PATH_MAX, "%s/%.*s", folder, (int)name.size, name.data) < PATH_MAX ? 0 : -1;
}

static int refuse(void) {
  TVMFFIErrorSetRaisedFromCStr("ValueError", "a name of a file in the session's folder is expected");
  return -1;
}

static int work_path(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {
  char path[PATH_MAX];
  if (count != 1 || path_of(arguments, path) != 0) return refuse();
  TVMFFIByteArray text = {path, strlen(path)};
  return TVMFFIStringFromByteArray(&text, result);
}

static int load_module(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {
  char path[PATH_MAX];
  if (count != 1 || path_of(arguments, path) != 0) return refuse();
  TVMFFIAny name;
  memset(&name, 0, sizeof name);
  name.type_index = kTVMFFIRawStr;
  name.v_c_str = path;
  return TVMFFIFunctionCall(global_function("ffi.ModuleLoadFromFile"), &name, 1, result);
}

/* What this processor is and how fast it runs: the text of the system's files, for the client to read. */
static int describe(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {
  static const char *files[] = {"/proc/cpuinfo", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
                                "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq",
                                "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "/proc/version"};
  static char text[1 << 16];
  /* the features as the system tells them to programs: under an emulator its files are about another processor */
  TVMFFIVersion version;
  TVMFFIGetVersion(&version);
  size_t used = snprintf(text, sizeof text, "hwcap %lx %lx %u.%u.%u\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2),
                         version.major, version.minor, version.patch);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    used += snprintf(text + used, sizeof text - used, "== %s\n", files[i]);
    FILE *file = fopen(files[i], "r");
    if (file == NULL) continue;
    size_t most = (sizeof text - used) / 2;
    used += fread(text + used, 1, most, file);
    fclose(file);
    if (used + 2 < sizeof text) text[used++] = '\n';
  }
  TVMFFIByteArray made = {text, used};
  return TVMFFIStringFromByteArray(&made, result);
}

static void define(const char *name, TVMFFISafeCallType function) {
  TVMFFIObjectHandle handle;
  TVMFFIByteArray text = {name, strlen(name)};
  check(TVMFFIFunctionCreate(NULL, function, NULL, &handle), name);
  check(TVMFFIFunctionSetGlobal(&text, handle, 1), name);
}

static int receive(int client, void *buffer, size_t size) {
  for (char *at = buffer; size > 0;) {
    ssize_t got = read(client, at, size);
    if (got <= 0) return -1;
    at += got;
    size -= got;
  }
  return 0;
}

static int answer(int client, int32_t code, const char *key) {
  int32_t size = strlen(key);
  if (write(client, &code, sizeof code) != sizeof code) return -1;
  if (code != SUCCESS) return 0;
  return write(client, &size, sizeof size) == sizeof size && write(client, key, size) == size ? 0 : -1;
}

/* Greets a client; returns the seconds that its session may take, 0 for no end, or -1 when there is none. */
static double greet(int client, const char *key) {
  struct timeval patience = {HANDSHAKE_SECONDS, 0}, none = {0, 0};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  int32_t magic, size;
  char given[LONGEST_KEY + 1], wanted[LONGEST_KEY + 16];
  if (receive(client, &magic, sizeof magic) || magic != MAGIC || receive(client, &size, sizeof size)) return -1;
  if (size < 0 || size > LONGEST_KEY || receive(client, given, size)) return -1;
  given[size] = 0;
  double seconds = 0;
  char *option = strstr(given, " -timeout=");
  if (option != NULL) {
    seconds = strtod(option + strlen(" -timeout="), NULL);
    *option = 0;
  }
  snprintf(wanted, sizeof wanted, "client:%s", key);
  if (strcmp(given, wanted) != 0) {
    answer(client, MISMATCH, "");
    return -1;
  }
  snprintf(wanted, sizeof wanted, "server:%s", key);
  if (answer(client, SUCCESS, wanted)) return -1;
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof none);
  return seconds;
}

static void serve(int client, double seconds) {
  if (seconds > 0) alarm(seconds < 1 ? 1 : (unsigned)(seconds + 0.5));
  TVMFFIAny socket_number, result;
  memset(&socket_number, 0, sizeof socket_number);
  memset(&result, 0, sizeof result);
  socket_number.type_index = kTVMFFIInt;
  socket_number.v_int64 = client;
  check(TVMFFIFunctionCall(global_function("rpc.ServerLoop"), &socket_number, 1, &result), "a session");
}

static void empty_folder(const char *path) {
  DIR *listing = opendir(path);
  if (listing == NULL) return;
  for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
    char name[PATH_MAX];
    if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) < (int)sizeof name) unlink(name);
  }
  closedir(listing);
  rmdir(path);
}

int main(int count, char **words) {
  const char *address = "127.0.0.1", *key = "";
  int port = 0, once = 0, one = 1;
  if (count < 2) {
    fprintf(stderr, "usage: %s FOLDER [--address A] [--port N] [--key KEY] [--once]\n", words[0]);
    return 1;
  }
  for (int i = 2; i < count; i++) {
    if (strcmp(words[i], "--once") == 0) once = 1;
    else if (i + 1 < count && strcmp(words[i], "--address") == 0) address = words[++i];
    else if (i + 1 < count && strcmp(words[i], "--port") == 0) port = atoi(words[++i]);
    else if (i + 1 < count && strcmp(words[i], "--key") == 0) key = words[++i];
    else {
      fprintf(stderr, "unknown option %s\n", words[i]);
      return 1;
    }
  }
  signal(SIGPIPE, SIG_IGN);
  define("tvm.rpc.server.workpath", work_path);
  define("tvm.rpc.server.load_module", load_module);
  define("nascompiler.describe", describe);

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in place = {0};
  socklen_t size = sizeof place;
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  if (inet_pton(AF_INET, address, &place.sin_addr) != 1) {
    fprintf(stderr, "%s is no address such as 127.0.0.1\n", address);
    return 1;
  }
  if (bind(listener, (struct sockaddr *)&place, sizeof place) != 0) fail("bind");
  if (listen(listener, 4) != 0) fail("listen");
  getsockname(listener, (struct sockaddr *)&place, &size);
  printf("port %d\n", ntohs(place.sin_port));
  fflush(stdout);

  if (once) alarm(ONCE_SECONDS);
  for (int session = 0;; session++) {
    int client = accept(listener, NULL, NULL);
    if (client < 0) fail("accept");
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    double seconds = greet(client, key);
    if (seconds < 0) {
      close(client);
      continue;
    }
    snprintf(folder, sizeof folder, "%s/session%d-%d", words[1], (int)getpid(), session);
    if (mkdir(folder, 0700) != 0) fail(folder);
    if (once) {
      alarm(0);
      close(listener);
      serve(client, seconds);
      empty_folder(folder);
      return 0;
    }
    pid_t child = fork();
    if (child < 0) fail("fork");
    if (child > 0) {
      printf("begin %d\n", session);
      fflush(stdout);
    }
    if (child == 0) {
      close(listener);
      serve(client, seconds);
      exit(0);
    }
    close(client);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) fprintf(stderr, "session %d ended by signal %d\n", session, WTERMSIG(status));
    empty_folder(folder);
    printf("end %d\n", session);
    fflush(stdout);
  }
}
