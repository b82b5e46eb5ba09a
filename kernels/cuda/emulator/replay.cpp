// The rest of a program that runs one recorded launch: what replay.py wrote into a file, in argv[2], of kernel argv[1].
#include "runtime.cpp"

#include <cstring>
#include <string>

struct Entry {
    const char* name;
    void (*start)(emulator::Launch*);
};

static const Entry entries[] = {
/* KERNELS */};

template <class T>
static T next(FILE* file) {
    T value;
    if (std::fread(&value, sizeof value, 1, file) != 1) std::abort();
    return value;
}

// Memory of exactly so many bytes, filled from the file: the sanitizer guards its ends.
static unsigned char* filled(FILE* file, std::size_t bytes) {
    auto* memory = static_cast<unsigned char*>(std::malloc(bytes));
    if (bytes && std::fread(memory, 1, bytes, file) != bytes) std::abort();
    return memory;
}

int main(int, char** argv) {
    FILE* file = std::fopen(argv[2], "rb");
    if (!file) return 2;
    emulator::Launch launch = {};
    for (unsigned& n : launch.grid) n = unsigned(next<int>(file));
    for (unsigned& n : launch.block) n = unsigned(next<int>(file));
    launch.shared_bytes = unsigned(next<int>(file));
    launch.count = next<int>(file);
    std::string kinds;
    std::vector<int> sizes;
    std::vector<void*> contents, arguments;  // of an array its memory; of a number the memory that holds it
    std::vector<const unsigned char*> begins, ends;
    for (int i = 0; i < launch.count; i++) {
        kinds += char(next<int>(file));
        sizes.push_back(next<int>(file));
        auto bytes = std::size_t(next<long long>(file));
        auto* memory = filled(file, bytes);
        contents.push_back(memory);
        if (kinds.back() == 'p') {
            begins.push_back(memory);
            ends.push_back(memory + bytes);
        }
    }
    std::vector<unsigned char*> touched;  // arrays that the kernel reaches through addresses in other arrays
    for (int left = next<int>(file); left > 0; left--) {
        auto bytes = std::size_t(next<long long>(file));
        touched.push_back(filled(file, bytes));
        begins.push_back(touched.back());
        ends.push_back(touched.back() + bytes);
    }
    for (int left = next<int>(file); left > 0; left--) {  // where these addresses are
        int argument = next<int>(file), array = next<int>(file);
        auto at = std::size_t(next<long long>(file));
        std::memcpy(static_cast<unsigned char*>(contents[std::size_t(argument)]) + at, &touched[std::size_t(array)], 8);
    }
    std::fclose(file);
    for (int i = 0; i < launch.count; i++) {
        arguments.push_back(kinds[std::size_t(i)] == 'p' ? static_cast<void*>(&contents[std::size_t(i)])
                                                         : contents[std::size_t(i)]);
    }
    launch.arguments = arguments.data();
    launch.kinds = kinds.c_str();
    launch.sizes = sizes.data();
    launch.buffers = int(begins.size());
    launch.begins = begins.data();
    launch.ends = ends.data();
    launch.workers = 1;
    for (const Entry& entry : entries) {
        if (kinds.size() && std::string(entry.name) == argv[1]) entry.start(&launch);
    }
    for (void* memory : contents) std::free(memory);
    for (void* memory : touched) std::free(memory);
    if (launch.error[0]) std::fprintf(stderr, "%s\n", launch.error);
    return launch.error[0] ? 1 : 0;
}
