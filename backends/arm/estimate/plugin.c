/* A plugin of QEMU: what a piece of code executes, and what it finds in the caches of the core that is emulated.
 *
 * The program that runs marks a region with instructions that do nothing (hint #N):
 *
 *   hint #90   nothing has been counted, and the caches are empty
 *   hint #91   from here on accesses fill the caches
 *   hint #92   from here on everything is counted as well
 *   hint #93   from here on neither
 *   hint #94   what was counted is written to the file
 *
 * Each time the file gets, as text:
 *
 *   B ADDRESS COUNT WORD...          a piece of straight code, its instructions in hexadecimal, and how often it ran
 *   L LEVEL AT_RANDOM IN_STREAMS     lines that came from cache level 2, 3 or from memory (the level after the last)
 *   R INSTRUCTIONS ACCESSES          the sums, and the end
 *
 * Caches are inclusive and replace the line that was used longest ago. A miss counts as part of a stream, which
 * prefetching hides but for its bandwidth, when its line is next to one of the last misses, when the instruction
 * repeats its stride, or when it is a store. Memory outside of the arena counts by page in the order of first use, so
 * that nothing depends on where a program was loaded.
 *
 * Arguments: out=FILE,arena=FIRST:LAST (hexadecimal),l1=SETS:WAYS,l2=SETS:WAYS[,l3=SETS:WAYS],line=BYTES
 *
 * Debian's qemu-user ships no qemu-plugin.h, so the functions used are declared here: version 1 of the interface.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*on_translation)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*on_execution)(unsigned, void *);
typedef void (*on_access)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, on_translation);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, on_execution, int, void *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, on_access, int, int, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

enum { NO_REGISTERS = 0, ADD_U64 = 0, READS_AND_WRITES = 3 };
enum { EMPTY = 90, WARM = 91, COUNT = 92, STOP = 93, WRITE = 94 };
enum { LEVELS = 3, STREAMS = 16, LONGEST_STRIDE = 2048, BUCKETS = 1 << 14, PAGES = 1 << 16, PAGE_BITS = 12 };

static uint32_t hint(unsigned number) { return 0xd503201fu | number << 5; }

/* Caches: `lines` has the lines of a set from the one used last to the one used longest ago. */
typedef struct {
  unsigned sets, ways;
  uint64_t *lines;
} Cache;

static Cache caches[LEVELS];
static int levels;
static unsigned line_bits = 6;
static uint64_t at_random[LEVELS + 1], in_streams[LEVELS + 1], accesses;
static uint64_t stream_lines[STREAMS], last_line;
static unsigned next_stream;
static bool simulating, counting;
static uint64_t arena_first, arena_last;

/* Pages outside of the arena by the order of their first use; zero is no page. */
static uint64_t page_of[PAGES], page_number[PAGES], pages_used;

static void empty_caches(void) {
  for (int level = 0; level < levels; level++)
    memset(caches[level].lines, 0xff, sizeof(uint64_t) * caches[level].sets * caches[level].ways);
  memset(stream_lines, 0xff, sizeof stream_lines);
  memset(page_of, 0, sizeof page_of);
  next_stream = 0;
  pages_used = 0;
  last_line = ~0ull;
}

static inline bool finds(Cache *cache, uint64_t line) {
  uint64_t *set = cache->lines + (size_t)(line % cache->sets) * cache->ways;
  if (set[0] == line) return true;
  unsigned way = 1;
  while (way < cache->ways && set[way] != line) way++;
  bool found = way < cache->ways;
  if (!found) way = cache->ways - 1;
  memmove(set + 1, set, way * sizeof *set);
  set[0] = line;
  return found;
}

static uint64_t same_everywhere(uint64_t address) {
  if (address >= arena_first && address < arena_last) return address;
  uint64_t page = (address >> PAGE_BITS) + 1;
  unsigned slot = (unsigned)(page * 0x9e3779b97f4a7c15ull >> 48) % PAGES;
  while (page_of[slot] != 0 && page_of[slot] != page) slot = (slot + 1) % PAGES;
  if (page_of[slot] == 0) {
    if (pages_used + 1 == PAGES) {
      fprintf(stderr, "the code touches more than %d pages outside of its arrays\n", PAGES - 1);
      exit(4);
    }
    page_of[slot] = page;
    page_number[slot] = pages_used++;
  }
  return page_number[slot] << PAGE_BITS | (address & ((1u << PAGE_BITS) - 1));
}

static inline bool continues_a_stream(uint64_t line) {
  for (int i = 0; i < STREAMS; i++) {
    uint64_t step = line - stream_lines[i];
    if (step == 1 || step == 2 || step == ~0ull) {
      stream_lines[i] = line;
      return true;
    }
  }
  stream_lines[next_stream++ % STREAMS] = line;
  return false;
}

/* What is known of an instruction that accesses memory. */
typedef struct {
  uint64_t address;
  int64_t stride;
} Access;

static void accessed(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t address, void *data) {
  (void)cpu;
  if (!simulating) return;
  Access *access = data;
  if (counting) accesses++;
  int64_t stride = (int64_t)(address - access->address);
  bool strides = stride == access->stride && stride != 0 && llabs(stride) <= LONGEST_STRIDE;
  access->stride = stride;
  access->address = address;
  address = same_everywhere(address);
  uint64_t last = (address + (1u << qemu_plugin_mem_size_shift(info)) - 1) >> line_bits;
  for (uint64_t line = address >> line_bits; line <= last; line++) {
    if (line == last_line) continue;
    last_line = line;
    if (finds(&caches[0], line)) continue;
    int level = 1;
    while (level < levels && !finds(&caches[level], line)) level++;
    bool foreseen = continues_a_stream(line) || strides || qemu_plugin_mem_is_store(info);
    if (counting) (foreseen ? in_streams : at_random)[level]++;
  }
}

