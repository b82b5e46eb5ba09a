// How the threads of a block run, and wait for one another, on a CPU.
//
// Two ways. By default a CUDA thread is a fiber: a stack of its own, no more, so that going from one to the next at a
// barrier costs some ten nanoseconds; the blocks are shared out among a few threads of the system. With
// EMULATOR_THREADS a CUDA thread is a thread of the system, and blocks run one after the other: slow, but what
// ThreadSanitizer and AddressSanitizer understand.
//
// What a GPU would answer with garbage or a hang is an error here: an access outside the arrays of the launch or not
// aligned, a write behind the shared memory, threads of one block at different barriers, a shuffle whose mask lies.
#include "runtime.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace emulator {

enum class State { ready, at_barrier, in_warp, done };

struct Thread {
    Place place;
    int number = 0;  // in its block
    State state = State::ready;
    int line = 0;  // of the barrier it waits at
    void* stack_pointer = nullptr;
};

// Lanes that have come to the operation that their warp is about to do together.
struct Warp {
    Lane lanes[32];
    unsigned arrived = 0, mask = 0;
    unsigned long long done = 0;  // operations finished
    Work work = nullptr;
#ifdef EMULATOR_THREADS
    std::mutex mutex;
    std::condition_variable changed;
#endif
};

#ifdef EMULATOR_THREADS
constexpr int guard_bytes = 0;
#else
constexpr int guard_bytes = 32 * 1024;  // so much may be written too far and still be told, not crash
#endif
constexpr unsigned char guard = 0xa5;

struct Block {
    Launch& launch;
    Body body;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    unsigned char* shared = nullptr;
    unsigned long long loaded = 0, stored = 0;
    int live = 0;
    bool failed = false;
    int last_buffer = 0;
    void* stack_pointer = nullptr;  // of the scheduler
    std::mutex mutex;               // of what follows, with threads
    std::condition_variable changed;
    int waiting = 0, line = 0;
    unsigned long long round = 0;

    Block(Launch& launch, Body body)
        : launch(launch),
          body(body),
          threads(launch.block[0] * launch.block[1] * launch.block[2]),
          warps((threads.size() + 31) / 32) {}
};

static thread_local Block* block = nullptr;
static thread_local Thread* current = nullptr;
static std::mutex error_mutex;

const Place& self() { return current->place; }
void* shared_memory() { return block->shared; }

static void note(Launch& launch, const char* message) {
    std::lock_guard<std::mutex> lock(error_mutex);
    if (launch.error[0] == 0) std::snprintf(launch.error, sizeof launch.error, "%s", message);
}

void refuse(Launch& launch, int position, const char* wanted) {
    char text[128];
    std::snprintf(text, sizeof text, "argument %d: the kernel wants %s", position, wanted);
    note(launch, text);
}

static void say(char (&text)[256], const char* what) {
    const Place& p = current->place;
    std::snprintf(text, sizeof text, "%s (thread %u,%u,%u of block %u,%u,%u)", what, p.thread.x, p.thread.y, p.thread.z,
                  p.block.x, p.block.y, p.block.z);
}

// Every access to global memory lies within one of the launch's arrays, and is aligned as a GPU wants it.
static void check(const void* address, unsigned bytes) {
    const Launch& launch = block->launch;
    const unsigned char* first = static_cast<const unsigned char*>(address);
    int last = block->last_buffer;
    if (first < launch.begins[last] || first + bytes > launch.ends[last]) {
        for (last = 0; last < launch.buffers; last++) {
            if (first >= launch.begins[last] && first + bytes <= launch.ends[last]) break;
        }
        if (last == launch.buffers) fail("global memory is touched outside the arrays of the launch");
#ifndef EMULATOR_THREADS
        block->last_buffer = last;
#endif
    }
    if (reinterpret_cast<std::size_t>(address) % bytes) fail("an access to global memory is not aligned to its size");
}

#ifdef EMULATOR_THREADS
static std::atomic<unsigned long long> all_loaded, all_stored;
void seen_load(const void* address, unsigned bytes) {
    check(address, bytes);
    all_loaded.fetch_add(bytes, std::memory_order_relaxed);
}
void seen_store(const void* address, unsigned bytes) {
    check(address, bytes);
    all_stored.fetch_add(bytes, std::memory_order_relaxed);
}
#else
void seen_load(const void* address, unsigned bytes) {
    check(address, bytes);
    block->loaded += bytes;
}
void seen_store(const void* address, unsigned bytes) {
    check(address, bytes);
    block->stored += bytes;
}
#endif

void atomic_add(float* address, float value) {
    std::atomic_ref<float> place(*address);
    float before = place.load(std::memory_order_relaxed);
    while (!place.compare_exchange_weak(before, before + value, std::memory_order_relaxed)) {
    }
}

