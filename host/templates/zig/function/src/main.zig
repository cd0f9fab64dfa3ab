//! Greets the person named in the input. The input is stdin, the output stdout, and what is written to stderr the log.
//! The calls of WASI are declared here, since the standard library's readers and writers differ between releases.

const Part = extern struct { ptr: [*]u8, len: usize };

const wasi = struct {
    extern "wasi_snapshot_preview1" fn fd_read(fd: u32, parts: [*]const Part, count: usize, read: *usize) u16;
    extern "wasi_snapshot_preview1" fn fd_write(fd: u32, parts: [*]const Part, count: usize, written: *usize) u16;
    extern "wasi_snapshot_preview1" fn proc_exit(code: u32) noreturn;
};

const stdin = 0;
const stdout = 1;
const stderr = 2;

fn write(fd: u32, text: []const u8) void {
    var rest = text;
    while (rest.len > 0) {
        var written: usize = 0;
        const part = [1]Part{.{ .ptr = @constCast(rest.ptr), .len = rest.len }};
        if (wasi.fd_write(fd, &part, 1, &written) != 0) wasi.proc_exit(1);
        rest = rest[written..];
    }
}

fn read(buffer: []u8) []u8 {
    var length: usize = 0;
    while (length < buffer.len) {
        var got: usize = 0;
        const part = [1]Part{.{ .ptr = buffer.ptr + length, .len = buffer.len - length }};
        if (wasi.fd_read(stdin, &part, 1, &got) != 0) wasi.proc_exit(1);
        if (got == 0) break;
        length += got;
    }
    return buffer[0..length];
}

fn trimmed(text: []const u8) []const u8 {
    var end = text.len;
    while (end > 0 and (text[end - 1] == '\n' or text[end - 1] == '\r' or text[end - 1] == ' ')) end -= 1;
    return text[0..end];
}

pub fn main() void {
    var buffer: [256]u8 = undefined;
    const name = trimmed(read(&buffer));
    if (name.len == 0) {
        write(stderr, "the input is a name, and it is empty\n");
        wasi.proc_exit(1);
    }
    write(stdout, "Hello, ");
    write(stdout, name);
    write(stdout, "!");
}
