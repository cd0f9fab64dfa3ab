# Builds the crate of $SOURCE, a Cargo.toml, for the target that its first line names.
target=$(sed -n '1s/# //p' "$SOURCE")
rustup target add "$target"
cargo build --release --locked --target "$target" --target-dir "$SCRATCH" --manifest-path "$SOURCE"
cp "$SCRATCH/$target"/release/*.wasm "$OUT"
