/* A libnvidia-ml.so.1 whose every reading is known: for machines without GPU.
 *
 * Environment, read with every call, so that a test may change it while a program runs:
 *   FAKE_NVML_DEVICES        number of GPUs (1)
 *   FAKE_NVML_POWER_W        power (300); with a square wave, the power of its first half
 *   FAKE_NVML_LOW_W          power of the second half of the square wave (as POWER_W: no wave)
 *   FAKE_NVML_PERIOD_S       period of the square wave (1)
 *   FAKE_NVML_UTILIZATION    percent (50)
 *   FAKE_NVML_LATENCY_MS     time that every reading of a sensor takes (0)
 *   FAKE_NVML_REFRESH_MS     how often the energy counter moves (100, as on hardware)
 *   FAKE_NVML_ERRORS         codes by sensor, such as "energy=3,power=4,init=12,memory=4"
 *   FAKE_NVML_LOST_UNIX_S    moment at which GPU FAKE_NVML_LOST_DEVICE (0) falls off the bus; -1 for all
 *   FAKE_NVML_RESET_UNIX_S   moment at which the energy counters start over
 *   FAKE_NVML_MIG            number of MIG instances of each GPU (0)
 *   FAKE_NVML_GPM            percent of active SMs; without it the performance monitors are missing
 *
 * Counters run on the wall clock, so that all processes of a node read the same ones.
 * Reference for names, codes and structures: NVIDIA, "NVML API reference guide".
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, LOST = 15 };
enum { MOST = 16, INSTANCES = 7 };

typedef struct { int index, instance; } Device; /* instance -1: the whole GPU */
typedef unsigned long long u64;
typedef struct { int index; double time_s; } GpmSample;

static Device devices[MOST], instances[MOST][INSTANCES];
static int users = 0;

static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int count(void) {
    int n = (int)number("FAKE_NVML_DEVICES", 1);
    return n < 0 ? 0 : n > MOST ? MOST : n;
}

static int mig(void) {
    int n = (int)number("FAKE_NVML_MIG", 0);
    return n < 0 ? 0 : n > INSTANCES ? INSTANCES : n;
}

static int planted(const char *sensor) {
    const char *at = getenv("FAKE_NVML_ERRORS");
    size_t length = strlen(sensor);
    for (; at && *at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (!strncmp(at, sensor, length) && at[length] == '=') return atoi(at + length + 1);
    return SUCCESS;
}

static int gone(const Device *device) {
    double lost_s = number("FAKE_NVML_LOST_UNIX_S", INFINITY);
    int which = (int)number("FAKE_NVML_LOST_DEVICE", 0);
    return now_s() >= lost_s && (which < 0 || which == device->index);
}

static int ask(const Device *device, const char *sensor) {
    double latency_s = number("FAKE_NVML_LATENCY_MS", 0) / 1000;
    if (!users) return UNINITIALIZED;
    if (!device) return INVALID;
    if (latency_s > 0) {
        struct timespec t = {(time_t)latency_s, (long)(fmod(latency_s, 1) * 1e9)};
        nanosleep(&t, NULL);
    }
    return gone(device) ? LOST : planted(sensor);
}

static double power_w(double time_s) {
    double high = number("FAKE_NVML_POWER_W", 300), low = number("FAKE_NVML_LOW_W", high);
    double period_s = number("FAKE_NVML_PERIOD_S", 1);
    return fmod(time_s, period_s) < period_s / 2 ? high : low;
}

static double energy_j(double time_s) { /* the integral of power_w from 0 */
    double high = number("FAKE_NVML_POWER_W", 300), low = number("FAKE_NVML_LOW_W", high);
    double period_s = number("FAKE_NVML_PERIOD_S", 1), within_s = fmod(time_s, period_s);
    double first_s = within_s < period_s / 2 ? within_s : period_s / 2;
    return (time_s - within_s) * (high + low) / 2 + first_s * high + (within_s - first_s) * low;
}

int nvmlInitWithFlags(unsigned flags) {
    int code = planted("init");
    (void)flags;
    if (code) return code;
    for (int i = 0; i < MOST; i++) {
        devices[i] = (Device){i, -1};
        for (int k = 0; k < INSTANCES; k++) instances[i][k] = (Device){i, k};
    }
    users++;
    return SUCCESS;
}
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return users ? (users--, SUCCESS) : UNINITIALIZED; }

