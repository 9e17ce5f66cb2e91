// A card's driver on the host. What is launched runs before the call returns; a stream that records keeps it for the graph instead.
//
// It is stricter than a card: memory that was not written holds no numbers, memory that was freed cannot be read, what lies behind a
// tensor cannot be touched, and nothing is copied between host and card while a graph is recorded.
//
// EMULATED_FAULT=n makes the n-th launch that a process runs fault, and all that follows. EMULATED_COUNTS=1 says at the end what a process asked of
// the driver, how often, and how much memory it held.
#include <cuda.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "emulator.h"

namespace {

constexpr size_t MEMORY = (size_t)16 << 30;
constexpr size_t PAGE = 4096;
// Tensor cores want as much; the rest of the page is before the tensor, so that what is behind it faults.
constexpr size_t ALIGNMENT = 32;

std::map<std::string, emulator::Kernel>& kernels() {
    static std::map<std::string, emulator::Kernel> all;
    return all;
}

struct Region {
    char* pages;
    size_t bytes;
    // What was asked for, in these pages.
    char* begin;
    size_t length;
    // In pages that can be read.
    bool live;
};

struct Graph {
    std::vector<std::function<void()>> work;
    std::map<CUdeviceptr, Region> memory;
    // What was allocated and not freed by the last launch, or while recording by the work so far.
    std::set<CUdeviceptr> held;
};

struct Stream {
    std::shared_ptr<Graph> recording;
    std::thread::id recorder;
    // It was asked for what cannot be recorded; until its recording ends it does nothing more.
    bool spoilt = false;
};

// All of the driver is one thread's at a time.
std::recursive_mutex lock;
std::map<CUdeviceptr, Region> memory;
size_t used, most_used;
std::set<Stream*> streams;
std::string doing = "nothing";
using Hold = std::lock_guard<std::recursive_mutex>;

void say_where(int signal) {
    const char start[] = "the emulated card touched memory that is not there, in ";
    (void)!write(2, start, sizeof start - 1);
    (void)!write(2, doing.data(), doing.size());
    (void)!write(2, "\n", 1);
    ::signal(signal, SIG_DFL);
    raise(signal);
}

CUdeviceptr place_in(char* pages, size_t bytes) {
    size_t rounded = (bytes + PAGE - 1) / PAGE * PAGE;
    return (CUdeviceptr)(pages + (rounded - (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT));
}

// Pages for so many bytes and one behind them that cannot be touched; they cannot either before they are opened.
Region reserve(size_t bytes) {
    size_t rounded = (bytes + PAGE - 1) / PAGE * PAGE;
    void* pages = mmap(nullptr, rounded + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) perror("the emulated card's memory"), abort();
    return {(char*)pages, rounded, (char*)place_in((char*)pages, bytes), bytes, false};
}
void open(Region& region) {
    mprotect(region.pages, region.bytes, PROT_READ | PROT_WRITE);
    memset(region.pages, 0xff, region.bytes);
    region.live = true, used += region.bytes, most_used = std::max(most_used, used);
}
// What is before and behind a tensor in its pages must be as it was.
void check(const Region& region) {
    if (!region.live) return;
    auto is_whole = [](const char* from, const char* to) { return std::all_of(from, to, [](char byte) { return byte == (char)0xff; }); };
    const char *end = region.begin + region.length, *last = region.pages + region.bytes;
    if (is_whole(region.pages, region.begin) && is_whole(end, last)) return;
    fprintf(stderr, "something wrote beside %zu bytes of the emulated card's memory\n", region.length);
    abort();
}
void close(Region& region) {
    check(region);
    madvise(region.pages, region.bytes, MADV_DONTNEED);
    mprotect(region.pages, region.bytes, PROT_NONE);
    if (region.live) used -= region.bytes;
    region.live = false;
}
void give_up(Region& region) {
    close(region);
    munmap(region.pages, region.bytes + PAGE);
}

// What was asked for, by its name.
struct Counts {
    std::map<std::string, size_t> all;
    ~Counts() {
        if (!getenv("EMULATED_COUNTS")) return;
        for (auto& [name, count] : all) fprintf(stderr, "%8zu %s\n", count, name.c_str());
        fprintf(stderr, "%8zu KiB at most\n", most_used >> 10);
    }
    void add(const std::string& name) {
        if (getenv("EMULATED_COUNTS")) all[name]++;
    }
} counts;

// A card that faults stays so, as a process's context does: from the launch on that EMULATED_FAULT counts to.
bool has_faulted;
CUresult count_launch() {
    static const char* wanted = getenv("EMULATED_FAULT");
    static long left = wanted ? atol(wanted) : 0;
    if (wanted && --left == 0) has_faulted = true;
    return has_faulted ? CUDA_ERROR_ILLEGAL_ADDRESS : CUDA_SUCCESS;
}

bool is_recorded_here(const Stream* stream) { return stream->recording && stream->recorder == std::this_thread::get_id(); }
bool is_recording() { return std::any_of(streams.begin(), streams.end(), is_recorded_here); }
// What may not be done while this thread records spoils the recording.
CUresult refuse() {
    for (Stream* stream : streams)
        if (is_recorded_here(stream)) stream->spoilt = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}
// Why a stream takes no more work, if it does not.
CUresult state_of(CUstream stream) {
    if (has_faulted) return CUDA_ERROR_ILLEGAL_ADDRESS;
    auto* own = (Stream*)stream;
    return own && own->recording && own->spoilt ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED : CUDA_SUCCESS;
}

CUresult run(Graph& graph) {
    if (!graph.held.empty()) return CUDA_ERROR_INVALID_VALUE;
    for (auto& work : graph.work) work();
    return CUDA_SUCCESS;
}

}  // namespace

namespace emulator {

void enlist(const char* name, Kernel kernel) { kernels()[name] = std::move(kernel); }

bool is_idle(void* stream) {
    Hold hold(lock);
    return state_of((CUstream)stream) != CUDA_SUCCESS;
}

void submit(void* stream, const std::string& name, std::function<void()> work) {
    Hold hold(lock);
    counts.add(name);
    auto named = [=] { doing = name, work(), doing = "nothing"; };
    auto* own = (Stream*)stream;
    if (own && own->recording) own->recording->work.push_back(named);
    else named();
}

}  // namespace emulator

using emulator::Kernel;

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED CUresult CUDAAPI cuInit(unsigned) {
    static bool ready = [] {
        struct sigaction action = {};
        action.sa_handler = say_where;
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGSEGV, &action, nullptr);
        return true;
    }();
    return ready ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}