/* Straight code as QEMU translates it. */
typedef struct Piece {
  struct Piece *next;
  uint64_t address, count, total;
  uint32_t length;
  uint32_t *words;
  Access *accesses;
} Piece;

static Piece *pieces[BUCKETS];
static FILE *out;

#define EACH_PIECE(piece)                            \
  for (int bucket = 0; bucket < BUCKETS; bucket++)   \
    for (Piece *piece = pieces[bucket]; piece; piece = piece->next)

static void emptied(unsigned cpu, void *data) {
  (void)cpu, (void)data;
  empty_caches();
  EACH_PIECE(piece) {
    piece->total = 0;
    memset(piece->accesses, 0, piece->length * sizeof *piece->accesses);
  }
  memset(at_random, 0, sizeof at_random);
  memset(in_streams, 0, sizeof in_streams);
  accesses = 0;
}

static void warms(unsigned cpu, void *data) {
  (void)cpu, (void)data;
  simulating = true;
}

static void counts(unsigned cpu, void *data) {
  (void)cpu, (void)data;
  EACH_PIECE(piece) piece->count = 0;
  simulating = counting = true;
}

static void stops(unsigned cpu, void *data) {
  (void)cpu, (void)data;
  if (counting) EACH_PIECE(piece) if (piece->words[0] != hint(STOP)) piece->total += piece->count;
  simulating = counting = false;
}

static void writes(unsigned cpu, void *data) {
  (void)cpu, (void)data;
  uint64_t instructions = 0;
  EACH_PIECE(piece) {
    if (piece->total == 0) continue;
    instructions += piece->total * piece->length;
    fprintf(out, "B %" PRIx64 " %" PRIu64, piece->address, piece->total);
    for (uint32_t i = 0; i < piece->length; i++) fprintf(out, " %08" PRIx32, piece->words[i]);
    fputc('\n', out);
  }
  for (int level = 1; level <= levels; level++)
    fprintf(out, "L %d %" PRIu64 " %" PRIu64 "\n", level + 1, at_random[level], in_streams[level]);
  fprintf(out, "R %" PRIu64 " %" PRIu64 "\n", instructions, accesses);
  fflush(out);
}

static uint32_t word_of(struct qemu_plugin_tb *block, size_t index) {
  uint32_t word;
  memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, index)), sizeof word);
  return word;
}

static bool is_of(const Piece *piece, struct qemu_plugin_tb *block) {
  if (piece->address != qemu_plugin_tb_vaddr(block) || piece->length != qemu_plugin_tb_n_insns(block)) return false;
  for (uint32_t i = 0; i < piece->length; i++)
    if (piece->words[i] != word_of(block, i)) return false;
  return true;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  Piece **bucket = &pieces[(qemu_plugin_tb_vaddr(block) >> 2) % BUCKETS];
  Piece *piece = *bucket;
  while (piece && !is_of(piece, block)) piece = piece->next;
  if (!piece) {
    piece = calloc(1, sizeof *piece);
    piece->address = qemu_plugin_tb_vaddr(block);
    piece->length = qemu_plugin_tb_n_insns(block);
    piece->words = calloc(piece->length, sizeof *piece->words);
    piece->accesses = calloc(piece->length, sizeof *piece->accesses);
    for (uint32_t i = 0; i < piece->length; i++) piece->words[i] = word_of(block, i);
    piece->next = *bucket;
    *bucket = piece;
  }
  qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &piece->count, 1);
  for (uint32_t i = 0; i < piece->length; i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
    qemu_plugin_register_vcpu_mem_cb(instruction, accessed, NO_REGISTERS, READS_AND_WRITES, &piece->accesses[i]);
    on_execution marked = piece->words[i] == hint(EMPTY)   ? emptied
                          : piece->words[i] == hint(WARM)  ? warms
                          : piece->words[i] == hint(COUNT) ? counts
                          : piece->words[i] == hint(STOP)  ? stops
                          : piece->words[i] == hint(WRITE) ? writes
                                                           : NULL;
    if (marked) qemu_plugin_register_vcpu_insn_exec_cb(instruction, marked, NO_REGISTERS, NULL);
  }
}

static bool add_cache(const char *text) {
  Cache *cache = &caches[levels];
  if (levels == LEVELS || sscanf(text, "%u:%u", &cache->sets, &cache->ways) != 2) return false;
  if (cache->sets == 0 || cache->ways == 0) return false;
  cache->lines = malloc(sizeof(uint64_t) * cache->sets * cache->ways);
  levels++;
  return cache->lines != NULL;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments) {
  (void)info;
  unsigned line_bytes = 64;
  for (int i = 0; i < count; i++) {
    char *value = strchr(arguments[i], '=');
    if (!value) return 1;
    *value++ = 0;
    bool understood = false;
    if (!strcmp(arguments[i], "out"))
      understood = (out = fopen(value, "w")) != NULL;
    else if (!strcmp(arguments[i], "arena"))
      understood = sscanf(value, "%" SCNx64 ":%" SCNx64, &arena_first, &arena_last) == 2;
    else if (!strcmp(arguments[i], "line"))
      understood = sscanf(value, "%u", &line_bytes) == 1 && line_bytes >= 16;
    else if (arguments[i][0] == 'l')
      understood = add_cache(value);
    if (!understood) {
      fprintf(stderr, "the plugin does not understand %s=%s\n", arguments[i], value);
      return 1;
    }
  }
  if (!out || levels == 0) return 1;
  line_bits = 0;
  while (1u << line_bits < line_bytes) line_bits++;
  empty_caches();
  qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
  return 0;
}