const char *nvmlErrorString(int code) {
    static char text[32];
    snprintf(text, sizeof text, "fake NVML error %d", code);
    return text;
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    snprintf(text, length, "999.0 (fake)");
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *n) {
    if (!users) return UNINITIALIZED;
    *n = (unsigned)count();
    return planted("count");
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if (!users) return UNINITIALIZED;
    if ((int)index >= count()) return INVALID;
    *device = &devices[index];
    return gone(*device) ? LOST : planted("handle");
}

static void write_uuid(const Device *device, char *text, unsigned length) {
    const char *kind = device->instance < 0 ? "GPU" : "MIG";
    snprintf(text, length, "%s-%x%07x-fa4e-4000-8000-%012x", kind, device->index + 10, device->index,
             device->instance + 1);
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **device) {
    char own[96];
    if (!users) return UNINITIALIZED;
    for (int i = 0; i < count(); i++)
        for (int k = -1; k < mig(); k++) {
            Device *candidate = k < 0 ? &devices[i] : &instances[i][k];
            write_uuid(candidate, own, sizeof own);
            if (!strcmp(own, uuid)) return *device = candidate, gone(candidate) ? LOST : SUCCESS;
        }
    return NOT_FOUND;
}

int nvmlDeviceGetUUID(const Device *device, char *text, unsigned length) {
    int code = ask(device, "uuid");
    if (!code) write_uuid(device, text, length);
    return code;
}

int nvmlDeviceGetName(const Device *device, char *text, unsigned length) {
    int code = ask(device, "name");
    if (!code) snprintf(text, length, "Fake GPU");
    return code;
}

int nvmlDeviceGetIndex(const Device *device, unsigned *index) {
    int code = ask(device, "index");
    if (!code) *index = (unsigned)device->index;
    return code;
}

int nvmlDeviceGetPowerUsage(const Device *device, unsigned *mw) {
    int code = ask(device, "power");
    if (!code) code = device->instance < 0 ? SUCCESS : NOT_SUPPORTED;
    if (!code) *mw = (unsigned)(power_w(now_s()) * 1000);
    return code;
}

int nvmlDeviceGetEnforcedPowerLimit(const Device *device, unsigned *mw) {
    int code = ask(device, "power_limit");
    if (!code) *mw = 700000;
    return code;
}

int nvmlDeviceGetTotalEnergyConsumption(const Device *device, u64 *mj) {
    int code = ask(device, "energy");
    double refresh_s = number("FAKE_NVML_REFRESH_MS", 100) / 1000;
    double time_s = now_s(), reset_s = number("FAKE_NVML_RESET_UNIX_S", INFINITY);
    double from_s = time_s >= reset_s ? reset_s : 0;
    if (!code) code = device->instance < 0 ? SUCCESS : NOT_SUPPORTED;
    if (refresh_s > 0) time_s = floor(time_s / refresh_s) * refresh_s;
    if (!code) *mj = time_s > from_s ? (u64)((energy_j(time_s) - energy_j(from_s)) * 1000) : 0;
    return code;
}

int nvmlDeviceGetUtilizationRates(const Device *device, unsigned rates[2]) {
    int code = ask(device, "utilization");
    if (!code && mig()) code = NOT_SUPPORTED; /* as on hardware */
    if (!code) rates[0] = (unsigned)number("FAKE_NVML_UTILIZATION", 50), rates[1] = 25;
    return code;
}

int nvmlDeviceGetMemoryInfo(const Device *device, u64 memory[3]) {
    int code = ask(device, device && device->instance >= 0 ? "instance_memory" : "memory");
    u64 share = code ? 0 : device->instance < 0 ? 80ull << 30 : (80ull << 30) / INSTANCES;
    if (!code) memory[0] = share, memory[1] = share / 4 * 3, memory[2] = share / 4;
    return code;
}

typedef struct {
    unsigned version;
    u64 total, reserved, free, used;
} MemoryV2;

int nvmlDeviceGetMemoryInfo_v2(const Device *device, MemoryV2 *memory) {
    u64 plain[3];
    int code = planted("memory_v2");
    if (!code) code = nvmlDeviceGetMemoryInfo(device, plain);
    if (!code) *memory = (MemoryV2){memory->version, plain[0], 0, plain[1], plain[2]};
    return code;
}