EXPORTED CUresult CUDAAPI cuDriverGetVersion(int* version) { return *version = 13000, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDeviceGetCount(int* count) { return *count = 1, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDeviceGetName(char* name, int room, CUdevice) { return snprintf(name, room, "an emulated card"), CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDeviceTotalMem(size_t* bytes, CUdevice) { return *bytes = MEMORY, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
        // Few, so that not every sum is split.
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 40; break;
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) { return *context = (CUcontext)&lock, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
static thread_local CUcontext current;
EXPORTED CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) { return current = context, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuCtxGetCurrent(CUcontext* context) { return *context = current, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuDeviceGetDefaultMemPool(CUmemoryPool* pool, CUdevice) { return *pool = (CUmemoryPool)&memory, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuMemPoolTrimTo(CUmemoryPool, size_t) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuGetErrorName(CUresult, const char** text) { return *text = "CUDA_ERROR", CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuGetErrorString(CUresult error, const char** text) {
    *text = error == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED ? "operation not permitted when stream is capturing"
                                                           : "the emulated card refuses that";
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemGetInfo(size_t* free, size_t* total) {
    Hold hold(lock);
    if (has_faulted) return CUDA_ERROR_ILLEGAL_ADDRESS;
    *free = MEMORY - used, *total = MEMORY;
    return CUDA_SUCCESS;
}

EXPORTED CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned) {
    Hold hold(lock);
    auto* own = new Stream;
    streams.insert(own), *stream = (CUstream)own;
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuStreamDestroy(CUstream stream) {
    Hold hold(lock);
    streams.erase((Stream*)stream);
    delete (Stream*)stream;
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuStreamSynchronize(CUstream) {
    Hold hold(lock);
    if (has_faulted) return CUDA_ERROR_ILLEGAL_ADDRESS;
    counts.add("waits of the host");
    return is_recording() ? refuse() : CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuCtxSynchronize() { return cuStreamSynchronize(nullptr); }
EXPORTED CUresult CUDAAPI cuStreamWaitEvent(CUstream, CUevent, unsigned) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned) { return *event = (CUevent)&lock, CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuEventDestroy(CUevent) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuEventRecord(CUevent, CUstream) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuEventQuery(CUevent) { return CUDA_SUCCESS; }

EXPORTED CUresult CUDAAPI cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
    Hold hold(lock);
    auto* own = (Stream*)stream;
    *status = !own || !own->recording ? CU_STREAM_CAPTURE_STATUS_NONE
              : own->spoilt           ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                      : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode) {
    Hold hold(lock);
    auto* own = (Stream*)stream;
    if (!own || own->recording) return CUDA_ERROR_ILLEGAL_STATE;
    if (has_faulted) return CUDA_ERROR_ILLEGAL_ADDRESS;
    own->recording = std::make_shared<Graph>(), own->recorder = std::this_thread::get_id(), own->spoilt = false;
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuStreamEndCapture(CUstream stream, CUgraph* graph) {
    Hold hold(lock);
    auto* own = (Stream*)stream;
    *graph = nullptr;
    if (!own->recording) return CUDA_ERROR_ILLEGAL_STATE;
    auto recorded = std::exchange(own->recording, nullptr);
    if (own->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    // Work of recordings begins with nothing held.
    recorded->held.clear();
    counts.all["steps of recordings"] += recorded->work.size();
    counts.all["allocations of recordings"] += recorded->memory.size();
    *graph = (CUgraph) new std::shared_ptr<Graph>(recorded);
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long) {
    Hold hold(lock);
    *exec = (CUgraphExec) new std::shared_ptr<Graph>(*(std::shared_ptr<Graph>*)graph);
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuGraphUpload(CUgraphExec, CUstream) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuGraphLaunch(CUgraphExec exec, CUstream stream) {
    Hold hold(lock);
    if (((Stream*)stream)->recording) return refuse();
    if (CUresult fault = count_launch()) return fault;
    counts.add("graphs");
    return run(**(std::shared_ptr<Graph>*)exec);
}
static CUresult let_go(std::shared_ptr<Graph>* graph) {
    Hold hold(lock);
    if (graph->use_count() == 1)
        for (auto& [place, region] : (*graph)->memory) memory.erase(place), give_up(region);
    delete graph;
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuGraphExecDestroy(CUgraphExec exec) { return let_go((std::shared_ptr<Graph>*)exec); }
EXPORTED CUresult CUDAAPI cuGraphDestroy(CUgraph graph) { return let_go((std::shared_ptr<Graph>*)graph); }

EXPORTED CUresult CUDAAPI cuMemAllocAsync(CUdeviceptr* place, size_t bytes, CUstream stream) {
    Hold hold(lock);
    if (CUresult state = state_of(stream)) return state;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (used + bytes > MEMORY) return CUDA_ERROR_OUT_OF_MEMORY;
    counts.add("allocations");
    Region region = reserve(bytes);
    *place = (CUdeviceptr)region.begin;
    auto* own = (Stream*)stream;
    if (!own || !own->recording) {
        open(region);
        memory[*place] = region;
        return CUDA_SUCCESS;
    }
    auto* graph = own->recording.get();
    graph->memory[*place] = region, graph->held.insert(*place);
    graph->work.push_back([graph, at = *place] { open(graph->memory[at]), graph->held.insert(at); });
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemFreeAsync(CUdeviceptr place, CUstream stream) {
    Hold hold(lock);
    if (CUresult state = state_of(stream)) return state;
    auto* own = (Stream*)stream;
    if (own && own->recording) {
        auto* graph = own->recording.get();
        if (!graph->held.erase(place)) return CUDA_ERROR_INVALID_VALUE;
        graph->work.push_back([graph, place] { close(graph->memory[place]), graph->held.erase(place); });
        return CUDA_SUCCESS;
    }
    auto found = memory.find(place);
    // A graph's memory is the graph's, here: who frees it outside frees it once, and the graph at every launch.
    if (found == memory.end()) return CUDA_ERROR_INVALID_VALUE;
    give_up(found->second);
    memory.erase(found);
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemAlloc(CUdeviceptr* place, size_t bytes) {
    Hold hold(lock);
    return is_recording() ? refuse() : cuMemAllocAsync(place, bytes, nullptr);
}
EXPORTED CUresult CUDAAPI cuMemFree(CUdeviceptr place) {
    Hold hold(lock);
    return is_recording() ? refuse() : cuMemFreeAsync(place, nullptr);
}

static CUresult copy(const char* name, void* to, const void* from, size_t bytes) {
    Hold hold(lock);
    if (has_faulted) return CUDA_ERROR_ILLEGAL_ADDRESS;
    if (is_recording()) return refuse();
    emulator::submit(nullptr, name, [=] { memcpy(to, from, bytes); });
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream) {
    return copy("a copy to the card", (void*)to, from, bytes);
}
EXPORTED CUresult CUDAAPI cuMemcpyHtoD(CUdeviceptr to, const void* from, size_t bytes) {
    return copy("a copy to the card", (void*)to, from, bytes);
}
EXPORTED CUresult CUDAAPI cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream) {
    return copy("a copy from the card", to, (void*)from, bytes);
}
EXPORTED CUresult CUDAAPI cuMemcpyDtoH(void* to, CUdeviceptr from, size_t bytes) {
    return copy("a copy from the card", to, (void*)from, bytes);
}
EXPORTED CUresult CUDAAPI cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    if (CUresult state = state_of(stream)) return state;
    emulator::submit(stream, "a copy on the card", [=] { memcpy((void*)to, (void*)from, bytes); });
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    if (CUresult state = state_of(stream)) return state;
    emulator::submit(stream, "a fill", [=] { memset((void*)to, value, bytes); });
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemHostAlloc(void** place, size_t bytes, unsigned) {
    Hold hold(lock);
    if (is_recording()) return refuse();
    return *place = malloc(bytes), CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuMemFreeHost(void* place) { return free(place), CUDA_SUCCESS; }

EXPORTED CUresult CUDAAPI cuModuleLoadData(CUmodule* module, const void*) {
    Hold hold(lock);
    if (is_recording()) return refuse();
    return *module = (CUmodule)&kernels(), CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuModuleGetFunction(CUfunction* function, CUmodule, const char* name) {
    auto found = kernels().find(name);
    if (found == kernels().end()) return fprintf(stderr, "the emulated card has no kernel %s\n", name), CUDA_ERROR_NOT_FOUND;
    *function = (CUfunction)&*found;
    return CUDA_SUCCESS;
}
EXPORTED CUresult CUDAAPI cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; }
EXPORTED CUresult CUDAAPI cuLaunchKernel(CUfunction function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                                         unsigned threads_z, unsigned, CUstream stream, void** arguments, void**) {
    auto& [name, kernel] = *(std::pair<const std::string, Kernel>*)function;
    bool fits = x && y && z && x < 1u << 31 && y < 1 << 16 && z < 1 << 16 && threads && threads <= 1024 && threads_y == 1 && threads_z == 1;
    if (!fits) return fprintf(stderr, "%s cannot have such a grid\n", name.c_str()), CUDA_ERROR_INVALID_VALUE;
    Hold hold(lock);
    if (CUresult state = state_of(stream)) return state;
    // A kernel is loaded when it is first launched, which nothing may be while a stream records.
    static std::set<std::string> loaded;
    if (stream && ((Stream*)stream)->recording) {
        if (!loaded.count(name)) return refuse();
    } else {
        loaded.insert(name);
        if (CUresult fault = count_launch()) return fault;
    }
    // The caller's go away when this returns.
    std::vector<std::vector<uint64_t>> kept;
    for (size_t i = 0; i < kernel.widths.size(); i++) {
        kept.emplace_back((kernel.widths[i] + 7) / 8);
        memcpy(kept[i].data(), arguments[i], kernel.widths[i]);
    }
    emulator::submit(stream, name, [&kernel, kept = std::move(kept), grid = emulator::Grid{x, y, z}, threads] {
        std::vector<const void*> places;
        for (auto& argument : kept) places.push_back(argument.data());
        kernel.run(grid, threads, (void* const*)places.data());
    });
    return CUDA_SUCCESS;
}
