//! Greets the person named in the query of a request. Requests arrive as CGI: the head in variables, the body on stdin.
//! The calls of WASI are declared here, since the standard library's readers and writers differ between releases.

const Part = extern struct { ptr: [*]u8, len: usize };

const wasi = struct {
    extern "wasi_snapshot_preview1" fn environ_get(pointers: [*][*:0]u8, bytes: [*]u8) u16;
    extern "wasi_snapshot_preview1" fn environ_sizes_get(count: *usize, bytes: *usize) u16;
    extern "wasi_snapshot_preview1" fn fd_write(fd: u32, parts: [*]const Part, count: usize, written: *usize) u16;
    extern "wasi_snapshot_preview1" fn proc_exit(code: u32) noreturn;
};

const stdout = 1;

fn write(text: []const u8) void {
    var rest = text;
    while (rest.len > 0) {
        var written: usize = 0;
        const part = [1]Part{.{ .ptr = @constCast(rest.ptr), .len = rest.len }};
        if (wasi.fd_write(stdout, &part, 1, &written) != 0) wasi.proc_exit(1);
        rest = rest[written..];
    }
}

fn startsWith(text: []const u8, start: []const u8) bool {
    return text.len >= start.len and equal(text[0..start.len], start);
}

fn equal(one: []const u8, other: []const u8) bool {
    if (one.len != other.len) return false;
    for (one, other) |a, b| {
        if (a != b) return false;
    }
    return true;
}

/// Variables of a request: at most 128, of 64 KiB together.
const Environment = struct {
    pointers: [128][*:0]u8 = undefined,
    bytes: [65536]u8 = undefined,
    count: usize = 0,

    fn load(self: *Environment) void {
        var bytes: usize = 0;
        if (wasi.environ_sizes_get(&self.count, &bytes) != 0) wasi.proc_exit(1);
        if (self.count > self.pointers.len or bytes > self.bytes.len) wasi.proc_exit(1);
        if (wasi.environ_get(&self.pointers, &self.bytes) != 0) wasi.proc_exit(1);
    }

    /// Returns the value behind `NAME=`, empty if there is none.
    fn get(self: *const Environment, start: []const u8) []const u8 {
        for (self.pointers[0..self.count]) |pointer| {
            var length: usize = 0;
            while (pointer[length] != 0) length += 1;
            const variable = pointer[0..length];
            if (startsWith(variable, start)) return variable[start.len..];
        }
        return "";
    }
};

var environment = Environment{};

fn answer(status: []const u8, start: []const u8, name: []const u8, end: []const u8) void {
    write("Status: ");
    write(status);
    write("\nContent-Type: text/plain; charset=utf-8\n\n");
    write(start);
    write(name);
    write(end);
}

pub fn main() void {
    environment.load();
    const is_get = equal(environment.get("REQUEST_METHOD="), "GET");
    if (!is_get or !equal(environment.get("PATH_INFO="), "/")) return answer("404", "no such page", "", "");
    const query = environment.get("QUERY_STRING=");
    const key = "name=";
    if (!startsWith(query, key) or query.len == key.len) {
        return answer("400", "name whom to greet: ?name=Ada", "", "");
    }
    answer("200", "Hello, ", query[key.len..], "!");
}