int nvmlDeviceGetTemperature(const Device *device, unsigned sensor, unsigned *celsius) {
    int code = ask(device, "temperature");
    (void)sensor;
    if (!code) *celsius = 55;
    return code;
}

int nvmlDeviceGetClockInfo(const Device *device, unsigned type, unsigned *mhz) {
    int code = ask(device, type == 1 ? "sm_clock" : "memory_clock");
    if (!code) *mhz = type == 1 ? 1980 : 2619;
    return code;
}

int nvmlDeviceGetCurrentClocksEventReasons(const Device *device, u64 *reasons) {
    int code = ask(device, "reasons");
    if (!code) *reasons = 0x4; /* the power cap */
    return code;
}

int nvmlDeviceGetComputeMode(const Device *device, unsigned *mode) {
    int code = ask(device, "compute_mode");
    if (!code) *mode = 0;
    return code;
}

int nvmlDeviceGetComputeRunningProcesses_v3(const Device *device, unsigned *n, void *processes) {
    (void)processes;
    *n = 0;
    return ask(device, "processes");
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(const Device *device, unsigned *n, void *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, n, processes);
}

int nvmlDeviceGetPcieThroughput(const Device *device, unsigned counter, unsigned *kib_per_s) {
    int code = ask(device, "pcie");
    if (!code) *kib_per_s = counter == 0 ? 2048 : 4096;
    return code;
}

typedef struct {
    unsigned field, scope;
    long long timestamp_us, latency_us;
    unsigned type;
    int code;
    u64 value;
} FieldValue;

int nvmlDeviceGetFieldValues(const Device *device, int n, FieldValue *values) {
    int code = ask(device, "fields");
    for (int i = 0; !code && i < n; i++) { /* counters of NVLink in KiB: 1 MiB/s out, 2 MiB/s in */
        double time_s = now_s();
        int known = values[i].field == 138 || values[i].field == 139;
        values[i].timestamp_us = (long long)(time_s * 1e6);
        values[i].type = 3;
        values[i].code = known ? SUCCESS : NOT_SUPPORTED;
        values[i].value = (u64)(time_s * 1024 * (values[i].field == 138 ? 1 : 2));
    }
    return code;
}

int nvmlDeviceGetMigMode(const Device *device, unsigned *current, unsigned *pending) {
    int code = ask(device, "mig");
    if (!code) *current = *pending = mig() > 0;
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(const Device *device, unsigned *n) {
    int code = ask(device, "mig");
    if (!code) *n = INSTANCES;
    return code;
}

int nvmlDeviceGetMigDeviceHandleByIndex(const Device *device, unsigned index, Device **instance) {
    int code = ask(device, "mig");
    if (!code && (int)index >= mig()) return NOT_FOUND;
    if (!code) *instance = &instances[device->index][index];
    return code;
}

int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(const Device *instance, Device **device) {
    int code = ask(instance, "mig");
    if (!code) *device = &devices[instance->index];
    return code;
}

int nvmlGpmQueryDeviceSupport(const Device *device, unsigned support[2]) {
    int code = ask(device, "gpm");
    if (!code) support[1] = getenv("FAKE_NVML_GPM") != NULL;
    return code;
}

int nvmlGpmSampleAlloc(GpmSample **sample) {
    *sample = calloc(1, sizeof **sample);
    return *sample ? SUCCESS : 20;
}
int nvmlGpmSampleFree(GpmSample *sample) { return free(sample), SUCCESS; }

int nvmlGpmSampleGet(const Device *device, GpmSample *sample) {
    int code = ask(device, "gpm_sample");
    if (!code) *sample = (GpmSample){device->index, now_s()};
    return code;
}

typedef struct {
    unsigned metric;
    int code;
    double value;
    const char *names[3];
} GpmMetric;
typedef struct {
    unsigned version, n;
    GpmSample *before, *now;
    GpmMetric metrics[];
} GpmRequest;

int nvmlGpmMetricsGet(GpmRequest *request) {
    if (request->version != 1 || request->now->time_s <= request->before->time_s) return INVALID;
    for (unsigned i = 0; i < request->n; i++) { /* SM activity as set; links carry their metric's number */
        unsigned metric = request->metrics[i].metric;
        request->metrics[i].code = metric == 61 ? NOT_SUPPORTED : SUCCESS;
        request->metrics[i].value = metric == 2 ? number("FAKE_NVML_GPM", 0) : metric;
    }
    return SUCCESS;
}