static void begin_block(Block& b, unsigned number) {
    const Launch& launch = b.launch;
    uint3 grid = {launch.grid[0], launch.grid[1], launch.grid[2]};
    uint3 size = {launch.block[0], launch.block[1], launch.block[2]};
    uint3 place = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
    for (std::size_t i = 0; i < b.threads.size(); i++) {
        Thread& t = b.threads[i];
        unsigned n = unsigned(i);
        t.place = {{n % size.x, n / size.x % size.y, n / size.x / size.y}, place, size, grid};
        t.number = int(i);
        t.state = State::ready;
    }
    for (Warp& warp : b.warps) warp.arrived = 0;
    b.live = int(b.threads.size());
    // what is read before it is written is NaN, in any precision
    std::memset(b.shared, 0xff, launch.shared_bytes);
    std::memset(b.shared + launch.shared_bytes, guard, guard_bytes);
}

#ifndef EMULATOR_THREADS
static void end_block(Block& b) {
    for (int i = 0; i < guard_bytes; i++) {
        if (b.shared[b.launch.shared_bytes + unsigned(i)] != guard) {
            note(b.launch, "something was written behind the shared memory");
            b.failed = true;
            return;
        }
    }
}
#endif

// One lane comes; true if it was the last one, and has done the work for all.
static bool arrive(Warp& warp, int lane, unsigned mask, const Lane& given, Work work) {
    if (!(mask >> lane & 1)) fail("a thread takes part in a warp operation whose mask leaves it out");
    if (warp.arrived && (warp.mask != mask || warp.work != work)) {
        fail("threads of one warp take part in different operations, or with different masks");
    }
    warp.mask = mask;
    warp.work = work;
    warp.lanes[lane] = given;
    warp.arrived |= 1u << lane;
    if (warp.arrived != mask) return false;
    work(warp.lanes, mask);
    warp.arrived = 0;
    warp.done++;
    return true;
}

#ifdef EMULATOR_THREADS  // ---- threads of the system -----------------------------------------------------------------------

struct Stop {};

[[noreturn]] void fail(const char* message) {
    char text[256];
    say(text, message);
    note(block->launch, text);
    throw Stop();
}

static bool given_up() {
    std::lock_guard<std::mutex> lock(error_mutex);
    return block->launch.error[0] != 0;
}

// Waits that never end are a mistake of the kernel: some other thread of the block has gone elsewhere.
template <class Condition>
static void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Condition condition) {
    for (int i = 0; !condition(); i++) {
        changed.wait_for(lock, std::chrono::milliseconds(100));
        if (given_up()) throw Stop();
        if (i > 600) fail("a thread waits for others that never come");
    }
}

void sync_block(int line) {
    std::unique_lock<std::mutex> lock(block->mutex);
    if (block->waiting && block->line != line) fail("threads of one block wait at different barriers");
    block->line = line;
    unsigned long long round = block->round;
    if (++block->waiting == block->live) {
        block->waiting = 0;
        block->round++;
        block->changed.notify_all();
    } else {
        Block* b = block;
        wait(lock, block->changed, [b, round] { return b->round != round; });
    }
}

void together(unsigned mask, Lane lane, Work work) {
    Warp& warp = block->warps[std::size_t(current->number / 32)];
    std::unique_lock<std::mutex> lock(warp.mutex);
    unsigned long long before = warp.done;
    if (arrive(warp, current->number % 32, mask, lane, work)) {
        warp.changed.notify_all();
    } else {
        wait(lock, warp.changed, [&warp, before] { return warp.done != before; });
    }
}

static void one_thread(Block& b, Thread& t) {
    block = &b;
    current = &t;
    try {
        b.body(b.launch.arguments);
    } catch (const Stop&) {
    }
    std::lock_guard<std::mutex> lock(b.mutex);
    if (--b.live > 0 && b.waiting == b.live) {
        b.waiting = 0;
        b.round++;
        b.changed.notify_all();
    }
}

void run(Launch& launch, Body body) {
    all_loaded = all_stored = 0;
    Block b(launch, body);
    unsigned blocks = launch.grid[0] * launch.grid[1] * launch.grid[2];
    for (unsigned i = 0; i < blocks && launch.error[0] == 0; i++) {
        b.shared = static_cast<unsigned char*>(std::malloc(launch.shared_bytes));  // exactly: the sanitizer guards its end
        begin_block(b, i);
        std::vector<std::thread> team;
        for (Thread& t : b.threads) team.emplace_back(one_thread, std::ref(b), std::ref(t));
        for (std::thread& t : team) t.join();
        std::free(b.shared);
    }
    launch.loaded = all_loaded;
    launch.stored = all_stored;
}

#else  // ---- fibers --------------------------------------------------------------------------------------------------------

// Save the registers that a call must keep on this stack, and go on where the other one stopped.
extern "C" void emulator_switch(void** save, void* load);
#if defined(__x86_64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
constexpr int saved_words = 6, entry_word = 6, frame_words = 8;
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
constexpr int saved_words = 20, entry_word = 11, frame_words = 20;
#else
#error "the emulator switches fibers on x86-64 and AArch64; elsewhere build it with -DEMULATOR_THREADS"
#endif

