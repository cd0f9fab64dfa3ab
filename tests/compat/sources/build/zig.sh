# Compiles $SOURCE with the Zig compiler of the installed package, with exceptions, of which setjmp is made.
chmod +x "$PACKAGE/ziglang/zig"
export ZIG_GLOBAL_CACHE_DIR="$SCRATCH/cache" ZIG_LOCAL_CACHE_DIR="$SCRATCH/local"
# The library of this release lacks the tag, which its compiler no longer defines in each file.
printf '.globl __c_longjmp\n.tagtype __c_longjmp i32\n__c_longjmp:\n' >"$SCRATCH/tag.s"
"$PACKAGE/ziglang/zig" cc -target wasm32-wasi -mcpu=generic+exception_handling -Os -s \
    -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false -lsetjmp "$SOURCE" "$SCRATCH/tag.s" -o "$OUT"