constexpr std::size_t stack_bytes = 64 * 1024;

static void to_scheduler() { emulator_switch(&current->stack_pointer, block->stack_pointer); }

[[noreturn]] void fail(const char* message) {
    char text[256];
    say(text, message);
    note(block->launch, text);
    block->failed = true;
    to_scheduler();  // which never comes back: the block's stacks are simply left
    std::abort();
}

static void fiber_body() {
    block->body(block->launch.arguments);
    current->state = State::done;
    block->live--;
    to_scheduler();
    std::abort();
}

void sync_block(int line) {
    current->state = State::at_barrier;
    current->line = line;
    to_scheduler();
}

void together(unsigned mask, Lane lane, Work work) {
    std::size_t first = std::size_t(current->number / 32 * 32);
    Warp& warp = block->warps[first / 32];
    if (arrive(warp, current->number % 32, mask, lane, work)) {
        for (std::size_t i = first; i < first + 32 && i < block->threads.size(); i++) {
            if (block->threads[i].state == State::in_warp && mask >> (i - first) & 1) {
                block->threads[i].state = State::ready;
            }
        }
    } else {
        current->state = State::in_warp;
        to_scheduler();
    }
}

// All that could run has run. If everybody who is left waits at the barrier, it opens.
static void open_barrier(Block& b) {
    int line = 0;
    for (Thread& t : b.threads) {
        if (t.state == State::done) continue;
        current = &t;
        char text[256];
        if (t.state == State::in_warp) {
            say(text, "a warp operation waits for a thread of its mask that has gone elsewhere");
        } else if (line && line != t.line) {
            say(text, "threads of one block wait at different barriers");
        } else {
            line = t.line;
            continue;
        }
        note(b.launch, text);
        b.failed = true;
        return;
    }
    for (Thread& t : b.threads) {
        if (t.state == State::at_barrier) t.state = State::ready;
    }
}

static void run_block(Block& b, unsigned number, unsigned char* stacks) {
    begin_block(b, number);
    for (std::size_t i = 0; i < b.threads.size(); i++) {
        void** top = reinterpret_cast<void**>(stacks + (i + 1) * stack_bytes) - frame_words;
        std::memset(top, 0, frame_words * sizeof(void*));
        top[entry_word] = reinterpret_cast<void*>(fiber_body);
        b.threads[i].stack_pointer = top;
    }
    // A warp runs as far ahead as it can before the next one may: what lacks a barrier goes wrong. In every second block
    // the last warp comes first.
    std::size_t warps = b.warps.size();
    while (b.live > 0) {
        for (std::size_t i = 0; i < warps; i++) {
            std::size_t first = (number % 2 ? warps - 1 - i : i) * 32;
            for (bool ran = true; ran;) {
                ran = false;
                for (std::size_t k = first; k < first + 32 && k < b.threads.size(); k++) {
                    if (b.threads[k].state != State::ready) continue;
                    ran = true;
                    current = &b.threads[k];
                    emulator_switch(&b.stack_pointer, b.threads[k].stack_pointer);
                    if (b.failed) return;
                }
            }
        }
        open_barrier(b);  // nobody can go on
        if (b.failed) return;
    }
    end_block(b);
}

static void worker(Launch& launch, Body body, std::atomic<unsigned>& next, std::atomic<bool>& stop) {
    Block b(launch, body);
    block = &b;
    std::size_t bytes = b.threads.size() * stack_bytes;
    auto* stacks = static_cast<unsigned char*>(std::aligned_alloc(64, bytes));
    b.shared = static_cast<unsigned char*>(std::aligned_alloc(64, (launch.shared_bytes + guard_bytes + 63) / 64 * 64));
    unsigned blocks = launch.grid[0] * launch.grid[1] * launch.grid[2];
    for (unsigned i = next++; i < blocks && !stop; i = next++) {
        run_block(b, i, stacks);
        if (b.failed) stop = true;
    }
    std::free(stacks);
    std::free(b.shared);
    std::lock_guard<std::mutex> lock(error_mutex);
    launch.loaded += b.loaded;
    launch.stored += b.stored;
}

void run(Launch& launch, Body body) {
    launch.loaded = launch.stored = 0;
    std::atomic<unsigned> next{0};
    std::atomic<bool> stop{false};
    std::vector<std::thread> team;
    int blocks = int(launch.grid[0] * launch.grid[1] * launch.grid[2]);
    for (int i = 1; i < launch.workers && i < blocks; i++) {
        team.emplace_back([&] { worker(launch, body, next, stop); });
    }
    worker(launch, body, next, stop);
    for (std::thread& t : team) t.join();
}

#endif

}  // namespace emulator
